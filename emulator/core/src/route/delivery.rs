//! How an event gets to its endpoints.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::properties::{EndpointKind, EndpointProperties};
use super::{BUILT_IN, Routing, Target, enrichment};
use crate::error::HubError;
use crate::event::{Event, EventSource, partition_of};
use crate::hub::Hub;
use crate::journal::What;
use crate::query::message::MessageDocument;
use crate::store::{Answer, EventHub, EventLog};
use crate::time::Timestamp;

/// An endpoint outside the hub.
pub trait Sink: Send + Sync + 'static {
    /// Takes an event. It may wait for room, or drop the event and tell the log so, but keeps only
    /// so many.
    fn take(&self, event: Arc<Event>) -> Answer<'_, ()>;
}

/// What is behind the name of an endpoint.
#[derive(Clone)]
pub enum Outlet {
    /// An event hub of the hub's own.
    EventHub(Arc<dyn EventLog>),
    /// Something outside.
    Sink(Arc<dyn Sink>),
}

/// Rules for where events go, with what is behind the names of their endpoints.
#[derive(Clone, Debug)]
pub struct Wiring {
    routing: Routing,
    /// In the order of the endpoints.
    outlets: Vec<Outlet>,
    /// Asked for every event and every change of a twin.
    plain: bool,
    /// The name of the built-in endpoint, as the journal shares it between events.
    built_in: Arc<[String]>,
    listened: [bool; EventSource::ALL.len()],
}

/// An event on its way.
pub(crate) struct Routed {
    event: Arc<Event>,
    endpoints: Arc<[String]>,
    /// Why no route takes it, if that is so.
    dropped: Option<String>,
    /// Its copies for the endpoints that it has yet to reach.
    left: VecDeque<(Target, Arc<Event>)>,
}

impl Routing {
    /// Lets `outlet` find what is behind each endpoint.
    pub fn wired(self, outlet: impl FnMut(&EndpointProperties) -> Outlet) -> Wiring {
        let outlets = self.properties.endpoints.iter().map(outlet).collect();
        Wiring::new(self, outlets)
    }
}

impl Default for Wiring {
    /// Telemetry goes to the built-in endpoint.
    fn default() -> Self {
        Self::new(Routing::default(), Vec::new())
    }
}

impl Wiring {
    fn new(routing: Routing, outlets: Vec<Outlet>) -> Self {
        Self {
            plain: routing.is_plain(),
            built_in: Arc::from([BUILT_IN.to_owned()]),
            listened: EventSource::ALL.map(|source| routing.listens(source)),
            outlets,
            routing,
        }
    }

    /// The rules.
    pub(crate) fn rules(&self) -> &Routing {
        &self.routing
    }

    /// The event hubs among the endpoints.
    pub(crate) fn event_hubs(&self, created: Timestamp) -> Vec<EventHub> {
        let endpoints = self.routing.properties.endpoints.iter().zip(&self.outlets);
        let event_hub =
            |(endpoint, outlet): (&EndpointProperties, &Outlet)| match (&endpoint.kind, outlet) {
                (EndpointKind::EventHub { consumer_groups, .. }, Outlet::EventHub(log)) => {
                    Some(EventHub::new(&endpoint.name, log.clone(), consumer_groups, created))
                }
                _ => None,
            };
        endpoints.filter_map(event_hub).collect()
    }

    /// Whether a route takes events of this source, so that they are worth making.
    pub(crate) fn listens(&self, source: EventSource) -> bool {
        self.listened.get(source as usize).copied().unwrap_or_default()
    }
}

impl Hub {
    /// Brings an event to where the routes want it; it is kept there when this returns. If an
    /// endpoint fails, those before it have the event, and have it twice when its sender tries
    /// again: delivery is at least once.
    pub(crate) async fn publish(&self, event: Event) -> Result<(), HubError> {
        if self.routing().plain && event.source == EventSource::Telemetry {
            let event = Arc::new(event);
            append(&**self.events(), event.clone()).await?;
            self.note_event(event, self.routing().built_in.clone(), None);
            return Ok(());
        }
        let mut routed = self.routed(event).await?;
        self.deliver(&mut routed).await
    }

    /// Brings an event to the endpoints that it has yet to reach; the journal has it when it has
    /// reached all.
    pub(crate) async fn deliver(&self, routed: &mut Routed) -> Result<(), HubError> {
        while let Some((target, event)) = routed.left.front().cloned() {
            self.hand_over(target, event).await?;
            routed.left.pop_front();
        }
        self.note_event(routed.event.clone(), routed.endpoints.clone(), routed.dropped.take());
        Ok(())
    }

    async fn hand_over(&self, target: Target, event: Arc<Event>) -> Result<(), HubError> {
        let Target::Custom(index) = target else { return append(&**self.events(), event).await };
        match self.routing().outlets.get(index) {
            Some(Outlet::EventHub(log)) => append(&**log, event).await,
            Some(Outlet::Sink(sink)) => Ok(sink.take(event).await?),
            None => Ok(()),
        }
    }

    fn note_event(&self, event: Arc<Event>, endpoints: Arc<[String]>, why: Option<String>) {
        let id = event.sender.clone();
        self.note(Some(&id), What::Event { event, endpoints, why });
    }

    /// What goes where: for each endpoint its own copy, which is cheap, since bodies are shared.
    pub(crate) async fn routed(&self, event: Event) -> Result<Routed, HubError> {
        let routing = self.routing().rules();
        let sender = if routing.reads_twin(event.source) {
            self.records().get(&event.sender.device).await?.map(|found| found.record)
        } else {
            None
        };
        let message = MessageDocument::new(&event, sender.clone());
        let enriched = |target: Target| {
            let mut copy = event.clone();
            for enrichment in routing.enrichments.iter().filter(|one| one.is_for(target)) {
                enrichment::set(&mut copy, enrichment.property(self.name(), &message));
            }
            (target, Arc::new(copy))
        };
        let targets = routing.targets(event.source, &message);
        let endpoints = targets.iter().filter_map(|target| routing.name_of(*target));
        let endpoints = endpoints.map(str::to_owned).collect();
        let dropped = targets.is_empty().then(|| routing.try_message(&event, sender).to_string());
        let left = targets.into_iter().map(enriched).collect();
        Ok(Routed { event: Arc::new(event), endpoints, dropped, left })
    }
}

async fn append(log: &dyn EventLog, event: Arc<Event>) -> Result<(), HubError> {
    let partition = partition_of(&event.sender, log.partitions());
    log.append(partition, event).await?;
    Ok(())
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventHub(_) => "EventHub",
            Self::Sink(_) => "Sink",
        })
    }
}
