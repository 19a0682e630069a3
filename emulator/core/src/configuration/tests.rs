//! What configurations do to records, told as a user sees it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::{Applying, deploy_content};
use super::*;
use crate::ids::{DeviceId, IdentityId};
use crate::random::Random;
use crate::registry::{self, identity::IdentityDraft};
use crate::store::{Effect, Record};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn id(name: &str) -> ConfigurationId {
    ConfigurationId::parse(name).unwrap()
}

fn object(value: &Value) -> Document {
    value.as_object().unwrap().clone()
}

fn draft(content: &Value, priority: i64) -> ConfigurationDraft {
    ConfigurationDraft {
        content: object(content),
        target_condition: Some("*".to_owned()),
        priority,
        ..ConfigurationDraft::default()
    }
}

fn configuration(name: &str, content: &Value, priority: i64) -> Arc<Configuration> {
    Arc::new(Configuration::create(id(name), draft(content, priority), at(1)).unwrap())
}

fn device(iot_edge: bool) -> Record {
    let draft = IdentityDraft { iot_edge, ..IdentityDraft::default() };
    let random = Random::seeded(1);
    registry::create(&DeviceId::parse("d").unwrap(), &draft, at(0), &random).unwrap()
}

/// The record as these configurations want it, all of which target it.
fn under(record: &Record, configurations: &[Arc<Configuration>]) -> Record {
    let random = Random::seeded(2);
    let holds = |_: &Configuration, _: &IdentityId| true;
    let applying = Applying { configurations, holds, now: at(9), random: &random };
    let after = applying.to(record).map_or_else(|| record.clone(), |decision| decision.record);
    assert!(applying.to(&after).is_none(), "applied twice: {after:?}");
    after
}

fn desired(record: &Record) -> Value {
    Value::Object(record.twin.desired.properties.clone())
}

fn statuses(record: &Record) -> Value {
    json!(record.twin.configurations.to_json())
}

fn of_device(properties: &Value) -> Value {
    json!({ "deviceContent": { "properties.desired": properties } })
}

#[test]
fn settings_come_with_a_configuration_and_go_with_it() {
    let content = json!({"deviceContent": {"properties.desired.water": {"temperature": 38}}});
    let before = device(false);
    let with = under(&before, &[configuration("a", &content, 1)]);
    assert_eq!(desired(&with), json!({"water": {"temperature": 38}}));
    assert_eq!(statuses(&with), json!({"a": {"status": "Applied"}}));
    assert_eq!((with.twin.version, with.twin.desired.version), (3, 2));
    let without = under(&with, &[]);
    assert_eq!((desired(&without), statuses(&without)), (json!({}), json!(null)));
}

#[test]
fn the_higher_priority_wins_and_the_other_returns() {
    let low = configuration("low", &of_device(&json!({"a": 1, "b": 1})), 1);
    let high = configuration("high", &of_device(&json!({"a": 2, "c": 2})), 2);
    let both = under(&device(false), &[low.clone(), high.clone()]);
    assert_eq!(desired(&both), json!({"b": 1, "a": 2, "c": 2}));
    assert_eq!(
        statuses(&both),
        json!({"high": {"status": "Applied"}, "low": {"status": "Applied"}})
    );
    let one = under(&both, &[low]);
    assert_eq!(desired(&one), json!({"b": 1, "a": 1}));
}

#[test]
fn of_equal_priorities_the_younger_wins() {
    let make = |name, value, created| {
        let draft = draft(&of_device(&json!({ "a": value })), 1);
        Arc::new(Configuration::create(id(name), draft, at(created)).unwrap())
    };
    let record = under(&device(false), &[make("x", 1, 5), make("y", 2, 7), make("z", 3, 6)]);
    assert_eq!(desired(&record), json!({"a": 2}));
}

#[test]
fn what_does_not_fit_is_only_targeted() {
    let text = "x".repeat(4000);
    let large: Document = (0..7).map(|n| (format!("k{n}"), json!(text))).collect();
    let low = configuration("low", &of_device(&Value::Object(large)), 1);
    let more = json!({"l": text, "m": text});
    let high = configuration("high", &of_device(&more), 2);
    let record = under(&device(false), &[low, high]);
    assert_eq!(desired(&record), more);
    assert_eq!(
        statuses(&record),
        json!({"high": {"status": "Applied"}, "low": {"status": "Targeted"}})
    );
}

