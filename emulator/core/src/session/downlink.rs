//! What the hub has for a connected device, on its way to the edge that serves it.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};

use super::mailbox::{self, Mailbox};
use crate::devicebound::Delivery;
use crate::limits;
use crate::method::MethodCall;
use crate::twin::DesiredPatch;

/// Something that an edge must deliver.
#[derive(Clone, Debug, PartialEq)]
pub enum Downlink {
    /// The desired properties changed, and the device listens to that.
    DesiredPatch(Arc<DesiredPatch>),
    /// A cloud-to-device message, which the device settles or has settled.
    Devicebound(Delivery),
    /// A direct method is called, and the device listens to that.
    MethodCall(Arc<MethodCall>),
    /// Close the connection. Nothing follows.
    Close(CloseReason),
}

/// Why the hub ends a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// The same device connected again.
    TakenOver,
    /// The identity was deleted.
    Deleted,
    /// The identity was disabled.
    Disabled,
    /// Whoever looks after the hub asked for it.
    Asked,
    /// More piled up than the connection took.
    Backlog,
    /// The session behind this receiver is gone.
    SessionEnded,
}

/// The hub's end of a connection.
#[derive(Debug)]
pub(super) struct DownlinkSender {
    queue: mpsc::Sender<Downlink>,
    close: watch::Sender<Option<CloseReason>>,
    wake: Arc<Notify>,
}

/// The edge's end of a connection. Bounded: what does not fit closes the connection.
#[derive(Debug)]
pub struct DownlinkReceiver {
    queue: mpsc::Receiver<Downlink>,
    /// Beside the queue, so that a full queue cannot hold a close back.
    close: watch::Receiver<Option<CloseReason>>,
    wake: Arc<Notify>,
    /// Where cloud-to-device messages are; they are taken one by one, as the edge asks.
    mailbox: Option<Mailbox>,
}

pub(super) fn channel() -> (DownlinkSender, DownlinkReceiver) {
    let (queue_in, queue_out) = mpsc::channel(limits::DOWNLINK_QUEUE);
    let (close_in, close_out) = watch::channel(None);
    let wake = Arc::new(Notify::new());
    (
        DownlinkSender { queue: queue_in, close: close_in, wake: wake.clone() },
        DownlinkReceiver { queue: queue_out, close: close_out, wake, mailbox: None },
    )
}

impl DownlinkSender {
    pub(super) fn send(&self, downlink: Downlink) {
        if self.queue.try_send(downlink).is_err() {
            self.close(CloseReason::Backlog);
        }
    }

    /// Says that there may be a cloud-to-device message.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The first reason stands.
    pub(super) fn close(&self, reason: CloseReason) {
        self.close.send_if_modified(|close| close.replace(close.unwrap_or(reason)).is_none());
    }
}

impl DownlinkReceiver {
    /// Lets cloud-to-device messages come this way.
    pub(super) fn open_mailbox(&mut self, mailbox: Option<Mailbox>) {
        self.mailbox = mailbox;
    }

    /// The next thing to deliver. Safe to drop and call again.
    pub async fn next(&mut self) -> Downlink {
        let Self { queue, close, wake, mailbox } = self;
        tokio::select! {
            biased;
            reason = closed(close) => Downlink::Close(reason),
            next = queue.recv() => next.unwrap_or(Downlink::Close(CloseReason::SessionEnded)),
            delivery = mailbox::next(mailbox.as_ref(), wake) => Downlink::Devicebound(delivery),
        }
    }

    /// When and why the connection has to be closed, whatever there is to deliver: for an edge that
    /// is held up by its client. Safe to drop and call again.
    pub async fn closed(&mut self) -> CloseReason {
        closed(&mut self.close).await
    }
}

async fn closed(close: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let reason = close.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
    reason.unwrap_or(CloseReason::SessionEnded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::Document;

    fn patch(version: u64) -> Downlink {
        Downlink::DesiredPatch(Arc::new(DesiredPatch { patch: Document::new(), version }))
    }

    #[tokio::test]
    async fn what_is_sent_arrives_in_order() {
        let (sender, mut receiver) = channel();
        sender.send(patch(2));
        sender.send(patch(3));
        assert_eq!(receiver.next().await, patch(2));
        assert_eq!(receiver.next().await, patch(3));
    }

    #[tokio::test]
    async fn a_backlog_closes_the_connection_and_the_first_reason_stands() {
        let (sender, mut receiver) = channel();
        for version in 0..=limits::DOWNLINK_QUEUE as u64 {
            sender.send(patch(version));
        }
        sender.close(CloseReason::TakenOver);
        assert_eq!(receiver.closed().await, CloseReason::Backlog);
        assert_eq!(receiver.next().await, Downlink::Close(CloseReason::Backlog));
    }
}
