//! Measures what a user feels, and prints it; nothing is asserted.
//!
//! `cargo build --release --workspace && cargo run --release -p iothub-tests --example figures`
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot be taken ends the program, and its result is printed"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use iothub_tests::mqtt::{PINGREQ, PINGRESP, publish};
use iothub_tests::program::{self, EMULATOR};
use iothub_tests::{Hub, subscribe_twin};
use tempfile::TempDir;

const ROUNDS: usize = 2_000;
const STARTS: usize = 20;

fn main() {
    let size = program::path(EMULATOR).metadata().unwrap().len();
    println!("binary                          {:>10.1} MB", size as f64 / 1e6);
    starts();
    round_trips();
}

/// From exec to `/ready`, with a new certificate authority and with the one of before.
fn starts() {
    let (mut new, mut kept) = (Vec::new(), Vec::new());
    let mut memory = 0;
    for _ in 0..STARTS {
        let state = TempDir::new().unwrap();
        let (took, child) = start(state.path());
        new.push(took);
        end(child);
        let (took, child) = start(state.path());
        kept.push(took);
        memory = resident_kilobytes(&child);
        end(child);
    }
    show("exec to /ready, new authority", &mut new);
    show("exec to /ready, kept authority", &mut kept);
    println!("resident memory when idle       {:>10.1} MB", memory as f64 / 1024.0);
}

fn start(state_dir: &Path) -> (Duration, Child) {
    // a free port, which somebody else may take before the emulator does; then this ends
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begin = Instant::now();
    let child = program::command(EMULATOR, state_dir)
        .args(["run", "--mqtts-port", "0", "--https-port", "0", "--quiet"])
        .args(["--admin-port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !is_ready(port) {
        assert!(begin.elapsed() < Duration::from_secs(20), "the emulator is not ready");
        std::thread::sleep(Duration::from_micros(200));
    }
    (begin.elapsed(), child)
}

fn is_ready(port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    socket.write_all(request.as_bytes()).is_ok()
        && socket.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn resident_kilobytes(child: &Child) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// One device over TLS, on this machine: what the hub adds to a bare round trip.
fn round_trips() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.open_tls();
    connection.send(&device.connect().bytes());
    connection.read();
    subscribe_twin(&mut connection);
    let (mut ping, mut get, mut patch) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        connection.send(PINGREQ);
        connection.expect(PINGRESP);
        ping.push(begin.elapsed());
        let begin = Instant::now();
        connection.send(&publish("$iothub/twin/GET/?$rid=1", b""));
        connection.read();
        get.push(begin.elapsed());
    }
    for number in 0..ROUNDS / 4 {
        let begin = Instant::now();
        hub.desire(&device, &format!(r#"{{"n":{number}}}"#));
        connection.read();
        patch.push(begin.elapsed());
    }
    show("PINGREQ over TLS", &mut ping);
    show("twin GET over TLS", &mut get);
    show("REST PATCH to notification", &mut patch);
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort();
    let at =
        |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{what:<31} {:>10.3} ms p50 {:>9.3} ms p99", at(50), at(99));
}
