//! The commands that need no server, called as a user calls them.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use assert_cmd::Command;
use iothub_wire::local::{self, LocalEmulator};
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::{contains, starts_with};
use tempfile::TempDir;

const WELL_KNOWN: &str = "HostName=127.0.0.1;SharedAccessKeyName=iothubowner;\
                          SharedAccessKey=ZW11bGF0b3IuaW90aHVib3duZXIucHJpbWFyeS4uLi4=";

/// A home of its own, with a state directory whose name has to be quoted.
struct Fixture {
    home: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn state_dir(&self) -> PathBuf {
        self.home.path().join("it's a \"state\" $HOME\\dir")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("iothub-emulator").unwrap();
        command.env_clear().env("HOME", self.home.path()).args(arguments);
        command
    }

    /// A command that is told the state directory.
    fn with_state(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--state-dir").arg(self.state_dir());
        command
    }
}

fn stdout(command: &mut Command) -> String {
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// What the variables are after a shell has evaluated a script.
fn evaluated(script: &str, names: &[&str]) -> Vec<String> {
    let values = names.iter().map(|name| format!("printf '%s\\n' \"${name}\"\n"));
    let script: String = [format!("{script}\n")].into_iter().chain(values).collect();
    let output = Process::new("bash").env_clear().args(["-uc", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_evaluates_what_env_prints() {
    let fixture = Fixture::new();
    let dir = fixture.state_dir();
    let script = stdout(&mut fixture.with_state(&["env"]));
    let names = [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "IOTHUB_EMULATOR_CA",
        "IOTHUB_EMULATOR_STATE_DIR",
        "IOTHUB_CONNECTION_STRING",
    ];
    let file = |name: &str| dir.join(name).display().to_string();
    let expected = [
        file("bundle.pem"),
        file("bundle.pem"),
        file("ca.pem"),
        file("ca.pem"),
        dir.display().to_string(),
        WELL_KNOWN.to_owned(),
    ];
    assert_eq!(evaluated(&script, &names), expected);

    let ca = fs::read_to_string(dir.join("ca.pem")).unwrap();
    assert!(fs::read_to_string(dir.join("bundle.pem")).unwrap().ends_with(&ca));
}

#[test]
fn env_works_as_the_documents_say_it() {
    let fixture = Fixture::new();
    let program = assert_cmd::cargo::cargo_bin("iothub-emulator");
    let home = fixture.home.path().display();
    // With and without the quotes that one forgets.
    for call in [r#"eval "$("$EMULATOR" env)""#, r#"eval $("$EMULATOR" env)"#] {
        let script = format!("export HOME='{home}' EMULATOR='{}'\n{call}", program.display());
        let values = evaluated(&script, &["IOTHUB_CONNECTION_STRING", "NODE_EXTRA_CA_CERTS"]);
        let ca_file = format!("{home}/.local/state/iothub-emulator/ca.pem");
        assert_eq!(values, [WELL_KNOWN.to_owned(), ca_file], "{call}");
    }
}

#[test]
fn env_hands_on_what_a_running_emulator_says() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.state_dir()).unwrap();
    let running = LocalEmulator {
        connection_string: "HostName=127.0.0.1:8443;SharedAccessKeyName=iothubowner".to_owned(),
        mqtt_port: 8883,
        amqp_port: 5671,
        event_hub: "iothub".to_owned(),
        harness: String::new(),
        ca_file: fixture.state_dir().join("ca.pem"),
        pid: 1,
    };
    let file = fixture.state_dir().join(local::FILE_NAME);
    fs::write(&file, serde_json::to_vec(&running).unwrap()).unwrap();
    let script = stdout(&mut fixture.with_state(&["env"]));
    let line = format!("export IOTHUB_CONNECTION_STRING='{}';\n", running.connection_string);
    assert!(script.contains(&line), "{script}");

    fs::write(&file, "{").unwrap();
    fixture
        .with_state(&["env"])
        .assert()
        .success()
        .stdout(contains(WELL_KNOWN))
        .stderr(contains("emulator.json is ignored: "));
}

#[test]
fn env_follows_the_configuration_where_nothing_runs() {
    let fixture = Fixture::new();
    let options = ["env", "--hostname", "hub.test", "--https-port", "9443"];
    let script = stdout(&mut fixture.with_state(&options));
    assert!(script.contains("='HostName=hub.test:9443;SharedAccessKeyName="), "{script}");

    fixture
        .with_state(&["env", "--keys", "random"])
        .assert()
        .success()
        .stdout(contains("IOTHUB_CONNECTION_STRING").not())
        .stderr(contains("no emulator is running"));
}

#[test]
fn env_speaks_to_other_shells() {
    let fixture = Fixture::new();
    let fish = stdout(&mut fixture.command(&["env", "--shell", "fish"]));
    assert!(fish.starts_with("set -gx SSL_CERT_FILE '/"), "{fish}");
    let by_name = stdout(fixture.command(&["env"]).env("SHELL", "/usr/bin/fish"));
    assert_eq!(by_name, fish);
    let powershell = stdout(&mut fixture.command(&["env", "--shell", "powershell"]));
    assert!(powershell.starts_with("$env:SSL_CERT_FILE = '/"), "{powershell}");
}

#[test]
fn ca_shows_what_is_to_be_trusted() {
    let fixture = Fixture::new();
    let path = stdout(&mut fixture.with_state(&["ca", "path"]));
    let ca_file = fixture.state_dir().join("ca.pem");
    assert_eq!(path, format!("{}\n", ca_file.display()));

    let pem = fs::read_to_string(&ca_file).unwrap();
    let shown = stdout(&mut fixture.with_state(&["ca", "show"]));
    assert!(shown.starts_with("subject      CN=IoT Hub emulator CA "), "{shown}");
    assert!(shown.contains("\nfingerprint  SHA-256 "), "{shown}");
    assert!(shown.contains("\nkey          ECDSA P-256\n"), "{shown}");
    assert!(shown.ends_with(&pem), "{shown}");
}

#[test]
fn a_file_that_is_wrong_is_named() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.state_dir()).unwrap();
    fs::write(fixture.state_dir().join("ca.pem"), "x").unwrap();
    fixture
        .with_state(&["env"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(starts_with("error: ").and(contains("ca.pem holds no PEM certificate: remove it")));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let fixture = Fixture::new();
    let file = fixture.home.path().join("emulator.toml");
    fs::write(&file, "hub_name = \"x\"\nlog-format = \"xml\"\n").unwrap();
    fixture
        .command(&["run", "--bind", "nowhere"])
        .env("IOTHUB_EMULATOR_CONFIG", &file)
        .env("IOTHUB_EMULATOR_MQTTS_PORT", "many")
        .assert()
        .code(2)
        .stdout("")
        .stderr(
            contains("error: --bind is \"nowhere\", expected an IP address\n")
                .and(contains("error: IOTHUB_EMULATOR_MQTTS_PORT is \"many\", expected a number"))
                .and(contains("emulator.toml: there is no field \"hub_name\"; --help lists them\n"))
                .and(contains("emulator.toml: log-format is \"xml\", expected text or json\n")),
        );
}

#[test]
fn without_a_home_there_is_no_state_directory() {
    Fixture::new()
        .command(&["ca", "path"])
        .env_remove("HOME")
        .assert()
        .code(2)
        .stderr("error: there is no state directory: set HOME, or give --state-dir\n");
}

#[test]
fn completions_know_the_commands() {
    let fixture = Fixture::new();
    for shell in ["bash", "fish", "powershell", "zsh"] {
        let script = stdout(&mut fixture.command(&["completions", shell]));
        assert!(script.contains("uninstall"), "{shell}");
        assert!(script.contains("mqtts-port"), "{shell}");
    }
}

#[test]
fn paths_in_the_output_are_absolute() {
    let fixture = Fixture::new();
    let mut command = fixture.command(&["ca", "path", "--state-dir", "relative"]);
    let path = stdout(command.current_dir(fixture.home.path()));
    let path = Path::new(path.trim_end());
    assert!(path.is_absolute() && path.ends_with("relative/ca.pem"), "{path:?}");
}
