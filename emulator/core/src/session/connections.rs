//! Who is connected, for whoever looks after the hub: neither a device nor a back end can ask.

use super::downlink::CloseReason;
use super::presence::Protocol;
use super::subscriptions::Channel;
use crate::hub::Hub;
use crate::ids::IdentityId;
use crate::time::Timestamp;

/// A device or module that is connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Who it is.
    pub id: IdentityId,
    /// What it speaks.
    pub protocol: Protocol,
    /// Since when.
    pub since: Timestamp,
    /// When it was last heard of.
    pub last_activity: Timestamp,
    /// What it listens to.
    pub subscriptions: Vec<Channel>,
    /// How many cloud-to-device messages wait for it, those included that it has not settled.
    pub waiting: usize,
}

impl Hub {
    /// Everybody who is connected, in the order of their ids.
    pub fn connections(&self) -> Vec<Connection> {
        let now = self.now();
        let mut all = self.presences().live();
        for (connection, generation) in &mut all {
            let device = &connection.id.device;
            // Modules get no such messages.
            if connection.id.module.is_none() {
                connection.waiting = self.devicebound().count(device, *generation, now);
            }
        }
        let mut all: Vec<_> = all.into_iter().map(|(connection, _)| connection).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    /// Ends the connection of a device or module; false if it had none.
    pub fn disconnect(&self, id: &IdentityId) -> bool {
        self.presences().cut(id, CloseReason::Asked)
    }
}
