//! The one place of this program that reads the machine's clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use iothub_core::time::Timestamp;

/// Where a client takes the time from; a token's expiry depends on it and nothing else.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock.
pub fn system() -> Now {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the program's one reading of the clock")]
        let now = SystemTime::now();
        Timestamp::from_unix(now.duration_since(UNIX_EPOCH).unwrap_or_default())
    })
}
