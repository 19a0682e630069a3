//! The AMQP 1.0 edge: devices, back ends, and readers of the Event Hubs-compatible endpoint.
//!
//! * [`serve`] runs one connection. `handshake.rs` reads protocol headers and SASL, `connection.rs`
//!   is the one task, `session.rs` and `attach.rs` decide on frames, `requests.rs` on messages that
//!   clients send, `deliver.rs` on when those go out that clients get,
//!   `outgoing.rs` makes those that they get.
//! * `value.rs`, `performative.rs` and `message.rs` are the three layers of the wire format. It is
//!   ours: docs/adr/0002 says why.
//! * `node.rs`: what addresses lead to. `grants.rs`: what a connection has proved. `link.rs`: state
//!   of sessions and links. `selector.rs`: where a reader begins. `error.rs`: conditions.

mod attach;
mod connection;
mod deliver;
mod devices;
mod error;
mod grants;
mod handshake;
mod kill;
mod link;
mod message;
mod node;
mod outgoing;
mod performative;
mod requests;
mod selector;
mod session;
mod socket;
mod value;

pub use connection::{End, Farewell, serve};
