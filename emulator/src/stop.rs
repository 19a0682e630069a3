//! Stopping: the signals that ask for it, and how long the end may take.

use std::future::Future;
use std::io;
use std::time::Duration;

/// The signals that ask a program to stop: SIGINT and SIGTERM, or Ctrl-C where those are unknown.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// Everything that was open has ended.
    Drained,
    /// The grace period ended first.
    OutOfTime,
    /// Somebody asked a second time.
    Impatient,
}

impl Signals {
    /// Begins to catch the signals; from now on they no longer end the process by themselves.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    #[cfg(unix)]
    pub fn catch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Begins to catch Ctrl-C; from now on it no longer ends the process by itself.
    ///
    /// # Errors
    ///
    /// Never here.
    #[cfg(not(unix))]
    pub fn catch() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns at the next signal.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Returns at the next Ctrl-C.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing can be caught: then only the end of the process stops it.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for `drained`, but no longer than the grace period, nor past a second signal.
pub async fn within(
    grace: Duration,
    drained: impl Future<Output = ()>,
    second_signal: impl Future<Output = ()>,
) -> Stop {
    tokio::select! {
        // In this order, so that a drain that is done counts even without any grace.
        biased;
        () = drained => Stop::Drained,
        () = second_signal => Stop::Impatient,
        () = tokio::time::sleep(grace) => Stop::OutOfTime,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_stop_ends_with_whatever_comes_first() {
        let short = Duration::from_millis(1);
        let long = Duration::from_secs(60);
        assert_eq!(within(Duration::ZERO, ready(()), ready(())).await, Stop::Drained);
        assert_eq!(within(short, pending(), pending()).await, Stop::OutOfTime);
        assert_eq!(within(long, pending(), ready(())).await, Stop::Impatient);
    }
}
