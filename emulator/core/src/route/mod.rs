//! Message routing: which endpoints an event goes to.
//!
//! [`properties`] is what somebody configures, named as the service's control plane names it;
//! [`Routing::new`] checks it. [`delivery`](self) carries an event to its endpoints; [`trial`] says
//! what would become of one.

mod delivery;
mod enrichment;
pub mod properties;
pub mod trial;

use http::Uri;

use crate::event::EventSource;
use crate::limits;
use crate::query::RouteCondition;
use crate::query::message::MessageDocument;
use enrichment::Enrichment;
use properties::{
    EndpointKind, EndpointProperties, EnrichmentProperties, FallbackRouteProperties,
    RouteProperties, RoutingProperties,
};

pub(crate) use delivery::Routed;
pub use delivery::{Outlet, Sink, Wiring};

/// The name of the built-in endpoint.
pub const BUILT_IN: &str = "events";
/// The name of the fallback route.
pub const FALLBACK: &str = "$fallback";
/// Names that the service keeps for itself.
const RESERVED: [&str; 4] =
    [BUILT_IN, "operationsMonitoringEvents", "fileNotifications", "$default"];

/// Rules for where events go, which hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// What somebody configured.
    properties: RoutingProperties,
    routes: Vec<Route>,
    /// None if it is disabled.
    fallback: Option<Route>,
    enrichments: Vec<Enrichment>,
}

/// Where an endpoint stands among those of a hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    BuiltIn,
    Custom(usize),
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    name: String,
    source: EventSource,
    condition: RouteCondition,
    targets: Vec<Target>,
    enabled: bool,
}

/// What is wrong with rules.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RoutingMistake {
    /// There are more of something than a hub has.
    #[error("there are {count} {what}, expected at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A name is not one that the service takes.
    #[error(
        "{what} has the name {name:?}, expected 1 to 64 letters, digits, dots, hyphens and underscores"
    )]
    Name {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A name is one that the service keeps for itself.
    #[error("endpoint has the name {0:?}, which the service keeps for itself")]
    Reserved(String),
    /// Two have one name.
    #[error("two {what}s have the name {name:?}")]
    Twice {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A route or an enrichment names no endpoint.
    #[error("{what} {name:?} names no endpoint")]
    NoEndpoint {
        /// Which kind of rule.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A route or an enrichment names more endpoints than there can be.
    #[error("{what} {name:?} names {count} endpoints, expected at most {max}")]
    ManyEndpoints {
        /// Which kind of rule.
        what: &'static str,
        /// Its name.
        name: String,
        /// How many.
        count: usize,
        /// How many it may name.
        max: usize,
    },
    /// A route or an enrichment names an endpoint that is not there.
    #[error("{what} {name:?} names the endpoint {endpoint:?}, expected one of {expected}")]
    UnknownEndpoint {
        /// Which kind of rule.
        what: &'static str,
        /// Its name.
        name: String,
        /// What it names.
        endpoint: String,
        /// What it could name.
        expected: String,
    },
    /// A condition cannot be read.
    #[error("route {route:?} has a condition that cannot be read: {why}")]
    Condition {
        /// The route.
        route: String,
        /// What is wrong.
        why: String,
    },
    /// The key of an enrichment is no name of a property.
    #[error("enrichment has the key {0:?}, expected the name of a property")]
    Key(String),
    /// An event hub has not as many partitions as event hubs have.
    #[error("endpoint {name:?} has {partitions} partitions, expected 2 to 32")]
    Partitions {
        /// The endpoint.
        name: String,
        /// How many.
        partitions: usize,
    },
    /// An event hub has more consumer groups than event hubs have.
    #[error("endpoint {name:?} has {count} consumer groups, expected at most {max}", max = limits::CONSUMER_GROUPS)]
    ConsumerGroups {
        /// The endpoint.
        name: String,
        /// How many.
        count: usize,
    },
    /// A consumer group has a name that the service does not take.
    #[error(
        "endpoint {name:?} has the consumer group {group:?}, expected 1 to 50 letters, digits, dots, hyphens and underscores"
    )]
    ConsumerGroup {
        /// The endpoint.
        name: String,
        /// The consumer group.
        group: String,
    },
    /// A webhook has an address that is none.
    #[error("endpoint {name:?} has the url {url:?}, expected http://… or https://…")]
    Url {
        /// The endpoint.
        name: String,
        /// The address.
        url: String,
    },
}

impl Default for Routing {
    /// Telemetry goes to the built-in endpoint.
    fn default() -> Self {
        let fallback = Route {
            name: FALLBACK.to_owned(),
            source: EventSource::Telemetry,
            condition: RouteCondition::default(),
            targets: vec![Target::BuiltIn],
            enabled: true,
        };
        Self {
            properties: RoutingProperties::default(),
            routes: Vec::new(),
            fallback: Some(fallback),
            enrichments: Vec::new(),
        }
    }
}

