//! Records and events in memory: the default, gone when the process ends.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use iothub_core::event::Event;
use iothub_core::ids::DeviceId;
use iothub_core::store::{
    Answer, Change, Committed, EventLog, LoggedEvent, PartitionState, Position, Record, Records,
    Revision, StoreError, Versioned, Watcher,
};
use iothub_core::time::{Clock, Timestamp};
use tokio::sync::watch;

/// Records in a sharded map.
///
/// A commit holds the lock of its shard while it tells the watcher, so that what one record's
/// watcher hears has the order of the commits. The watcher must not wait nor call back.
#[derive(Default)]
pub struct MemoryRecords {
    by_id: DashMap<DeviceId, Versioned>,
    watcher: OnceLock<Arc<dyn Watcher>>,
}

impl FromIterator<Arc<Record>> for MemoryRecords {
    /// Records that are there from the beginning, before anybody watches.
    fn from_iter<I: IntoIterator<Item = Arc<Record>>>(records: I) -> Self {
        let first = |record: Arc<Record>| {
            (record.identity.id.clone(), Versioned { record, revision: Revision(1) })
        };
        Self { by_id: records.into_iter().map(first).collect(), watcher: OnceLock::new() }
    }
}

impl MemoryRecords {
    fn apply(&self, change: Change) -> Result<Revision, StoreError> {
        let entry = self.by_id.entry(change.id.clone());
        let before = match &entry {
            Entry::Occupied(entry) => Some(entry.get()),
            Entry::Vacant(_) => None,
        };
        let found = before.map(|before| before.revision);
        if found != change.expected {
            return Err(StoreError::Conflict);
        }
        let revision = Revision(found.map_or(1, |Revision(revision)| revision + 1));
        // Told while the entry, and with it the shard, is locked.
        if let Some(watcher) = self.watcher.get() {
            watcher.committed(&Committed {
                before: before.map(|before| &*before.record),
                after: change.record.as_deref(),
                effects: &change.effects,
            });
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
///
/// With an age they go when they have it, too: whoever looks at a partition first drops those.
pub struct MemoryEventLog {
    partitions: Vec<Shelf>,
    max_bytes: usize,
    age: Option<(Duration, Arc<dyn Clock>)>,
}

struct Shelf {
    partition: Mutex<Partition>,
    /// Tells readers of the next sequence number, behind the lock, so that they never wait for one.
    next: watch::Sender<u64>,
}

#[derive(Default)]
struct Partition {
    events: VecDeque<Kept>,
    /// The sequence number of the oldest event kept.
    first: u64,
    bytes: usize,
    /// The offset of the next event.
    offset: u64,
    last_offset: Option<u64>,
    last_enqueued: Timestamp,
}

struct Kept {
    offset: u64,
    event: Arc<Event>,
}

impl MemoryEventLog {
    /// A log of `partitions` that keeps up to `max_bytes` in each.
    pub fn new(partitions: usize, max_bytes: usize) -> Self {
        let shelf = || Shelf { partition: Mutex::default(), next: watch::Sender::new(0) };
        Self { partitions: (0..partitions).map(|_| shelf()).collect(), max_bytes, age: None }
    }

    /// The same, which keeps events no longer than for `age`.
    #[must_use]
    pub fn kept_for(self, age: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { age: Some((age, clock)), ..self }
    }

    /// A partition without what is too old. Held for a push or a copy of pointers; nothing awaits
    /// meanwhile.
    fn lock<'s>(&self, shelf: &'s Shelf) -> MutexGuard<'s, Partition> {
        let mut partition = shelf.partition.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((age, clock)) = &self.age {
            partition.forget_before(clock.now(), *age);
        }
        partition
    }

    fn shelf(&self, partition: usize) -> Result<&Shelf, StoreError> {
        self.partitions.get(partition).ok_or_else(|| {
            let have = self.partitions.len();
            StoreError::Unavailable(format!("there is no partition {partition}, only {have}"))
        })
    }

    fn push(&self, partition: usize, event: Arc<Event>) -> Result<u64, StoreError> {
        let shelf = self.shelf(partition)?;
        let number = self.lock(shelf).push(event, self.max_bytes);
        // Appends may overtake each other here; a reader is told of the furthest.
        shelf.next.send_if_modified(|next| {
            let grown = *next <= number;
            *next = (*next).max(number + 1);
            grown
        });
        Ok(number)
    }
}

impl Partition {
    fn push(&mut self, event: Arc<Event>, max_bytes: usize) -> u64 {
        let cost = event.kept_bytes();
        let offset = self.offset;
        self.offset += cost as u64;
        self.last_offset = Some(offset);
        self.last_enqueued = event.enqueued;
        self.bytes += cost;
        self.events.push_back(Kept { offset, event });
        while self.bytes > max_bytes && self.events.len() > 1 {
            self.forget_oldest();
        }
        self.next() - 1
    }

