//! What a device listens to.

use std::collections::BTreeMap;

use crate::time::Timestamp;

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

/// How a device listens to a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// How surely it wants to get what comes.
    pub assurance: Assurance,
    /// Since when it listens, through all connections of a persistent session.
    pub since: Timestamp,
}

/// The channels that a device listens to. A persistent session keeps them while it is away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subscriptions(BTreeMap<Channel, Subscription>);

impl Subscriptions {
    /// Adds a channel, or changes its assurance: who subscribes again has listened all the time.
    pub fn insert(&mut self, channel: Channel, assurance: Assurance, now: Timestamp) {
        let since = self.0.get(&channel).map_or(now, |subscription| subscription.since);
        self.0.insert(channel, Subscription { assurance, since });
    }

    /// Removes a channel.
    pub fn remove(&mut self, channel: Channel) {
        self.0.remove(&channel);
    }

    /// Whether and how the device listens to `channel`.
    pub fn get(&self, channel: Channel) -> Option<Subscription> {
        self.0.get(&channel).copied()
    }

    /// What it listens to.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        self.0.keys().copied()
    }

    /// Whether it listens to nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
