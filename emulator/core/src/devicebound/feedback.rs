//! What became of cloud-to-device messages whose senders asked: records, gathered into batches,
//! which wait to be received and settled as messages do.

use std::sync::Arc;

use super::message::Ack;
use super::queue::{Completed, DeadLettered, LockLost, Queue, Reason, Receiver, Settled};
use super::{DeviceboundMessage, LockToken, Settlement};
use crate::event::SystemProperty;
use crate::ids::{DeviceId, GenerationId};
use crate::limits;
use crate::time::Timestamp;

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeedbackStatus {
    /// The device took it.
    Success,
    /// Nobody received it in time.
    Expired,
    /// It was abandoned too often.
    DeliveryCountExceeded,
    /// The device did not want it, or could not get it.
    Rejected,
    /// A back end emptied the queue.
    Purged,
}

/// What became of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedbackRecord {
    /// The message id, if its sender gave it one.
    pub original_message_id: Option<String>,
    /// When that happened.
    pub at: Timestamp,
    /// What happened.
    pub status: FeedbackStatus,
    /// To whom it was sent.
    pub device: DeviceId,
    /// Which identity of that name.
    pub generation: GenerationId,
}

/// Records that a back end receives together.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackBatch {
    /// The records, oldest first.
    pub records: Vec<FeedbackRecord>,
    /// When the batch was closed.
    pub enqueued: Timestamp,
}

/// A batch that a back end received and has to settle.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackDelivery {
    /// The batch.
    pub batch: Arc<FeedbackBatch>,
    /// What settles it.
    pub lock_token: LockToken,
}

impl FeedbackStatus {
    /// The name that the service writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
        }
    }

    /// Whether a sender who asked like that hears of it.
    fn concerns(self, ack: Ack) -> bool {
        match ack {
            Ack::None => false,
            Ack::Positive => self == Self::Success,
            Ack::Negative => self != Self::Success,
            Ack::Full => true,
        }
    }
}

impl From<Reason> for FeedbackStatus {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Expired => Self::Expired,
            Reason::DeliveryCountExceeded => Self::DeliveryCountExceeded,
            Reason::Rejected => Self::Rejected,
            Reason::Purged => Self::Purged,
        }
    }
}

impl Settled<DeviceboundMessage> {
    /// Which message left the queue, and what became of it.
    pub(super) fn outcome(&self) -> (&Arc<DeviceboundMessage>, FeedbackStatus) {
        match self {
            Self::Completed(Completed(message)) => (message, FeedbackStatus::Success),
            Self::DeadLettered(DeadLettered(message, reason)) => (message, (*reason).into()),
        }
    }
}

impl FeedbackRecord {
    /// What the sender of a message hears of its end, if it asked.
    pub(super) fn of(settled: &Settled<DeviceboundMessage>, now: Timestamp) -> Option<Self> {
        let (message, status) = settled.outcome();
        status.concerns(message.ack?).then(|| Self {
            original_message_id: message.system(SystemProperty::MessageId).map(str::to_owned),
            at: now,
            status,
            device: message.device.clone(),
            generation: message.generation,
        })
    }
}

/// The feedback queue of a hub. Bounded: the oldest batch makes room for the newest.
#[derive(Debug)]
pub(super) struct FeedbackQueue {
    gathering: Vec<FeedbackRecord>,
    /// When the batch that is being gathered will be closed.
    closes: Timestamp,
    batches: Queue<FeedbackBatch>,
}

impl Default for FeedbackQueue {
    fn default() -> Self {
        Self {
            gathering: Vec::new(),
            closes: Timestamp::NEVER,
            batches: Queue::new(limits::FEEDBACK_BATCHES, limits::DEVICEBOUND_MAX_DELIVERIES),
        }
    }
}

impl FeedbackQueue {
    /// Takes a record. The first of a batch starts its time.
    pub(super) fn add(&mut self, record: FeedbackRecord, now: Timestamp) {
        self.elapse(now);
        if self.gathering.is_empty() {
            self.closes = now.after(limits::FEEDBACK_BATCH_TIME);
        }
        self.gathering.push(record);
        if self.gathering.len() >= limits::FEEDBACK_BATCH_RECORDS {
            self.close(now);
        }
    }

