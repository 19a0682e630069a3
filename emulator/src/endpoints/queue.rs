//! Events on their way to an endpoint, bounded by what they take.

use std::sync::Arc;

use iothub_core::event::Event;
use iothub_core::limits;
use tokio::sync::mpsc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The end that events go in at.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    items: mpsc::UnboundedSender<Item>,
    /// A permit stands for a byte: what is in the queue, or being delivered, holds so many.
    room: Arc<Semaphore>,
}

/// The end that events come out at.
pub(super) type Items = mpsc::UnboundedReceiver<Item>;

/// An event that takes its room until it is dropped.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) event: Arc<Event>,
    _room: OwnedSemaphorePermit,
}

const ROOM: u32 = limits::ENDPOINT_QUEUE_BYTES as u32;

impl Queue {
    pub(super) fn new() -> (Self, Items) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (
            Self { items: sender, room: Arc::new(Semaphore::new(limits::ENDPOINT_QUEUE_BYTES)) },
            receiver,
        )
    }

    /// Waits for room.
    pub(super) async fn put(&self, event: Arc<Event>) {
        if let Ok(room) = self.room.clone().acquire_many_owned(size(&event)).await {
            self.send(event, room);
        }
    }

    /// False if there is no room.
    pub(super) fn offer(&self, event: Arc<Event>) -> bool {
        match self.room.clone().try_acquire_many_owned(size(&event)) {
            Ok(room) => self.send(event, room),
            Err(_) => false,
        }
    }

    /// Waits until nothing is left.
    pub(super) async fn empty(&self) {
        drop(self.room.acquire_many(ROOM).await);
    }

    fn send(&self, event: Arc<Event>, room: OwnedSemaphorePermit) -> bool {
        self.items.send(Item { event, _room: room }).is_ok()
    }
}

fn size(event: &Event) -> u32 {
    u32::try_from(event.kept_bytes()).unwrap_or(ROOM).min(ROOM)
}
