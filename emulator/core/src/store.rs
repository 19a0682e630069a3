//! The ports behind which records and events live.
//!
//! The rules are the hub's: it reads a record, decides, and commits against the revision that it
//! read. A backend has nothing to get right but get, commit, append and watch.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use crate::event::Event;
use crate::ids::{DeviceId, GenerationId, IdentityId, ModuleId};
use crate::readers::Readers;
use crate::registry::identity::{DeviceIdentity, ModuleIdentity};
use crate::time::Timestamp;
use crate::twin::{DesiredPatch, Twin};

/// What the hub keeps of a device: one record with its modules, so that a device comes and goes
/// with them, and their number is bounded, in one commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its entry in the identity registry.
    pub identity: DeviceIdentity,
    /// Its twin.
    pub twin: Twin,
    /// Its modules.
    pub modules: BTreeMap<ModuleId, Arc<ModuleRecord>>,
}

/// What the hub keeps of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleRecord {
    /// Its entry in the identity registry.
    pub identity: ModuleIdentity,
    /// Its twin.
    pub twin: Twin,
}

impl Record {
    /// The twin of the device, or of the module that `id` names.
    pub fn twin_of(&self, id: &IdentityId) -> Option<&Twin> {
        match &id.module {
            None => Some(&self.twin),
            Some(module) => self.modules.get(module).map(|module| &module.twin),
        }
    }

    /// The same record with another twin for the device, or for the module that `id` names.
    #[must_use]
    pub fn with_twin(&self, id: &IdentityId, twin: Twin) -> Self {
        let mut record = self.clone();
        match &id.module {
            None => record.twin = twin,
            Some(name) => {
                if let Some(module) = record.modules.get_mut(name) {
                    Arc::make_mut(module).twin = twin;
                }
            }
        }
        record
    }
}

/// Counts the commits of one record; the backend's own, never shown to clients.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

/// A record and the revision that it had when it was read.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// The record.
    pub record: Arc<Record>,
    /// Its revision.
    pub revision: Revision,
}

/// A change to commit.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose record.
    pub id: DeviceId,
    /// The revision that the change was decided on; none if there was no record.
    pub expected: Option<Revision>,
    /// The new record; none removes it.
    pub record: Option<Arc<Record>>,
    /// What follows from the change once it is committed, and for whom.
    pub effects: Vec<(IdentityId, Effect)>,
}

/// What a committed change means for whoever is connected.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The desired properties changed.
    DesiredChanged(Arc<DesiredPatch>),
    /// The device may no longer connect.
    Disabled,
    /// The identity is gone.
    Deleted,
    /// The twin got a new content, rather than a patch.
    TwinReplaced,
}

/// Why a commit or a read failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The record changed since it was read: decide again.
    #[error("record has changed since it was read")]
    Conflict,
    /// There are as many documents as there may be.
    #[error("there are as many documents as there may be")]
    Full,
    /// The backend cannot be reached, or failed.
    #[error("store is not available: {0}")]
    Unavailable(String),
}

/// What a port answers, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where records live.
pub trait Records: Send + Sync + 'static {
    /// The record of `id`, if there is one.
    fn get<'a>(&'a self, id: &'a DeviceId) -> Answer<'a, Option<Versioned>>;

    /// Makes `change` if its record still has the expected revision.
    fn commit(&self, change: Change) -> Answer<'_, Revision>;

    /// All records as they are, in no order, without holding up anybody who commits.
    fn all(&self) -> Answer<'_, Vec<Arc<Record>>>;

    /// Tells `watcher` of every commit from now on; those of one record in their order.
    fn watch(&self, watcher: Arc<dyn Watcher>);
}

/// Somebody who is told what was committed.
pub trait Watcher: Send + Sync + 'static {
    /// A record was committed. Must not wait, nor call the store.
    fn committed(&self, committed: &Committed<'_>);
}

/// What was committed.
#[derive(Clone, Copy, Debug)]
pub struct Committed<'c> {
    /// The record before; none if there was none.
    pub before: Option<&'c Record>,
    /// The record after; none if it is gone.
    pub after: Option<&'c Record>,
    /// What follows, and for whom.
    pub effects: &'c [(IdentityId, Effect)],
}

