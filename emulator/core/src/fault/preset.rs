//! Faults that belong together, under one name.

use std::time::Duration;

use super::{Failure, Fault};

/// How long a hub that fails over is away. Ours: the service takes minutes.
const FAILOVER: Duration = Duration::from_secs(60);
/// What a bad network adds to one operation in five.
const LAG: Duration = Duration::from_millis(200);

/// Several faults at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preset {
    /// A network that loses connections, with a word or without, and is slow at times.
    FlakyNetwork,
    /// A hub of tier S1 that is asked for more than it may do.
    ThrottledS1,
    /// A hub that moves to another region: everybody is cut off, and nobody gets in for a minute.
    HubFailover,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::FlakyNetwork, Self::ThrottledS1, Self::HubFailover];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::FlakyNetwork => "flaky-network",
            Self::ThrottledS1 => "throttled-s1",
            Self::HubFailover => "hub-failover",
        }
    }

    /// Whether it ends the connections that there are.
    pub(crate) fn ends_connections(self) -> bool {
        self == Self::HubFailover
    }

    /// Its faults, each with a chance of its own.
    pub fn faults(self, seed: u64) -> Vec<Fault> {
        let faults = match self {
            Self::FlakyNetwork => vec![
                Fault::new(Failure::Reset).of("connect").percent(10),
                Fault::new(Failure::Reset).of("sendEvent").percent(3),
                Fault::new(Failure::HalfOpen).of("sendEvent").percent(2),
                Fault::default().delayed(LAG).by("*").percent(20),
            ],
            Self::ThrottledS1 => [
                ("sendEvent", 5),
                ("readTwin", 30),
                ("updateTwin", 30),
                ("invokeMethod", 20),
                ("registry", 30),
                ("query", 50),
            ]
            .map(|(operation, percent)| {
                Fault::new(Failure::Throttled).of(operation).percent(percent)
            })
            .into(),
            Self::HubFailover => [
                Fault::new(Failure::Unavailable).of("connect"),
                Fault::new(Failure::Disconnect).by("*"),
                Fault::new(Failure::Unavailable),
            ]
            .map(|fault| fault.lasting(FAILOVER))
            .into(),
        };
        let seeds = (0..).map(|number| seed.wrapping_add(number));
        faults.into_iter().zip(seeds).map(|(fault, seed)| Fault { seed, ..fault }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_preset_has_a_seed_of_its_own() {
        for preset in Preset::ALL {
            let seeds: Vec<_> = preset.faults(7).iter().map(|fault| fault.seed).collect();
            let expected: Vec<_> = (7..).take(seeds.len()).collect();
            assert!(seeds.len() >= 3 && seeds == expected, "{preset:?}: {seeds:?}");
        }
    }
}
