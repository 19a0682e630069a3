//! Faults that a test puts into a hub: operations that take long, or fail as the service's do.

pub mod line;
pub mod message;
pub mod preset;
pub mod reach;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::line::Loss;
use crate::auth::Refusal;
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::limits;
use crate::random::Random;
use crate::throttle::Operation;
use crate::time::Timestamp;

/// The names of the operations that can fail, as a test writes them.
pub const OPERATIONS: [&str; 14] = [
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
    "acceptMqtt",
    "acceptAmqp",
    "acceptHttps",
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
    /// The connection ends.
    Disconnect,
    /// Any status that HTTP has for errors.
    Status(u16),
    /// The connection is reset.
    Reset,
    /// Nothing comes through the connection any more, and nobody is told.
    HalfOpen,
    /// The operation is carried out, and its answer never comes.
    AnswerLost,
    /// The operation is carried out, and its answer comes after the delay.
    AnswerLate,
    /// The operation is carried out, and its answer cannot be read.
    AnswerCorrupt,
}

/// What happens to the answer to an operation that was carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnswerFault {
    /// It never comes.
    Lost,
    /// It comes so much later.
    Late(Duration),
    /// It cannot be read.
    Corrupt,
}

/// What operations come by: a protocol, which has a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Edge {
    /// MQTT; its port is that with TLS and that without.
    Mqtt,
    /// AMQP, as with MQTT.
    Amqp,
    /// HTTPS; its port is that of WebSockets too, whatever is spoken over them.
    Https,
}

impl Edge {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mqtt, Self::Amqp, Self::Https];

    /// Its name, as connections and the journal have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
            Self::Https => "https",
        }
    }

    /// The name of accepting a connection at its port, among [`OPERATIONS`].
    pub fn accepting(self) -> &'static str {
        match self {
            Self::Mqtt => "acceptMqtt",
            Self::Amqp => "acceptAmqp",
            Self::Https => "acceptHttps",
        }
    }
}

/// What may be struck.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target<'a> {
    /// One of [`OPERATIONS`]; a request over HTTPS may be none of them.
    pub(crate) operation: Option<&'static str>,
    /// What it came by; an operation of the harness came by none.
    pub(crate) edge: Option<Edge>,
    pub(crate) id: Option<&'a IdentityId>,
    /// A request over HTTPS: method and path.
    pub(crate) route: Option<&'a str>,
    /// Whether it is a connection that is not accepted yet, which is struck by its name alone.
    pub(crate) accepts: bool,
}

/// What fails, how and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// One of [`OPERATIONS`]; none means each.
    pub operation: Option<&'static str>,
    /// What they come by; none means that this does not matter.
    pub edge: Option<Edge>,
    /// Whose operations: a device id, or the beginning of one and `*`; none means everybody's,
    /// those of back ends too.
    pub device: Option<String>,
    /// Which requests over HTTPS: method and path, as in `GET /devices/{id}`; none means that this
    /// does not matter.
    pub route: Option<String>,
    /// How they fail; none means that they only take long.
    pub failure: Option<Failure>,
    /// How long they take before.
    pub delay: Duration,
    /// How long it waits until it begins to strike.
    pub after: Duration,
    /// How long it strikes from then on; none means until it is removed.
    pub duration: Option<Duration>,
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
            edge: None,
            device: None,
            route: None,
            failure: None,
            delay: Duration::ZERO,
            after: Duration::ZERO,
            duration: None,
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
    /// Whether messages of devices may ask for faults.
    obeys_messages: AtomicBool,
}

#[derive(Debug, Default)]
struct Active {
    faults: Vec<Entry>,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    active: ActiveFault,
    chance: Random,
    begins: Timestamp,
    ends: Option<Timestamp>,
}

impl Failure {
    pub(crate) fn error(self, operation: Option<Operation>) -> HubError {
        match self {
            Self::Throttled => HubError::Throttled(operation.map_or("Request", Operation::name)),
            Self::QuotaExceeded => HubError::QuotaExceeded { quota: 0, messages: 0 },
            Self::Unauthorized => HubError::Unauthorized(Refusal::Injected),
            Self::Status(status) => HubError::Injected(status),
            Self::Disconnect => HubError::ConnectionLost(Loss::Closed),
            Self::Reset => HubError::ConnectionLost(Loss::Reset),
            Self::HalfOpen => HubError::ConnectionLost(Loss::Silence),
            _ => HubError::ServiceUnavailable("a fault was injected".to_owned()),
        }
    }

    /// Whether there is anything about an operation that can fail like this.
    fn can_befall(self, target: &Target<'_>) -> bool {
        let of_answer = matches!(self, Self::AnswerLost | Self::AnswerLate | Self::AnswerCorrupt);
        if target.accepts {
            return matches!(self, Self::Reset | Self::HalfOpen);
        }
        match (target.operation, target.edge) {
            // Nobody's connection, and nobody's answer.
            (_, None) => !of_answer && !self.is_of_connection(),
            // A device over AMQP never asks to be let in: it is with its first link.
            (Some("connect"), Some(Edge::Amqp)) => !of_answer,
            // Such a device has not asked for the message, and cannot be refused it.
            (Some("receiveDevicebound"), Some(Edge::Mqtt | Edge::Amqp)) => {
                of_answer || self.is_of_connection()
            }
            _ => true,
        }
    }

    /// Whether it ends a connection.
    fn is_of_connection(self) -> bool {
        matches!(self, Self::Disconnect | Self::Reset | Self::HalfOpen)
    }