/// One identity of a record, at one side of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'c> {
    pub(crate) generation: GenerationId,
    pub(crate) twin: &'c Twin,
}

impl<'c> Committed<'c> {
    /// The device and its modules before the commit.
    pub(crate) fn before_sides(&self) -> Vec<(IdentityId, Side<'c>)> {
        self.before.map(sides).unwrap_or_default()
    }

    /// The device and its modules after it.
    pub(crate) fn after_sides(&self) -> Vec<(IdentityId, Side<'c>)> {
        self.after.map(sides).unwrap_or_default()
    }

    /// The identities that there were not before.
    pub(crate) fn created(&self) -> Vec<IdentityId> {
        let Some(after) = self.after else { return Vec::new() };
        let device = &after.identity.id;
        let known = |module: &&ModuleId| {
            self.before.is_some_and(|before| before.modules.contains_key(*module))
        };
        let modules = after
            .modules
            .keys()
            .filter(|module| !known(module))
            .map(|module| IdentityId { device: device.clone(), module: Some(module.clone()) });
        let new = self.before.is_none().then(|| device.clone().into());
        new.into_iter().chain(modules).collect()
    }

    /// The identities whose twin has another version than before.
    pub(crate) fn changed_twins(&self) -> Vec<(IdentityId, Side<'c>, Side<'c>)> {
        let before = self.before_sides();
        let changed = |(id, after): (IdentityId, Side<'c>)| {
            let (_, before) = before.iter().find(|(other, _)| *other == id)?;
            let same = before.generation == after.generation;
            let written = before.twin.version != after.twin.version;
            (same && written).then_some((id, *before, after))
        };
        self.after_sides().into_iter().filter_map(changed).collect()
    }
}

/// The device first.
fn sides(record: &Record) -> Vec<(IdentityId, Side<'_>)> {
    let device = &record.identity;
    let of_device = Side { generation: device.generation, twin: &record.twin };
    let of_module = |module: &'_ Arc<ModuleRecord>| IdentityId {
        device: device.id.clone(),
        module: Some(module.identity.id.clone()),
    };
    let modules = record.modules.values().map(|module| {
        let side = Side { generation: module.identity.generation, twin: &module.twin };
        (of_module(module), side)
    });
    std::iter::once((device.id.clone().into(), of_device)).chain(modules).collect()
}

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    /// Counts the events of a partition from zero.
    pub sequence_number: u64,
    /// Counts what the events of a partition cost, so that it grows in leaps as the service's does.
    pub offset: u64,
    /// The event.
    pub event: Arc<Event>,
}

/// Where in a partition somebody begins to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Position {
    /// At the oldest event kept.
    Beginning,
    /// Behind the newest one.
    End,
    /// Behind the event with this offset, or at it.
    Offset {
        /// The offset.
        offset: u64,
        /// Whether the event itself belongs to it.
        inclusive: bool,
    },
    /// Behind the event with this number, or at it.
    SequenceNumber {
        /// The number.
        number: u64,
        /// Whether the event itself belongs to it.
        inclusive: bool,
    },
    /// At the first event of this moment or of a later one.
    Enqueued(Timestamp),
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionState {
    /// The sequence number of the oldest event kept, or of the next one if none is.
    pub first: u64,
    /// The sequence number of the next event.
    pub next: u64,
    /// The offset of the newest event, also if it is no longer kept.
    pub last_offset: Option<u64>,
    /// When the newest event was taken.
    pub last_enqueued: Timestamp,
}

/// Why nobody may begin to read at a position: the events up to there are yet to come, and would
/// pass the reader by without a word. In the service's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("The supplied {what} '{supplied}' is invalid. The last {what} in the system is '{last}'")]
pub struct Beyond {
    what: &'static str,
    supplied: u64,
    /// Before the first event it is -1.
    last: i128,
}

