//! Tests of the whole program from outside, over real sockets.
//!
//! - [`mqtt`]: MQTT 3.1.1 by hand, byte for byte.
//! - [`websocket`]: the same through WebSockets. [`certificate`]: X.509 for devices.
//! - [`rest`]: the service API, as text.
//! - [`program`]: the three programs, found and run as a user would.
//! - [`sdk`]: the official SDKs, set up once below `target/` and run as child processes.
//! - [`Hub`] and [`Device`]: a hub inside the test, and a device of it.
//!
//! The tests themselves are in `tests/`: `it/` speaks to a hub inside the test process, `cli.rs`
//! and `sdk.rs` to the programs. They need the programs built beside them, which `cargo test
//! --workspace` does.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

pub mod certificate;
mod hub;
pub mod mqtt;
pub mod program;
pub mod rest;
pub mod sdk;
pub mod websocket;

pub use hub::{Device, Hub, subscribe_twin, trusting};

/// When the tokens of the tests end: 2100-01-01.
pub const FAR_FUTURE: u64 = 4_102_444_800;

/// A key of 32 equal bytes, so that a failure shows which one it was.
pub fn key(fill: u8) -> iothub_core::auth::sas::SymmetricKey {
    iothub_core::auth::sas::SymmetricKey::from_bytes([fill; 32])
}

/// Seconds since 1970, for the tokens that must end soon.
pub fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "tests of the wall clock read the wall clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
