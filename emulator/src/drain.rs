//! Ending gracefully: everybody is told to stop, and whoever still works holds the end back.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, mpsc, watch};

/// Held by whoever serves. The end waits until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    stop: watch::Receiver<bool>,
    /// Never sends: dropping it is the message.
    _working: mpsc::Sender<()>,
    /// The place in the crowd of open connections, which is free again when the last clone is
    /// dropped; none if nothing is served yet.
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// The one who says when to stop. Dropping it says so too.
#[derive(Debug)]
pub(crate) struct Drainer {
    stop: watch::Sender<bool>,
    working: mpsc::Receiver<()>,
}

/// A drainer and the first drain.
pub(crate) fn channel() -> (Drainer, Drain) {
    let (stop_in, stop_out) = watch::channel(false);
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
        let mut stop = self.stop.clone();
        // An error means that the drainer is gone, and with it the program.
        drop(stop.wait_for(|stop| *stop).await);
    }
}

impl Drainer {
    /// Says that it is time to stop.
    pub(crate) fn ask(&self) {
        self.stop.send_replace(true);
    }

    /// Says that it is time to stop, and returns when everybody has.
    pub(crate) async fn drain(mut self) {
        self.ask();
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
            async move {
                drain.asked().await;
                "done"
            }
        });
        drop(drain);
        drainer.drain().await;
        assert_eq!(worker.await.unwrap(), "done");
    }
}
