//! Faults that a test puts into a hub: operations that take long, or fail as the service's do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::auth::Refusal;
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::limits;
use crate::random::Random;
use crate::throttle::Operation;
use crate::time::Timestamp;

/// The names of the operations that can fail, as a test writes them.
pub const OPERATIONS: [&str; 11] = [
    "connect",
    "sendEvent",
    "readTwin",
    "updateTwin",
    "sendDevicebound",
    "receiveDevicebound",
    "invokeMethod",
    "registry",
    "query",
    "job",
    "configuration",
];

/// How an operation fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// 429: too many of its kind.
    Throttled,
    /// 403: the messages of the day are used up.
    QuotaExceeded,
    /// 401: the token is not accepted.
    Unauthorized,
    /// 503: the service cannot do it now.
    Unavailable,
    /// The connection of the device ends.
    Disconnect,
}

/// What fails, how and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// One of [`OPERATIONS`]; none means each.
    pub operation: Option<&'static str>,
    /// Whose operations: a device id, or the beginning of one and `*`; none means everybody's,
    /// those of back ends too.
    pub device: Option<String>,
    /// How they fail; none means that they only take long.
    pub failure: Option<Failure>,
    /// How long they take before.
    pub delay: Duration,
    /// How many of them; none means all until the fault is removed.
    pub count: Option<u64>,
    /// How many of a hundred are struck.
    pub percent: u8,
    /// What chance begins with, so that a test sees the same each time.
    pub seed: u64,
}

impl Default for Fault {
    /// Strikes all and does nothing.
    fn default() -> Self {
        Self {
            operation: None,
            device: None,
            failure: None,
            delay: Duration::ZERO,
            count: None,
            percent: 100,
            seed: 0,
        }
    }
}

/// A fault that is in a hub.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveFault {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub fault: Fault,
    /// How many operations it has struck.
    pub hits: u64,
}

/// What happens to an operation.
#[derive(Debug, PartialEq)]
pub(crate) struct Strike {
    /// The number of the fault.
    pub(crate) fault: u64,
    pub(crate) delay: Duration,
    pub(crate) failure: Option<Failure>,
}

/// The faults of a hub. A look costs one load as long as there are none.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    count: AtomicUsize,
    active: Mutex<Active>,
}

#[derive(Debug, Default)]
struct Active {
    faults: Vec<(ActiveFault, Random)>,
    last: u64,
}

impl Failure {
    pub(crate) fn error(self, operation: Operation, now: Timestamp) -> HubError {
        match self {
            Self::Throttled => HubError::Throttled(operation.name()),
            Self::QuotaExceeded => HubError::QuotaExceeded { quota: 0, messages: 0 },
            Self::Unauthorized => HubError::Unauthorized(Refusal::Expired(now)),
            Self::Unavailable | Self::Disconnect => {
                HubError::ServiceUnavailable("a fault was injected".to_owned())
            }
        }
    }
}

impl Fault {
    /// One that strikes every operation of everybody.
    pub fn new(failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    /// The same for one of [`OPERATIONS`]; any other name is that of no operation.
    #[must_use]
    pub fn of(self, operation: &'static str) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same for a device, or for those whose ids begin with what stands before `*`.
    #[must_use]
    pub fn by(self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self }
    }

    /// The same, so often.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    fn is_about(&self, operation: Operation, id: Option<&IdentityId>) -> bool {
        let device = self.device.as_deref().is_none_or(|pattern| {
            let Some(id) = id.map(|id| id.device.as_str()) else { return false };
            match pattern.strip_suffix('*') {
                Some(beginning) => id.starts_with(beginning),
                None => id == pattern,
            }
        });
        device && self.operation.is_none_or(|name| name == name_of(operation))
    }
}

pub(crate) fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Connect => "connect",
        Operation::SendEvent(_) => "sendEvent",
        Operation::ReadTwin => "readTwin",
        Operation::UpdateTwin => "updateTwin",
        Operation::SendDevicebound => "sendDevicebound",
        Operation::ReceiveDevicebound => "receiveDevicebound",
        Operation::InvokeMethod(_) => "invokeMethod",
        Operation::Registry => "registry",
        Operation::Query => "query",
        Operation::Job => "job",
        Operation::Configuration => "configuration",
    }
}

