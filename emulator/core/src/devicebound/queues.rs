//! The queues of a hub's devices, and its feedback.
//!
//! Every call brings the time, and ends what is over before it does anything else. So nothing has to
//! run in the background: who waits for a message or for feedback sleeps until the next deadline.
//! That messages end when nobody looks either, for the journal, is the hub's own work.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;

use super::feedback::{FeedbackDelivery, FeedbackQueue, FeedbackRecord};
use super::queue::{LockLost, Queue, Reason, Received, Receiver, Settled};
use super::{Delivery, DeviceboundMessage, LockToken, Settlement};
use crate::error::HubError;
use crate::event::SystemProperty;
use crate::ids::{DeviceId, GenerationId};
use crate::journal::{Journal, Step, What};
use crate::limits;
use crate::session::{Assurance, Claim, ConnectionId, Subscription};
use crate::time::Timestamp;

/// The queues of a hub's devices. There is one for each device that ever got a message; it goes
/// with the identity.
#[derive(Debug)]
pub(crate) struct Queues {
    by_device: DashMap<DeviceId, DeviceQueue>,
    /// The next deadline of each queue that has one. Locked after a shard, never before.
    deadlines: Mutex<BTreeSet<(Timestamp, DeviceId)>>,
    feedback: Mutex<FeedbackQueue>,
    /// Wakes who waits for feedback.
    more_feedback: Notify,
    journal: Arc<Journal>,
}

#[derive(Debug)]
struct DeviceQueue {
    generation: GenerationId,
    messages: Queue<DeviceboundMessage>,
    /// Its entry in [`Queues::deadlines`].
    deadline: Option<Timestamp>,
}

/// What a connection finds when it looks for a message.
#[derive(Debug)]
pub(crate) enum Taking {
    /// A message.
    Taken(Delivery),
    /// Nothing until then.
    NothingUntil(Option<Timestamp>),
}

