//! What every backend must do, as tests that each backend calls with a constructor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use iothub_core::auth::AuthMethod;
use iothub_core::event::{Event, EventSource, Message};
use iothub_core::ids::{DeviceId, GenerationId, IdentityId};
use iothub_core::registry::identity::{Authentication, DeviceIdentity, Status};
use iothub_core::store::{
    Change, Committed, Effect, EventLog, Position, Record, Records, Revision, StoreError, Watcher,
};
use iothub_core::table::{Table, TableChange};
use iothub_core::time::Timestamp;
use iothub_core::twin::Twin;

fn id(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn record(name: &str, version: u64) -> Arc<Record> {
    let identity = DeviceIdentity {
        id: DeviceId::parse(name).unwrap(),
        generation: GenerationId::at(Timestamp::NEVER),
        version,
        status: Status::Enabled,
        status_reason: None,
        status_updated: Timestamp::NEVER,
        authentication: Authentication::None,
        iot_edge: false,
        device_scope: None,
        parent_scopes: Vec::new(),
    };
    Arc::new(Record { identity, twin: Twin::new(Timestamp::NEVER), modules: BTreeMap::new() })
}

#[derive(Default)]
struct Seen(Mutex<Vec<(Versions, (IdentityId, Effect))>>);

/// The versions of an identity before and after a commit.
type Versions = (Option<u64>, Option<u64>);

impl Watcher for Seen {
    fn committed(&self, committed: &Committed<'_>) {
        let mut seen = self.0.lock().unwrap();
        let version = |record: Option<&Record>| record.map(|record| record.identity.version);
        let sides = (version(committed.before), version(committed.after));
        seen.extend(committed.effects.iter().map(|effect| (sides, effect.clone())));
    }
}

/// Commits succeed only against the revision that was read.
pub(crate) async fn commits_are_compared(records: impl Records) {
    let create =
        Change { id: id("d"), expected: None, record: Some(record("d", 1)), effects: Vec::new() };
    assert!(records.get(&id("d")).await.unwrap().is_none());
    let first = records.commit(create.clone()).await.unwrap();
    assert_eq!(records.commit(create.clone()).await, Err(StoreError::Conflict));

    let update = Change { expected: Some(first), record: Some(record("d", 2)), ..create.clone() };
    let second = records.commit(update.clone()).await.unwrap();
    assert!(second > first);
    assert_eq!(records.commit(update).await, Err(StoreError::Conflict));
    let found = records.get(&id("d")).await.unwrap().unwrap();
    assert_eq!((found.record.identity.version, found.revision), (2, second));

    let stale = Change { expected: Some(first), record: None, ..create.clone() };
    assert_eq!(records.commit(stale).await, Err(StoreError::Conflict));
    let remove = Change { expected: Some(second), record: None, ..create.clone() };
    records.commit(remove.clone()).await.unwrap();
    assert!(records.get(&id("d")).await.unwrap().is_none());
    assert_eq!(records.commit(remove).await, Err(StoreError::Conflict));
    records.commit(create).await.unwrap();
}

/// All records are listed.
pub(crate) async fn all_are_listed(records: impl Records) {
    for name in ["a", "b", "c"] {
        let record = Some(record(name, 1));
        let change = Change { id: id(name), expected: None, record, effects: Vec::new() };
        records.commit(change).await.unwrap();
    }
    let all = records.all().await.unwrap();
    let mut names: Vec<_> = all.iter().map(|record| record.identity.id.to_string()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
}

/// What a store begins with is there as if it had been committed.
pub(crate) async fn beginnings_are_kept<R: Records + FromIterator<Arc<Record>>>() {
    let records: R = ["a", "b"].map(|name| record(name, 1)).into_iter().collect();
    assert_eq!(records.all().await.unwrap().len(), 2);
    let found = records.get(&id("a")).await.unwrap().unwrap();
    let change = Change { id: id("a"), expected: None, record: None, effects: Vec::new() };
    assert_eq!(records.commit(change.clone()).await, Err(StoreError::Conflict));
    let expected = Some(found.revision);
    records.commit(Change { expected, ..change }).await.unwrap();
    assert!(records.get(&id("a")).await.unwrap().is_none());
}

/// The same for documents.
pub(crate) async fn documents_begin<T>()
where
    T: Table<String, String> + FromIterator<(String, Arc<String>)>,
{
    let table: T =
        ["b", "a"].map(|key| (key.to_owned(), Arc::new(key.to_owned()))).into_iter().collect();
    let found = table.get(&"a".to_owned()).await.unwrap().unwrap();
    assert_eq!(table.commit(document("a", None, None)).await, Err(StoreError::Conflict));
    table.commit(document("a", Some(found.revision), None)).await.unwrap();
    assert_eq!(table.all().await.unwrap(), [Arc::new("b".to_owned())]);
}

/// The watcher hears of what was committed, and of nothing else.
pub(crate) async fn commits_are_watched(records: impl Records) {
    let seen = Arc::new(Seen::default());
    records.watch(seen.clone());
    let change = Change {
        id: id("d"),
        expected: None,
        record: Some(record("d", 1)),
        effects: vec![(id("d").into(), Effect::Disabled)],
    };
    let revision = records.commit(change.clone()).await.unwrap();
    assert!(records.commit(change.clone()).await.is_err());
    let remove = Change {
        expected: Some(revision),
        record: None,
        effects: vec![(id("d").into(), Effect::Deleted)],
        ..change
    };
    records.commit(remove).await.unwrap();
    let expected = [
        ((None, Some(1)), (id("d").into(), Effect::Disabled)),
        ((Some(1), None), (id("d").into(), Effect::Deleted)),
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

fn event(body: &str) -> Event {
    let body = body.to_owned().into_bytes().into();
    Event {
        message: Message { body, ..Message::default() },
        sender: id("d").into(),
        generation: GenerationId::at(Timestamp::NEVER),
        auth_method: Some(AuthMethod::DeviceKey),
        enqueued: Timestamp::NEVER,
        model_id: None,
        source: EventSource::Telemetry,
    }
}

/// Events keep their order and their numbers within a partition.
pub(crate) async fn events_are_numbered(log: impl EventLog) {
    for (body, number) in [("0", 0), ("1", 1), ("2", 2)] {
        assert_eq!(log.append(0, event(body).into()).await, Ok(number));
    }
    assert_eq!(log.append(1, event("other").into()).await, Ok(0));
    let read = log.read(0, 1, 10).await.unwrap();
    let found: Vec<_> = read
        .iter()
        .map(|found| (found.sequence_number, found.event.message.body.clone()))
        .collect();
    assert_eq!(found, [(1, "1".into()), (2, "2".into())]);
    assert_eq!(log.read(0, 0, 1).await.unwrap().len(), 1);
    assert!(log.read(0, 3, 10).await.unwrap().is_empty());
    assert!(log.append(log.partitions(), event("x").into()).await.is_err());
}

/// A reader finds where to begin, and hears of what comes.
pub(crate) async fn events_are_found(log: impl EventLog) {
    let at = Timestamp::from_unix_seconds;
    let mut grown = log.watch(0).unwrap();
    assert!(log.watch(1).is_none());
    for second in [10, 20, 20, 30] {
        log.append(0, Event { enqueued: at(second), ..event("x") }.into()).await.unwrap();
    }
    assert_eq!(*grown.borrow_and_update(), 4);
    let state = log.state(0).await.unwrap();
    assert_eq!((state.first, state.next, state.last_enqueued), (0, 4, at(30)));
    let read = log.read(0, 0, 10).await.unwrap();
    assert!(read.is_sorted_by(|one, other| one.offset < other.offset));
    assert_eq!(state.last_offset, read.last().map(|event| event.offset));
    let offset = read[1].offset;
    let table = [
        (Position::Beginning, 0),
        (Position::End, 4),
        (Position::Offset { offset, inclusive: true }, 1),
        (Position::Offset { offset, inclusive: false }, 2),
        (Position::Offset { offset: u64::MAX, inclusive: true }, 4),
        (Position::SequenceNumber { number: 2, inclusive: true }, 2),
        (Position::SequenceNumber { number: 2, inclusive: false }, 3),
        (Position::SequenceNumber { number: u64::MAX, inclusive: false }, 4),
        (Position::Enqueued(at(20)), 1),
        (Position::Enqueued(at(21)), 3),
        (Position::Enqueued(at(40)), 4),
    ];
    for (position, expected) in table {
        assert_eq!(log.seek(0, position).await, Ok(expected), "{position:?}");
    }
    assert!(log.seek(1, Position::End).await.is_err());
    assert!(log.state(1).await.is_err());
}

fn document(
    key: &str,
    expected: Option<Revision>,
    value: Option<&str>,
) -> TableChange<String, String> {
    TableChange {
        key: key.to_owned(),
        expected,
        value: value.map(|value| Arc::new(value.to_owned())),
        room: 2,
    }
}

/// Documents are committed only against the revision that was read.
pub(crate) async fn documents_are_compared(table: impl Table<String, String>) {
    let key = "k".to_owned();
    assert!(table.get(&key).await.unwrap().is_none());
    let first = table.commit(document("k", None, Some("1"))).await.unwrap();
    assert_eq!(table.commit(document("k", None, Some("x"))).await, Err(StoreError::Conflict));
    let second = table.commit(document("k", Some(first), Some("2"))).await.unwrap();
    assert!(second > first);
    assert_eq!(table.commit(document("k", Some(first), None)).await, Err(StoreError::Conflict));
    let found = table.get(&key).await.unwrap().unwrap();
    assert_eq!((found.value.as_str(), found.revision), ("2", second));
    table.commit(document("k", Some(second), None)).await.unwrap();
    assert!(table.get(&key).await.unwrap().is_none());
    assert_eq!(table.commit(document("k", Some(second), None)).await, Err(StoreError::Conflict));
}

/// There are as many documents as there is room for, in the order of their keys.
pub(crate) async fn documents_have_room(table: impl Table<String, String>) {
    table.commit(document("b", None, Some("b"))).await.unwrap();
    let first = table.commit(document("a", None, Some("a"))).await.unwrap();
    assert_eq!(table.commit(document("c", None, Some("c"))).await, Err(StoreError::Full));
    table.commit(document("a", Some(first), Some("a"))).await.unwrap();
    let all = table.all().await.unwrap();
    assert_eq!(all.iter().map(|one| one.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}
