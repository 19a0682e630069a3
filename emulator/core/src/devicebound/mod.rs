//! Cloud-to-device messages: what back ends send, until a device settles it.
//!
//! * `message.rs`: a message on its way in. `delivery.rs`, `lock_token.rs`: what a device gets of it,
//!   and by what it settles it.
//! * `queue.rs`: what waits, with the states of the service's documents: Enqueued, Invisible,
//!   Completed, Dead lettered. Pure.
//! * [`feedback`]: what became of the messages whose senders asked.
//! * `queues.rs`: one queue per device, beside the store: what waits is not part of a record.

mod delivery;
pub mod feedback;
mod lock_token;
mod message;
mod queue;
mod queues;

pub use delivery::Delivery;
pub use lock_token::LockToken;
pub use message::{ACK_PROPERTY, Ack, DeviceboundMessage, Outgoing};
pub(crate) use queues::{Queues, Taking};

/// What a device does with a message that it received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// It took the message.
    Complete,
    /// It does not want the message, ever.
    Reject,
    /// It wants the message again.
    Abandon,
}
