//! The machine's clock: the one place that reads it; and that of a hub, which tests may turn.

pub(crate) mod turned;

use std::time::{Duration, SystemTime};

use iothub_core::time::{Clock, Sleep, Timestamp};

/// The longest sleep between two looks at the clock: it may have been set meanwhile, or the
/// machine may have been suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The machine's clock, in UTC.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time enters the program")]
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A machine whose clock shows a time before 1970 has none worth telling apart.
        Timestamp::from_unix(since_1970.unwrap_or_default())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep<'_> {
        Box::pin(async move {
            loop {
                let left = deadline.since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_this_century() {
        let start_of_2026 = Timestamp::from_unix_seconds(1_767_225_600);
        assert!(SystemClock.now() > start_of_2026);
    }

    #[tokio::test]
    async fn a_sleep_ends_at_its_deadline_and_not_before() {
        let deadline = SystemClock.now().after(Duration::from_millis(20));
        SystemClock.sleep_until(deadline).await;
        assert!(SystemClock.now() >= deadline);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_is_reached_at_once() {
        SystemClock.sleep_until(Timestamp::NEVER).await;
    }
}
