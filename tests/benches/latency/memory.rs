//! Resident memory, idle and with many connected devices, and the size of the program.

use std::time::Duration;

use iothub_tests::mqtt::Connection;
use iothub_tests::program::{EMULATOR, path};

use crate::mosquitto::Mosquitto;
use crate::server::Server;
use crate::table::Table;

const DEVICES: usize = 1000;
/// After this a server has done whatever it does after a start or a connection.
const SETTLING: Duration = Duration::from_secs(2);

pub(crate) fn measure(table: &mut Table, mosquitto: Option<&Mosquitto>) {
    let bytes = std::fs::metadata(path(EMULATOR)).unwrap().len();
    table.row("size of the program", megabytes(bytes), "< 12 MB", "");
    let devices = DEVICES.min(affordable());
    let server = Server::start();
    let pid = server.emulator.local.pid;
    let Some(idle) = settled(pid) else {
        table.row("memory", "skipped: only Linux shows it in /proc", "", "");
        return;
    };
    let broker = mosquitto.map(|mosquitto| Growth::of_mosquitto(mosquitto, devices));
    let beside = |own: u64, other: Option<u64>| {
        other.map(|other| format!("{:.2} × mosquitto", own as f64 / other as f64))
    };
    let ratio = beside(idle, broker.as_ref().map(|broker| broker.idle)).unwrap_or_default();
    table.row("memory, idle", megabytes(idle), "< 15 MB", ratio);
    let all: Vec<_> = (0..devices).map(|number| server.device(&format!("d{number}"))).collect();
    let registered = settled(pid).unwrap_or_default();
    table.row(format!("memory, {devices} devices"), megabytes(registered), "", "");
    let connections: Vec<Connection> = all.iter().map(|device| server.connect(device)).collect();
    let connected = settled(pid).unwrap_or_default();
    drop(connections);
    let growth = Growth { idle: registered, connected, devices };
    let other = broker.as_ref().map(Growth::each);
    table.row(
        format!("memory, {devices} connected"),
        format!("{}, {} each", megabytes(connected), kilobytes(growth.each())),
        "",
        beside(growth.each(), other).unwrap_or_default(),
    );
    if let Some(broker) = broker {
        let each = kilobytes(broker.each());
        let figures = format!(
            "{} idle, {}, {each} each",
            megabytes(broker.idle),
            megabytes(broker.connected)
        );
        table.row("  mosquitto", figures, "", "");
    }
}

/// What connections cost, in bytes.
struct Growth {
    idle: u64,
    connected: u64,
    devices: usize,
}

impl Growth {
    fn of_mosquitto(mosquitto: &Mosquitto, devices: usize) -> Self {
        let broker = mosquitto.start();
        let idle = settled(broker.pid()).unwrap_or_default();
        let connections: Vec<Connection> =
            (0..devices).map(|number| broker.connect(&format!("d{number}"))).collect();
        let connected = settled(broker.pid()).unwrap_or_default();
        drop(connections);
        Self { idle, connected, devices }
    }

    fn each(&self) -> u64 {
        self.connected.saturating_sub(self.idle) / self.devices as u64
    }
}

/// The resident memory of a process that has come to rest, where the system shows it.
pub(crate) fn settled(pid: u32) -> Option<u64> {
    std::thread::sleep(SETTLING);
    let kilobytes = proc_line(&format!("/proc/{pid}/status"), "VmRSS:")?;
    Some(kilobytes * 1024)
}

/// How many connections this process and a server of the same limits can hold: each is two file
/// descriptors here.
fn affordable() -> usize {
    let files = proc_line("/proc/self/limits", "Max open files");
    files.map_or(DEVICES, |files| usize::try_from(files).unwrap_or(DEVICES).saturating_sub(50) / 2)
}

/// The first number in a line of a file.
fn proc_line(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().find_map(|word| word.parse().ok())
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1} kB", bytes as f64 / 1e3)
}