impl Routing {
    /// Checks rules.
    ///
    /// # Errors
    ///
    /// Every mistake that there is, not only the first.
    pub fn new(properties: &RoutingProperties) -> Result<Self, Vec<RoutingMistake>> {
        let mut check = Check::new(&properties.endpoints);
        check.endpoints();
        let routes = check.routes(&properties.routes);
        let fallback = check.fallback(&properties.fallback_route);
        let enrichments = check.enrichments(&properties.enrichments);
        if !check.mistakes.is_empty() {
            return Err(check.mistakes);
        }
        Ok(Self { properties: properties.clone(), routes, fallback, enrichments })
    }

    /// What it was made of.
    pub fn properties(&self) -> &RoutingProperties {
        &self.properties
    }

    /// Whether a route takes events of this source, so that they are worth making.
    pub(crate) fn listens(&self, source: EventSource) -> bool {
        self.all().any(|route| route.enabled && route.source == source)
    }

    /// The routes, the fallback last.
    fn all(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().chain(&self.fallback)
    }

    /// Whether nothing but the fallback has a say in where telemetry goes.
    fn is_plain(&self) -> bool {
        self.routes.is_empty()
            && self.enrichments.is_empty()
            && self.fallback.as_ref().is_some_and(|fallback| {
                fallback.condition == RouteCondition::default()
                    && fallback.targets == [Target::BuiltIn]
            })
    }

    /// The endpoints that a message goes to, each once.
    fn targets(&self, source: EventSource, message: &MessageDocument<'_>) -> Vec<Target> {
        let mut targets = Vec::new();
        for route in self.routes.iter().filter(|route| route.takes(source, message)) {
            for target in &route.targets {
                if !targets.contains(target) {
                    targets.push(*target);
                }
            }
        }
        if targets.is_empty()
            && let Some(fallback) = &self.fallback
            && fallback.takes(source, message)
        {
            targets.clone_from(&fallback.targets);
        }
        targets
    }

    /// Whether the twin of the sender has a say in where events of this source go, or in what is
    /// added to them.
    fn reads_twin(&self, source: EventSource) -> bool {
        self.enrichments.iter().any(Enrichment::reads_twin)
            || self.all().any(|route| route.source == source && route.condition.reads_twin())
    }
}

impl Route {
    /// Whether an event of this source goes this way.
    fn takes(&self, source: EventSource, message: &MessageDocument<'_>) -> bool {
        self.enabled && self.source == source && self.condition.truth(message) == Some(true)
    }
}

/// Looks at rules, and notes what is wrong. Of what there is too much, no more is looked at than
/// there may be: whoever writes the rules has no say in how long that takes.
struct Check<'p> {
    endpoints: &'p [EndpointProperties],
    /// Whether there are others than those, which rules may name.
    more_endpoints: bool,
    mistakes: Vec<RoutingMistake>,
}

impl<'p> Check<'p> {
    fn new(endpoints: &'p [EndpointProperties]) -> Self {
        let mut check = Self { endpoints: &[], more_endpoints: false, mistakes: Vec::new() };
        check.endpoints = check.at_most(limits::ROUTING_ENDPOINTS, "endpoints", endpoints);
        check.more_endpoints = check.endpoints.len() < endpoints.len();
        check
    }

