//! The MQTT 3.1.1 edge: what devices speak.
//!
//! IoT Hub is no publish/subscribe broker: a device only ever talks to the hub. So each connection
//! is a session of its own over the MQTT wire format, and nothing is routed between connections.
//!
//! * [`serve`] is the one task of a connection (`connection.rs`): it moves bytes and carries out
//!   what the session decides.
//! * `frame.rs` turns bytes into packets and back; the only file that names rumqttd.
//! * `connect.rs` turns a CONNECT into an admitted device, or a refusal.
//! * `session.rs` turns a packet into an action, or a violation; pure.
//! * `uplink.rs` carries an action out; `downlink.rs` writes what the hub has for the device;
//!   `inflight.rs` knows what of it is not acknowledged.

mod connect;
mod connection;
mod downlink;
mod frame;
mod inflight;
mod session;
mod uplink;
mod violation;

pub use connection::{End, serve};
pub use violation::Violation;