impl PartitionState {
    /// Fails if a reader who begins at `position` would miss events that are yet to come.
    ///
    /// # Errors
    ///
    /// Says what the reader supplied and what the last is.
    pub fn check(&self, position: Position) -> Result<(), Beyond> {
        let last_offset = self.last_offset.map_or(-1, i128::from);
        let last_number = i128::from(self.next) - 1;
        let (what, supplied, last, farthest) = match position {
            Position::Offset { offset, inclusive } => {
                // "From 0 on" is from the very first event, also if that is yet to come.
                let farthest = if inclusive { last_offset.max(0) } else { last_offset };
                ("offset", offset, last_offset, farthest)
            }
            Position::SequenceNumber { number, inclusive } => {
                ("sequence number", number, last_number, last_number + i128::from(inclusive))
            }
            Position::Beginning | Position::End | Position::Enqueued(_) => return Ok(()),
        };
        if i128::from(supplied) > farthest { Err(Beyond { what, supplied, last }) } else { Ok(()) }
    }
}

/// Where events live: an append-only log per partition, which forgets its oldest.
pub trait EventLog: Send + Sync + 'static {
    /// How many partitions there are.
    fn partitions(&self) -> usize;

    /// Appends to a partition.
    fn append(&self, partition: usize, event: Arc<Event>) -> Answer<'_, u64>;

    /// Up to `max` events of a partition, from the sequence number `from` or the oldest kept.
    fn read(&self, partition: usize, from: u64, max: usize) -> Answer<'_, Vec<LoggedEvent>>;

    /// What a partition holds.
    fn state(&self, partition: usize) -> Answer<'_, PartitionState>;

    /// The sequence number at which somebody who begins at `position` begins.
    fn seek(&self, partition: usize, position: Position) -> Answer<'_, u64>;

    /// The sequence number of the next event of a partition, told again whenever it grows; none if
    /// there is no such partition.
    fn watch(&self, partition: usize) -> Option<watch::Receiver<u64>>;
}

/// An event hub: a log and who reads it. A hub has one built in, and those that its routes name.
#[derive(Clone)]
pub struct EventHub {
    /// Its name, which compares without case.
    pub name: String,
    /// Its events.
    pub log: Arc<dyn EventLog>,
    /// The consumer groups that it has, which compare without case.
    pub consumer_groups: Vec<String>,
    /// When it came to be.
    pub created: Timestamp,
    /// Who reads it.
    pub readers: Readers,
}

/// The consumer group that every event hub has.
const DEFAULT_CONSUMER_GROUP: &str = "$Default";

impl EventHub {
    /// An event hub over this log, with these consumer groups and the one that all have.
    pub fn new(
        name: &str,
        log: Arc<dyn EventLog>,
        consumer_groups: &[String],
        created: Timestamp,
    ) -> Self {
        let default = std::iter::once(DEFAULT_CONSUMER_GROUP.to_owned());
        Self {
            name: name.to_owned(),
            log,
            consumer_groups: default.chain(consumer_groups.iter().cloned()).collect(),
            created,
            readers: Readers::default(),
        }
    }

    /// Whether it has this consumer group.
    pub fn has_group(&self, name: &str) -> bool {
        self.consumer_groups.iter().any(|group| group.eq_ignore_ascii_case(name))
    }
}

impl fmt::Debug for EventHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHub").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_begins_behind_what_is_yet_to_come() {
        let partition = |next, last_offset| PartitionState {
            first: 0,
            next,
            last_offset,
            last_enqueued: Timestamp::NEVER,
        };
        let (empty, used) = (partition(0, None), partition(3, Some(500)));
        let offset = |offset, inclusive| Position::Offset { offset, inclusive };
        let number = |number, inclusive| Position::SequenceNumber { number, inclusive };
        let table = [
            (empty, Position::Beginning, true),
            (empty, Position::End, true),
            (empty, offset(0, true), true),
            (empty, offset(0, false), false),
            (empty, number(0, true), true),
            (empty, number(0, false), false),
            (used, offset(500, true), true),
            (used, offset(500, false), true),
            (used, offset(501, true), false),
            (used, number(2, false), true),
            (used, number(3, true), true),
            (used, number(3, false), false),
            (used, number(u64::MAX, true), false),
            (used, Position::Enqueued(Timestamp::NEVER), true),
        ];
        for (partition, position, may) in table {
            assert_eq!(partition.check(position).is_ok(), may, "{partition:?} {position:?}");
        }
        let said = used.check(number(7, false)).unwrap_err().to_string();
        let expected = "The supplied sequence number '7' is invalid. \
                        The last sequence number in the system is '2'";
        assert_eq!(said, expected);
    }
}
