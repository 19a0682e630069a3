//! What arrived and what was decided, for whoever wants to know why a test failed.
//!
//! Bounded: the oldest entries go. Entries share what the hub keeps anyway, so that writing one
//! costs little more than a lock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::devicebound::feedback::FeedbackStatus;
use crate::event::Event;
use crate::ids::IdentityId;
use crate::limits;
use crate::session::Protocol;
use crate::store::{Committed, Effect};
use crate::time::Timestamp;
use crate::twin::DesiredPatch;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counts the entries from 1.
    pub number: u64,
    /// When it happened, by the hub's clock.
    pub at: Timestamp,
    /// The device or module that it is about, if it is about one.
    pub id: Option<IdentityId>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A device connected.
    Connected {
        /// What it speaks.
        protocol: Protocol,
        /// Whether subscriptions of an earlier connection came back.
        resumed: bool,
    },
    /// Somebody was not let in.
    Refused {
        /// What they spoke.
        protocol: &'static str,
        /// Why.
        why: String,
    },
    /// A connection ended.
    Disconnected {
        /// Why, as far as is known.
        why: String,
    },
    /// An event was taken.
    Event {
        /// The event.
        event: Arc<Event>,
        /// The endpoints that it went to.
        endpoints: Arc<[String]>,
        /// Why it went to none, if it did.
        why: Option<String>,
    },
    /// A device read its twin.
    TwinRead,
    /// A device changed its reported properties.
    Reported {
        /// The version of the section since then.
        version: u64,
        /// What it sent, in JSON.
        patch: String,
    },
    /// Desired properties changed.
    Desired(Arc<DesiredPatch>),
    /// An identity came to be.
    Created,
    /// An identity was deleted.
    Deleted,
    /// An identity was disabled.
    Disabled,
    /// A direct method was called, and ended.
    Method {
        /// Its name.
        name: String,
        /// The status that the device gave, or why it gave none.
        outcome: Result<i32, String>,
    },
    /// Something happened to a cloud-to-device message.
    Devicebound {
        /// The id that its sender gave it.
        message_id: Option<String>,
        /// What happened.
        step: Step,
    },
    /// A request came over HTTPS.
    Request {
        /// Its method.
        method: String,
        /// Its path, without what follows a question mark.
        path: String,
        /// The status of the answer.
        status: u16,
        /// What the answer says is wrong.
        why: Option<String>,
    },
    /// An operation of a device failed.
    Failed {
        /// Its name, as faults call it.
        operation: &'static str,
        /// Why.
        why: String,
    },
    /// A fault struck an operation.
    Fault {
        /// The number of the fault.
        fault: u64,
        /// The name of the operation.
        operation: &'static str,
    },
}

/// What happens to a cloud-to-device message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// It waits for the device.
    Enqueued,
    /// It was sent to the device.
    Delivered,
    /// It left the queue.
    Ended(FeedbackStatus),
}

/// The journal of a hub.
#[derive(Debug)]
pub struct Journal {
    kept: Mutex<Kept>,
    /// The number of the last entry.
    grown: watch::Sender<Growth>,
}

/// How far a journal is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Growth {
    last: u64,
    /// Nothing follows, since the hub is gone.
    over: bool,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    last: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self { kept: Mutex::default(), grown: watch::Sender::new(Growth::default()) }
    }
}

impl Journal {
    /// Writes an entry.
    pub(crate) fn write(&self, at: Timestamp, id: Option<&IdentityId>, what: What) {
        let mut kept = self.kept();
        kept.last += 1;
        let entry = Entry { number: kept.last, at, id: id.cloned(), what };
        kept.bytes += entry.cost();
        kept.entries.push_back(Arc::new(entry));
        while kept.entries.len() > limits::JOURNAL_ENTRIES || kept.bytes > limits::JOURNAL_BYTES {
            let Some(oldest) = kept.entries.pop_front() else { break };
            kept.bytes -= oldest.cost();
        }
        // Under the lock, so that the numbers that are told only grow.
        self.grown.send_modify(|growth| growth.last = kept.last);
    }

    /// Writes what a commit means.
    pub(crate) fn committed(&self, committed: &Committed<'_>, at: Timestamp) {
        for id in committed.created() {
            self.write(at, Some(&id), What::Created);
        }
        for (id, effect) in committed.effects {
            let what = match effect {
                Effect::DesiredChanged(patch) => What::Desired(patch.clone()),
                Effect::Disabled => What::Disabled,
                Effect::Deleted => What::Deleted,
                Effect::TwinReplaced => continue,
            };
            self.write(at, Some(id), what);
        }
    }