impl Queues {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self {
            by_device: DashMap::default(),
            deadlines: Mutex::default(),
            feedback: Mutex::default(),
            more_feedback: Notify::new(),
            journal,
        }
    }

    /// Adds a message to the queue of its device.
    pub(crate) fn push(&self, message: DeviceboundMessage, now: Timestamp) -> Result<(), HubError> {
        let (device, generation) = (message.device.clone(), message.generation);
        let full = || HubError::DeviceMaximumQueueDepthExceeded(device.clone());
        let mut queue =
            self.by_device.entry(device.clone()).or_insert_with(|| DeviceQueue::new(generation));
        if queue.generation != generation {
            // Of a device of the same name that has been deleted since.
            self.schedule(&device, &mut queue.deadline, None);
            *queue = DeviceQueue::new(generation);
        }
        self.work(&device, &mut queue, now, |messages, _| {
            let expires = message.expires();
            let message = Arc::new(message);
            messages.push(message.clone(), expires).map_err(|_| full())?;
            self.note(&message, Step::Enqueued, now);
            Ok(())
        })
    }

    /// The next message for a device that asks once, locked until then.
    pub(crate) fn receive(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        (token, until): (LockToken, Timestamp),
        now: Timestamp,
    ) -> Option<Delivery> {
        let receiver = Receiver { token, until, holder: None, keeps: false };
        let received = self.with(device, generation, now, |messages, _| messages.receive(receiver));
        let received = received.flatten()?;
        Some(self.delivery(received, token, Assurance::AtLeastOnce, now))
    }

    /// The next message for a connection with this subscription.
    ///
    /// What was sent before the device subscribed over MQTT is not for it, and dead-lettered. At
    /// most once means that a message is settled as it is sent, and not sent at all if somebody
    /// may have had it before. Both are the rules of Microsoft's protocol gateway.
    pub(crate) fn take(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        subscription: Subscription,
        (connection, token): (ConnectionId, LockToken),
        now: Timestamp,
    ) -> Taking {
        let until = now.after(limits::DEVICEBOUND_LOCK_TIME);
        let keeps = matches!(subscription.claim, Claim::Since(_));
        let receiver = Receiver { token, until, holder: Some(connection), keeps };
        let taking = self.with(device, generation, now, |messages, settled| {
            if let Claim::Since(since) = subscription.claim {
                settled.extend(
                    messages.sweep(|one| (one.item().enqueued < since).then_some(Reason::Rejected)),
                );
            }
            while let Some(received) = messages.receive(receiver) {
                if subscription.assurance == Assurance::AtLeastOnce {
                    let assurance = Assurance::AtLeastOnce;
                    return Taking::Taken(self.delivery(received, token, assurance, now));
                }
                settled.extend(messages.acknowledge(received.sequence_number, connection));
                if !received.redelivered {
                    let assurance = Assurance::AtMostOnce;
                    return Taking::Taken(self.delivery(received, token, assurance, now));
                }
            }
            Taking::NothingUntil(messages.next_deadline())
        });
        taking.unwrap_or(Taking::NothingUntil(None))
    }

    /// Settles what a device received.
    pub(crate) fn settle(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        token: LockToken,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<(), HubError> {
        let lost = || HubError::DeviceMessageLockLost(device.clone());
        let settle = |messages: &mut Queue<_>, settled: &mut Vec<_>| {
            settled.extend(messages.settle(token, settlement)?);
            Ok(())
        };
        let result = self.with(device, generation, now, settle);
        result.unwrap_or(Err(LockLost)).map_err(|LockLost| lost())
    }

    /// Completes what a connection has.
    pub(crate) fn acknowledge(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        sequence_number: u64,
        connection: ConnectionId,
        now: Timestamp,
    ) {
        self.with(device, generation, now, |messages, settled| {
            settled.extend(messages.acknowledge(sequence_number, connection));
        });
    }

    /// Puts back what a connection had when it ended, and says whether that was anything.
    pub(crate) fn release(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        connection: ConnectionId,
        now: Timestamp,
    ) -> bool {
        let released =
            self.with(device, generation, now, |messages, _| messages.release(connection));
        released.unwrap_or_default()
    }

    /// Dead-letters everything that waits for a device, and says how much that was.
    pub(crate) fn purge(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        now: Timestamp,
    ) -> usize {
        let purged = self.with(device, generation, now, |messages, settled| {
            let purged = messages.purge();
            let count = purged.len();
            settled.extend(purged);
            count
        });
        purged.unwrap_or_default()
    }

    /// How many messages wait for a device, those included that are locked.
    pub(crate) fn count(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        now: Timestamp,
    ) -> usize {
        self.with(device, generation, now, |messages, _| messages.len()).unwrap_or_default()
    }

    /// Removes the queue of a device that is gone. Nobody hears of what waited.
    pub(crate) fn remove(&self, device: &DeviceId) {
        if let Some((_, mut queue)) = self.by_device.remove(device) {
            self.schedule(device, &mut queue.deadline, None);
        }
    }

    /// As [`Queues::remove`], unless the queue is that of a later identity.
    pub(crate) fn remove_generation(&self, device: &DeviceId, generation: GenerationId) {
        if let Entry::Occupied(mut entry) = self.by_device.entry(device.clone())
            && entry.get().generation == generation
        {
            self.schedule(device, &mut entry.get_mut().deadline, None);
            entry.remove();
        }
    }

    /// The next batch of feedback, locked under `token`; else when there may be one.
    pub(crate) fn receive_feedback(
        &self,
        token: LockToken,
        now: Timestamp,
    ) -> Result<FeedbackDelivery, Option<Timestamp>> {
        self.elapse(now);
        let mut feedback = self.feedback();
        feedback.receive(token, now).ok_or_else(|| {
            let of_queues = self.deadlines().first().map(|(deadline, _)| *deadline);
            feedback.next_deadline().into_iter().chain(of_queues).min()
        })
    }

    /// Settles a batch of feedback, and says whether its lock still held.
    pub(crate) fn settle_feedback(
        &self,
        token: LockToken,
        settlement: Settlement,
        now: Timestamp,
    ) -> bool {
        let held = self.feedback().settle(token, settlement, now).is_ok();
        self.more_feedback.notify_waiters();
        held
    }

    /// Returns when there may be more feedback, or an earlier deadline, than before.
    pub(crate) fn more_feedback(&self) -> tokio::sync::futures::Notified<'_> {
        self.more_feedback.notified()
    }

    /// Ends what is over in every queue, and says when there may be more of that.
    pub(crate) fn end_what_is_over(&self, now: Timestamp) -> Option<Timestamp> {
        self.elapse(now);
        self.deadlines().first().map(|(deadline, _)| *deadline)
    }

    /// Ends what is over in every queue.
    fn elapse(&self, now: Timestamp) {
        loop {
            let due = self.deadlines().first().filter(|(at, _)| *at <= now).cloned();
            let Some((_, device)) = due else { return };
            // The entry of a queue is changed under the lock of its shard, so one that is gone was
            // removed from here first.
            let Some(mut queue) = self.by_device.get_mut(&device) else { return };
            self.work(&device, &mut queue, now, |_, _| ());
        }
    }

    /// Works on the queue of a device, if it has one.
    fn with<T>(
        &self,
        device: &DeviceId,
        generation: GenerationId,
        now: Timestamp,
        work: impl FnOnce(&mut Queue<DeviceboundMessage>, &mut Vec<Settled<DeviceboundMessage>>) -> T,
    ) -> Option<T> {
        let mut queue = self.by_device.get_mut(device)?;
        if queue.generation != generation {
            return None;
        }
        Some(self.work(device, &mut queue, now, work))
    }

    fn work<T>(
        &self,
        device: &DeviceId,
        queue: &mut DeviceQueue,
        now: Timestamp,
        work: impl FnOnce(&mut Queue<DeviceboundMessage>, &mut Vec<Settled<DeviceboundMessage>>) -> T,
    ) -> T {
        let mut settled = queue.messages.elapse(now);
        let result = work(&mut queue.messages, &mut settled);
        // What `work` added may be over already.
        settled.extend(queue.messages.elapse(now));
        let next = queue.messages.next_deadline();
        self.schedule(device, &mut queue.deadline, next);
        self.tell(&settled, now);
        result
    }

    fn schedule(
        &self,
        device: &DeviceId,
        current: &mut Option<Timestamp>,
        next: Option<Timestamp>,
    ) {
        if *current == next {
            return;
        }
        let mut deadlines = self.deadlines();
        if let Some(deadline) = current.take() {
            deadlines.remove(&(deadline, device.clone()));
        }
        if let Some(deadline) = next {
            deadlines.insert((deadline, device.clone()));
        }
        *current = next;
        drop(deadlines);
        self.more_feedback.notify_waiters();
    }

    fn tell(&self, settled: &[Settled<DeviceboundMessage>], now: Timestamp) {
        for (message, status) in settled.iter().map(Settled::outcome) {
            self.note(message, Step::Ended(status), now);
        }
        let records: Vec<_> =
            settled.iter().filter_map(|settled| FeedbackRecord::of(settled, now)).collect();
        if records.is_empty() {
            return;
        }
        let mut feedback = self.feedback();
        for record in records {
            feedback.add(record, now);
        }
        drop(feedback);
        self.more_feedback.notify_waiters();
    }

    fn delivery(
        &self,
        received: Received<DeviceboundMessage>,
        lock_token: LockToken,
        assurance: Assurance,
        now: Timestamp,
    ) -> Delivery {
        let Received { item: message, sequence_number, delivery_count, redelivered } = received;
        self.note(&message, Step::Delivered, now);
        Delivery { message, sequence_number, lock_token, delivery_count, redelivered, assurance }
    }

    fn note(&self, message: &DeviceboundMessage, step: Step, now: Timestamp) {
        let message_id = message.system(SystemProperty::MessageId).map(str::to_owned);
        let id = message.device.clone().into();
        self.journal.write(now, Some(&id), What::Devicebound { message_id, step });
    }

    // A poisoned lock means that a statement below panicked; what is behind it is still sound.

    fn deadlines(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, DeviceId)>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feedback(&self) -> MutexGuard<'_, FeedbackQueue> {
        self.feedback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DeviceQueue {
    fn new(generation: GenerationId) -> Self {
        let messages = Queue::new(limits::DEVICEBOUND_QUEUE, limits::DEVICEBOUND_MAX_DELIVERIES);
        Self { generation, messages, deadline: None }
    }
}
