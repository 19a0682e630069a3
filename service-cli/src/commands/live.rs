//! What commands that listen have in common: a runtime, and when they stop.

use std::future::Future;
use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::args::duration;
use crate::commands::{Failure, Verdict};
use crate::signals::Signals;

/// How long to listen; without any of them until Ctrl-C.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Stop after this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after this long; with --count it is an answer of no (exit code 1) if fewer came
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    timeout: Option<Duration>,
}

/// What is left of the limits, and the signals that end it early.
pub(crate) struct Listening {
    left: Option<u64>,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    signals: Signals,
}

impl Listening {
    fn new(limits: Limits) -> Result<Self, Failure> {
        let Limits { count: left, timeout } = limits;
        Ok(Self { left, timeout, deadline: None, signals: Signals::catch()? })
    }

    /// What there is to listen to, or how listening ended before it was there. The time that is
    /// left counts from then on.
    pub(crate) async fn open<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Verdict> {
        let opened = tokio::select! {
            opened = what => opened,
            () = self.signals.next() => return Err(Verdict::Yes),
        };
        self.deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        Ok(opened)
    }

    /// Counts what was shown.
    pub(crate) fn seen(&mut self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(number));
    }

    /// What comes next, or how listening ended.
    pub(crate) async fn next<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Verdict> {
        if self.left == Some(0) {
            return Err(Verdict::Yes);
        }
        let deadline = self.deadline;
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            thing = what => Ok(thing),
            () = late => Err(if self.left.is_some() { Verdict::No } else { Verdict::Yes }),
            () = self.signals.next() => Err(Verdict::Yes),
        }
    }
}

/// Runs what has to wait for the network in two directions.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(work)
}

/// Runs what listens until there was enough, or somebody asks the program to stop.
pub(crate) fn listen(
    limits: Limits,
    work: impl AsyncFnOnce(&mut Listening) -> Result<Verdict, Failure>,
) -> Result<Verdict, Failure> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async { work(&mut Listening::new(limits)?).await });
    // A call that still blocks has nobody to tell any more.
    runtime.shutdown_background();
    ended
}

/// A call that blocks, as a future. Dropping it leaves the call alone.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(call).await {
        Ok(done) => done,
        Err(why) => std::panic::resume_unwind(why.into_panic()),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// Listens for something, and gives the verdict.
    fn outcome<T>(limits: Limits, seen: usize, what: impl Future<Output = T>) -> Option<Verdict> {
        let mut outcome = None;
        let ended = listen(limits, async |listening| {
            assert_eq!(listening.open(ready(7)).await, Ok(7));
            listening.seen(seen);
            outcome = listening.next(what).await.err();
            Ok(Verdict::Yes)
        });
        assert_eq!(ended.unwrap(), Verdict::Yes);
        outcome
    }

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
            assert_eq!(outcome(limits, seen, pending::<()>()), Some(expected), "{limits:?}");
        }
        assert_eq!(outcome(Limits { count: Some(1), timeout: None }, 0, ready(7)), None);
    }
}
