//! The server as a process: what it tells, and how it ends.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use iothub_wire::local::LocalEmulator;
use tempfile::TempDir;

/// As variables, so that a test can say something else by a flag.
const FREE_PORTS: [(&str, &str); 4] = [
    ("IOTHUB_EMULATOR_MQTTS_PORT", "0"),
    ("IOTHUB_EMULATOR_AMQPS_PORT", "0"),
    ("IOTHUB_EMULATOR_HTTPS_PORT", "0"),
    ("IOTHUB_EMULATOR_ADMIN_PORT", "0"),
];

/// How long a test waits for what must come: a machine that does much else is slow, not wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test, whatever happens in it.
struct Emulator {
    process: Child,
    home: TempDir,
}

impl Emulator {
    fn start(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let process = Command::new(cargo_bin("iothub-emulator"))
            .env_clear()
            .env("HOME", home.path())
            .envs(FREE_PORTS)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process, home }
    }

    fn state_dir(&self) -> PathBuf {
        self.home.path().join(".local/state/iothub-emulator")
    }

    /// The lines of the start, up to the last one.
    fn banner(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(self.process.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap().contains("device-sim run") {
                break;
            }
        }
        lines
    }

    /// Waits until the file is there that tells others of it.
    fn announcement(&self) -> LocalEmulator {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(running) = LocalEmulator::read(&self.state_dir()).unwrap() {
                return running;
            }
            assert!(Instant::now() < deadline, "nothing was announced");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The exit code, and what was written to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.process.wait().unwrap().code();
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (code, text)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It has ended where the test has waited for it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_start_tells_where_to_go_and_a_signal_ends_it() {
    for signal in ["-INT", "-TERM"] {
        let mut emulator = Emulator::start(&[]);
        let lines = emulator.banner();
        assert_eq!(lines[0], "IoT Hub emulator is ready.");
        let after = |label: &str| {
            let line = lines.iter().find(|line| line.trim_start().starts_with(label)).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        for (label, scheme) in [
            ("MQTT", "mqtts://"),
            ("AMQP", "amqps://"),
            ("HTTPS", "https://"),
            ("Harness", "http://"),
        ] {
            let address = after(label);
            TcpStream::connect(address.strip_prefix(scheme).unwrap()).unwrap();
        }
        assert_eq!(after("Trust"), emulator.state_dir().join("ca.pem").display().to_string());
        assert_eq!(after("Hub"), emulator.announcement().connection_string);
        assert!(lines.contains(&r#"  eval "$(iothub-emulator env)""#.to_owned()), "{lines:?}");

        emulator.signal(signal);
        let state_dir = emulator.state_dir();
        assert_eq!(emulator.end(), (Some(0), String::new()));
        assert_eq!(LocalEmulator::read(&state_dir).unwrap(), None);
    }
}

#[test]
fn another_terminal_is_told_where_the_state_is() {
    let elsewhere = tempfile::tempdir().unwrap();
    let dir = elsewhere.path().join("it is here");
    let mut emulator = Emulator::start(&["--state-dir", dir.to_str().unwrap()]);
    let lines = emulator.banner();
    let expected = format!("  eval \"$(iothub-emulator env --state-dir '{}')\"", dir.display());
    assert!(lines.contains(&expected), "{lines:?}");
}

#[test]
fn a_quiet_start_tells_nothing_but_others_find_it() {
    let mut emulator = Emulator::start(&["--quiet"]);
    assert_eq!(emulator.announcement().pid, emulator.process.id());
    emulator.signal("-TERM");
    let mut told = String::new();
    emulator.process.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
    assert_eq!(emulator.end(), (Some(0), String::new()));
}

#[test]
fn a_port_that_is_taken_is_told_with_the_option_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, text) = Emulator::start(&["--admin-port", &port]).end();
    assert_eq!(code, Some(1));
    let (start, end) = (format!("error: 127.0.0.1:{port} cannot be bound"), "--admin-port\n");
    assert!(text.starts_with(&start) && text.ends_with(end), "{text}");
}

#[test]
fn a_seed_with_five_mistakes_tells_five() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.toml");
    let seed = "\
        [[devices]]\n\
        deviceId = \"a b\"\n\
        status = \"off\"\n\
        [[devices]]\n\
        twin.tags = { \"a.b\" = 1 }\n\
        [[routing.routes]]\n\
        name = \"hot\"\n\
        endpointNames = [\"alerts\"]\n";
    std::fs::write(&path, seed).unwrap();
    let path = path.to_str().unwrap();
    let (code, text) = Emulator::start(&["--seed", path]).end();
    let expected = [
        "devices[0].deviceId is \"a b\": id has the character ' '",
        "devices[0].status is \"off\", expected \"enabled\" or \"disabled\"",
        "devices[1]: deviceId is missing",
        "devices[1].twin.tags: Property name a.b contains invalid character '.'",
        "routing: route \"hot\" names the endpoint \"alerts\", expected one of events",
    ];
    assert_eq!((code, text.lines().count()), (Some(2), 5), "{text}");
    for (line, expected) in text.lines().zip(expected) {
        assert!(line.starts_with(&format!("error: {path}: {expected}")), "{line:?}: {expected:?}");
    }

    let (code, text) = Emulator::start(&["--seed", "/nowhere/seed.toml"]).end();
    assert_eq!(code, Some(2));
    assert!(text.starts_with("error: /nowhere/seed.toml cannot be read: "), "{text}");
}

#[test]
fn routes_that_are_said_twice_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (options, seed) = (folder.path().join("emulator.toml"), folder.path().join("seed.toml"));
    let route = "name = \"all\"\nendpoints = [\"events\"]\n";
    std::fs::write(&options, format!("[[route]]\n{route}")).unwrap();
    let arguments = ["--config", options.to_str().unwrap(), "--seed", seed.to_str().unwrap()];
    let same = "routing.routes = [{ name = \"all\", endpointNames = [\"events\"] }]";
    for (said, refused) in [(same, false), ("routing.routes = []", true), ("version = 1", false)] {
        std::fs::write(&seed, said).unwrap();
        let test = ["route", "test", "--body", "x"];
        let tried = Command::new(env!("CARGO_BIN_EXE_iothub-emulator"))
            .args([&test[..], &arguments].concat())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&tried.stdout).into_owned();
        assert_eq!(told.starts_with("all: matches"), !refused, "{said}: {told}");
        if refused {
            let (code, text) = Emulator::start(&arguments).end();
            let path = seed.display();
            let expected = format!(
                "error: {path} has routing, and so has the file of options, and they differ: expected it in one of them\n"
            );
            assert_eq!((code, text), (Some(2), expected));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_seed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let path = path.to_str().unwrap();
    let (code, text) = Emulator::start(&["--seed", path]).end();
    let expected = format!("error: {path} is no regular file, expected one in TOML or JSON\n");
    assert_eq!((code, text), (Some(2), expected));
}

#[cfg(target_os = "linux")]
#[test]
fn an_emulator_is_found_again_when_a_second_one_has_ended() {
    let shared = tempfile::tempdir().unwrap();
    let arguments = ["--quiet", "--state-dir", shared.path().to_str().unwrap()];
    let found = || LocalEmulator::read(shared.path()).unwrap().map(|found| found.pid);
    let start = || {
        let emulator = Emulator::start(&arguments);
        let deadline = Instant::now() + PATIENCE;
        while found() != Some(emulator.process.id()) {
            assert!(Instant::now() < deadline, "nothing was announced");
            std::thread::sleep(Duration::from_millis(5));
        }
        emulator
    };
    let (first, second) = (start(), start());
    second.signal("-TERM");
    assert_eq!(second.end(), (Some(0), String::new()));
    assert_eq!(found(), Some(first.process.id()));
    first.signal("-TERM");
    assert_eq!(first.end(), (Some(0), String::new()));
    assert_eq!(found(), None);
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let emulator = Emulator::start(&["--quiet"]);
    let port = emulator.announcement().mqtt_port;
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(b"this is no TLS\r\n").unwrap();
    // The hub says no and closes; either may be all that is seen of it.
    let _ = stranger.read_to_end(&mut Vec::new());
    emulator.signal("-TERM");
    let (_, log) = emulator.end();
    assert!(log.contains("TLS handshake failed") && log.contains("peer=\"127.0.0.1:"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}
