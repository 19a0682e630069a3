//! What commands that listen have in common: a runtime, and when they stop.

use std::future::Future;
use std::time::Duration;

use clap::Args;
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep_until};

use crate::args::duration;
use crate::commands::{Failure, Verdict};

/// How long to listen; without any of them until Ctrl-C.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Stop after this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after this long; with --count it is an answer of no (exit code 1) if fewer came
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    timeout: Option<Duration>,
}

/// What is left of the limits.
pub(crate) struct Listening {
    left: Option<u64>,
    deadline: Option<Instant>,
}

impl Limits {
    pub(crate) fn start(self) -> Listening {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        Listening { left: self.count, deadline }
    }
}

impl Listening {
    /// Counts what was shown.
    pub(crate) fn seen(&mut self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(number));
    }

    /// What comes next, or how listening ended.
    pub(crate) async fn next<T>(&self, what: impl Future<Output = T>) -> Result<T, Verdict> {
        if self.left == Some(0) {
            return Err(Verdict::Yes);
        }
        let late = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            thing = what => Ok(thing),
            () = late => Err(if self.left.is_some() { Verdict::No } else { Verdict::Yes }),
            _ = ctrl_c() => Err(Verdict::Yes),
        }
    }
}

/// Runs what has to wait for the network in two directions.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn listening_ends_with_the_count_or_the_time() {
        let table = [
            (Some(1), None, 1, Verdict::Yes),
            (Some(2), Some(Duration::ZERO), 1, Verdict::No),
            (None, Some(Duration::ZERO), 1, Verdict::Yes),
            (Some(2), Some(Duration::ZERO), 2, Verdict::Yes),
        ];
        for (count, timeout, seen, expected) in table {
            let limits = Limits { count, timeout };
            let outcome = run(async {
                let mut listening = limits.start();
                listening.seen(seen);
                Ok(listening.next(pending::<()>()).await)
            });
            assert_eq!(outcome.unwrap(), Err(expected), "{limits:?}");
        }
        let limits = Limits { count: Some(1), timeout: None };
        let outcome = run(async { Ok(limits.start().next(ready(7)).await) });
        assert_eq!(outcome.unwrap(), Ok(7));
    }
}