#[test]
fn the_content_never_changes_and_the_rest_does() {
    let content = of_device(&json!({"a": 1}));
    let first = configuration("c", &content, 1);
    let second = first.changed(draft(&content, 7), &Precondition::Exists, at(2)).unwrap();
    assert_eq!((second.priority, second.etag().as_str()), (7, "Mg=="));
    assert_eq!((second.created, second.updated), (at(1), at(2)));
    let other = draft(&of_device(&json!({"a": 2})), 7);
    assert_eq!(
        first.changed(other, &Precondition::Exists, at(2)),
        Err(HubError::ImmutableConfigurationContent(id("c")))
    );
    let stale = Precondition::Matches(first.etag());
    assert_eq!(
        second.changed(draft(&content, 1), &stale, at(3)),
        Err(HubError::ConfigurationVersionMismatch(id("c")))
    );
    let silent = ConfigurationDraft { content: Document::new(), ..draft(&content, 2) };
    assert!(second.changed(silent, &Precondition::Exists, at(3)).is_ok());
}

#[test]
fn drafts_are_checked() {
    let content = of_device(&json!({"a": 1}));
    let create = |draft| Configuration::create(id("c"), draft, at(1)).map(drop);
    let queries = |count| (0..count).map(|n| (format!("m{n}"), "*".to_owned())).collect();
    assert!(matches!(
        create(ConfigurationDraft::default()),
        Err(HubError::InvalidConfigurationContent(_))
    ));
    assert!(matches!(create(draft(&content, -1)), Err(HubError::ArgumentInvalid(_))));
    let crowded = ConfigurationDraft { metrics: queries(6), ..draft(&content, 0) };
    assert!(matches!(create(crowded), Err(HubError::InvalidMetricQuery(_))));
}

fn whole(routes: &str) -> Value {
    json!({"modulesContent": {
        "$edgeAgent": {"properties.desired": {"modules": {"sensor": {"type": "docker"}}}},
        "$edgeHub": {"properties.desired": {"routes": {"r": routes}}},
        "sensor": {"properties.desired": {"interval": 1}},
    }})
}

fn module<'a>(record: &'a Record, name: &str) -> &'a crate::twin::Twin {
    let id = crate::ids::ModuleId::parse(name).unwrap();
    &record.modules[&id].twin
}

fn agent_statuses(record: &Record) -> Value {
    json!(module(record, "$edgeAgent").configurations.to_json())
}

#[test]
fn an_edge_device_runs_one_deployment_and_the_layers_above_it() {
    let layer = json!({"modulesContent": {
        "$edgeAgent": {"properties.desired.modules.filter": {"type": "docker"}},
        "sensor": {"properties.desired.interval": 2},
    }});
    let all = [
        configuration("base", &whole("high"), 5),
        configuration("beaten", &whole("low"), 4),
        configuration("layer", &layer, 6),
        configuration("under", &layer, 1),
    ];
    let record = under(&device(true), &all);
    assert_eq!(
        agent_statuses(&record),
        json!({
            "base": {"status": "Applied"}, "beaten": {"status": "Targeted"},
            "layer": {"status": "Applied"}, "under": {"status": "Targeted"},
        })
    );
    let modules = json!({"sensor": {"type": "docker"}, "filter": {"type": "docker"}});
    let properties = |name| Value::Object(module(&record, name).desired.properties.clone());
    assert_eq!(properties("$edgeAgent"), json!({ "modules": modules }));
    assert_eq!(properties("$edgeHub"), json!({"routes": {"r": "high"}}));
    assert_eq!(properties("sensor"), json!({"interval": 2}));
    assert_eq!(properties("filter"), json!({}), "the agent names it, so that it exists");

    // The last deployment leaves its modules behind.
    let gone = under(&record, &[]);
    assert_eq!(agent_statuses(&gone), json!(null));
    assert_eq!(gone.modules.len(), 4);
    assert_eq!(module(&gone, "sensor").desired, module(&record, "sensor").desired);
}

#[test]
fn a_deployment_is_not_for_other_devices() {
    let record = under(&device(false), &[configuration("base", &whole("r"), 5)]);
    assert_eq!(record, device(false));
}

#[test]
fn a_content_is_written_without_a_configuration() {
    let content = Content::parse(object(&whole("r"))).unwrap().unwrap();
    let content::Kind::Edge(deployment) = &content.kind else { panic!("{content:?}") };
    let decision = deploy_content(&device(true), deployment, at(3), &Random::seeded(1)).unwrap();
    assert_eq!(decision.record.modules.len(), 3);
    let told = |effect: &Effect| matches!(effect, Effect::DesiredChanged(_));
    assert_eq!(decision.effects.iter().filter(|(_, effect)| told(effect)).count(), 3);
    assert_eq!(agent_statuses(&decision.record), json!(null));
}
