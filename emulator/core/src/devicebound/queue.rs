//! What waits to be received, in the states that the service documents. Pure: every step takes the
//! time and gives what came to an end by it.
//!
//! ```text
//!   push ──> Enqueued ──lock──> Invisible ──complete──> Completed
//!               │ ^                │ │
//!               │ └─abandon, time──┘ └──reject, abandoned too often──> Dead lettered
//!               └───────────expired, purged, rejected────────────────────────^
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{LockToken, Settlement};
use crate::session::ConnectionId;
use crate::time::Timestamp;

/// A queue of `T`, first in, first out; what comes back keeps its place.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// How many it holds at most, Enqueued and Invisible together.
    depth: usize,
    /// How often one of them may be abandoned.
    max_deliveries: u32,
    last_sequence: u64,
    enqueued: BTreeMap<u64, Enqueued<T>>,
    invisible: BTreeMap<u64, Invisible<T>>,
}

/// Waits to be received.
#[derive(Debug)]
pub(crate) struct Enqueued<T> {
    item: Arc<T>,
    expires: Timestamp,
    delivery_count: u32,
    redelivered: bool,
    /// The connection that has it and has not acknowledged it, although its lock has ended.
    unacknowledged_by: Option<ConnectionId>,
}

/// Was received, and is nobody else's until it is settled or its lock ends.
#[derive(Debug)]
pub(crate) struct Invisible<T> {
    enqueued: Enqueued<T>,
    token: LockToken,
    until: Timestamp,
    /// The connection that has it, if it stays connected.
    holder: Option<ConnectionId>,
    /// Whether that is so when the lock has ended, too.
    keeps: bool,
}

/// Was taken by its receiver.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Completed<T>(pub(crate) Arc<T>);

/// Will not be received any more.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct DeadLettered<T>(pub(crate) Arc<T>, pub(crate) Reason);

/// Why something was dead-lettered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    Expired,
    DeliveryCountExceeded,
    Rejected,
    Purged,
}

/// What left a queue.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Settled<T> {
    Completed(Completed<T>),
    DeadLettered(DeadLettered<T>),
}

/// Who receives, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Receiver {
    pub(crate) token: LockToken,
    pub(crate) until: Timestamp,
    pub(crate) holder: Option<ConnectionId>,
    /// Whether `holder` may acknowledge when the lock has ended, and so is not sent it again.
    pub(crate) keeps: bool,
}

/// What was received.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Received<T> {
    pub(crate) item: Arc<T>,
    pub(crate) sequence_number: u64,
    pub(crate) delivery_count: u32,
    pub(crate) redelivered: bool,
}

/// The queue holds as many as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

/// The token is of no delivery, or of one that was settled or whose time is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LockLost;

impl<T> Enqueued<T> {
    fn lock(self, receiver: Receiver) -> Invisible<T> {
        let Receiver { token, until, holder, keeps } = receiver;
        Invisible {
            enqueued: Self { unacknowledged_by: None, ..self },
            token,
            until,
            holder,
            keeps,
        }
    }

    fn complete(self) -> Completed<T> {
        Completed(self.item)
    }

    fn dead_letter(self, reason: Reason) -> DeadLettered<T> {
        DeadLettered(self.item, reason)
    }
}

impl<T> Invisible<T> {
    /// The lock ended: back to its place, for others to receive.
    fn time_out(self) -> Enqueued<T> {
        let unacknowledged_by = self.holder.filter(|_| self.keeps);
        Enqueued { redelivered: true, unacknowledged_by, ..self.enqueued }
    }

    /// The connection that had it is gone.
    fn release(self) -> Enqueued<T> {
        Enqueued { redelivered: true, unacknowledged_by: None, ..self.enqueued }
    }

