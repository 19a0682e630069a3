//! `configure --watch`: a back end that stays.

use super::*;

const ABSENT: &str = "  d1 is not connected; the desired properties wait for it";

/// service-cli, whose lines are read as they come.
pub(super) struct Told {
    pub(super) process: Running,
    lines: BufReader<ChildStdout>,
}

impl Told {
    pub(super) fn start(emulator: &Emulator, arguments: &[&str]) -> Self {
        let mut child = program::command(SERVICE_CLI, emulator.state_dir())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { process: Running(child), lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "ended before a line");
        line.trim_end().to_owned()
    }

    /// Reads until a line that begins so, and gives it.
    pub(super) fn until(&mut self, beginning: &str) -> String {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert!(self.lines.read_line(&mut seen).unwrap() > 0, "ended before it:\n{seen}");
            if seen[start..].starts_with(beginning) {
                return seen[start..].trim_end().to_owned();
            }
        }
    }
}

fn await_disconnected(emulator: &Emulator, device: &str) {
    let deadline = Instant::now() + LIMIT;
    let state = || service_json(emulator, &["twin", "show", device])["connectionState"].clone();
    while state() != "Disconnected" {
        assert!(Instant::now() < deadline, "{device} is still connected");
    }
}

#[test]
fn a_back_end_that_watches_sees_every_agreement() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let mut told = Told::start(&emulator, &["configure", "d1", "5m", "--watch"]);
    told.until("twin of d1 before");
    let asked = told.until("asked for");
    assert_eq!(asked, "asked for configId 1, sendFrequency \"5m\"; waiting until Ctrl-C");
    assert_eq!(told.line(), ABSENT);

    // The device comes later, and may be asked for something else by somebody else.
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    let device = Device::start(&emulator, text.trim());
    told.until("  device reports");
    told.until("agreed after");
    service_cli(&emulator, &["configure", "d1", "1m"]);
    let asked = told.until("somebody else");
    assert_eq!(asked, "somebody else asked for configId 2, sendFrequency \"1m\"");
    let agreed = told.until("agreed after");
    assert!(agreed.ends_with("s; twin of d1 after"), "{agreed}");

    // And may be away again when it is asked.
    assert_eq!(device.interrupt(), Some(0));
    await_disconnected(&emulator, "d1");
    let desired = r#"{"configId": 3, "sendFrequency": "2m"}"#;
    service_cli(&emulator, &["twin", "update", "d1", "--desired", desired]);
    told.until("somebody else");
    assert_eq!(told.line(), ABSENT);
}

#[test]
fn a_script_gets_a_twin_for_every_change() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let arguments = ["configure", "d1", "5m", "--watch", "--output", "json"];
    let mut told = Told::start(&emulator, &arguments);
    let mut next = || -> Value { serde_json::from_str(&told.until("{")).unwrap() };
    assert_eq!(next()["properties"]["desired"]["sendFrequency"], "5m");
    service_cli(&emulator, &["twin", "update", "d1", "--tags", r#"{"floor":3}"#]);
    assert_eq!(next()["tags"]["floor"], 3);
}