    /// The next batch, locked under `token`.
    pub(super) fn receive(&mut self, token: LockToken, now: Timestamp) -> Option<FeedbackDelivery> {
        self.elapse(now);
        let until = now.after(limits::DEVICEBOUND_LOCK_TIME);
        let received =
            self.batches.receive(Receiver { token, until, holder: None, keeps: false })?;
        Some(FeedbackDelivery { batch: received.item, lock_token: token })
    }

    /// Settles a batch.
    pub(super) fn settle(
        &mut self,
        token: LockToken,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), LockLost> {
        self.elapse(now);
        self.batches.settle(token, settlement).map(drop)
    }

    /// When there may be something to receive that is not there now.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let closes = (!self.gathering.is_empty()).then_some(self.closes);
        closes.into_iter().chain(self.batches.next_deadline()).min()
    }

    fn elapse(&mut self, now: Timestamp) {
        if !self.gathering.is_empty() && self.closes <= now {
            // Closed when its time was over, whenever that is noticed.
            self.close(self.closes);
        }
        // Nobody hears of feedback that came to nothing.
        drop(self.batches.elapse(now));
    }

    fn close(&mut self, at: Timestamp) {
        let records = std::mem::take(&mut self.gathering);
        self.batches.make_room();
        let batch = FeedbackBatch { records, enqueued: at };
        // There is room now, unless the bound is zero.
        let _full = self.batches.push(batch, at.after(limits::FEEDBACK_TTL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::NEVER;

    fn record(id: usize) -> FeedbackRecord {
        FeedbackRecord {
            original_message_id: Some(id.to_string()),
            at: NOW,
            status: FeedbackStatus::Success,
            device: DeviceId::parse("d").unwrap(),
            generation: GenerationId::at(NOW),
        }
    }

    fn token(number: u8) -> LockToken {
        LockToken::new([number; 16])
    }

    #[test]
    fn who_asked_hears_what_was_asked_for() {
        use FeedbackStatus::{DeliveryCountExceeded, Expired, Purged, Rejected, Success};
        for (ack, success, failure) in [
            (Ack::None, false, false),
            (Ack::Positive, true, false),
            (Ack::Negative, false, true),
            (Ack::Full, true, true),
        ] {
            assert_eq!(Success.concerns(ack), success, "{ack}");
            for status in [DeliveryCountExceeded, Expired, Purged, Rejected] {
                assert_eq!(status.concerns(ack), failure, "{ack} {status:?}");
            }
        }
    }

    #[test]
    fn a_batch_closes_when_it_is_full_or_its_time_is_over() {
        let mut queue = FeedbackQueue::default();
        for id in 0..=limits::FEEDBACK_BATCH_RECORDS {
            queue.add(record(id), NOW);
        }
        let first = queue.receive(token(1), NOW).unwrap();
        assert_eq!(first.batch.records.len(), limits::FEEDBACK_BATCH_RECORDS);
        assert_eq!(queue.receive(token(2), NOW), None);
        let later = NOW.after(limits::FEEDBACK_BATCH_TIME);
        assert_eq!(queue.next_deadline(), Some(later));
        let second = queue.receive(token(2), later).unwrap();
        assert_eq!(second.batch.records, [record(limits::FEEDBACK_BATCH_RECORDS)]);
        assert_eq!(queue.settle(token(1), Settlement::Complete, later), Ok(()));
        assert_eq!(queue.settle(token(1), Settlement::Complete, later), Err(LockLost));
    }

    #[test]
    fn a_batch_that_is_not_settled_comes_again_until_its_time_is_over() {
        let mut queue = FeedbackQueue::default();
        queue.add(record(1), NOW);
        let closed = NOW.after(limits::FEEDBACK_BATCH_TIME);
        assert!(queue.receive(token(1), closed).is_some());
        let again = closed.after(limits::DEVICEBOUND_LOCK_TIME);
        assert!(queue.receive(token(2), again).is_some());
        let over = closed.after(limits::FEEDBACK_TTL);
        assert!(queue.receive(token(3), over).is_none());
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn the_oldest_batch_makes_room() {
        let mut queue = FeedbackQueue::default();
        let batches = limits::FEEDBACK_BATCHES + 1;
        for id in 0..batches * limits::FEEDBACK_BATCH_RECORDS {
            queue.add(record(id), NOW);
        }
        let first = queue.receive(token(1), NOW).unwrap();
        assert_eq!(first.batch.records.first(), Some(&record(limits::FEEDBACK_BATCH_RECORDS)));
    }
}