    fn abandon(self, max_deliveries: u32) -> Result<Enqueued<T>, DeadLettered<T>> {
        let delivery_count = self.enqueued.delivery_count + 1;
        let released = Enqueued { delivery_count, ..self.release() };
        if delivery_count < max_deliveries {
            return Ok(released);
        }
        Err(released.dead_letter(Reason::DeliveryCountExceeded))
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(depth: usize, max_deliveries: u32) -> Self {
        Self {
            depth,
            max_deliveries,
            last_sequence: 0,
            enqueued: BTreeMap::new(),
            invisible: BTreeMap::new(),
        }
    }

    /// How many it holds, Enqueued and Invisible together.
    pub(crate) fn len(&self) -> usize {
        self.enqueued.len() + self.invisible.len()
    }

    /// Adds something at the end.
    pub(crate) fn push(&mut self, item: impl Into<Arc<T>>, expires: Timestamp) -> Result<(), Full> {
        if self.len() >= self.depth {
            return Err(Full);
        }
        self.last_sequence += 1;
        let enqueued = Enqueued {
            item: item.into(),
            expires,
            delivery_count: 0,
            redelivered: false,
            unacknowledged_by: None,
        };
        self.enqueued.insert(self.last_sequence, enqueued);
        Ok(())
    }

    /// Drops the oldest if there is no room for another.
    pub(crate) fn make_room(&mut self) {
        if self.len() < self.depth {
            return;
        }
        let numbers = self.enqueued.keys().chain(self.invisible.keys());
        if let Some(oldest) = numbers.min().copied() {
            self.enqueued.remove(&oldest);
            self.invisible.remove(&oldest);
        }
    }

    /// Locks the first that waits and that `receiver` does not have already.
    pub(crate) fn receive(&mut self, receiver: Receiver) -> Option<Received<T>> {
        let mut waiting = self.enqueued.iter();
        let sequence_number = *waiting
            .find(|(_, first)| {
                receiver.holder.is_none() || first.unacknowledged_by != receiver.holder
            })?
            .0;
        let first = self.enqueued.remove(&sequence_number)?;
        let received = Received {
            item: first.item.clone(),
            sequence_number,
            delivery_count: first.delivery_count,
            redelivered: first.redelivered,
        };
        self.invisible.insert(sequence_number, first.lock(receiver));
        Some(received)
    }

    /// Settles what was received under `token`.
    pub(crate) fn settle(
        &mut self,
        token: LockToken,
        settlement: Settlement,
    ) -> Result<Option<Settled<T>>, LockLost> {
        let mut locked = self.invisible.iter();
        let number = *locked.find(|(_, locked)| locked.token == token).ok_or(LockLost)?.0;
        let locked = self.invisible.remove(&number).ok_or(LockLost)?;
        Ok(match settlement {
            Settlement::Complete => Some(Settled::Completed(locked.enqueued.complete())),
            Settlement::Reject => {
                Some(Settled::DeadLettered(locked.enqueued.dead_letter(Reason::Rejected)))
            }
            Settlement::Abandon => match locked.abandon(self.max_deliveries) {
                Ok(enqueued) => {
                    self.enqueued.insert(number, enqueued);
                    None
                }
                Err(dead) => Some(Settled::DeadLettered(dead)),
            },
        })
    }

    /// Completes what `connection` has, even if its lock has ended meanwhile, unless somebody else
    /// received it since: an acknowledgement of MQTT names the message and not the lock.
    pub(crate) fn acknowledge(
        &mut self,
        sequence_number: u64,
        connection: ConnectionId,
    ) -> Option<Settled<T>> {
        let holder = Some(connection);
        let locked = self.invisible.get(&sequence_number);
        let waiting = self.enqueued.get(&sequence_number);
        let taken = if locked.is_some_and(|locked| locked.holder == holder) {
            self.invisible.remove(&sequence_number)?.enqueued
        } else if waiting.is_some_and(|waiting| waiting.unacknowledged_by == holder) {
            self.enqueued.remove(&sequence_number)?
        } else {
            return None;
        };
        Some(Settled::Completed(taken.complete()))
    }

    /// Puts back what `connection` had when it ended, and says whether that was anything.
    pub(crate) fn release(&mut self, connection: ConnectionId) -> bool {
        let holder = Some(connection);
        let held: Vec<u64> = self
            .invisible
            .iter()
            .filter_map(|(number, locked)| (locked.holder == holder).then_some(*number))
            .collect();
        let mut released = !held.is_empty();
        for number in held {
            if let Some(locked) = self.invisible.remove(&number) {
                self.enqueued.insert(number, locked.release());
            }
        }
        for waiting in self.enqueued.values_mut() {
            if waiting.unacknowledged_by == holder {
                waiting.unacknowledged_by = None;
                released = true;
            }
        }
        released
    }

    /// Dead-letters those that wait and of which `why` gives a reason.
    pub(crate) fn sweep(
        &mut self,
        why: impl Fn(&Enqueued<T>) -> Option<Reason>,
    ) -> Vec<Settled<T>> {
        let doomed: Vec<(u64, Reason)> = self
            .enqueued
            .iter()
            .filter_map(|(number, waiting)| Some((*number, why(waiting)?)))
            .collect();
        doomed
            .into_iter()
            .filter_map(|(number, reason)| {
                let waiting = self.enqueued.remove(&number)?;
                Some(Settled::DeadLettered(waiting.dead_letter(reason)))
            })
            .collect()
    }

    /// Ends the locks and the lives that are over at `now`.
    pub(crate) fn elapse(&mut self, now: Timestamp) -> Vec<Settled<T>> {
        let over: Vec<u64> = self
            .invisible
            .iter()
            .filter_map(|(number, locked)| (locked.until <= now).then_some(*number))
            .collect();
        for number in over {
            if let Some(locked) = self.invisible.remove(&number) {
                self.enqueued.insert(number, locked.time_out());
            }
        }
        self.sweep(|waiting| (waiting.expires <= now).then_some(Reason::Expired))
    }

    /// Dead-letters everything, received or not.
    pub(crate) fn purge(&mut self) -> Vec<Settled<T>> {
        for (number, locked) in std::mem::take(&mut self.invisible) {
            self.enqueued.insert(number, locked.release());
        }
        self.sweep(|_| Some(Reason::Purged))
    }

    /// The next moment at which [`Queue::elapse`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let locks = self.invisible.values().map(|locked| locked.until);
        let lives = self.enqueued.values().map(|waiting| waiting.expires);
        locks.chain(lives).min()
    }
}

impl<T> Enqueued<T> {
    pub(crate) fn item(&self) -> &T {
        &self.item
    }
}

#[cfg(test)]
mod tests;
