//! `[[endpoint]]`, `[[route]]`, `[fallback-route]` and `[[enrichment]]` of the file.

use std::path::PathBuf;

use iothub_core::event::EventSource;
use iothub_core::route::Routing;
use iothub_core::route::properties::{
    EndpointDraft, EndpointProperties, EnrichmentProperties, FallbackRouteProperties,
    RouteProperties, RoutingProperties,
};
use iothub_wire::json::field::unknown_field;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::sources::{Layers, Mistake};

/// The tables that say where events go.
pub(super) const TABLES: [&str; 4] = ["endpoint", "route", "fallback-route", "enrichment"];

const ENDPOINT: [&str; 6] = ["name", "type", "partitions", "consumer-groups", "path", "url"];
const ROUTE: [&str; 5] = ["name", "source", "condition", "endpoints", "enabled"];
const FALLBACK: [&str; 3] = ["condition", "endpoint", "enabled"];
const ENRICHMENT: [&str; 3] = ["key", "value", "endpoints"];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Endpoint {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    partitions: Option<usize>,
    #[serde(default)]
    consumer_groups: Vec<String>,
    path: Option<PathBuf>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Route {
    name: String,
    source: Option<String>,
    #[serde(default = "everything")]
    condition: String,
    endpoints: Vec<String>,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Deserialize)]
struct Fallback {
    #[serde(default = "everything")]
    condition: String,
    endpoint: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Deserialize)]
struct Enrichment {
    key: String,
    value: String,
    endpoints: Vec<String>,
}

fn everything() -> String {
    "true".to_owned()
}

fn yes() -> bool {
    true
}

/// What the file says of where events go.
pub(super) fn routing(layers: &mut Layers<'_>) -> RoutingProperties {
    let endpoints = entries(layers, "endpoint", &ENDPOINT, endpoint);
    let routes = entries(layers, "route", &ROUTE, route);
    let enrichments = entries(layers, "enrichment", &ENRICHMENT, |entry: Enrichment| {
        let Enrichment { key, value, endpoints } = entry;
        Ok(EnrichmentProperties { key, value, endpoint_names: endpoints })
    });
    let fallbacks = entries(layers, "fallback-route", &FALLBACK, fallback);
    let fallback_route = fallbacks.into_iter().next().unwrap_or_default();
    let properties = RoutingProperties { endpoints, routes, fallback_route, enrichments };
    if let Err(mistakes) = Routing::new(&properties) {
        layers.mistakes.extend(mistakes.into_iter().map(Mistake::Routing));
    }
    properties
}

/// The entries of a table, each read by itself so that one mistake does not hide the next.
fn entries<E: DeserializeOwned, T>(
    layers: &mut Layers<'_>,
    table: &'static str,
    fields: &[&str],
    read: impl Fn(E) -> Result<T, String>,
) -> Vec<T> {
    let mut found = Vec::new();
    for (index, entry) in layers.table(table).into_iter().enumerate() {
        let named = entry.get("name").or_else(|| entry.get("key"));
        let name = named.and_then(toml::Value::as_str).map(str::to_owned);
        match entry_of(entry, fields).and_then(&read) {
            Ok(entry) => found.push(entry),
            Err(why) => layers.mistakes.push(Mistake::Entry {
                table,
                name: name.unwrap_or_else(|| format!("number {}", index + 1)),
                why,
            }),
        }
    }
    found
}

fn entry_of<E: DeserializeOwned>(entry: toml::Value, fields: &[&str]) -> Result<E, String> {
    let mut names = entry.as_table().into_iter().flat_map(toml::Table::keys);
    if let Some(unknown) = names.find(|name| !fields.contains(&name.as_str())) {
        return Err(unknown_field(unknown, fields));
    }
    entry.try_into().map_err(|error| error.message().trim().replace('\n', ", "))
}

fn endpoint(entry: Endpoint) -> Result<EndpointProperties, String> {
    let Endpoint { name, kind, partitions, consumer_groups, path, url } = entry;
    let draft = EndpointDraft { name, kind, partitions, consumer_groups, path, url };
    draft.settle().map_err(|mistakes| {
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", and ")
    })
}

fn route(entry: Route) -> Result<RouteProperties, String> {
    let source = match &entry.source {
        None => EventSource::Telemetry,
        Some(name) => EventSource::of_route(name).ok_or_else(|| {
            let known = EventSource::route_sources();
            format!("source is {name:?}, expected one of {known}")
        })?,
    };
    Ok(RouteProperties {
        name: entry.name,
        source,
        condition: entry.condition,
        endpoint_names: entry.endpoints,
        is_enabled: entry.enabled,
    })
}

fn fallback(entry: Fallback) -> Result<FallbackRouteProperties, String> {
    let default = FallbackRouteProperties::default();
    Ok(FallbackRouteProperties {
        condition: entry.condition,
        endpoint_name: entry.endpoint.unwrap_or(default.endpoint_name),
        is_enabled: entry.enabled,
    })
}
