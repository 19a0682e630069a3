//! Generators: where the changing values of a message come from.

use std::f64::consts::TAU;
use std::time::Duration;

use iothub_core::random::Random;
use serde_json::{Value, json};

use crate::span::Span;

/// The steps into which a random draw is divided.
const GRAIN: u64 = 1 << 32;

/// A rule for a value that changes from message to message.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    /// Counts.
    Counter {
        /// The first value.
        start: i64,
        /// Added for each message.
        step: i64,
    },
    /// Swings with time: `offset + amplitude * sin(2π * elapsed / period)`.
    Sine {
        /// How long one swing takes.
        period: Span,
        /// How far it goes to either side.
        amplitude: f64,
        /// Around which value.
        offset: f64,
    },
    /// Wanders at random, and repeats itself for the same seed.
    Walk {
        /// The first value.
        start: f64,
        /// How far it goes at most from one message to the next.
        step: f64,
        /// The smallest value.
        min: f64,
        /// The greatest value.
        max: f64,
        /// Chooses the way.
        seed: u64,
    },
}

/// A generator on its way.
#[derive(Debug)]
pub(super) enum Running {
    Counter { next: i64, step: i64 },
    Sine { period: Duration, amplitude: f64, offset: f64 },
    Walk { next: f64, step: f64, min: f64, max: f64, random: Box<Random> },
}

impl Running {
    pub(super) fn new(generator: &Generator) -> Self {
        match generator {
            Generator::Counter { start, step } => Self::Counter { next: *start, step: *step },
            Generator::Sine { period, amplitude, offset } => {
                Self::Sine { period: period.length(), amplitude: *amplitude, offset: *offset }
            }
            Generator::Walk { start, step, min, max, seed } => Self::Walk {
                next: *start,
                step: *step,
                min: *min,
                max: *max,
                random: Box::new(Random::seeded(*seed)),
            },
        }
    }

    pub(super) fn next(&mut self, elapsed: Duration) -> Value {
        match self {
            Self::Counter { next, step } => {
                let value = *next;
                *next = next.wrapping_add(*step);
                json!(value)
            }
            Self::Sine { period, amplitude, offset } => {
                let turn = elapsed.as_secs_f64() / period.as_secs_f64();
                json!(rounded(*offset + *amplitude * (TAU * turn).sin()))
            }
            Self::Walk { next, step, min, max, random } => {
                let value = *next;
                let draw = random.number(0..GRAIN + 1) as f64 / GRAIN as f64;
                *next = (value + *step * (2.0 * draw - 1.0)).max(*min).min(*max);
                json!(rounded(value))
            }
        }
    }
}

/// Three digits: no sensor gives more, and a reader wants no fewer.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(generator: &Generator, seconds: &[u64]) -> Vec<Value> {
        let mut running = Running::new(generator);
        seconds.iter().map(|second| running.next(Duration::from_secs(*second))).collect()
    }

    #[test]
    fn counters_count() {
        let counter = Generator::Counter { start: 5, step: -2 };
        assert_eq!(run(&counter, &[0, 1, 2]), [json!(5), json!(3), json!(1)]);
    }

    #[test]
    fn sines_swing_with_time() {
        let period = Span::parse("60s").unwrap();
        let sine = Generator::Sine { period, amplitude: 5.0, offset: 20.0 };
        let expected = [json!(20.0), json!(25.0), json!(20.0), json!(15.0), json!(24.33)];
        assert_eq!(run(&sine, &[0, 15, 30, 45, 70]), expected);
    }

    #[test]
    fn walks_stay_inside_and_repeat_themselves() {
        let walk = Generator::Walk { start: 1.0, step: 0.5, min: 0.5, max: 1.5, seed: 7 };
        let values = run(&walk, &[0; 200]);
        assert_eq!(values, run(&walk, &[9; 200]));
        assert_eq!(values[0], json!(1.0));
        let numbers: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap()).collect();
        assert!(numbers.iter().all(|number| (0.5..=1.5).contains(number)), "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 0.501));
        assert!(numbers.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
