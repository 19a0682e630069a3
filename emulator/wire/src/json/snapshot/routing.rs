//! Where the events of a hub go, in its document: `properties.routing` of the control plane, but for
//! the endpoints, which are the emulator's own.

use std::borrow::Cow;

use iothub_core::event::EventSource;
use iothub_core::route::properties::{
    EndpointDraft, EndpointKind, EndpointProperties, EnrichmentProperties, FallbackRouteProperties,
    RouteProperties, RoutingProperties,
};
use iothub_core::route::{BUILT_IN, FALLBACK};
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

use super::mistakes::Place;
use super::read::Reader;
use crate::json::{object_member, switch_member, text_member, texts_member};

const ROUTING: &[&str] = &["endpoints", "routes", "fallbackRoute", "enrichments"];
const ENDPOINT: &[&str] = &["name", "type", "partitions", "consumerGroups", "path", "url"];
const ROUTE: &[&str] = &["name", "source", "condition", "endpointNames", "isEnabled"];
const ENRICHMENT: &[&str] = &["key", "value", "endpointNames"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoutingDocument<'a> {
    endpoints: Vec<EndpointDocument<'a>>,
    routes: Vec<RouteDocument<'a>>,
    fallback_route: RouteDocument<'a>,
    enrichments: Vec<EnrichmentDocument<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointDocument<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<usize>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    consumer_groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteDocument<'a> {
    name: &'a str,
    source: &'static str,
    condition: &'a str,
    endpoint_names: &'a [String],
    is_enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnrichmentDocument<'a> {
    key: &'a str,
    value: &'a str,
    endpoint_names: &'a [String],
}

impl<'a> RoutingDocument<'a> {
    pub(super) fn of(routing: &'a RoutingProperties) -> Self {
        let enrichment = |one: &'a EnrichmentProperties| EnrichmentDocument {
            key: &one.key,
            value: &one.value,
            endpoint_names: &one.endpoint_names,
        };
        Self {
            endpoints: routing.endpoints.iter().map(EndpointDocument::of).collect(),
            routes: routing.routes.iter().map(RouteDocument::of).collect(),
            fallback_route: RouteDocument::of_fallback(&routing.fallback_route),
            enrichments: routing.enrichments.iter().map(enrichment).collect(),
        }
    }
}

impl<'a> EndpointDocument<'a> {
    fn of(endpoint: &'a EndpointProperties) -> Self {
        let (name, kind) = (endpoint.name.as_str(), endpoint.kind.name());
        let plain =
            Self { name, kind, partitions: None, consumer_groups: &[], path: None, url: None };
        match &endpoint.kind {
            EndpointKind::EventHub { partitions, consumer_groups } => {
                Self { partitions: Some(*partitions), consumer_groups, ..plain }
            }
            EndpointKind::Folder(path) => Self { path: Some(path.to_string_lossy()), ..plain },
            EndpointKind::Webhook(url) => Self { url: Some(url), ..plain },
        }
    }
}

impl<'a> RouteDocument<'a> {
    fn of(route: &'a RouteProperties) -> Self {
        Self {
            name: &route.name,
            source: route.source.route_source(),
            condition: &route.condition,
            endpoint_names: &route.endpoint_names,
            is_enabled: route.is_enabled,
        }
    }

    fn of_fallback(fallback: &'a FallbackRouteProperties) -> Self {
        Self {
            name: FALLBACK,
            source: EventSource::Telemetry.route_source(),
            condition: &fallback.condition,
            endpoint_names: std::slice::from_ref(&fallback.endpoint_name),
            is_enabled: fallback.is_enabled,
        }
    }
}

