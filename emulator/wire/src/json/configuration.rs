//! Configurations: the service's document, and the bodies that create, change, test and apply them.

use indexmap::IndexMap;
use iothub_core::configuration::MetricQueries;
use iothub_core::configuration::{Configuration, ConfigurationDraft, ConfigurationId, Content};
use iothub_core::error::HubError;
use iothub_core::session::{ConfigurationView, MetricResults, QueryErrors};
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

use super::identity::check_named;
use super::{object_member, text, text_member, unexpected};

/// The document of a configuration.
pub fn document(view: &ConfigurationView) -> String {
    text(&ConfigurationDocument::of(view))
}

/// The documents of several configurations.
pub fn list(views: &[ConfigurationView]) -> String {
    text(&views.iter().map(ConfigurationDocument::of).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationDocument<'a> {
    id: &'a str,
    schema_version: Option<&'a str>,
    labels: Option<&'a Document>,
    content: Option<&'a Document>,
    target_condition: &'a str,
    created_time_utc: String,
    last_updated_time_utc: String,
    priority: i64,
    system_metrics: Metrics<'a>,
    metrics: Metrics<'a>,
    etag: String,
}

#[derive(Serialize)]
struct Metrics<'a> {
    results: IndexMap<&'a str, u64>,
    queries: &'a MetricQueries,
}

impl<'a> ConfigurationDocument<'a> {
    fn of(view: &'a ConfigurationView) -> Self {
        let configuration: &Configuration = &view.configuration;
        Self {
            id: configuration.id.as_str(),
            schema_version: configuration.schema_version.as_deref(),
            labels: configuration.labels.as_ref(),
            content: configuration.content.as_ref().map(Content::source),
            target_condition: &configuration.target_condition,
            created_time_utc: configuration.created.to_string(),
            last_updated_time_utc: configuration.updated.to_string(),
            priority: configuration.priority,
            system_metrics: Metrics::of(&view.system),
            metrics: Metrics::of(&view.custom),
            etag: configuration.etag().to_string(),
        }
    }
}

impl<'a> Metrics<'a> {
    fn of(metrics: &'a MetricResults) -> Self {
        let results = metrics.results.iter().map(|(name, count)| (name.as_str(), *count));
        Self { results: results.collect(), queries: &metrics.queries }
    }
}

/// The body of a PUT for the configuration `id`. What the service writes itself is ignored.
///
/// # Errors
///
/// The body is for another configuration, or a member is not what it should be.
pub fn parse_draft(
    mut body: Document,
    id: &ConfigurationId,
) -> Result<ConfigurationDraft, HubError> {
    check_named(&body, "id", id.as_str())?;
    let metrics = object_member(&mut body, "metrics")?.unwrap_or_default();
    Ok(ConfigurationDraft {
        schema_version: text_member(&body, "schemaVersion")?,
        labels: object_member(&mut body, "labels")?,
        content: object_member(&mut body, "content")?.unwrap_or_default(),
        target_condition: text_member(&body, "targetCondition")?,
        priority: priority(&body)?,
        metrics: queries(metrics, "queries")?,
    })
}

/// What is to be tested: a target condition and metrics.
///
/// # Errors
///
/// A member is not what it should be.
pub fn parse_test(body: Document) -> Result<(Option<String>, MetricQueries), HubError> {
    let condition = text_member(&body, "targetCondition")?;
    Ok((condition, queries(body, "customMetricQueries")?))
}

/// What testing found.
pub fn test_answer(errors: &QueryErrors) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        target_condition_error: Option<&'a str>,
        custom_metric_query_errors: IndexMap<&'a str, &'a str>,
    }
    let metrics = errors.metrics.iter().map(|(name, why)| (name.as_str(), why.as_str()));
    text(&Answer {
        target_condition_error: errors.target_condition.as_deref(),
        custom_metric_query_errors: metrics.collect(),
    })
}

pub(super) fn priority(body: &Document) -> Result<i64, HubError> {
    match body.get("priority") {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value.as_i64().ok_or_else(|| unexpected("priority", value, "an integer")),
    }
}

pub(super) fn queries(mut body: Document, name: &str) -> Result<MetricQueries, HubError> {
    let queries = object_member(&mut body, name)?.unwrap_or_default();
    let query = |(name, query)| match query {
        Value::String(query) => Ok((name, query)),
        other => Err(unexpected(&format!("metric {name:?}"), &other, "a string")),
    };
    queries.into_iter().map(query).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<ConfigurationDraft, HubError> {
        parse_draft(body.as_object().unwrap().clone(), &ConfigurationId::parse("c").unwrap())
    }

    #[test]
    fn bodies_parse_as_sdks_send_them() {
        let draft = parse(json!({
            "id": "c", "schemaVersion": null, "labels": {"a": "b"}, "etag": "*",
            "content": {"deviceContent": {"properties.desired.a": 1}},
            "targetCondition": "*", "priority": 10,
            "metrics": {"results": {}, "queries": {"m": "SELECT * FROM devices"}},
            "systemMetrics": {"results": {}}, "contentType": "assignment",
        }))
        .unwrap();
        assert_eq!((draft.priority, draft.metrics.len()), (10, 1));
        assert_eq!(draft.target_condition.as_deref(), Some("*"));
        assert_eq!(parse(json!({"priority": null, "metrics": null})), Ok(Default::default()));
    }

    #[test]
    fn bad_bodies_are_refused() {
        let table = [
            json!({"id": "other"}),
            json!({"priority": "1"}),
            json!({"priority": 1.5}),
            json!({"labels": []}),
            json!({"content": "x"}),
            json!({"metrics": {"queries": {"m": 1}}}),
            json!({"targetCondition": {}}),
        ];
        for body in table {
            let found = parse(body.clone());
            assert!(matches!(found, Err(HubError::ArgumentInvalid(_))), "{body} {found:?}");
        }
    }
}
