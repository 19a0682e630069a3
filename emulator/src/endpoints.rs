//! What is behind the endpoints that routes name: event hubs of the emulator's own, folders, and
//! webhooks.
//!
//! Folders and webhooks are slower than the hub, so each has a queue and a task that empties it. A
//! folder that falls behind makes senders wait; a webhook may be down for long, and loses events
//! instead.

mod folder;
mod queue;
mod webhook;

use std::sync::Arc;

use iothub_core::limits;
use iothub_core::route::properties::EndpointKind;
use iothub_core::route::{Outlet, Routing, Wiring};
use iothub_core::time::Clock;
use iothub_store::memory::MemoryEventLog;

use self::folder::Folder;
use self::queue::Queue;
use self::webhook::Webhook;
use crate::config::Config;

/// The queues of all endpoints, to wait for.
#[derive(Debug, Default)]
pub(crate) struct Queues(Vec<Queue>);

impl Queues {
    /// Returns when everything that was taken so far is where it belongs, or given up.
    pub(crate) async fn empty(&self) {
        for queue in &self.0 {
            queue.empty().await;
        }
    }
}

/// Builds the endpoints. Needs a runtime: their tasks start here, and end with the hub.
pub(crate) fn wire(config: &Config, routing: Routing, clock: &Arc<dyn Clock>) -> (Wiring, Queues) {
    let mut queues = Queues::default();
    let wiring = routing.wired(|endpoint| match &endpoint.kind {
        EndpointKind::EventHub { partitions, .. } => {
            Outlet::EventHub(event_log(*partitions, config, clock.clone()))
        }
        EndpointKind::Folder(root) => {
            let (queue, items) = Queue::new();
            queues.0.push(queue.clone());
            let folder = Folder {
                name: endpoint.name.clone(),
                root: root.join(&config.hub_name),
                partitions: config.event_partitions,
            };
            tokio::spawn(folder.fill(items));
            Outlet::Sink(Arc::new(folder::Entry(queue)))
        }
        EndpointKind::Webhook(url) => {
            let (queue, items) = Queue::new();
            queues.0.push(queue.clone());
            tokio::spawn(Webhook::new(&endpoint.name, url).feed(items));
            Outlet::Sink(Arc::new(webhook::Entry { name: endpoint.name.clone(), queue }))
        }
    });
    (wiring, queues)
}

/// The log of an event hub.
pub(crate) fn event_log(
    partitions: usize,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> Arc<MemoryEventLog> {
    let bytes = limits::EVENT_LOG_BYTES / partitions.max(1);
    Arc::new(MemoryEventLog::new(partitions, bytes).kept_for(config.event_retention, clock))
}
