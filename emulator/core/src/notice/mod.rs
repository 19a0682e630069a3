//! Events that the hub makes itself: a twin changed, an identity came or went, a device connected.
//!
//! They are made where the change happens, under the lock that orders the changes of one device, so
//! that they stand in that order; [`Hub::tell_notices`] then brings them to their endpoints. What no
//! route takes is not made.

mod connection;
mod json_patch;
mod registry;
mod twin_change;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use crate::event::{Event, EventSource, Message, SystemProperty};
use crate::hub::Hub;
use crate::ids::{GenerationId, IdentityId};
use crate::random::Random;
use crate::route::{Routed, Wiring};
use crate::store::Committed;
use crate::time::{Clock, Timestamp};

/// Notices that are made and not yet told.
pub(crate) struct Notices {
    hub: String,
    routing: Wiring,
    clock: Arc<dyn Clock>,
    random: Arc<Random>,
    started: Timestamp,
    /// Counts the changes of connections.
    connections: AtomicU64,
    waiting: Mutex<VecDeque<Event>>,
    /// The first of them on its way: an endpoint that fails must not cost those before it a second
    /// copy. Who tells, tells alone, since the order must stay.
    telling: tokio::sync::Mutex<Option<Routed>>,
    arrived: Notify,
}

/// What a notice says, beside who it is about.
struct Notice {
    source: EventSource,
    schema: &'static str,
    operation: &'static str,
    content_type: &'static str,
    body: Value,
}

/// A notice, and whom it is about.
type About = (IdentityId, GenerationId, Notice);

const JSON: &str = "application/json";

impl Notices {
    pub(crate) fn new(
        hub: &str,
        routing: Wiring,
        clock: Arc<dyn Clock>,
        random: Arc<Random>,
    ) -> Self {
        Self {
            hub: hub.to_owned(),
            routing,
            started: clock.now(),
            clock,
            random,
            connections: AtomicU64::new(0),
            waiting: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// Of a hub whose routes take none.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        let clock = Arc::new(crate::time::ManualClock::new(Timestamp::NEVER));
        Self::new("hub", Wiring::default(), clock, Arc::new(Random::seeded(1)))
    }

    /// Notes what a commit means for those who follow twins and identities.
    pub(crate) fn committed(&self, committed: &Committed<'_>) {
        let makers: [(EventSource, fn(&Committed<'_>) -> Vec<About>); 3] = [
            (EventSource::TwinChange, twin_change::notices),
            (EventSource::DigitalTwinChange, twin_change::of_digital_twins),
            (EventSource::DeviceLifecycle, registry::notices),
        ];
        for (source, make) in makers {
            if self.listens(source) {
                for (id, generation, notice) in make(committed) {
                    self.push(&id, generation, notice);
                }
            }
        }
    }

    /// Notes that a device or module connected, or disconnected.
    pub(crate) fn connection(&self, id: &IdentityId, generation: GenerationId, connected: bool) {
        if self.listens(EventSource::DeviceConnectionState) {
            let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
            self.push(id, generation, connection::notice(connected, self.started, number));
        }
    }

    fn listens(&self, source: EventSource) -> bool {
        self.routing.listens(source)
    }

    fn push(&self, id: &IdentityId, generation: GenerationId, notice: Notice) {
        let event = self.event(id, generation, notice);
        self.lock().push_back(event);
        self.arrived.notify_one();
    }

    fn event(&self, id: &IdentityId, generation: GenerationId, notice: Notice) -> Event {
        let now = self.clock.now();
        let correlation: String =
            self.random.bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut application =
            vec![("hubName", self.hub.clone()), ("deviceId", id.device.to_string())];
        application
            .extend(id.module.as_ref().map(|module| ("moduleId", module.as_str().to_owned())));
        application.push(("operationTimestamp", now.to_string()));
        application.push(("iothub-message-schema", notice.schema.to_owned()));
        application.push(("opType", notice.operation.to_owned()));
        Event {
            message: Message {
                system: vec![
                    (SystemProperty::ContentType, notice.content_type.to_owned()),
                    (SystemProperty::ContentEncoding, "utf-8".to_owned()),
                    (SystemProperty::CorrelationId, correlation),
                    (SystemProperty::UserId, self.hub.clone()),
                ],
                application: application
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), Some(value)))
                    .collect(),
                body: notice.body.to_string().into(),
            },
            sender: id.clone(),
            generation,
            auth_method: None,
            enqueued: now,
            model_id: None,
            source: notice.source,
        }
    }

    fn first(&self) -> Option<Event> {
        self.lock().front().cloned()
    }

    /// Held for a push or a pop; nothing awaits meanwhile.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Brings what is noted to where the routes want it. Whoever makes a change calls this behind
    /// it, so that notices never pile up; what cannot be told now stays for the next one.
    pub(crate) async fn tell_notices(&self) {
        let notices = self.notices();
        if notices.lock().is_empty() {
            return;
        }
        let mut telling = notices.telling.lock().await;
        while let Some(event) = notices.first() {
            let routed = match telling.take() {
                Some(begun) => begun,
                None => match self.routed(event).await {
                    Ok(routed) => routed,
                    Err(_) => return,
                },
            };
            if self.deliver(telling.insert(routed)).await.is_err() {
                return;
            }
            *telling = None;
            notices.lock().pop_front();
        }
    }

    /// Tells what nobody told who noted it: a disconnect comes from where nothing can wait.
    pub(crate) async fn keep_telling(&self) {
        loop {
            self.notices().arrived.notified().await;
            self.tell_notices().await;
        }
    }
}
