//! Chance as a value: keys, ids and versions from one source, which a test seeds.

use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// A source of random values.
///
/// A std mutex, since a draw is short and nothing awaits while it is held.
#[derive(Debug)]
pub struct Random(Mutex<StdRng>);

impl Random {
    /// A source that repeats itself for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// A source seeded with 32 bytes that the caller took from the operating system.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Mutex::new(StdRng::from_seed(entropy)))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.draw(|source| source.fill_bytes(&mut bytes));
        bytes
    }

    /// A number from `range`.
    pub fn number(&self, range: std::ops::Range<u64>) -> u64 {
        self.draw(|source| source.random_range(range))
    }

    /// A random id of the form that the service gives requests and jobs.
    pub fn guid(&self) -> String {
        guid(&self.bytes())
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A poisoned lock means that a draw panicked; the generator's state is still sound.
        let mut source = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        draw(&mut source)
    }
}

/// Sixteen bytes as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub fn guid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
