//! Calls that a connection has not answered yet, and callers who wait for a device to come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::CallId;
use crate::ids::IdentityId;
use crate::limits;

/// The calls that one connection has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: CallId,
    waiting: HashMap<CallId, oneshot::Sender<Outcome>>,
    ended: Option<Lost>,
}

/// What a device sent as an answer, not looked at yet.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) body: Bytes,
}

/// Why a connection will not answer any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// It ended.
    Disconnected,
    /// The same device connected again.
    TakenOver,
}

/// How a call ended.
pub(crate) type Outcome = Result<Answer, Lost>;

/// Why a call was not handed to a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotCalled {
    /// The device is not connected, or does not listen to its methods.
    NotOnline,
    /// It has as many calls to answer as it may have.
    TooMany,
}

/// A call that waits for its answer. Dropping it gives the call up: a later answer is nobody's.
#[derive(Debug)]
pub(crate) struct PendingCall {
    calls: Arc<Calls>,
    id: CallId,
    outcome: oneshot::Receiver<Outcome>,
}

impl Calls {
    /// Opens a call.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<PendingCall, NotCalled> {
        let mut state = self.state();
        if state.ended.is_some() {
            return Err(NotCalled::NotOnline);
        }
        if state.waiting.len() >= limits::METHODS_IN_FLIGHT {
            return Err(NotCalled::TooMany);
        }
        let id = state.last.next();
        state.last = id;
        let (answer, outcome) = oneshot::channel();
        state.waiting.insert(id, answer);
        Ok(PendingCall { calls: self.clone(), id, outcome })
    }

    /// Ends a call with its answer. Nobody may wait for it any more, and then it is dropped.
    pub(crate) fn answer(&self, id: CallId, answer: Answer) {
        if let Some(caller) = self.state().waiting.remove(&id) {
            // A caller who gave up at this moment is as good as one who did so before.
            let _gone = caller.send(Ok(answer));
        }
    }

    /// Ends all calls; the first reason stands.
    pub(crate) fn end(&self, why: Lost) {
        let mut state = self.state();
        state.ended.get_or_insert(why);
        for (_, caller) in state.waiting.drain() {
            let _gone = caller.send(Err(why));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingCall {
    /// Under which id the device answers.
    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    /// How it ends.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Err(Lost::Disconnected))
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.calls.state().waiting.remove(&self.id);
    }
}

/// Callers who wait for devices to connect and to listen to their methods.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<HashMap<IdentityId, Arc<Notify>>>);

/// One who waits for a device.
#[derive(Debug)]
pub(crate) struct Expectation<'a> {
    arrivals: &'a Arrivals,
    id: IdentityId,
    pub(super) arrived: Arc<Notify>,
}

impl Arrivals {
    /// Starts to wait for a device.
    pub(crate) fn expect(&self, id: &IdentityId) -> Expectation<'_> {
        let arrived = self.expected().entry(id.clone()).or_default().clone();
        Expectation { arrivals: self, id: id.clone(), arrived }
    }

    /// Wakes everybody who waits for a device, so that they look again.
    pub(crate) fn announce(&self, id: &IdentityId) {
        if let Some(arrived) = self.expected().get(id) {
            arrived.notify_waiters();
        }
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<IdentityId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Expectation<'_> {
    fn drop(&mut self) {
        let mut expected = self.arrivals.expected();
        // The map's handle and this one.
        if Arc::strong_count(&self.arrived) == 2 {
            expected.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    fn answer(status: i32) -> Answer {
        Answer { status, body: Bytes::new() }
    }

    #[tokio::test]
    async fn answers_find_their_calls_in_any_order() {
        let calls = Arc::new(Calls::default());
        let mut one = calls.begin().unwrap();
        let mut two = calls.begin().unwrap();
        assert_eq!((one.id().to_string(), two.id().to_string()), ("1".into(), "2".into()));
        calls.answer(two.id(), answer(2));
        calls.answer(one.id(), answer(1));
        assert_eq!(one.outcome().await, Ok(answer(1)));
        assert_eq!(two.outcome().await, Ok(answer(2)));
    }

    #[tokio::test]
    async fn a_late_answer_and_a_second_one_are_nobody_s() {
        let calls = Arc::new(Calls::default());
        let gone = calls.begin().unwrap().id();
        calls.answer(gone, answer(1));
        let mut call = calls.begin().unwrap();
        calls.answer(call.id(), answer(2));
        calls.answer(call.id(), answer(3));
        assert_eq!(call.outcome().await, Ok(answer(2)));
    }

    #[tokio::test]
    async fn the_end_of_a_connection_ends_its_calls() {
        let calls = Arc::new(Calls::default());
        let mut call = calls.begin().unwrap();
        calls.end(Lost::TakenOver);
        calls.end(Lost::Disconnected);
        assert_eq!(call.outcome().await, Err(Lost::TakenOver));
        assert_eq!(calls.begin().unwrap_err(), NotCalled::NotOnline);
    }

    #[test]
    fn a_device_has_a_bounded_number_of_calls_to_answer() {
        let calls = Arc::new(Calls::default());
        let mut pending: Vec<_> =
            (0..limits::METHODS_IN_FLIGHT).map(|_| calls.begin().unwrap()).collect();
        assert_eq!(calls.begin().unwrap_err(), NotCalled::TooMany);
        pending.pop();
        assert!(calls.begin().is_ok());
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_forgotten() {
        let arrivals = Arrivals::default();
        let id = DeviceId::parse("d").unwrap().into();
        let (one, other) = (arrivals.expect(&id), arrivals.expect(&id));
        let (first, second) = (one.arrived.notified(), other.arrived.notified());
        arrivals.announce(&id);
        tokio::join!(first, second);
        drop(one);
        assert_eq!(arrivals.expected().len(), 1);
        drop(other);
        assert_eq!(arrivals.expected().len(), 0);
    }
}
