//! The ports behind which records and events live.
//!
//! The rules are the hub's: it reads a record, decides, and commits against the revision that it
//! read. A backend has nothing to get right but get, commit, append and watch.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::ids::{DeviceId, IdentityId, ModuleId};
use crate::registry::identity::{DeviceIdentity, ModuleIdentity};
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
    /// A record was committed with `effects`. Must not wait, nor call the store.
    fn committed(&self, effects: &[(IdentityId, Effect)]);
}

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    /// Counts the events of a partition from zero.
    pub sequence_number: u64,
    /// The event.
    pub event: Arc<Event>,
}

/// Where events live: an append-only log per partition, which forgets its oldest.
pub trait EventLog: Send + Sync + 'static {
    /// How many partitions there are.
    fn partitions(&self) -> usize;

    /// Appends to a partition.
    fn append(&self, partition: usize, event: Event) -> Answer<'_, u64>;

    /// Up to `max` events of a partition, from the sequence number `from` or the oldest kept.
    fn read(&self, partition: usize, from: u64, max: usize) -> Answer<'_, Vec<LoggedEvent>>;
}
