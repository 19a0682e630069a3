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

/// An endpoint as somebody writes it: what does not fit its kind can be said all the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndpointDraft {
    /// What routes call it.
    pub name: String,
    /// What it is: one of [`EndpointKind::NAMES`].
    pub kind: String,
    /// How many partitions it has.
    pub partitions: Option<usize>,
    /// Its consumer groups beside `$Default`.
    pub consumer_groups: Vec<String>,
    /// Where a folder is.
    pub path: Option<PathBuf>,
    /// Where a webhook is.
    pub url: Option<String>,
}

/// Why that is no endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EndpointMistake {
    /// There is no such kind.
    #[error("type is {0:?}, expected one of {known}", known = EndpointKind::NAMES.join(", "))]
    Kind(String),
    /// Something is said that such an endpoint does not have.
    #[error("an endpoint of type {kind} has no {what}")]
    Foreign {
        /// Its kind.
        kind: String,
        /// What it does not have.
        what: &'static str,
    },
    /// Something is not said that such an endpoint has.
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// What endpoints are called in configurations.
const EVENT_HUB: &str = "event-hub";
const FOLDER: &str = "folder";
const WEBHOOK: &str = "webhook";

impl EndpointDraft {
    /// The endpoint.
    ///
    /// # Errors
    ///
    /// Every reason why it is none.
    pub fn settle(self) -> Result<EndpointProperties, Vec<EndpointMistake>> {
        let mut mistakes = self.foreign();
        let kind = match (self.kind.as_str(), self.path, self.url) {
            (EVENT_HUB, ..) => Ok(EndpointKind::EventHub {
                partitions: self.partitions.unwrap_or(limits::EVENT_PARTITIONS),
                consumer_groups: self.consumer_groups,
            }),
            (FOLDER, Some(path), _) => Ok(EndpointKind::Folder(path)),
            (FOLDER, None, _) => Err(EndpointMistake::Missing("path")),
            (WEBHOOK, _, Some(url)) => Ok(EndpointKind::Webhook(url)),
            (WEBHOOK, _, None) => Err(EndpointMistake::Missing("url")),
            _ => Err(EndpointMistake::Kind(self.kind)),
        };
        match kind {
            Ok(kind) if mistakes.is_empty() => Ok(EndpointProperties { name: self.name, kind }),
            kind => {
                mistakes.extend(kind.err());
                Err(mistakes)
            }
        }
    }

    /// What is said of it that belongs to another kind.
    fn foreign(&self) -> Vec<EndpointMistake> {
        if !EndpointKind::NAMES.contains(&self.kind.as_str()) {
            return Vec::new();
        }
        let said = [
            ("partitions", self.partitions.is_some(), EVENT_HUB),
            ("consumer groups", !self.consumer_groups.is_empty(), EVENT_HUB),
            ("path", self.path.is_some(), FOLDER),
            ("url", self.url.is_some(), WEBHOOK),
        ];
        let foreign = said.into_iter().filter(|(_, said, kind)| *said && *kind != self.kind);
        let kind = || self.kind.clone();
        foreign.map(|(what, ..)| EndpointMistake::Foreign { kind: kind(), what }).collect()
    }
}

impl EndpointKind {
    /// What the kinds are called in configurations.
    pub const NAMES: [&str; 3] = [EVENT_HUB, FOLDER, WEBHOOK];

    /// What this one is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EventHub { .. } => EVENT_HUB,
            Self::Folder(_) => FOLDER,
            Self::Webhook(_) => WEBHOOK,
        }
    }

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
