//! The three programs, found beside the test and run as a user would run them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use iothub_wire::local::LocalEmulator;
use tempfile::TempDir;

use crate::mqtt::PATIENCE;

/// The emulator.
pub const EMULATOR: &str = "iothub-emulator";
/// What has an emulator take free ports: as variables, so that a flag can say something else.
pub const FREE_PORTS: [(&str, &str); 4] = [
    ("IOTHUB_EMULATOR_MQTTS_PORT", "0"),
    ("IOTHUB_EMULATOR_AMQPS_PORT", "0"),
    ("IOTHUB_EMULATOR_HTTPS_PORT", "0"),
    ("IOTHUB_EMULATOR_ADMIN_PORT", "0"),
];
/// The simulated device.
pub const DEVICE_SIM: &str = "device-sim";
/// The back end's command line.
pub const SERVICE_CLI: &str = "service-cli";

/// Where a program of this workspace was built: beside the folder of the test's own binary.
pub fn path(name: &str) -> PathBuf {
    let file = profile_dir().join(name).with_extension(std::env::consts::EXE_EXTENSION);
    let hint = "`cargo test --workspace` builds it, `cargo test -p iothub-tests` does not";
    assert!(file.is_file(), "{} does not exist: {hint}", file.display());
    file
}

/// A folder below `target/` that outlives the test.
pub fn target_dir(name: &str) -> PathBuf {
    profile_dir().parent().expect("target/debug is in target").join(name)
}

/// `target/debug`, or whatever the profile is: the test's own binary is in `deps` below it.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    let deps = test.parent().expect("a file is in a folder");
    deps.parent().expect("deps is in the profile's folder").to_owned()
}

/// A command of one of the programs that sees nothing of the tester's own hubs and state.
pub fn command(name: &str, state_dir: &Path) -> Command {
    let mut command = Command::new(path(name));
    isolate(&mut command, state_dir);
    command
}

fn isolate(command: &mut Command, state_dir: &Path) {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("IOTHUB") {
            command.env_remove(variable);
        }
    }
    command.env("IOTHUB_EMULATOR_STATE_DIR", state_dir);
}

/// A running emulator, killed when dropped.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    state: TempDir,
    /// What it says of itself.
    pub local: LocalEmulator,
}

impl Emulator {
    /// Starts it on free ports of 127.0.0.1.
    pub fn start() -> Self {
        Self::launch(TempDir::new().unwrap(), &[], &FREE_PORTS)
    }

    /// Starts it on this address, with the ports that SDKs hard-code.
    pub fn start_at(address: IpAddr) -> Self {
        Self::launch(TempDir::new().unwrap(), &at(address), &[])
    }

    /// The same, with a file of options. In its text, `ADDRESS` and `STATE` stand for the address
    /// and the state directory.
    pub fn start_with_file(address: IpAddr, file: &str) -> Self {
        let state = TempDir::new().unwrap();
        let text = file.replace("ADDRESS", &address.to_string());
        let text = text.replace("STATE", &state.path().display().to_string());
        let arguments = [at(address), options(&state, &text)].concat();
        Self::launch(state, &arguments, &[])
    }

    /// Starts it on free ports of 127.0.0.1, with a file of options.
    pub fn start_with_options(file: &str) -> Self {
        let state = TempDir::new().unwrap();
        let arguments = options(&state, file);
        Self::launch(state, &arguments, &FREE_PORTS)
    }

    fn launch(state: TempDir, arguments: &[String], variables: &[(&str, &str)]) -> Self {
        let mut child = command(EMULATOR, state.path())
            .arg("run")
            .args(arguments)
            .envs(variables.iter().copied())
            // Import and export jobs are there for every script that wants one.
            .env("IOTHUB_EMULATOR_STORAGE_DIR", state.path().join("storage"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let local = match wait_until_ready(&mut child, state.path()) {
            Ok(local) => local,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("`{EMULATOR} run {}` {why}", arguments.join(" "));
            }
        };
        Self { child, state, local }
    }

    /// Its state directory.
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// A command of one of the programs that finds this emulator by its state directory.
    pub fn command(&self, name: &str) -> assert_cmd::Command {
        let mut command = command(name, self.state_dir());
        command.stdin(Stdio::null());
        assert_cmd::Command::from_std(command)
    }

    /// Asks it to stop, as Ctrl-C does, and gives its exit code.
    pub fn interrupt(self) -> Option<i32> {
        self.stop("-INT")
    }

    /// Asks it to stop by this signal, and gives its exit code.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success(), "kill {signal} {pid}: {status}");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{EMULATOR} did not stop within {PATIENCE:?}");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments that have it read these options.
fn options(state: &TempDir, text: &str) -> Vec<String> {
    let path = state.path().join("options.toml");
    fs::write(&path, text).unwrap();
    vec!["--config".to_owned(), path.display().to_string()]
}

/// The arguments that serve at an address of one's own.
fn at(address: IpAddr) -> Vec<String> {
    let address = address.to_string();
    ["--bind", &address, "--hostname", &address, "--admin-bind", &address, "--admin-port", "0"]
        .map(str::to_owned)
        .to_vec()
}

/// The file in the state directory appears once every listener serves.
fn wait_until_ready(child: &mut Child, state_dir: &Path) -> Result<LocalEmulator, String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Err(format!("ended with {status} before it was ready"));
        }
        match LocalEmulator::read(state_dir) {
            Ok(Some(local)) if local.pid == child.id() => return Ok(local),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Err(format!("was not ready within {PATIENCE:?}"))
}

/// An address of this machine that no other test uses, on which the ports that SDKs hard-code may
/// be bound; or why there is none.
///
/// On Linux all of 127.0.0.0/8 is the machine itself. The process id makes the address, so that
/// runs which start at once do not meet.
///
/// # Errors
///
/// Says which port may not be bound, and why.
pub fn own_address() -> Result<IpAddr, String> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    // 127.64.0.0/10: sixteen emulators for each of four million processes do not fit, so the turn
    // shares its byte with the highest bits of the process id, which are rarely set.
    let second = 64 | (high << 4 ^ turn) & 63;
    let address = IpAddr::from(Ipv4Addr::new(127, second, middle, low));
    for port in [443, 5671, 8883] {
        TcpListener::bind((address, port))
            .map_err(|error| format!("{address}:{port} may not be bound: {error}"))?;
    }
    Ok(address)
}