    /// Up to `max` entries behind the one with the number `after`, of those that are kept.
    pub fn after(&self, after: u64, max: usize) -> Vec<Arc<Entry>> {
        let kept = self.kept();
        let first = kept.entries.front().map_or(u64::MAX, |entry| entry.number);
        let skip = after.saturating_add(1).saturating_sub(first);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        kept.entries.iter().skip(skip).take(max).cloned().collect()
    }

    /// Where somebody goes on who has seen an entry of this number: one that there is not yet is of a
    /// journal that was here before, and all of this one is new.
    pub fn place(&self, seen: u64) -> u64 {
        if seen > self.last() { 0 } else { seen }
    }

    /// The number of the last entry; zero if there is none.
    pub fn last(&self) -> u64 {
        self.grown.borrow().last
    }

    /// Returns when there are entries behind the one with the number `after`; false if there will
    /// be none, since the hub is gone.
    pub async fn more(&self, after: u64) -> bool {
        let mut grown = self.grown.subscribe();
        let growth = grown.wait_for(|growth| growth.last > after || growth.over).await;
        growth.is_ok_and(|growth| growth.last > after)
    }

    /// Says that the hub is gone to whoever waits for more.
    pub fn end(&self) {
        self.grown.send_modify(|growth| growth.over = true);
    }

    /// Held for a push or a copy; nothing awaits meanwhile.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// How many bytes it holds, about.
    fn cost(&self) -> usize {
        size_of::<Self>()
            + match &self.what {
                What::Event { event, why, .. } => {
                    event.kept_bytes() + why.as_ref().map_or(0, String::len)
                }
                What::Reported { patch, .. } => patch.len(),
                What::Desired(_) => limits::JOURNAL_DESIRED_BYTES,
                What::Request { path, why, .. } => path.len() + why.as_ref().map_or(0, String::len),
                What::Refused { why, .. }
                | What::Disconnected { why }
                | What::Failed { why, .. } => why.len(),
                _ => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(bytes: usize) -> What {
        What::Reported { version: 2, patch: "x".repeat(bytes) }
    }

    fn numbers(entries: &[Arc<Entry>]) -> Vec<u64> {
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn entries_are_read_from_where_one_was() {
        let journal = Journal::default();
        assert!(journal.after(0, 10).is_empty());
        for _ in 0..5 {
            journal.write(Timestamp::NEVER, None, What::TwinRead);
        }
        assert_eq!([3, 5, 6, u64::MAX].map(|seen| journal.place(seen)), [3, 5, 0, 0]);
        let table: [(u64, usize, &[u64]); 5] = [
            (0, 10, &[1, 2, 3, 4, 5]),
            (0, 2, &[1, 2]),
            (3, 10, &[4, 5]),
            (5, 10, &[]),
            (u64::MAX, 10, &[]),
        ];
        for (after, max, expected) in table {
            assert_eq!(numbers(&journal.after(after, max)), expected, "{after} {max}");
        }
    }

    #[test]
    fn entries_are_bounded_by_number_and_by_size() {
        let journal = Journal::default();
        for _ in 0..limits::JOURNAL_ENTRIES + 7 {
            journal.write(Timestamp::NEVER, None, What::TwinRead);
        }
        let all = journal.after(0, usize::MAX);
        assert_eq!((all.len(), all[0].number), (limits::JOURNAL_ENTRIES, 8));
        let large = limits::JOURNAL_BYTES / 4;
        for _ in 0..9 {
            journal.write(Timestamp::NEVER, None, reported(large));
        }
        assert_eq!(journal.after(0, usize::MAX).len(), 3);
        assert!(journal.kept().bytes <= limits::JOURNAL_BYTES);
    }

    #[tokio::test]
    async fn who_waits_hears_of_more_and_of_the_end() {
        let journal = Arc::new(Journal::default());
        let waiting = tokio::spawn({
            let journal = Arc::clone(&journal);
            async move { (journal.more(0).await, journal.more(1).await) }
        });
        tokio::task::yield_now().await;
        journal.write(Timestamp::NEVER, None, What::TwinRead);
        tokio::task::yield_now().await;
        journal.end();
        assert_eq!(waiting.await.unwrap(), (true, false));
    }
}