    fn endpoints(&mut self) {
        self.names("endpoint", self.endpoints.iter().map(|endpoint| endpoint.name.as_str()));
        for EndpointProperties { name, kind } in self.endpoints {
            if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
                self.mistakes.push(RoutingMistake::Reserved(name.clone()));
            }
            match kind {
                EndpointKind::EventHub { partitions, consumer_groups } => {
                    self.event_hub(name, *partitions, consumer_groups);
                }
                EndpointKind::Webhook(url) if !is_url(url) => {
                    let (name, url) = (name.clone(), url.clone());
                    self.mistakes.push(RoutingMistake::Url { name, url });
                }
                EndpointKind::Webhook(_) | EndpointKind::Folder(_) => {}
            }
        }
    }

    fn event_hub(&mut self, name: &str, partitions: usize, consumer_groups: &[String]) {
        if !limits::EVENT_PARTITION_COUNTS.contains(&partitions) {
            let name = name.to_owned();
            self.mistakes.push(RoutingMistake::Partitions { name, partitions });
        }
        let count = consumer_groups.len();
        if count > limits::CONSUMER_GROUPS {
            self.mistakes.push(RoutingMistake::ConsumerGroups { name: name.to_owned(), count });
            return;
        }
        for group in consumer_groups.iter().filter(|group| !is_consumer_group(group)) {
            let (name, group) = (name.to_owned(), group.clone());
            self.mistakes.push(RoutingMistake::ConsumerGroup { name, group });
        }
    }

    fn routes(&mut self, routes: &[RouteProperties]) -> Vec<Route> {
        let routes = self.at_most(limits::ROUTES, "routes", routes);
        self.names("route", routes.iter().map(|route| route.name.as_str()));
        routes.iter().map(|route| self.route(route)).collect()
    }

    fn route(&mut self, route: &RouteProperties) -> Route {
        Route {
            name: route.name.clone(),
            source: route.source,
            condition: self.condition(&route.name, &route.condition),
            targets: self.targets("route", &route.name, &route.endpoint_names),
            enabled: route.is_enabled,
        }
    }

    fn fallback(&mut self, fallback: &FallbackRouteProperties) -> Option<Route> {
        let route = RouteProperties {
            name: FALLBACK.to_owned(),
            source: EventSource::Telemetry,
            condition: fallback.condition.clone(),
            endpoint_names: vec![fallback.endpoint_name.clone()],
            is_enabled: fallback.is_enabled,
        };
        Some(self.route(&route)).filter(|route| route.enabled)
    }

    fn enrichments(&mut self, enrichments: &[EnrichmentProperties]) -> Vec<Enrichment> {
        let enrichments = self.at_most(limits::ENRICHMENTS, "enrichments", enrichments);
        let check = |enrichment: &EnrichmentProperties| {
            if !is_property_name(&enrichment.key) {
                self.mistakes.push(RoutingMistake::Key(enrichment.key.clone()));
            }
            let targets = self.targets("enrichment", &enrichment.key, &enrichment.endpoint_names);
            Enrichment::new(&enrichment.key, &enrichment.value, targets)
        };
        enrichments.iter().map(check).collect()
    }

    fn condition(&mut self, route: &str, text: &str) -> RouteCondition {
        RouteCondition::parse(text).unwrap_or_else(|why| {
            let (route, why) = (route.to_owned(), why.to_string());
            self.mistakes.push(RoutingMistake::Condition { route, why });
            RouteCondition::default()
        })
    }

    fn targets(&mut self, what: &'static str, name: &str, endpoints: &[String]) -> Vec<Target> {
        let (count, max) = (endpoints.len(), limits::RULE_ENDPOINTS);
        if count == 0 {
            self.mistakes.push(RoutingMistake::NoEndpoint { what, name: name.to_owned() });
        }
        if count > max {
            let name = name.to_owned();
            self.mistakes.push(RoutingMistake::ManyEndpoints { what, name, count, max });
            return Vec::new();
        }
        endpoints.iter().filter_map(|endpoint| self.target(what, name, endpoint)).collect()
    }

    fn target(&mut self, what: &'static str, name: &str, endpoint: &str) -> Option<Target> {
        if endpoint.eq_ignore_ascii_case(BUILT_IN) {
            return Some(Target::BuiltIn);
        }
        let found = self.endpoints.iter().position(|one| one.name.eq_ignore_ascii_case(endpoint));
        if found.is_none() && !self.more_endpoints {
            let known = self.endpoints.iter().map(|endpoint| endpoint.name.as_str());
            let known = known.filter(|name| is_name(name));
            self.mistakes.push(RoutingMistake::UnknownEndpoint {
                what,
                name: name.to_owned(),
                endpoint: endpoint.to_owned(),
                expected: std::iter::once(BUILT_IN).chain(known).collect::<Vec<_>>().join(", "),
            });
        }
        found.map(Target::Custom)
    }

    /// As many of them as there may be; says so if there are more.
    fn at_most<'a, T>(&mut self, max: usize, what: &'static str, all: &'a [T]) -> &'a [T] {
        let Some(first) = all.get(..max) else { return all };
        let count = all.len();
        if count > max {
            self.mistakes.push(RoutingMistake::TooMany { what, count, max });
        }
        first
    }

    fn names<'n>(&mut self, what: &'static str, names: impl Iterator<Item = &'n str>) {
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            if !is_name(name) {
                self.mistakes.push(RoutingMistake::Name { what, name: name.to_owned() });
            }
            if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                self.mistakes.push(RoutingMistake::Twice { what, name: name.to_owned() });
            }
            seen.push(name);
        }
    }
}

fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// Whether a text can be the name of a consumer group.
pub fn is_consumer_group(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=50).contains(&text.len()) && text.bytes().all(legal)
}

/// Whether a text is the address of a webhook.
fn is_url(text: &str) -> bool {
    text.parse::<Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// The characters that the names of application properties may have over every protocol.
fn is_property_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

#[cfg(test)]
mod tests;
