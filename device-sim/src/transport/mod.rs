//! The wire: a [`mqtt::Link`] to a hub, the topics that go over it, and TLS below it.

pub(crate) mod mqtt;
pub(crate) mod tls;
mod topic;
