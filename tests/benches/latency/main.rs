//! How long the emulator takes and how much memory it needs, beside mosquitto where that is
//! installed: `cargo bench -p iothub-tests --bench latency`.
//!
//! It measures the program of the release profile as a child process, from outside, over TLS.
//! Nothing is asserted: a shared machine is slow at times, so read the ratios, which were taken
//! in turn on the same machine, before the times.
//!
//! - [`start`]: from the start of the process to its first answer.
//! - [`memory`]: resident memory, idle and with many connected devices; the size of the program.
//! - [`events`]: telemetry through the hub to an AMQP reader, and what a million of them leave.
//! - [`round_trip`]: twin and PINGREQ on one connection, and a back end's change to the device.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what cannot be measured must say so, at once and with its values"
)]

mod events;
mod memory;
mod mosquitto;
mod round_trip;
mod samples;
mod server;
mod start;
mod table;

use std::process::Command;

use crate::mosquitto::Mosquitto;
use crate::server::Server;
use crate::table::Table;

fn main() {
    // `cargo test --all-targets` runs the benches too, but without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("skipped: `cargo bench -p iothub-tests --bench latency` measures");
        return;
    }
    build();
    let server = Server::start();
    let mosquitto = Mosquitto::find();
    let mut table = Table::default();
    start::measure(&mut table, mosquitto.as_ref());
    round_trip::measure(&mut table, &server, mosquitto.as_ref());
    drop(server);
    memory::measure(&mut table, mosquitto.as_ref());
    events::measure(&mut table);
    println!("{table}");
    if mosquitto.is_none() {
        println!("skipped: mosquitto is not installed, so nothing was measured beside it");
    }
}

/// Cargo builds a bench without the programs of other packages.
fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--package", "iothub-emulator"];
    let mut command = Command::new(cargo);
    for (variable, _) in std::env::vars_os() {
        // Some build scripts look at what Cargo says of the bench here, and would run again.
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&variable);
        }
    }
    let status = command.args(arguments).status().expect("cargo runs");
    assert!(status.success(), "cargo {}: {status}", arguments.join(" "));
}
