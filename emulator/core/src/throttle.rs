//! Throttles and the daily quota of a hub, by its tier. Off unless asked for.
//!
//! The service shapes traffic: a short burst passes, what follows is held back to the rate of the
//! tier, and what would have to wait too long is refused. Each kind of operation has a rate of its
//! own. Rates are those of "IoT Hub quotas and throttling".

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::HubError;
use crate::time::Timestamp;

/// The tier of a hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tier {
    /// Free.
    F1,
    /// Standard, small.
    S1,
    /// Standard, medium.
    S2,
    /// Standard, large.
    S3,
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Reading or writing the identity registry.
    Registry,
    /// A new connection of a device.
    Connect,
    /// A device-to-cloud message of so many bytes.
    SendEvent(usize),
    /// Sending a cloud-to-device message.
    SendDevicebound,
    /// Looking for a cloud-to-device message over HTTPS.
    ReceiveDevicebound,
    /// Calling a direct method with so many bytes.
    InvokeMethod(usize),
    /// Reading a twin.
    ReadTwin,
    /// Changing a twin.
    UpdateTwin,
    /// A query.
    Query,
    /// Creating, reading or cancelling a job.
    Job,
    /// Reading or writing a configuration.
    Configuration,
}

/// How traffic is shaped: so much passes at once, and so long may the rest wait. Ours; the service
/// publishes neither.
const BURST: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Direct methods are metered in these.
const METHOD_METER_BYTES: usize = 4 * 1024;
const DAY_SECONDS: u64 = 24 * 60 * 60;
const KINDS: usize = 11;

/// Holds a hub to its tier.
#[derive(Debug)]
pub struct Throttles {
    tier: Tier,
    units: u32,
    /// A std mutex: a few additions, and nothing awaits while it is held.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each kind of operation will have caught up with what was let through.
    caught_up: [Timestamp; KINDS],
    /// The day, and the messages that were counted in it.
    day: u64,
    messages: u64,
}

impl Tier {
    /// Parses the name that prices and portals use.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::F1, Self::S1, Self::S2, Self::S3]
            .into_iter()
            .find(|tier| tier.name().eq_ignore_ascii_case(name))
    }

    /// That name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
        }
    }

    /// Operations per second of a hub with so many units.
    fn rate(self, kind: Operation, units: u32) -> f64 {
        let units = f64::from(units);
        let small = |small: f64, large: f64| if self == Self::S3 { large } else { small };
        match kind {
            Operation::Registry | Operation::SendDevicebound | Operation::Job => {
                small(100.0, 5000.0) / 60.0 * units
            }
            Operation::Connect | Operation::SendEvent(_) => match self {
                Self::F1 | Self::S1 => (12.0 * units).max(100.0),
                Self::S2 => 120.0 * units,
                Self::S3 => 6000.0 * units,
            },
            Operation::ReceiveDevicebound => small(1000.0, 50_000.0) / 60.0 * units,
            Operation::InvokeMethod(_) => match self {
                Self::F1 | Self::S1 => 40.0 * units,
                Self::S2 => 120.0 * units,
                Self::S3 => 6144.0 * units,
            },
            Operation::ReadTwin => match self {
                Self::F1 | Self::S1 => 100.0,
                Self::S2 => (10.0 * units).max(100.0),
                Self::S3 => 500.0 * units,
            },
            Operation::UpdateTwin => match self {
                Self::F1 | Self::S1 => 50.0,
                Self::S2 => (5.0 * units).max(50.0),
                Self::S3 => 250.0 * units,
            },
            Operation::Query => small(20.0, 1000.0) / 60.0 * units,
            Operation::Configuration => 20.0 / 60.0 * units,
        }
    }

    /// Messages per day, and the bytes that one of them has at most.
    fn quota(self, units: u32) -> (u64, usize) {
        let units = u64::from(units);
        match self {
            Self::F1 => (8000, 512),
            Self::S1 => (400_000 * units, 4096),
            Self::S2 => (6_000_000 * units, 4096),
            Self::S3 => (300_000_000 * units, 4096),
        }
    }
}

impl Operation {
    /// The name that a refusal tells.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registry => "IdentityRegistry",
            Self::Connect => "DeviceConnect",
            Self::SendEvent(_) => "DeviceTelemetry",
            Self::SendDevicebound => "CloudToDeviceSend",
            Self::ReceiveDevicebound => "CloudToDeviceReceive",
            Self::InvokeMethod(_) => "DirectMethod",
            Self::ReadTwin => "TwinRead",
            Self::UpdateTwin => "TwinUpdate",
            Self::Query => "Query",
            Self::Job => "Job",
            Self::Configuration => "ConfigurationWrite",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Registry => 0,
            Self::Connect => 1,
            Self::SendEvent(_) => 2,
            Self::SendDevicebound => 3,
            Self::ReceiveDevicebound => 4,
            Self::InvokeMethod(_) => 5,
            Self::ReadTwin => 6,
            Self::UpdateTwin => 7,
            Self::Query => 8,
            Self::Job => 9,
            Self::Configuration => 10,
        }
    }

    /// How much of the rate it takes.
    fn cost(self) -> f64 {
        match self {
            Self::InvokeMethod(bytes) => metered(bytes, METHOD_METER_BYTES) as f64,
            _ => 1.0,
        }
    }
}

/// How many meters of a size something has; at least one.
fn metered(bytes: usize, meter: usize) -> u64 {
    bytes.div_ceil(meter).max(1) as u64
}

