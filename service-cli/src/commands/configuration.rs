//! `configuration`: desired properties for every twin that matches a condition.

use clap::{Args, Subcommand};
use iothub_core::ids::{ETag, Precondition};
use serde_json::{Map, Value, json};

use crate::args::Format;
use crate::commands::{Failure, Session, Verdict, etag, json_object};
use crate::output;

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigurationCommand {
    /// Create a configuration
    Create {
        /// The configuration
        configuration: String,
        /// What it writes: {"deviceContent": …}, {"moduleContent": …} or {"modulesContent": …}
        #[arg(long, value_name = "JSON", value_parser = json_object)]
        content: Map<String, Value>,
        #[command(flatten)]
        change: Change,
    },
    /// Show a configuration and what it counts
    Show {
        /// The configuration
        configuration: String,
    },
    /// List configurations, the highest priority first
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value = "100")]
        #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
        top: u16,
    },
    /// Change a configuration; what it writes cannot be changed
    Update {
        /// The configuration
        configuration: String,
        #[command(flatten)]
        change: Change,
        /// Only if it still has this ETag; by default, the one it has when it is read
        #[arg(long, value_parser = etag)]
        etag: Option<Precondition>,
    },
    /// Delete a configuration; its settings are taken back
    Delete {
        /// The configuration
        configuration: String,
        /// Only if it still has this ETag
        #[arg(long, value_parser = etag, default_value = "*")]
        etag: Precondition,
    },
}

/// What can be changed of a configuration; what is not given stays.
#[derive(Args, Debug)]
pub(crate) struct Change {
    /// For which twins: a condition of the query language, * for all
    #[arg(long, value_name = "TEXT")]
    target_condition: Option<String>,
    /// The higher one wins
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// Labels, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    labels: Option<Map<String, Value>>,
    /// Queries to count, by name, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    metrics: Option<Map<String, Value>>,
}

pub(crate) fn run(
    session: &mut Session<'_>,
    command: ConfigurationCommand,
) -> Result<Verdict, Failure> {
    match command {
        ConfigurationCommand::Create { configuration, content, change } => {
            let mut document = json!({ "id": configuration, "content": content });
            change.apply(&mut document);
            let client = &session.client;
            let created =
                client.put_configuration(&configuration, &document, &Precondition::None)?;
            show(session, &created)
        }
        ConfigurationCommand::Show { configuration } => {
            let found = session.client.get_configuration(&configuration);
            show(session, &found.map_err(Failure::of_looking)?)
        }
        ConfigurationCommand::List { top } => list(session, top),
        ConfigurationCommand::Update { configuration, change, etag } => {
            update(session, &configuration, &change, etag)
        }
        ConfigurationCommand::Delete { configuration, etag } => {
            session.client.delete_configuration(&configuration, &etag)?;
            if session.out.format() == Format::Text {
                session.out.line(&format!("deleted {configuration}"))?;
            }
            Ok(Verdict::Yes)
        }
    }
}

fn update(
    session: &mut Session<'_>,
    id: &str,
    change: &Change,
    etag: Option<Precondition>,
) -> Result<Verdict, Failure> {
    let mut document = session.client.get_configuration(id)?;
    let read = document.get("etag").and_then(Value::as_str).map(ETag::new);
    let read = read.map_or(Precondition::Exists, Precondition::Matches);
    change.apply(&mut document);
    let updated = session.client.put_configuration(id, &document, &etag.unwrap_or(read))?;
    show(session, &updated)
}

impl Change {
    fn apply(&self, document: &mut Value) {
        let Some(document) = document.as_object_mut() else { return };
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                document.insert(name.to_owned(), value);
            }
        };
        set("targetCondition", self.target_condition.clone().map(Value::String));
        set("priority", self.priority.map(Value::from));
        set("labels", self.labels.clone().map(Value::Object));
        set("metrics", self.metrics.as_ref().map(|queries| json!({ "queries": queries })));
    }
}

fn show(session: &mut Session<'_>, configuration: &Value) -> Result<Verdict, Failure> {
    match session.out.format() {
        Format::Json => session.out.document(configuration)?,
        Format::Text => session.out.write(&text(configuration))?,
    }
    Ok(Verdict::Yes)
}

fn text(configuration: &Value) -> String {
    let mut lines: Vec<(&str, String)> =
        ["id", "targetCondition", "priority", "createdTimeUtc", "lastUpdatedTimeUtc", "etag"]
            .into_iter()
            .map(|name| (name, output::cell(configuration.get(name))))
            .collect();
    lines.push(("content", configuration.get("content").map(Value::to_string).unwrap_or_default()));
    for metrics in ["systemMetrics", "metrics"] {
        let results = configuration.get(metrics).and_then(|metrics| metrics.get("results"));
        for (name, count) in results.and_then(Value::as_object).into_iter().flatten() {
            lines.push((name, output::cell(Some(count))));
        }
    }
    output::pairs(&lines)
}

fn list(session: &mut Session<'_>, top: u16) -> Result<Verdict, Failure> {
    let configurations = session.client.list_configurations(top)?;
    match session.out.format() {
        Format::Json => session.out.document(&Value::Array(configurations))?,
        Format::Text if configurations.is_empty() => output::warn("no configurations"),
        Format::Text => {
            let count = |configuration: &Value, name| {
                output::cell(configuration.pointer(&format!("/systemMetrics/results/{name}")))
            };
            let row = |configuration: &Value| {
                vec![
                    output::cell(configuration.get("id")),
                    output::cell(configuration.get("priority")),
                    output::cell(configuration.get("targetCondition")),
                    count(configuration, "targetedCount"),
                    count(configuration, "appliedCount"),
                ]
            };
            let header = ["configuration", "priority", "condition", "targeted", "applied"];
            session.out.write(&output::table(&header, configurations.iter().map(row)))?;
        }
    }
    Ok(Verdict::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_touches_what_is_named() {
        let change = Change {
            target_condition: None,
            priority: Some(7),
            labels: None,
            metrics: Some(Map::from_iter([("m".to_owned(), "SELECT * FROM devices".into())])),
        };
        let mut document = json!({ "id": "c", "targetCondition": "*", "priority": 1 });
        change.apply(&mut document);
        let expected = json!({
            "id": "c", "targetCondition": "*", "priority": 7,
            "metrics": { "queries": { "m": "SELECT * FROM devices" } },
        });
        assert_eq!(document, expected);
    }
}
