//! A whole hub in one document. Its parts are the service's own: the documents of the identity
//! registry with the twin in them, those of configurations, and the routing of the control plane,
//! without what is about connections.

mod body;
mod members;
mod mistakes;
mod read;
mod routing;

use iothub_core::configuration::{Configuration, Content, MetricQueries};
use iothub_core::snapshot::Snapshot;
use iothub_core::store::{ModuleRecord, Record};
use iothub_core::twin::{self, Document};
use serde::Serialize;

use super::identity::{AuthenticationDocument, Capabilities};
use super::twin::Properties;
use routing::RoutingDocument;

pub use read::parse;

/// The version of the documents that are written; others are not read.
pub const VERSION: u64 = 1;

/// The document of a hub, laid out for people.
pub fn document(snapshot: &Snapshot) -> String {
    let devices = snapshot.devices.iter().map(|record| DeviceDocument::of(record));
    let configurations = snapshot.configurations.iter();
    let document = HubDocument {
        version: VERSION,
        devices: devices.collect(),
        configurations: configurations.map(|one| ConfigurationDocument::of(one)).collect(),
        routing: snapshot.routing.as_ref().map(RoutingDocument::of),
    };
    // As with `text`: nothing in it can fail.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

#[derive(Serialize)]
struct HubDocument<'a> {
    version: u64,
    devices: Vec<DeviceDocument<'a>>,
    configurations: Vec<ConfigurationDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<RoutingDocument<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceDocument<'a> {
    device_id: &'a str,
    generation_id: String,
    etag: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<&'a str>,
    status_updated_time: String,
    authentication: AuthenticationDocument<'a>,
    capabilities: Capabilities,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    parent_scopes: &'a [String],
    twin: TwinDocument<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modules: Vec<ModuleDocument<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModuleDocument<'a> {
    module_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_by: Option<&'a str>,
    generation_id: String,
    etag: String,
    authentication: AuthenticationDocument<'a>,
    twin: TwinDocument<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TwinDocument<'a> {
    etag: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Document>,
    properties: Properties<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configurations: Option<Document>,
    /// What the configurations wrote, so that it can be taken back; the service shows it nowhere.
    #[serde(skip_serializing_if = "Document::is_empty")]
    configuration_settings: &'a Document,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationDocument<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a Document>,
    content: Option<&'a Document>,
    target_condition: &'a str,
    priority: i64,
    metrics: Metrics<'a>,
    created_time_utc: String,
    last_updated_time_utc: String,
    etag: String,
}

#[derive(Serialize)]
struct Metrics<'a> {
    queries: &'a MetricQueries,
}

impl<'a> DeviceDocument<'a> {
    fn of(record: &'a Record) -> Self {
        let identity = &record.identity;
        Self {
            device_id: identity.id.as_str(),
            generation_id: identity.generation.to_string(),
            etag: identity.etag().to_string(),
            status: identity.status.name(),
            status_reason: identity.status_reason.as_deref(),
            status_updated_time: identity.status_updated.to_string(),
            authentication: AuthenticationDocument::of(&identity.authentication),
            capabilities: Capabilities { iot_edge: identity.iot_edge },
            device_scope: identity.device_scope.as_deref(),
            parent_scopes: &identity.parent_scopes,
            twin: TwinDocument::of(&record.twin),
            modules: record.modules.values().map(|module| ModuleDocument::of(module)).collect(),
        }
    }
}

impl<'a> ModuleDocument<'a> {
    fn of(module: &'a ModuleRecord) -> Self {
        let identity = &module.identity;
        Self {
            module_id: identity.id.as_str(),
            managed_by: identity.managed_by.as_deref(),
            generation_id: identity.generation.to_string(),
            etag: identity.etag().to_string(),
            authentication: AuthenticationDocument::of(&identity.authentication),
            twin: TwinDocument::of(&module.twin),
        }
    }
}

impl<'a> TwinDocument<'a> {
    fn of(twin: &'a twin::Twin) -> Self {
        Self {
            etag: twin.etag().to_string(),
            version: twin.version,
            model_id: twin.model_id.as_deref(),
            tags: twin.tags.as_ref(),
            properties: Properties::of(twin),
            configurations: twin.configurations.to_json(),
            configuration_settings: twin.configurations.settings(),
        }
    }
}

impl<'a> ConfigurationDocument<'a> {
    fn of(configuration: &'a Configuration) -> Self {
        Self {
            id: configuration.id.as_str(),
            schema_version: configuration.schema_version.as_deref(),
            labels: configuration.labels.as_ref(),
            content: configuration.content.as_ref().map(Content::source),
            target_condition: &configuration.target_condition,
            priority: configuration.priority,
            metrics: Metrics { queries: &configuration.metrics },
            created_time_utc: configuration.created.to_string(),
            last_updated_time_utc: configuration.updated.to_string(),
            etag: configuration.etag().to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
