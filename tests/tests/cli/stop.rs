//! What runs until it is stopped, and how it stops: by SIGINT and SIGTERM alike, as the first
//! process of a container, which hears only signals that it catches.

use super::watch::Told;
use super::*;

const SIGNALS: [&str; 2] = ["-INT", "-TERM"];

#[test]
fn what_service_cli_watches_ends_with_a_signal() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let table: [(&[&str], &str); 2] = [
        (&["twin", "watch", "d1", "--interval", "1h"], "twin of d1"),
        (&["configure", "d1", "5m", "--watch"], "asked for"),
    ];
    for (arguments, ready) in table {
        for signal in SIGNALS {
            let mut told = Told::start(&emulator, arguments);
            told.until(ready);
            stops(told.process, signal, arguments);
        }
    }
}

#[test]
fn what_service_cli_listens_to_ends_with_a_signal() {
    let emulator = Emulator::start();
    for arguments in [&["events", "monitor"], &["c2d", "feedback"]] {
        for signal in SIGNALS {
            let mut child = program::command(SERVICE_CLI, emulator.state_dir())
                .args(arguments)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut errors = BufReader::new(child.stderr.take().unwrap());
            errors.read_line(&mut line).unwrap();
            assert!(line.starts_with("listening for "), "{line}");
            stops(Running(child), signal, arguments);
        }
    }
}

#[test]
fn what_service_cli_waits_for_before_it_listens_ends_with_a_signal() {
    // Accepts, as every listener does, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = silent.local_addr().unwrap();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let string = format!("HostName={hub};SharedAccessKeyName=iothubowner;SharedAccessKey={key}");
    let state = TempDir::new().unwrap();
    let arguments = ["twin", "watch", "d1"];
    let child = program::command(SERVICE_CLI, state.path())
        .args(arguments)
        .args(["--plain-http", "--connection-string", &string])
        .spawn()
        .unwrap();
    let process = Running(child);
    let (sender, called) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(silent.accept()));
    let _call = called.recv_timeout(LIMIT).expect("the program calls its hub").unwrap();
    stops(process, "-TERM", &arguments);
}

#[test]
fn a_device_and_an_emulator_end_with_a_signal() {
    let emulator = Emulator::start();
    service_cli(&emulator, &["device", "create", "d1"]);
    let text = service_cli(&emulator, &["device", "connection-string", "d1"]);
    for signal in SIGNALS {
        let mut device = Device::start(&emulator, text.trim());
        device.until("connected");
        stops(device.process, signal, &[DEVICE_SIM]);
    }
    assert_eq!(emulator.stop("-TERM"), Some(0));
}

fn stops(process: Running, signal: &str, what: &[&str]) {
    let start = Instant::now();
    assert_eq!(process.stop(signal), Some(0), "{what:?} {signal}");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{what:?} took {took:?} to stop at {signal}");
}