/// What cannot be read has something in its place that is in order, so that it is not told again as
/// what the rest lacks.
impl Reader<'_> {
    pub(super) fn routing(
        &mut self,
        place: &Place,
        body: &mut Document,
    ) -> Option<RoutingProperties> {
        let mut body = self.mistakes.member(place, object_member(body, "routing"))?;
        let place = place.member("routing");
        self.known(&place, &body, ROUTING);
        let properties = RoutingProperties {
            endpoints: self.listed(&place, &mut body, "endpoints", Self::endpoint),
            routes: self.listed(&place, &mut body, "routes", Self::route),
            fallback_route: self.fallback(&place, &mut body),
            enrichments: self.listed(&place, &mut body, "enrichments", Self::enrichment),
        };
        let checked = self.restoring.routing(properties);
        checked.map_err(|broken| broken.iter().for_each(|why| self.mistakes.rule(&place, why))).ok()
    }

    fn endpoint(&mut self, place: &Place, body: &Document) -> Option<EndpointProperties> {
        self.known(place, body, ENDPOINT);
        let groups = self.mistakes.member(place, texts_member(body, "consumerGroups"));
        let path = self.mistakes.member(place, text_member(body, "path"));
        let url = self.mistakes.member(place, text_member(body, "url"));
        let partitions = self.partitions(place, body);
        let kind = self.required(place, body, "type");
        let name = self.required(place, body, "name")?;
        let stand_in = EndpointProperties { name: name.clone(), kind: EndpointKind::event_hub() };
        let Some(kind) = kind else { return Some(stand_in) };
        let consumer_groups = groups.unwrap_or_default();
        let path = path.map(Into::into);
        let draft = EndpointDraft { name, kind, partitions, consumer_groups, path, url };
        Some(draft.settle().unwrap_or_else(|mistakes| {
            mistakes.iter().for_each(|why| self.mistakes.rule(place, why));
            stand_in
        }))
    }

    fn partitions(&mut self, place: &Place, body: &Document) -> Option<usize> {
        let value = body.get("partitions").filter(|value| !value.is_null())?;
        let count = value.as_u64().and_then(|count| count.try_into().ok());
        if count.is_none() {
            self.mistakes.form(&place.member("partitions"), value, "a number from 2 to 32");
        }
        count
    }

    fn route(&mut self, place: &Place, body: &Document) -> Option<RouteProperties> {
        self.known(place, body, ROUTE);
        let sources = format!("one of {}", EventSource::route_sources());
        let source = self.parsed(place, body, "source", &sources, EventSource::of_route);
        let condition = self.condition(place, body);
        let endpoint_names = self.endpoint_names(place, body);
        let is_enabled = self.is_enabled(place, body);
        let name = self.required(place, body, "name")?;
        let source = source.unwrap_or_default();
        Some(RouteProperties { name, source, condition, endpoint_names, is_enabled })
    }

    fn fallback(&mut self, place: &Place, body: &mut Document) -> FallbackRouteProperties {
        let default = FallbackRouteProperties::default();
        let body = self.mistakes.member(place, object_member(body, "fallbackRoute"));
        let (place, Some(body)) = (place.member("fallbackRoute"), body) else { return default };
        self.known(&place, &body, ROUTE);
        let is_name = |text: &str| (text == FALLBACK).then_some(());
        self.parsed(&place, &body, "name", FALLBACK, is_name);
        let telemetry = EventSource::Telemetry;
        let is_source = |text: &str| EventSource::of_route(text).filter(|one| *one == telemetry);
        self.parsed(&place, &body, "source", telemetry.route_source(), is_source);
        let names = match body.get("endpointNames") {
            None | Some(Value::Null) => vec![default.endpoint_name],
            Some(_) => self.endpoint_names(&place, &body),
        };
        let endpoint_name = match <[String; 1]>::try_from(names) {
            Ok([name]) => name,
            Err(names) => {
                let count = names.len();
                self.mistakes
                    .rule(&place, format_args!("endpointNames has {count} names, expected one"));
                BUILT_IN.to_owned()
            }
        };
        FallbackRouteProperties {
            condition: self.condition(&place, &body),
            endpoint_name,
            is_enabled: self.is_enabled(&place, &body),
        }
    }

    fn enrichment(&mut self, place: &Place, body: &Document) -> Option<EnrichmentProperties> {
        self.known(place, body, ENRICHMENT);
        // An empty value is one.
        let value = match body.get("value") {
            Some(Value::String(value)) => Some(value.clone()),
            _ => self.required(place, body, "value"),
        };
        let endpoint_names = self.endpoint_names(place, body);
        let key = self.required(place, body, "key")?;
        Some(EnrichmentProperties { key, value: value.unwrap_or_default(), endpoint_names })
    }

    fn condition(&mut self, place: &Place, body: &Document) -> String {
        let said = self.mistakes.member(place, text_member(body, "condition"));
        said.unwrap_or_else(|| "true".to_owned())
    }

    fn is_enabled(&mut self, place: &Place, body: &Document) -> bool {
        self.mistakes.member(place, switch_member(body, "isEnabled")).unwrap_or(true)
    }

    fn endpoint_names(&mut self, place: &Place, body: &Document) -> Vec<String> {
        let read = texts_member(body, "endpointNames").map(Option::unwrap_or_default);
        let names = self.mistakes.member(place, read.map(Some));
        names.unwrap_or_else(|| vec![BUILT_IN.to_owned()])
    }

    /// A text that has to be there.
    fn required(&mut self, place: &Place, body: &Document, name: &str) -> Option<String> {
        self.id(place, body, name, |text| Ok(text.to_owned()))
    }

    /// The items of a list, each an object.
    fn listed<T>(
        &mut self,
        place: &Place,
        body: &mut Document,
        name: &str,
        read: fn(&mut Self, &Place, &Document) -> Option<T>,
    ) -> Vec<T> {
        let place = place.member(name);
        let items = match body.shift_remove(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.mistakes.form(&place, &other, "an array");
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            if self.mistakes.are_told() {
                break;
            }
            let at = place.item(index);
            found.extend(self.object(&at, item).and_then(|item| read(self, &at, &item)));
        }
        found
    }
}
