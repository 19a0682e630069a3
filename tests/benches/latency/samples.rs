//! Times that were taken, and what is told of them.

use std::time::Duration;

/// Times of one thing, sorted.
#[derive(Debug)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Takes a time `count` times.
    pub(crate) fn take(count: usize, mut measure: impl FnMut() -> Duration) -> Self {
        Self::from((0..count).map(|_| measure()).collect::<Vec<_>>())
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The time that so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent).div_ceil(100).saturating_sub(1)]
    }

    /// For few samples: the spread.
    pub(crate) fn spread(&self) -> String {
        let (min, max) = (self.percentile(0), self.percentile(100));
        format!("{} ({} to {})", shown(self.median()), shown(min), shown(max))
    }

    /// For many samples: the tail.
    pub(crate) fn tail(&self) -> String {
        format!("{} p50, {} p99", shown(self.median()), shown(self.percentile(99)))
    }

    /// How much longer these took than others, by the median.
    pub(crate) fn ratio(&self, others: &Self, what: &str) -> String {
        let ratio = self.median().as_secs_f64() / others.median().as_secs_f64();
        format!("{ratio:.2} × {what}")
    }
}

impl From<Vec<Duration>> for Samples {
    fn from(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }
}

fn shown(time: Duration) -> String {
    if time < Duration::from_millis(1) {
        format!("{:.0} µs", time.as_secs_f64() * 1e6)
    } else {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    }
}
