//! The machine's clock: the one place of this program that reads it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iothub_core::time::{Clock, Sleep, Timestamp};

/// How long a sleep trusts the clock. The machine may be suspended, or its clock set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the program's time comes from")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 counts as 1970.
        Timestamp::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep<'_> {
        Box::pin(async move {
            loop {
                let left = deadline.since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            }
        })
    }
}
