//! Records and events in memory: the default, gone when the process ends.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use iothub_core::event::Event;
use iothub_core::ids::DeviceId;
use iothub_core::store::{
    Answer, Change, EventLog, LoggedEvent, Record, Records, Revision, StoreError, Versioned,
    Watcher,
};

/// Records in a sharded map.
///
/// A commit holds the lock of its shard while it tells the watcher, so that what one record's
/// watcher hears has the order of the commits. The watcher must not wait nor call back.
#[derive(Default)]
pub struct MemoryRecords {
    by_id: DashMap<DeviceId, Versioned>,
    watcher: OnceLock<Arc<dyn Watcher>>,
}

impl MemoryRecords {
    fn apply(&self, change: Change) -> Result<Revision, StoreError> {
        let entry = self.by_id.entry(change.id.clone());
        let found = match &entry {
            Entry::Occupied(entry) => Some(entry.get().revision),
            Entry::Vacant(_) => None,
        };
        if found != change.expected {
            return Err(StoreError::Conflict);
        }
        let revision = Revision(found.map_or(1, |Revision(revision)| revision + 1));
        // Told while the entry, and with it the shard, is locked.
        if let Some(watcher) = self.watcher.get() {
            watcher.committed(&change.effects);
        }
        match (entry, change.record) {
            (entry, Some(record)) => drop(entry.insert(Versioned { record, revision })),
            (Entry::Occupied(entry), None) => drop(entry.remove()),
            (Entry::Vacant(_), None) => {}
        }
        Ok(revision)
    }
}

impl Records for MemoryRecords {
    fn get<'a>(&'a self, id: &'a DeviceId) -> Answer<'a, Option<Versioned>> {
        Box::pin(ready(Ok(self.by_id.get(id).map(|found| found.clone()))))
    }

    fn commit(&self, change: Change) -> Answer<'_, Revision> {
        Box::pin(ready(self.apply(change)))
    }

    fn all(&self) -> Answer<'_, Vec<Arc<Record>>> {
        let records = self.by_id.iter().map(|found| found.record.clone()).collect();
        Box::pin(ready(Ok(records)))
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        // One hub owns a store; a second watcher would be a mistake of the program's own.
        debug_assert!(self.watcher.get().is_none(), "the store is watched already");
        let _already_watched = self.watcher.set(watcher);
    }
}

/// Events in a ring per partition: when a partition has its fill, the oldest go.
pub struct MemoryEventLog {
    partitions: Vec<Mutex<Partition>>,
    max_bytes: usize,
}

#[derive(Default)]
struct Partition {
    events: VecDeque<Arc<Event>>,
    /// The sequence number of the oldest event kept.
    first: u64,
    bytes: usize,
}

impl MemoryEventLog {
    /// A log of `partitions` that keeps up to `max_bytes` in each.
    pub fn new(partitions: usize, max_bytes: usize) -> Self {
        Self { partitions: (0..partitions).map(|_| Mutex::default()).collect(), max_bytes }
    }

    /// Held for a push or a copy of pointers; nothing awaits meanwhile.
    fn lock(&self, partition: usize) -> Result<MutexGuard<'_, Partition>, StoreError> {
        let partition = self.partitions.get(partition).ok_or_else(|| {
            let have = self.partitions.len();
            StoreError::Unavailable(format!("there is no partition {partition}, only {have}"))
        })?;
        Ok(partition.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, partition: usize, event: Event) -> Result<u64, StoreError> {
        let mut partition = self.lock(partition)?;
        partition.bytes += event.kept_bytes();
        partition.events.push_back(Arc::new(event));
        while partition.bytes > self.max_bytes && partition.events.len() > 1 {
            let oldest = partition.events.pop_front();
            partition.bytes -= oldest.map_or(0, |oldest| oldest.kept_bytes());
            partition.first += 1;
        }
        Ok(partition.first + partition.events.len() as u64 - 1)
    }

    fn copy(
        &self,
        partition: usize,
        from: u64,
        max: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let partition = self.lock(partition)?;
        let skip = from.saturating_sub(partition.first);
        let numbered = (partition.first..).zip(&partition.events);
        Ok(numbered
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
            .take(max)
            .map(|(sequence_number, event)| LoggedEvent { sequence_number, event: event.clone() })
            .collect())
    }
}

impl EventLog for MemoryEventLog {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn append(&self, partition: usize, event: Event) -> Answer<'_, u64> {
        Box::pin(ready(self.push(partition, event)))
    }

    fn read(&self, partition: usize, from: u64, max: usize) -> Answer<'_, Vec<LoggedEvent>> {
        Box::pin(ready(self.copy(partition, from, max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use iothub_core::auth::AuthMethod;
    use iothub_core::event::Message;
    use iothub_core::ids::GenerationId;
    use iothub_core::limits;
    use iothub_core::time::Timestamp;

    #[tokio::test]
    async fn records_conform() {
        conformance::commits_are_compared(MemoryRecords::default()).await;
        conformance::all_are_listed(MemoryRecords::default()).await;
        conformance::commits_are_watched(MemoryRecords::default()).await;
    }

    #[tokio::test]
    async fn events_conform() {
        conformance::events_are_numbered(MemoryEventLog::new(2, 1 << 20)).await;
    }

    #[tokio::test]
    async fn a_full_partition_forgets_its_oldest() {
        let log = MemoryEventLog::new(1, 3 * (limits::EVENT_OVERHEAD_BYTES + 100));
        for _ in 0..10 {
            let event = Event {
                message: Message { body: vec![0; 100].into(), ..Message::default() },
                sender: DeviceId::parse("d").unwrap().into(),
                generation: GenerationId::at(Timestamp::NEVER),
                auth_method: AuthMethod::DeviceKey,
                enqueued: Timestamp::NEVER,
                model_id: None,
            };
            log.append(0, event).await.unwrap();
        }
        let kept: Vec<_> =
            log.read(0, 0, 100).await.unwrap().iter().map(|event| event.sequence_number).collect();
        assert_eq!(kept, [7, 8, 9]);
    }
}