    fn forget_before(&mut self, now: Timestamp, age: Duration) {
        let is_old = |kept: &Kept| kept.event.enqueued.after(age) <= now;
        while self.events.front().is_some_and(is_old) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.bytes -= oldest.event.kept_bytes();
            self.first += 1;
        }
    }

    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn copy(&self, from: u64, max: usize) -> Vec<LoggedEvent> {
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let start = skip.min(self.events.len());
        let end = start.saturating_add(max).min(self.events.len());
        let numbered = (self.first + start as u64..).zip(self.events.range(start..end));
        let logged = |(sequence_number, kept): (u64, &Kept)| LoggedEvent {
            sequence_number,
            offset: kept.offset,
            event: kept.event.clone(),
        };
        numbered.map(logged).collect()
    }

    fn seek(&self, position: Position) -> u64 {
        let before = |is_before: &dyn Fn(&Kept) -> bool| {
            self.first + self.events.partition_point(is_before) as u64
        };
        match position {
            Position::Beginning => self.first,
            Position::End => self.next(),
            Position::Offset { offset, inclusive: true } => before(&|kept| kept.offset < offset),
            Position::Offset { offset, inclusive: false } => before(&|kept| kept.offset <= offset),
            Position::SequenceNumber { number, inclusive } => {
                let number = if inclusive { number } else { number.saturating_add(1) };
                number.clamp(self.first, self.next())
            }
            Position::Enqueued(at) => before(&|kept| kept.event.enqueued < at),
        }
    }

    fn state(&self) -> PartitionState {
        PartitionState {
            first: self.first,
            next: self.next(),
            last_offset: self.last_offset,
            last_enqueued: self.last_enqueued,
        }
    }
}

impl EventLog for MemoryEventLog {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn append(&self, partition: usize, event: Arc<Event>) -> Answer<'_, u64> {
        Box::pin(ready(self.push(partition, event)))
    }

    fn read(&self, partition: usize, from: u64, max: usize) -> Answer<'_, Vec<LoggedEvent>> {
        Box::pin(ready(self.shelf(partition).map(|shelf| self.lock(shelf).copy(from, max))))
    }

    fn state(&self, partition: usize) -> Answer<'_, PartitionState> {
        Box::pin(ready(self.shelf(partition).map(|shelf| self.lock(shelf).state())))
    }

    fn seek(&self, partition: usize, position: Position) -> Answer<'_, u64> {
        Box::pin(ready(self.shelf(partition).map(|shelf| self.lock(shelf).seek(position))))
    }

    fn watch(&self, partition: usize) -> Option<watch::Receiver<u64>> {
        self.partitions.get(partition).map(|shelf| shelf.next.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use iothub_core::auth::AuthMethod;
    use iothub_core::event::{EventSource, Message};
    use iothub_core::ids::GenerationId;
    use iothub_core::limits;
    use iothub_core::time::ManualClock;

    #[tokio::test]
    async fn records_conform() {
        conformance::commits_are_compared(MemoryRecords::default()).await;
        conformance::all_are_listed(MemoryRecords::default()).await;
        conformance::beginnings_are_kept::<MemoryRecords>().await;
        conformance::commits_are_watched(MemoryRecords::default()).await;
    }

    #[tokio::test]
    async fn events_conform() {
        conformance::events_are_numbered(MemoryEventLog::new(2, 1 << 20)).await;
        conformance::events_are_found(MemoryEventLog::new(1, 1 << 20)).await;
    }

    fn event(enqueued: Timestamp) -> Event {
        Event {
            message: Message { body: vec![0; 100].into(), ..Message::default() },
            sender: DeviceId::parse("d").unwrap().into(),
            generation: GenerationId::at(Timestamp::NEVER),
            auth_method: Some(AuthMethod::DeviceKey),
            enqueued,
            model_id: None,
            source: EventSource::Telemetry,
        }
    }

    async fn kept(log: &MemoryEventLog) -> Vec<u64> {
        let read = log.read(0, 0, 100).await.unwrap();
        read.iter().map(|event| event.sequence_number).collect()
    }

    #[tokio::test]
    async fn a_full_partition_forgets_its_oldest() {
        let log = MemoryEventLog::new(1, 3 * (limits::EVENT_OVERHEAD_BYTES + 100));
        for _ in 0..10 {
            log.append(0, event(Timestamp::NEVER).into()).await.unwrap();
        }
        assert_eq!(kept(&log).await, [7, 8, 9]);
    }

    #[tokio::test]
    async fn what_is_too_old_is_gone_though_nothing_comes() {
        let (start, hour) = (Timestamp::from_unix_seconds(1_000_000), Duration::from_secs(3600));
        let clock = Arc::new(ManualClock::new(start));
        let log = MemoryEventLog::new(1, 1 << 20).kept_for(24 * hour, clock.clone());
        log.append(0, event(clock.now()).into()).await.unwrap();
        clock.advance(12 * hour);
        log.append(0, event(clock.now()).into()).await.unwrap();
        assert_eq!(kept(&log).await, [0, 1]);
        clock.advance(12 * hour);
        assert_eq!(kept(&log).await, [1]);
        clock.advance(12 * hour);
        assert!(kept(&log).await.is_empty());
        let state = log.state(0).await.unwrap();
        assert_eq!((state.first, state.next), (2, 2));
        assert_eq!(log.append(0, event(clock.now()).into()).await, Ok(2));
    }
}
