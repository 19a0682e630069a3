//! A message in the hands of a device.

use std::sync::Arc;

use super::{DeviceboundMessage, LockToken};
use crate::fault;
use crate::session::Assurance;

/// A message that a device received and has to settle.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The message.
    pub message: Arc<DeviceboundMessage>,
    /// Counts the messages of a device from one.
    pub sequence_number: u64,
    /// What settles it; it is good for the time of the lock.
    pub lock_token: LockToken,
    /// How often it was abandoned before.
    pub delivery_count: u32,
    /// Whether it may have been received before.
    pub redelivered: bool,
    /// Whether it must be acknowledged, or is settled already.
    pub assurance: Assurance,
}

impl Delivery {
    /// The same with a body that cannot be read.
    #[must_use]
    pub(crate) fn corrupted(mut self) -> Self {
        let message = &mut Arc::make_mut(&mut self.message).message;
        message.body = fault::corrupted(&message.body).into();
        self
    }
}
