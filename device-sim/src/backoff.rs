//! How long to wait before the next try: twice as long each time, and a little by chance, so that a
//! crowd of devices does not come back at once.

use std::sync::Arc;
use std::time::Duration;

use iothub_core::random::Random;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Counts the tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: Arc<Random>,
}

impl Backoff {
    pub(crate) fn new(random: Arc<Random>) -> Self {
        Self { next: FIRST, random }
    }

    /// The time to wait now: half of it is certain, the rest by chance.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        let half = whole / 2;
        let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(self.random.number(0..spread.saturating_add(1)))
    }

    /// A connection has lasted this long. A short one is no success: two devices of one id throw
    /// each other out in turn, and have to slow down.
    pub(crate) fn lasted(&mut self, span: Duration) {
        if span >= LONGEST {
            self.next = FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(backoff: &mut Backoff, count: usize) -> Vec<Duration> {
        (0..count).map(|_| backoff.pause()).collect()
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_vary() {
        let mut backoff = Backoff::new(Arc::new(Random::seeded(1)));
        for (found, whole) in pauses(&mut backoff, 9)
            .into_iter()
            .zip([250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000])
        {
            let whole = Duration::from_millis(whole);
            assert!((whole / 2..=whole).contains(&found), "{found:?} of {whole:?}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let run = |seed| pauses(&mut Backoff::new(Arc::new(Random::seeded(seed))), 5);
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn only_a_lasting_connection_starts_anew() {
        let mut backoff = Backoff::new(Arc::new(Random::seeded(1)));
        pauses(&mut backoff, 4);
        backoff.lasted(Duration::from_secs(1));
        assert!(backoff.pause() >= Duration::from_secs(2));
        backoff.lasted(Duration::from_secs(60));
        assert!(backoff.pause() <= FIRST);
    }
}