    /// What it does to an answer, if that is what it does.
    fn answer(self, delay: Duration) -> Option<AnswerFault> {
        match self {
            Self::AnswerLost => Some(AnswerFault::Lost),
            Self::AnswerLate => Some(AnswerFault::Late(delay)),
            Self::AnswerCorrupt => Some(AnswerFault::Corrupt),
            _ => None,
        }
    }
}

impl Strike {
    /// How long the operation takes before.
    pub(crate) fn before(&self) -> Duration {
        if self.failure == Some(Failure::AnswerLate) { Duration::ZERO } else { self.delay }
    }

    /// What happens to the answer, if the operation is carried out.
    pub(crate) fn answer(&self) -> Option<AnswerFault> {
        self.failure.and_then(|failure| failure.answer(self.delay))
    }
}

/// A body that no reader of JSON takes: its first half, and the beginning of something else.
pub fn corrupted(body: &[u8]) -> Vec<u8> {
    let (half, _) = body.split_at(body.len() / 2);
    [half, b"{"].concat()
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

    /// The same for what comes by this protocol.
    #[must_use]
    pub fn over(self, edge: Edge) -> Self {
        Self { edge: Some(edge), ..self }
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

    /// The same for requests over HTTPS of this method and path, as in `GET /devices/{id}`.
    #[must_use]
    pub fn at(self, route: &str) -> Self {
        Self { route: Some(route.to_owned()), ..self }
    }

    /// The same, so much later: before the operation, or before its answer if that comes late.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same for so many of a hundred.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        Self { percent, ..self }
    }

    /// The same, for so long.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self { duration: Some(duration), ..self }
    }

    fn is_about(&self, target: &Target<'_>) -> bool {
        let device = self.device.as_deref().is_none_or(|pattern| {
            let Some(id) = target.id.map(|id| id.device.as_str()) else { return false };
            match pattern.strip_suffix('*') {
                Some(beginning) => id.starts_with(beginning),
                None => id == pattern,
            }
        });
        let operation = match self.operation {
            Some(name) => target.operation == Some(name),
            None => !target.accepts,
        };
        let route = self.route.as_deref().is_none_or(|route| target.route == Some(route));
        let failure = self.failure.is_none_or(|failure| failure.can_befall(target));
        let edge = self.edge.is_none_or(|edge| target.edge == Some(edge));
        device && operation && edge && route && failure
    }
}

/// What faults call an operation: one of [`OPERATIONS`].
pub fn name_of(operation: Operation) -> &'static str {
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
    /// Adds a fault, unless there are as many as there may be. Those whose time is over make room.
    pub(crate) fn add(&self, fault: Fault, now: Timestamp) -> Option<ActiveFault> {
        self.add_all(vec![fault], now)?.pop()
    }

    /// Adds faults, all or none.
    pub(crate) fn add_all(&self, faults: Vec<Fault>, now: Timestamp) -> Option<Vec<ActiveFault>> {
        let mut active = self.active();
        if active.faults.len() + faults.len() > limits::FAULTS {
            active.faults.retain(|entry| !entry.is_over(now));
        }
        if active.faults.len() + faults.len() > limits::FAULTS {
            return None;
        }
        let mut added = Vec::with_capacity(faults.len());
        for fault in faults {
            active.last += 1;
            let entry = Entry::new(active.last, fault, now);
            added.push(entry.active.clone());
            active.faults.push(entry);
        }
        self.count.store(active.faults.len(), Ordering::Relaxed);
        Some(added)
    }

    /// Removes a fault; false if there is none of that number.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut active = self.active();
        let before = active.faults.len();
        active.faults.retain(|entry| entry.active.id != id);
        self.count.store(active.faults.len(), Ordering::Relaxed);
        active.faults.len() < before
    }

    /// All faults, those included that have struck as often as they were to.
    pub(crate) fn list(&self) -> Vec<ActiveFault> {
        self.active().faults.iter().map(|entry| entry.active.clone()).collect()
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// What happens to an operation: what the first fault says that is about it. The time is asked
    /// for only if there are faults.
    pub(crate) fn strike(
        &self,
        target: &Target<'_>,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Strike> {
        if !self.any() {
            return None;
        }
        let now = now();
        let mut active = self.active();
        let mut entries = active.faults.iter_mut();
        let struck = entries.find(|entry| entry.strikes(target, now))?;
        struck.active.hits += 1;
        let ActiveFault { id, fault, .. } = &struck.active;
        Some(Strike { fault: *id, delay: fault.delay, failure: fault.failure })
    }

    /// Whether messages of devices may ask for faults.
    pub(crate) fn obeys_messages(&self) -> bool {
        self.obeys_messages.load(Ordering::Relaxed)
    }

    pub(crate) fn obey_messages(&self, obey: bool) {
        self.obeys_messages.store(obey, Ordering::Relaxed);
    }

    /// A std mutex: a few comparisons, and nothing awaits while it is held.
    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(id: u64, fault: Fault, now: Timestamp) -> Self {
        let chance = Random::seeded(fault.seed);
        let begins = now.after(fault.after);
        let ends = fault.duration.map(|duration| begins.after(duration));
        Self { active: ActiveFault { id, fault, hits: 0 }, chance, begins, ends }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }

    fn strikes(&self, target: &Target<'_>, now: Timestamp) -> bool {
        let ActiveFault { fault, hits, .. } = &self.active;
        self.begins <= now
            && !self.is_over(now)
            && fault.count.is_none_or(|count| *hits < count)
            && fault.is_about(target)
            && self.chance.number(0..100) < u64::from(fault.percent)
    }
}

#[cfg(test)]
mod tests;
