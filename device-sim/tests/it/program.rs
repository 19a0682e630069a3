//! The program from outside.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use assert_cmd::cargo::CommandCargoExt as _;
use serde_json::{Value, json};

use crate::fake_hub::{FakeHub, KEY};

/// The program without anything of the caller's environment that would change what it does.
fn program() -> Command {
    let mut command = Command::cargo_bin("device-sim").unwrap();
    command
        .env_remove("IOTHUB_DEVICE_CONNECTION_STRING")
        .env("IOTHUB_EMULATOR_STATE_DIR", "/nonexistent/state");
    command
}

fn plain(hub: &FakeHub) -> Command {
    let mut command = program();
    command
        .args(["run", "--plain", "--apply-delay", "0", "--port", &hub.port.to_string()])
        .env("IOTHUB_DEVICE_CONNECTION_STRING", hub.connection_string());
    command
}

/// What the program says on standard error, and its exit code.
fn failure(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn it_stops_after_a_configuration_was_applied() {
    let hub = FakeHub::start();
    hub.change_desired(&json!({"configId": 2, "sendFrequency": "5m"}));
    let output =
        plain(&hub).args(["--output", "json", "--stop-after-applied", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let events: Vec<Value> =
        output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(events.iter().all(|event| event["time"].as_str().unwrap().ends_with('Z')));
    let names: Vec<_> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .filter(|name| *name != "telemetrySent")
        .collect();
    let expected = [
        "connecting",
        "connected",
        "twinReceived",
        "pending",
        "applied",
        "reported",
        "reported",
        "reported",
        "stopped",
    ];
    assert_eq!(names, expected);
    assert_eq!(hub.state().reported.get("configId"), Some(&json!(2)));
    hub.wait("DISCONNECT", |state| state.disconnects == 1);
}

#[cfg(unix)]
#[test]
fn a_signal_stops_it_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let hub = FakeHub::start();
        let mut child = plain(&hub).stdout(Stdio::piped()).spawn().unwrap();
        hub.wait("the first report", |state| state.patches.len() == 1);
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<_> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(lines[1].contains("Z connected to 127.0.0.1:"), "{lines:?}");
        assert!(lines.last().unwrap().ends_with("Z stopped"), "{lines:?}");
        hub.wait("DISCONNECT", |state| state.disconnects == 1);
    }
}

#[test]
fn a_refused_connection_string_is_code_2() {
    let hub = FakeHub::start();
    hub.state().connack = 5;
    let (error, code) = failure(&mut plain(&hub));
    assert_eq!(code, Some(2));
    assert!(error.contains("refused the connection string"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(hub.state().connects.len(), 1);
}

#[test]
fn mistakes_are_told_before_anything_is_sent() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), "x = 1\n[[telemetry]]\n").unwrap();
    let script = script.path().to_str().unwrap();
    let string = format!("HostName=127.0.0.1;DeviceId=d;SharedAccessKey={KEY}");
    let table: [(&[&str], &[&str]); 7] = [
        (&[], &["--connection-string"]),
        (&["--connection-string", "HostName=h"], &["connection string has no DeviceId"]),
        (&["--device", "d"], &["no emulator runs on this machine", "/nonexistent/state"]),
        (&["--device", "a b"], &["--device"]),
        (
            &["--connection-string", &string, "--ca", "/nonexistent"],
            &["\"/nonexistent\" cannot be read"],
        ),
        (&["--connection-string", &string, "--ca", script], &["holds no certificate"]),
        (
            &["--connection-string", &string, "--script", script],
            &["line 1: x is not known", "line 2: telemetry[0] has no body"],
        ),
    ];
    for (arguments, expected) in table {
        let (error, code) = failure(program().arg("run").args(arguments));
        assert_eq!(code, Some(2), "{arguments:?}");
        for part in expected {
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
        assert!(!error.contains(KEY));
    }
}

#[test]
fn shells_are_served() {
    for shell in ["bash", "fish", "zsh", "powershell"] {
        let output = program().args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout).unwrap().contains("stop-after-applied"),
            "{shell}"
        );
    }
}
