//! Ending gracefully: everybody is told to stop, and whoever still works holds the end back.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, mpsc, watch};

/// Why it is time to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// The program ends.
    Stop,
    /// The hub was emptied.
    Reset,
    /// The hub got another content.
    Restore,
    /// The hub is no more.
    Deleted,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "the emulator stops",
            Self::Reset => "the hub was reset",
            Self::Restore => "the hub was restored from a snapshot",
            Self::Deleted => "the hub was deleted",
        })
    }
}

/// Held by whoever serves. The end waits until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    stop: watch::Receiver<Option<Why>>,
    /// Never sends: dropping it is the message.
    _working: mpsc::Sender<()>,
    /// The place in the crowd of open connections, which is free again when the last clone is
    /// dropped; none if nothing is served yet.
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// The one who says when to stop. Dropping it says so too.
#[derive(Debug)]
pub(crate) struct Drainer {
    stop: watch::Sender<Option<Why>>,
    working: mpsc::Receiver<()>,
}

/// A drainer and the first drain.
pub(crate) fn channel() -> (Drainer, Drain) {
    let (stop_in, stop_out) = watch::channel(None);
    let (working_in, working_out) = mpsc::channel(1);
    (
        Drainer { stop: stop_in, working: working_out },
        Drain { stop: stop_out, _working: working_in, _permit: None },
    )
}

impl Drain {
    /// The drain of a connection that has this place. A failed permit means a crowd without bound.
    pub(crate) fn with(&self, permit: Result<OwnedSemaphorePermit, AcquireError>) -> Self {
        Self { _permit: permit.ok().map(Arc::new), ..self.clone() }
    }

    /// Returns when it is time to stop.
    pub(crate) async fn asked(&self) {
        self.reason().await;
    }

    /// Returns when it is time to stop, and says why.
    pub(crate) async fn reason(&self) -> Why {
        let mut stop = self.stop.clone();
        let asked = stop.wait_for(Option::is_some).await;
        // An error means that the drainer is gone, and with it the program.
        asked.ok().and_then(|why| *why).unwrap_or(Why::Stop)
    }
}

impl Drainer {
    /// Says that it is time to stop. What is said first holds.
    pub(crate) fn ask(&self, why: Why) {
        self.stop.send_if_modified(|stop| stop.replace(stop.unwrap_or(why)).is_none());
    }

    /// Says that it is time to stop, and returns when everybody has.
    pub(crate) async fn drain(mut self, why: Why) {
        self.ask(why);
        while self.working.recv().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_whoever_works() {
        let (drainer, drain) = channel();
        let worker = tokio::spawn({
            let drain = drain.clone();
            async move { drain.reason().await }
        });
        drop(drain);
        drainer.ask(Why::Reset);
        drainer.drain(Why::Stop).await;
        assert_eq!(worker.await.unwrap(), Why::Reset);
    }
}
