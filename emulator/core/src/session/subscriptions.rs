//! What a device listens to.

use std::collections::BTreeMap;

/// Something that the hub sends to a device that asked for it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Channel {
    /// Changes of its desired properties.
    DesiredProperties,
    /// The answers to its own twin requests.
    TwinResponses,
    /// Direct methods.
    Methods,
    /// Cloud-to-device messages.
    Devicebound,
    /// Messages to a module's inputs; the cloud never sends any.
    Inputs,
}

/// How surely a message must arrive.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Assurance {
    /// Sent once.
    AtMostOnce,
    /// Sent until acknowledged.
    AtLeastOnce,
}

/// The channels that a device listens to. A persistent session keeps them while it is away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subscriptions(BTreeMap<Channel, Assurance>);

impl Subscriptions {
    /// Adds a channel, or changes its assurance.
    pub fn insert(&mut self, channel: Channel, assurance: Assurance) {
        self.0.insert(channel, assurance);
    }

    /// Removes a channel.
    pub fn remove(&mut self, channel: Channel) {
        self.0.remove(&channel);
    }

    /// Whether the device listens to `channel`, and how surely it wants to.
    pub fn get(&self, channel: Channel) -> Option<Assurance> {
        self.0.get(&channel).copied()
    }

    /// Whether it listens to nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
