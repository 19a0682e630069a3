//! How a simulated device behaves, as a value: documents and the time go in, [`Action`]s come out.
//!
//! No socket and no clock is in here. [`Behavior`] keeps what the device has seen of its desired
//! properties and what it means its reported ones to say. Two parts decide what follows from a
//! change: `agreement` is the tutorial's configuration, step by step, and `response` holds the
//! properties that a script names.
//!
//! What is lost on the way is made good by comparing: after each connect the hub's document is set
//! against what the device means it to say, and only the difference is reported.

mod agreement;
mod response;
mod shadow;

use std::time::Duration;

use iothub_core::time::Timestamp;

use crate::document::{Properties, Section, Twin, difference, merge};
use crate::event::Event;
use crate::script::Script;
use crate::span::Span;

use agreement::Agreement;
pub use response::Response;
use response::Responses;
use shadow::Shadow;

/// What a device wants done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Report these properties.
    Report(Properties),
    /// Ask the hub for the whole twin.
    GetTwin,
    /// Tell whoever runs the device.
    Tell(Event),
}

/// The mind of a simulated device.
#[derive(Debug)]
pub struct Behavior {
    /// What a device reports that the hub knows nothing of.
    initial: Properties,
    agreement: Agreement,
    responses: Responses,
    shadow: Shadow,
    desired: Properties,
    sync: Sync,
    /// Whether any twin has come since the program started.
    acquainted: bool,
}

/// How far the device knows its desired properties.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sync {
    /// Not since the last connect. `missed` is the newest version of a notification that came
    /// meanwhile; the twin that is on its way should hold it.
    Unknown { missed: u64 },
    /// Up to this version.
    Known { version: u64 },
}

impl Behavior {
    /// A device that has not seen its twin yet and needs `apply_delay` to apply a configuration.
    pub fn new(script: &Script, apply_delay: Duration) -> Self {
        Self {
            initial: script.reported.clone(),
            agreement: Agreement::new(script.configuration.clone(), apply_delay),
            responses: Responses::new(script.responses.clone()),
            shadow: Shadow::default(),
            desired: Properties::new(),
            sync: Sync::Unknown { missed: 0 },
            acquainted: false,
        }
    }

    /// The connection is new: what the hub holds may have changed unseen.
    pub fn connected(&mut self) -> Vec<Action> {
        self.sync = Sync::Unknown { missed: 0 };
        vec![Action::GetTwin]
    }

    /// The connection is one over which there is no twin: the device goes by what it began with.
    pub fn connected_without_twin(&mut self) {
        self.acquainted = true;
    }

    /// The hub answered with the whole twin.
    pub fn twin_received(&mut self, twin: &Twin, now: Timestamp) -> Vec<Action> {
        let missed = match self.sync {
            Sync::Known { version } if twin.desired.version < version => return Vec::new(),
            Sync::Known { .. } => 0,
            Sync::Unknown { missed } => missed,
        };
        let mut actions = if matches!(self.sync, Sync::Unknown { .. }) {
            self.reconcile(&twin.reported.properties)
        } else {
            // Reports may be on their way; the next connect compares again.
            Vec::new()
        };
        self.sync = Sync::Known { version: twin.desired.version };
        self.desired = twin.desired.properties.clone();
        actions.extend(self.react(None, now));
        if missed > twin.desired.version {
            actions.push(Action::GetTwin);
        }
        actions
    }

    /// The hub said that desired properties changed.
    pub fn desired_changed(&mut self, change: &Section, now: Timestamp) -> Vec<Action> {
        let seen = match &mut self.sync {
            Sync::Unknown { missed } => {
                *missed = change.version.max(*missed);
                return Vec::new();
            }
            Sync::Known { version } => std::mem::replace(version, change.version.max(*version)),
        };
        if change.version <= seen {
            let ignored = Event::DesiredIgnored { version: change.version, seen };
            return vec![Action::Tell(ignored)];
        }
        merge(&mut self.desired, &change.properties);
        let mut actions = vec![Action::Tell(Event::DesiredChanged {
            patch: change.properties.clone(),
            version: change.version,
        })];
        actions.extend(self.react(Some(&change.properties), now));
        if change.version > seen.saturating_add(1) {
            // Notifications are sent once at most, and one did not arrive.
            actions.push(Action::GetTwin);
        }
        actions
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = self.agreement.tick(&mut self.shadow, now);
        actions.extend(self.responses.tick(&mut self.shadow, now));
        actions
    }

    /// When [`Behavior::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.agreement.next_deadline().into_iter().chain(self.responses.next_deadline()).min()
    }

    /// How often to send telemetry; none before the device knows its configuration.
    pub fn send_frequency(&self) -> Option<&Span> {
        self.acquainted.then_some(&self.agreement.applied().send_frequency)
    }

    fn react(&mut self, patch: Option<&Properties>, now: Timestamp) -> Vec<Action> {
        let mut actions = self.agreement.desired(&self.desired, &mut self.shadow, now);
        let version = match self.sync {
            Sync::Known { version } => version,
            Sync::Unknown { .. } => 0,
        };
        let desired = response::Desired { properties: &self.desired, patch, version };
        actions.extend(self.responses.desired(&desired, &mut self.shadow, now));
        actions
    }

    /// Makes the hub say what the device means, and at first sight the other way round.
    fn reconcile(&mut self, reported: &Properties) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.acquainted {
            self.acquainted = true;
            actions.extend(self.adopt(reported));
        }
        let patch = difference(self.shadow.properties(), reported);
        if !patch.is_empty() {
            actions.push(Action::Report(patch));
        }
        actions
    }

    /// A restarted device finds what it reported before and goes on with it: a configuration that
    /// the back end has brought about would otherwise fall back to the initial one and be applied
    /// once more. So do properties that answer desired ones. What the script states besides, a
    /// firmware version say, is stated anew.
    fn adopt(&mut self, reported: &Properties) -> Option<Action> {
        self.shadow.merge(&self.initial);
        for name in self.responses.names() {
            if let Some(value) = reported.get(name) {
                self.shadow.set(name, value.clone());
            }
        }
        let kept = self.agreement.adopt(reported, &mut self.shadow);
        self.shadow.merge(&self.agreement.applied().properties());
        kept.map(|configuration| Action::Tell(Event::Kept { configuration }))
    }
}

#[cfg(test)]
mod convergence;
#[cfg(test)]
mod tests;
