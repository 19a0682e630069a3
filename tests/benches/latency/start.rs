//! From the start of the process to its first answer.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use iothub_tests::program::{EMULATOR, FREE_PORTS, command};
use tempfile::TempDir;

use crate::mosquitto::Mosquitto;
use crate::samples::Samples;
use crate::table::Table;

/// How often each is started.
const RUNS: usize = 25;
/// How long to wait between two looks: short beside what is measured, and not busy.
pub(crate) const POLL: Duration = Duration::from_micros(200);
/// How often to try when a port is taken.
pub(crate) const TRIES: usize = 10;
/// When to give up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An address of which the port was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn measure(table: &mut Table, mosquitto: Option<&Mosquitto>) {
    let kept = TempDir::new().unwrap();
    // Makes the authority, and brings the program into the page cache.
    time_to_ready(kept.path());
    let (mut with, mut without, mut brokers) = (Vec::new(), Vec::new(), Vec::new());
    // In turn, so that a busy moment of the machine meets all of them.
    for _ in 0..RUNS {
        with.push(time_to_ready(kept.path()));
        without.push(time_to_ready(TempDir::new().unwrap().path()));
        brokers.extend(mosquitto.map(|mosquitto| mosquitto.start().started_in));
    }
    let (with, without) = (Samples::from(with), Samples::from(without));
    let ratio = without.ratio(&with, "the start with a CA");
    if brokers.is_empty() {
        table.row("start to /ready, with a CA", with.spread(), "< 50 ms", "");
    } else {
        let brokers = Samples::from(brokers);
        let beside = with.ratio(&brokers, "mosquitto");
        table.row("start to /ready, with a CA", with.spread(), "< 50 ms", beside);
        table.row("  mosquitto, to its CONNACK", brokers.spread(), "", "");
    }
    table.row("start to /ready, without", without.spread(), "< 150 ms", ratio);
}

/// Starts the emulator and gives the time until `/ready` says so.
fn time_to_ready(state_dir: &Path) -> Duration {
    // Somebody else may take the free port first; then the program says so and ends.
    let mut tries = std::iter::repeat_with(|| try_time_to_ready(state_dir)).take(TRIES);
    tries.find_map(|time| time).expect("the emulator starts")
}

fn try_time_to_ready(state_dir: &Path) -> Option<Duration> {
    let admin = free_address();
    let mut command = command(EMULATOR, state_dir);
    command.envs(FREE_PORTS).args(["run", "--admin-port"]);
    command.arg(admin.port().to_string()).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    while !is_ready(admin) {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(start.elapsed() < PATIENCE, "{EMULATOR} is not ready at {admin}");
        std::thread::sleep(POLL);
    }
    let time = start.elapsed();
    // The next start should not meet what this one still has to do after its start.
    std::thread::sleep(Duration::from_millis(50));
    let _ = child.kill();
    let _ = child.wait();
    Some(time)
}

fn is_ready(admin: SocketAddr) -> bool {
    let exchange = || {
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    exchange().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}
