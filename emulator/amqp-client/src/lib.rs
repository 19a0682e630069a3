//! A program's way to a hub over AMQP 1.0: what `device-sim` and `service-cli` have in common.
//!
//! ```text
//!   connection   the socket, TLS, WebSockets, SASL; one session
//!   claims       a token for an address: `$cbs`
//!   request      a question and its answer: `$cbs`, `$management`
//!   message      the bytes of a message
//!   error        why something did not work, with AMQP's condition
//! ```
//!
//! It stands on a library of others, so that the emulator's own reading of the protocol is checked
//! by a stranger's.

mod claims;
mod connection;
mod error;
mod message;
mod request;

pub use claims::{Claims, Token};
pub use connection::{Connection, Endpoint, Via};
pub use error::{Condition, Error};
pub use fe2o3_amqp as amqp;
pub use message::bytes;
pub use request::{Answer, Requester};
pub use serde_amqp::described::Described;
pub use serde_amqp::descriptor::Descriptor;
