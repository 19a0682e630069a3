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

/// What a device may have of what comes through a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Claim {
    /// What is sent from this time on, through all connections of a persistent session. What it has
    /// is its own for as long as it is connected, as over MQTT, where messages are acknowledged.
    Since(Timestamp),
    /// Whatever waits. What it has is its own while locked and comes again when the lock ends, as
    /// over AMQP, where locks are settled.
    Waiting,
}

/// How a device listens to a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// How surely it wants to get what comes.
    pub assurance: Assurance,
    /// What is for it.
    pub claim: Claim,
}

/// The channels that a device listens to. A persistent session keeps them while it is away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subscriptions(BTreeMap<Channel, Subscription>);

impl Subscriptions {
    /// Adds a channel, or changes its assurance: who subscribes again has listened all the time.
    pub fn insert(&mut self, channel: Channel, assurance: Assurance, now: Timestamp) {
        let claim = self.0.get(&channel).map_or(Claim::Since(now), |present| present.claim);
        self.0.insert(channel, Subscription { assurance, claim });
    }

    /// Adds a channel with a claim on whatever waits.
    pub fn insert_waiting(&mut self, channel: Channel) {
        let assurance = Assurance::AtLeastOnce;
        self.0.insert(channel, Subscription { assurance, claim: Claim::Waiting });
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