impl Faults {
    /// Adds a fault, unless there are as many as there may be.
    pub(crate) fn add(&self, fault: Fault) -> Option<ActiveFault> {
        let mut active = self.active();
        if active.faults.len() >= limits::FAULTS {
            return None;
        }
        active.last += 1;
        let chance = Random::seeded(fault.seed);
        let added = ActiveFault { id: active.last, fault, hits: 0 };
        active.faults.push((added.clone(), chance));
        self.count.store(active.faults.len(), Ordering::Relaxed);
        Some(added)
    }

    /// Removes a fault; false if there is none of that number.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut active = self.active();
        let before = active.faults.len();
        active.faults.retain(|(fault, _)| fault.id != id);
        self.count.store(active.faults.len(), Ordering::Relaxed);
        active.faults.len() < before
    }

    /// All faults, those included that have struck as often as they were to.
    pub(crate) fn list(&self) -> Vec<ActiveFault> {
        self.active().faults.iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// What happens to an operation: what the first fault says that is about it.
    pub(crate) fn strike(&self, operation: Operation, id: Option<&IdentityId>) -> Option<Strike> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut active = self.active();
        let (struck, _) = active.faults.iter_mut().find(|(one, chance)| {
            one.fault.count.is_none_or(|count| one.hits < count)
                && one.fault.is_about(operation, id)
                && chance.number(0..100) < u64::from(one.fault.percent)
        })?;
        struck.hits += 1;
        Some(Strike { fault: struck.id, delay: struck.fault.delay, failure: struck.fault.failure })
    }

    /// A std mutex: a few comparisons, and nothing awaits while it is held.
    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    fn fault() -> Fault {
        Fault::new(Failure::Throttled)
    }

    fn id(text: &str) -> IdentityId {
        DeviceId::parse(text).unwrap().into()
    }

    #[test]
    fn a_fault_strikes_what_it_is_about() {
        let about = |operation, device: Option<&str>| Fault {
            operation,
            device: device.map(str::to_owned),
            ..fault()
        };
        let table = [
            (about(None, None), Operation::Query, None, true),
            (about(Some("query"), None), Operation::Query, None, true),
            (about(Some("query"), None), Operation::Job, None, false),
            (about(None, Some("d1")), Operation::Connect, Some("d1"), true),
            (about(None, Some("d1")), Operation::Connect, Some("d12"), false),
            (about(None, Some("d*")), Operation::SendEvent(7), Some("d12"), true),
            (about(Some("sendEvent"), Some("e*")), Operation::SendEvent(7), Some("d12"), false),
            (about(None, Some("*")), Operation::Connect, None, false),
        ];
        for (fault, operation, device, expected) in table {
            let faults = Faults::default();
            assert_eq!(faults.strike(operation, None), None);
            faults.add(fault.clone()).unwrap();
            let device = device.map(id);
            let strike = faults.strike(operation, device.as_ref());
            assert_eq!(strike.is_some(), expected, "{fault:?} {operation:?} {device:?}");
            assert_eq!(faults.list()[0].hits, u64::from(expected));
        }
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_is_to_and_is_removed() {
        let faults = Faults::default();
        let added = faults.add(Fault { count: Some(2), ..fault() }).unwrap();
        let struck = (0..5).filter(|_| faults.strike(Operation::Query, None).is_some()).count();
        assert_eq!((struck, faults.list()[0].hits), (2, 2));
        assert!(faults.remove(added.id) && !faults.remove(added.id));
        assert_eq!(faults.list(), []);
    }

    #[test]
    fn chance_is_the_same_each_time() {
        let strikes = || {
            let faults = Faults::default();
            faults.add(Fault { percent: 30, seed: 9, ..fault() }).unwrap();
            let strikes = (0..1000).map(|_| faults.strike(Operation::Query, None).is_some());
            strikes.collect::<Vec<_>>()
        };
        let first = strikes();
        assert_eq!(first, strikes());
        let count = first.iter().filter(|struck| **struck).count();
        assert!((200..400).contains(&count), "{count}");
    }

    #[test]
    fn faults_are_bounded() {
        let faults = Faults::default();
        for _ in 0..limits::FAULTS {
            assert!(faults.add(fault()).is_some());
        }
        assert_eq!(faults.add(fault()), None);
    }

    #[test]
    fn every_operation_has_a_name() {
        let all = [
            Operation::Connect,
            Operation::SendEvent(0),
            Operation::ReadTwin,
            Operation::UpdateTwin,
            Operation::SendDevicebound,
            Operation::ReceiveDevicebound,
            Operation::InvokeMethod(0),
            Operation::Registry,
            Operation::Query,
            Operation::Job,
            Operation::Configuration,
        ];
        assert_eq!(all.map(name_of), OPERATIONS);
    }
}
