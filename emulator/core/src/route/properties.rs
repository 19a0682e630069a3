//! Rules as somebody configures them, named as the service's control plane names them.

use std::path::PathBuf;

use super::BUILT_IN;
use crate::event::EventSource;
use crate::limits;

/// All that decides where events go: `properties.routing` of an IoT hub.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RoutingProperties {
    /// Where events can go, beside the built-in endpoint.
    pub endpoints: Vec<EndpointProperties>,
    /// Which events go where.
    pub routes: Vec<RouteProperties>,
    /// Where telemetry goes that no route takes.
    pub fallback_route: FallbackRouteProperties,
    /// What is added to events.
    pub enrichments: Vec<EnrichmentProperties>,
}

/// A place that events go to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndpointProperties {
    /// What routes call it.
    pub name: String,
    /// What it is.
    pub kind: EndpointKind,
}

/// What an endpoint is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndpointKind {
    /// An event hub of the emulator's own, which has the name of the endpoint.
    EventHub {
        /// How many partitions it has.
        partitions: usize,
        /// Its consumer groups beside `$Default`.
        consumer_groups: Vec<String>,
    },
    /// A folder, in the place of a container of a storage account.
    Folder(PathBuf),
    /// Something that takes events by HTTP.
    Webhook(String),
}

/// A route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteProperties {
    /// What tells it from others.
    pub name: String,
    /// Which events it is about.
    pub source: EventSource,
    /// What they have to fulfil.
    pub condition: String,
    /// Where they go.
    pub endpoint_names: Vec<String>,
    /// Whether it counts.
    pub is_enabled: bool,
}

/// The route of telemetry that no other route takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FallbackRouteProperties {
    /// What such a message has to fulfil.
    pub condition: String,
    /// Where it goes.
    pub endpoint_name: String,
    /// Whether there is such a route.
    pub is_enabled: bool,
}

/// A property that is added to events.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnrichmentProperties {
    /// The name of the property.
    pub key: String,
    /// Its value, or what it is taken from: `$iothubname`, `$twin.…`.
    pub value: String,
    /// The endpoints on the way to which it is added.
    pub endpoint_names: Vec<String>,
}

impl EndpointKind {
    /// An event hub as the built-in endpoint is one.
    pub fn event_hub() -> Self {
        Self::EventHub { partitions: limits::EVENT_PARTITIONS, consumer_groups: Vec::new() }
    }
}

impl RouteProperties {
    /// A route of all telemetry to an endpoint.
    pub fn new(name: &str, endpoint: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: EventSource::Telemetry,
            condition: "true".to_owned(),
            endpoint_names: vec![endpoint.to_owned()],
            is_enabled: true,
        }
    }
}

impl Default for FallbackRouteProperties {
    fn default() -> Self {
        Self { condition: "true".to_owned(), endpoint_name: BUILT_IN.to_owned(), is_enabled: true }
    }
}