impl Throttles {
    /// The throttles of a hub of this tier with so many units.
    pub fn new(tier: Tier, units: u32) -> Self {
        Self { tier, units: units.max(1), state: Mutex::default() }
    }

    /// How many jobs may be at work at a time.
    pub fn running_jobs(&self) -> usize {
        match self.tier {
            Tier::F1 | Tier::S1 => 1,
            Tier::S2 => 5,
            Tier::S3 => 10,
        }
    }

    /// Counts an operation, and says until when it has to wait.
    ///
    /// # Errors
    ///
    /// It would have to wait too long, or the messages of the day are used up.
    pub fn admit(&self, operation: Operation, now: Timestamp) -> Result<Timestamp, HubError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = self.count(&state, operation, now)?;
        let Some(caught_up) = state.caught_up.get_mut(operation.index()) else { return Ok(now) };
        let takes =
            Duration::from_secs_f64(operation.cost() / self.tier.rate(operation, self.units));
        let end = (*caught_up).max(now).after(takes);
        let wait = end.since(now).saturating_sub(BURST.max(takes));
        if wait > LONGEST_WAIT {
            return Err(HubError::Throttled(operation.name()));
        }
        *caught_up = end;
        (state.day, state.messages) = messages;
        Ok(now.after(wait))
    }

    /// The day and its messages with this operation among them.
    fn count(
        &self,
        state: &State,
        operation: Operation,
        now: Timestamp,
    ) -> Result<(u64, u64), HubError> {
        let today = now.unix_seconds() / DAY_SECONDS;
        let before = if state.day == today { state.messages } else { 0 };
        let (quota, meter) = self.tier.quota(self.units);
        let messages = match operation {
            Operation::SendEvent(bytes) | Operation::InvokeMethod(bytes) => metered(bytes, meter),
            Operation::SendDevicebound => 1,
            _ => 0,
        };
        if messages > 0 && before + messages > quota {
            return Err(HubError::QuotaExceeded { quota, messages: before });
        }
        Ok((today, before + messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs_f64(1_000_000.0 + seconds))
    }

    fn waits(throttles: &Throttles, operation: Operation, count: usize) -> Vec<f64> {
        (0..count)
            .map_while(|_| throttles.admit(operation, at(0.0)).ok())
            .map(|until| until.since(at(0.0)).as_secs_f64())
            .collect()
    }

    #[test]
    fn a_burst_passes_then_traffic_is_shaped_then_refused() {
        let throttles = Throttles::new(Tier::S1, 1);
        let waits = waits(&throttles, Operation::UpdateTwin, 1000);
        // 50 a second: a second's worth at once, ten seconds' worth later, no more.
        assert_eq!(waits.len(), 550);
        assert!(waits[..50].iter().all(|wait| *wait < 0.001));
        assert!((waits[549] - 10.0).abs() < 0.001, "{}", waits[549]);
        let refused = throttles.admit(Operation::UpdateTwin, at(0.0));
        assert_eq!(refused, Err(HubError::Throttled("TwinUpdate")));
        assert!(throttles.admit(Operation::UpdateTwin, at(1.0)).is_ok(), "it catches up");
        assert!(throttles.admit(Operation::ReadTwin, at(0.0)).is_ok(), "each kind by itself");
    }

    #[test]
    fn rates_follow_tier_and_units() {
        let at_once = |tier, units, operation| {
            let throttles = Throttles::new(tier, units);
            waits(&throttles, operation, 10_000).iter().filter(|wait| **wait < 0.001).count()
        };
        let table = [
            (Tier::S1, 1, Operation::Registry, 1),
            (Tier::S1, 10, Operation::Registry, 16),
            (Tier::S3, 1, Operation::Registry, 83),
            (Tier::F1, 1, Operation::Connect, 100),
            (Tier::S1, 10, Operation::Connect, 120),
            (Tier::S2, 2, Operation::SendEvent(1), 240),
            (Tier::S1, 1, Operation::InvokeMethod(1), 40),
            (Tier::S1, 1, Operation::InvokeMethod(8192), 20),
            (Tier::S2, 20, Operation::ReadTwin, 200),
        ];
        for (tier, units, operation, expected) in table {
            assert_eq!(at_once(tier, units, operation), expected, "{tier:?} {operation:?}");
        }
    }

    #[test]
    fn the_messages_of_a_day_are_counted_in_meters_until_midnight() {
        let throttles = Throttles::new(Tier::F1, 1);
        let midnight = Timestamp::from_unix_seconds(DAY_SECONDS * 20_000);
        let second = |index: u64| midnight.after(Duration::from_secs(index));
        for index in 0..4000 {
            assert!(throttles.admit(Operation::SendEvent(513), second(index)).is_ok());
        }
        let refused = throttles.admit(Operation::SendEvent(1), second(4000));
        assert_eq!(refused, Err(HubError::QuotaExceeded { quota: 8000, messages: 8000 }));
        assert!(throttles.admit(Operation::ReadTwin, second(4000)).is_ok());
        assert!(throttles.admit(Operation::SendEvent(1), second(DAY_SECONDS)).is_ok());
    }

    #[test]
    fn jobs_wait_for_each_other_by_tier() {
        let jobs = |tier| Throttles::new(tier, 1).running_jobs();
        assert_eq!([Tier::F1, Tier::S1, Tier::S2, Tier::S3].map(jobs), [1, 1, 5, 10]);
    }

    #[test]
    fn tiers_have_names() {
        assert_eq!(Tier::parse("s2"), Some(Tier::S2));
        assert_eq!(Tier::parse("B1"), None);
    }
}
