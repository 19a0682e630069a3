//! The three programs as a user runs them: help, mistakes, exit codes, and the tutorial typed in.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

#[path = "cli/restore.rs"]
mod restore;
#[path = "cli/routes.rs"]
mod routes;
#[path = "cli/stop.rs"]
mod stop;
#[path = "cli/watch.rs"]
mod watch;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use iothub_tests::program::{self, DEVICE_SIM, EMULATOR, Emulator, FREE_PORTS, SERVICE_CLI};
use predicates::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a program may take that has an end: a machine that does much else is slow, not wrong.
const LIMIT: Duration = Duration::from_secs(120);

/// A command of a program that finds no emulator.
fn alone(name: &str) -> (Command, TempDir) {
    let state = TempDir::new().unwrap();
    let mut command = Command::from_std(program::command(name, state.path()));
    command.timeout(LIMIT);
    (command, state)
}

/// Runs service-cli against the emulator and gives what it prints.
fn service_cli(emulator: &Emulator, arguments: &[&str]) -> String {
    let mut command = emulator.command(SERVICE_CLI);
    let output = command.timeout(LIMIT).args(arguments).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// The same with `--output json`.
fn service_json(emulator: &Emulator, arguments: &[&str]) -> Value {
    let text = service_cli(emulator, &[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Running {
    /// Sends it a signal, and gives its exit code, which a process that a signal ended has not.
    fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.0.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{pid} did not stop within {LIMIT:?} of {signal}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A device that runs until it is dropped, and the lines that it prints.
struct Device {
    process: Running,
    lines: BufReader<ChildStdout>,
}

impl Device {
    fn start(emulator: &Emulator, connection_string: &str) -> Self {
        Self::start_with(emulator, &["--connection-string", connection_string])
    }

    fn start_with(emulator: &Emulator, arguments: &[&str]) -> Self {
        let ca = emulator.local.ca_file.to_str().unwrap();
        let mut child = program::command(DEVICE_SIM, emulator.state_dir())
            .args(["run", "--ca", ca])
            .args(arguments)
            .args(["--output", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { process: Running(child), lines }
    }

    /// Reads until the event of that name.
    fn until(&mut self, event: &str) -> Value {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            let length = self.lines.read_line(&mut seen).unwrap();
            assert!(length > 0, "device-sim ended before {event}:\n{seen}");
            let line: Value = serde_json::from_str(&seen[start..])
                .unwrap_or_else(|error| panic!("{error}: {}", &seen[start..]));
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Interrupts it, as Ctrl-C does, and gives its exit code.
    fn interrupt(self) -> Option<i32> {
        self.process.stop("-INT")
    }
}

#[test]
fn each_program_says_what_it_is() {
    for name in [EMULATOR, DEVICE_SIM, SERVICE_CLI] {
        let (mut command, _state) = alone(name);
        let version = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        command.arg("--version").assert().success().stdout(version);
        let (mut command, _state) = alone(name);
        command.arg("--help").assert().success().stdout(predicate::str::contains("Usage:"));
    }
}

#[test]
fn mistakes_on_the_command_line_end_with_2() {
    let table: [(&str, &[&str]); 9] = [
        (EMULATOR, &["--no-such-flag"]),
        (EMULATOR, &["no-such-command"]),
        (EMULATOR, &["env", "--shell", "cmd"]),
        (DEVICE_SIM, &["run", "--no-such-flag"]),
        (DEVICE_SIM, &["no-such-command"]),
        (SERVICE_CLI, &[]),
        (SERVICE_CLI, &["device", "show"]),
        (SERVICE_CLI, &["device", "show", "not an id"]),
        (SERVICE_CLI, &["configure", "d1"]),
    ];
    for (name, arguments) in table {
        let (mut command, _state) = alone(name);
        let assert = command.args(arguments).assert();
        assert.code(2).stdout("").stderr(predicate::str::is_empty().not());
    }
}

#[test]
fn mistakes_in_the_configuration_are_told_together() {
    let (mut command, _state) = alone(EMULATOR);
    let arguments =
        ["run", "--mqtts-port", "70000", "--https-port", "x", "--hostname", "not a name"];
    let all = predicate::str::contains("70000")
        .and(predicate::str::contains("\"x\""))
        .and(predicate::str::contains("not a name"));
    command.args(arguments).assert().failure().stderr(all);
}

#[test]
fn completions_are_printed() {
    for name in [EMULATOR, SERVICE_CLI] {
        let (mut command, _state) = alone(name);
        let assert = command.args(["completions", "bash"]).assert();
        assert.success().stdout(predicate::str::contains(name));
    }
}

#[test]
fn without_an_emulator_the_service_says_where_it_looked() {
    let (mut command, state) = alone(SERVICE_CLI);
    let place = state.path().to_str().unwrap().to_owned();
    let assert = command.args(["device", "list"]).assert();
    assert.code(2).stderr(predicate::str::contains(place));
}

#[test]
fn the_demo_agrees_in_the_end() {
    let (mut command, _state) = alone(EMULATOR);
    let told = predicate::str::contains("configId").and(predicate::str::contains("sendFrequency"));
    command.arg("demo").assert().code(0).stdout(told);
}

#[test]
fn the_emulator_prints_what_is_needed_next() {
    let state = TempDir::new().unwrap();
    let child = program::command(EMULATOR, state.path())
        .envs(FREE_PORTS)
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let lines = BufReader::new(running.0.stdout.take().unwrap());
    let mut text = String::new();
    for line in lines.lines() {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line.contains("device-sim run") {
            break;
        }
    }
    for expected in
        ["HostName=127.0.0.1", "ca.pem", "iothub-emulator env", "service-cli device create"]
    {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
}

#[test]
fn an_interrupt_stops_the_emulator_and_its_traces() {
    let emulator = Emulator::start();
    let file = emulator.state_dir().join("emulator.json");
    assert!(file.exists());
    assert_eq!(emulator.interrupt(), Some(0));
    assert!(!file.exists(), "a stopped emulator is still announced");
}

#[test]
fn the_authority_is_made_once_and_its_key_is_private() {
    let state = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::from_std(program::command(EMULATOR, state.path()));
        let output = command.timeout(LIMIT).args(arguments).assert().success().get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = run(&["env", "--shell", "bash"]);
    for variable in
        ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "IOTHUB_CONNECTION_STRING"]
    {
        assert!(first.contains(&format!("export {variable}=")), "{variable} is missing:\n{first}");
    }
    let ca = std::fs::read(state.path().join("ca.pem")).unwrap();
    run(&["env", "--shell", "bash"]);
    assert_eq!(std::fs::read(state.path().join("ca.pem")).unwrap(), ca);
    assert_eq!(run(&["ca", "path"]).trim(), state.path().join("ca.pem").to_str().unwrap());
    #[cfg(unix)]
    for entry in std::fs::read_dir(state.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = entry.unwrap().path();
        let private = std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(11).any(|window| window == b"PRIVATE KEY"));
        if private {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}

#[test]
fn the_registry_is_served_on_the_command_line() {
    let emulator = Emulator::start();
    let device = service_json(&emulator, &["device", "create", "d1"]);
    assert_eq!(device["deviceId"], "d1");
    let mut again = emulator.command(SERVICE_CLI);
    let exists =
        predicate::str::contains("DeviceAlreadyExists").or(predicate::str::contains("409"));
    again.timeout(LIMIT).args(["device", "create", "d1"]).assert().code(2).stderr(exists);
    assert_eq!(service_json(&emulator, &["device", "show", "d1"])["etag"], device["etag"]);
    assert!(service_cli(&emulator, &["device", "list"]).contains("d1"));
    let stats = service_cli(&emulator, &["stats"]);
    assert!(stats.contains('1'), "{stats}");
    let twin = service_json(&emulator, &["twin", "update", "d1", "--desired", r#"{"a":1}"#]);
    assert_eq!(twin["properties"]["desired"]["a"], 1);
    let query = "SELECT deviceId FROM devices WHERE properties.desired.a = 1";
    let found = service_json(&emulator, &["query", query]);
    assert_eq!(found, serde_json::json!([{ "deviceId": "d1" }]));
    service_cli(&emulator, &["device", "delete", "d1"]);
    let mut gone = emulator.command(SERVICE_CLI);
    gone.timeout(LIMIT).args(["device", "show", "d1"]).assert().code(1);
}

#[test]
fn the_tutorial_typed_in() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "my-device"]);
    let text = service_cli(&emulator, &["device", "connection-string", "my-device"]);
    let mut device = Device::start(&emulator, text.trim());
    device.until("connected");
    let outcome = service_json(&emulator, &["configure", "my-device", "5m", "--config-id", "3"]);
    assert!(outcome.is_object(), "{outcome}");
    let applied = device.until("applied");
    assert_eq!(applied["configId"], 3, "{applied}");
    assert_eq!(applied["sendFrequency"], "5m", "{applied}");
    let twin = service_json(&emulator, &["twin", "show", "my-device"]);
    let text = twin["properties"]["reported"].to_string();
    assert!(text.contains("\"5m\""), "{text}");
    assert_eq!(device.interrupt(), Some(0));
}

#[test]
fn a_method_typed_in_is_answered_by_the_device() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    let mut device = Device::start(&emulator, text.trim());
    let mut command = emulator.command(SERVICE_CLI);
    let call = ["method", "invoke", "d1", "reboot", "--payload", "{\"in\":5}"];
    let assert = command.timeout(LIMIT).args(call).args(["--connect-timeout", "100s"]).assert();
    // The device has no such method, which is a "no".
    assert.code(1).stdout("status   404\npayload  {\"details\":\"method name unknown\"}\n");
    let called = device.until("methodCalled");
    assert_eq!((&called["name"], &called["payload"]["in"]), (&"reboot".into(), &5.into()));
    assert_eq!(device.until("methodAnswered")["status"], 404);
    assert_eq!(device.interrupt(), Some(0));
}

#[test]
fn a_device_that_does_not_answer_is_told_apart() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "silent"]);
    let mut command = emulator.command(SERVICE_CLI);
    let arguments = ["configure", "silent", "5m", "--timeout", "1s"];
    command.timeout(LIMIT).args(arguments).assert().code(1);
}

#[test]
fn a_refused_device_says_so_and_fails() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    service_cli(&emulator, &["device", "delete", "d1"]);
    let ca = emulator.local.ca_file.to_str().unwrap();
    let mut command = emulator.command(DEVICE_SIM);
    let arguments = ["run", "--connection-string", text.trim(), "--ca", ca];
    command.timeout(LIMIT).args(arguments).assert().failure();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let emulator = Emulator::start();
    let port = emulator.local.mqtt_port.to_string();
    let (mut command, _state) = alone(EMULATOR);
    let arguments = ["run", "--mqtts-port", &port];
    let assert = command.envs(FREE_PORTS).args(arguments).assert().failure();
    assert.stdout("").stderr(predicate::str::contains(format!("127.0.0.1:{port}")));
}

#[test]
fn starts_at_once_in_one_new_state_directory_agree_on_the_authority() {
    let state = TempDir::new().unwrap();
    let start = || {
        let child = program::command(EMULATOR, state.path())
            .envs(FREE_PORTS)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Running(child.unwrap())
    };
    let mut running: Vec<Running> = (0..6).map(|_| start()).collect();
    for Running(child) in &mut running {
        // the first line comes when every port serves
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut why = String::new();
            std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut why).unwrap();
            panic!("an emulator did not start: {why}");
        }
    }
    let mut command = Command::from_std(program::command(SERVICE_CLI, state.path()));
    command.timeout(LIMIT).args(["device", "list"]).assert().success();
}

#[test]
fn a_stale_announcement_is_told_apart_from_an_emulator() {
    let emulator = Emulator::start();
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(emulator.state_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    drop(emulator);
    let mut command = Command::from_std(program::command(SERVICE_CLI, copy.path()));
    let assert = command.timeout(LIMIT).args(["device", "list"]).assert().code(2);
    let errors = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_second_interrupt_is_not_needed_with_devices_connected() {
    // Who did not leave by itself would hold the stop up for longer than this test waits.
    let emulator = Emulator::start_with_options("shutdown-grace = \"10m\"");
    service_cli(&emulator, &["device", "create", "d1"]);
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    let mut device = Device::start(&emulator, text.trim());
    device.until("connected");
    assert_eq!(emulator.interrupt(), Some(0));
    // the device tries again until it is stopped
    device.until("disconnected");
    assert_eq!(device.interrupt(), Some(0));
}

#[test]
fn modules_are_handled_on_the_command_line() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let made = service_json(&emulator, &["module", "create", "d1", "m1", "--managed-by", "me"]);
    assert_eq!(made["managedBy"], "me");
    let list = service_json(&emulator, &["module", "list", "d1"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    let changed = service_json(&emulator, &["module", "update", "d1", "m1", "--managed-by", ""]);
    assert_eq!(changed["managedBy"], Value::Null);
    let text = service_cli(&emulator, &["module", "connection-string", "d1", "m1"]);
    assert!(text.contains(";DeviceId=d1;ModuleId=m1;SharedAccessKey="), "{text}");
    let update = ["twin", "update", "d1", "--module", "m1", "--desired", r#"{"rate":5}"#];
    assert_eq!(service_json(&emulator, &update)["properties"]["desired"]["rate"], 5);
    let device = service_json(&emulator, &["twin", "show", "d1"]);
    assert_eq!(device["properties"]["desired"].get("rate"), None);
    service_cli(&emulator, &["module", "delete", "d1", "m1"]);
    let mut gone = emulator.command(SERVICE_CLI);
    gone.timeout(LIMIT).args(["module", "show", "d1", "m1"]).assert().code(1);
}

#[test]
fn a_registry_moves_from_hub_to_hub_in_a_file() {
    let (from, to) = (Emulator::start(), Emulator::start());
    for device in ["d1", "d2"] {
        service_cli(&from, &["device", "create", device]);
    }
    service_cli(&from, &["module", "create", "d1", "m1"]);
    service_cli(&from, &["twin", "update", "d1", "--module", "m1", "--desired", r#"{"rate":5}"#]);
    let file = from.state_dir().join("devices.txt");
    let file = file.to_str().unwrap();
    let exported = service_json(&from, &["device", "bulk", "export", file]);
    assert_eq!((&exported["devices"], &exported["lines"]), (&2.into(), &3.into()));
    let imported = service_cli(&to, &["device", "bulk", "import", file]);
    assert_eq!(imported, "3 done, 0 failed\n");
    let key = |hub: &Emulator| {
        let device = service_json(hub, &["device", "show", "d1"]);
        device["authentication"]["symmetricKey"]["primaryKey"].clone()
    };
    assert_eq!(key(&from), key(&to));
    let twin = service_json(&to, &["twin", "show", "d1", "--module", "m1"]);
    assert_eq!(twin["properties"]["desired"]["rate"], 5);
    // What is there already is not created again.
    let mut again = to.command(SERVICE_CLI);
    let again = again.timeout(LIMIT).args(["device", "bulk", "import", file]).assert().code(1);
    again.stdout(predicate::str::contains("0 done, 3 failed"));
    let delete = ["device", "bulk", "import", file, "--mode", "delete"];
    let mut deleted = to.command(SERVICE_CLI);
    // A device takes its modules along, so that there is nothing left of them to delete.
    deleted.timeout(LIMIT).args(delete).assert().code(1);
    let list = service_json(&to, &["device", "list"]);
    assert_eq!(list, Value::Array(Vec::new()));
}

#[test]
fn messages_reach_a_device_and_what_became_of_them_is_told() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    let mut device = Device::start(&emulator, text.trim());
    // What is sent before a device first subscribes is not for it.
    device.until("telemetrySent");
    let sent = ["c2d", "send", "d1", "{\"a\":1}", "-p", "x=y", "--message-id", "m1"];
    let answer = service_json(&emulator, &[&sent[..], &["--ack", "full"]].concat());
    assert_eq!(answer["messageId"], "m1");
    let message = device.until("messageReceived");
    assert_eq!((&message["body"], &message["properties"]["x"]), (&json!({"a": 1}), &json!("y")));

    let listen = ["c2d", "feedback", "--count", "1", "--timeout", "100s"];
    let record = service_json(&emulator, &listen);
    assert_eq!(record["originalMessageId"], "m1");
    assert_eq!(record["statusCode"], "Success");

    let mut nobody = emulator.command(SERVICE_CLI);
    let refusal = "error: DeviceNotFound: d2 (404001)\n";
    nobody.args(["c2d", "send", "d2", "text"]).assert().code(2).stderr(refusal);
}

#[test]
fn events_are_shown_as_they_come_and_from_the_start() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    let live = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let live = ["events", "monitor", "--device", "d1", "--count", "1", "--timeout", "100s"];
            service_json(&emulator, &live)
        });
        // Devices that come one after another, so that one certainly comes after the watcher.
        while !watch.is_finished() {
            Device::start(&emulator, text.trim()).until("telemetrySent");
        }
        watch.join().unwrap()
    });
    assert_eq!(live["deviceId"], "d1");
    assert_eq!(live["source"], "Telemetry");
    assert_eq!(live["body"]["temperature"], 21.0);

    let past = ["events", "monitor", "--since", "start", "--count", "1", "--timeout", "100s"];
    let first = service_json(&emulator, &past);
    assert_eq!(first["sequenceNumber"], 0);
    let other = ["events", "monitor", "--since", "start", "--device", "d2", "--timeout", "1s"];
    assert_eq!(service_cli(&emulator, &other), "");

    let mut wrong = emulator.command(SERVICE_CLI);
    let refusal = predicate::str::contains("has no consumer group \"g\"");
    wrong.args(["events", "monitor", "--consumer-group", "g"]).assert().code(2).stderr(refusal);
    let mut too_few = emulator.command(SERVICE_CLI);
    too_few.args([&other[..], &["--count", "1"]].concat()).assert().code(1);
}

/// What a device sends looks the same to a reader whichever way it came, and so do the messages,
/// the calls and the desired properties that a device gets.
#[test]
fn every_transport_carries_the_same() {
    const SCRIPT: &str = "[[telemetry]]\nproperties = { kind = \"room 1\" }\nbody = { t = 1 }\n";

    let emulator = Emulator::start();
    let script = emulator.state_dir().join("script.toml");
    std::fs::write(&script, SCRIPT).unwrap();
    let transports = ["mqtt", "mqtt-ws", "amqp", "amqp-ws", "http"];
    let events = transports.map(|transport| {
        let id = format!("over-{transport}");
        service_cli(&emulator, &["device", "create", &id]);
        let arguments = ["--device", &id, "--transport", transport];
        let script = ["--script", script.to_str().unwrap()];
        let mut device = Device::start_with(
            &emulator,
            &[arguments, [script[0], script[1], "--apply-delay", "0s"]].concat(),
        );
        device.until("telemetrySent");
        service_cli(&emulator, &["c2d", "send", &id, "hello", "-p", "x=y"]);
        let message = device.until("messageReceived");
        assert_eq!((&message["body"], &message["properties"]["x"]), (&json!("hello"), &json!("y")));
        if transport != "http" {
            let mut call = emulator.command(SERVICE_CLI);
            call.timeout(LIMIT).args(["method", "invoke", &id, "reboot"]).assert().code(1);
            assert_eq!(device.until("methodAnswered")["status"], 404);
            service_cli(&emulator, &["configure", &id, "5m", "--timeout", "100s"]);
        }
        let monitor = ["events", "monitor", "--since", "start", "--device", &id, "--count", "1"];
        let mut event = service_json(&emulator, &[&monitor[..], &["--timeout", "100s"]].concat());
        let all = event.as_object_mut().unwrap();
        for own in ["deviceId", "enqueuedTime", "offset", "partition", "sequenceNumber"] {
            assert!(all.remove(own).is_some(), "{transport}: {all:?}");
        }
        let generation = "iothub-connection-auth-generation-id";
        assert!(all["systemProperties"].as_object_mut().unwrap().remove(generation).is_some());
        event
    });
    assert_eq!(events[0]["properties"], json!({"kind": "room 1"}));
    assert_eq!(events[0]["body"], json!({"t": 1}));
    for (transport, event) in transports.iter().zip(&events) {
        assert_eq!(event, &events[0], "{transport}");
    }
}

#[test]
fn a_refused_device_says_so_over_every_transport() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let table = [
        ("mqtt", "CONNACK 5"),
        ("amqp", "status 404"),
        ("amqp-ws", "status 404"),
        ("http", "HTTP 404"),
    ];
    for (transport, answer) in table {
        let mut command = emulator.command(DEVICE_SIM);
        let arguments = ["run", "--device", "nobody", "--transport", transport];
        let refusal = predicate::str::contains(answer);
        command.timeout(LIMIT).args(arguments).assert().code(2).stderr(refusal);
    }
}
