//! A twin changed: what of it, and what that is in the digital twin.

use serde_json::{Map, Value, json};

use super::{About, JSON, Notice, json_patch};
use crate::digital_twin;
use crate::event::EventSource;
use crate::ids::IdentityId;
use crate::store::{Committed, Effect, Side};
use crate::twin::{Document, Metadata, Section, Twin};

/// Which twins changed.
pub(super) fn notices(committed: &Committed<'_>) -> Vec<About> {
    let about = |(id, before, after): (IdentityId, Side<'_>, Side<'_>)| {
        let mut effects = committed.effects.iter();
        let replaced = effects.any(|(of, effect)| *of == id && *effect == Effect::TwinReplaced);
        let (operation, body) = if replaced {
            ("replaceTwin", whole(&id, after.twin))
        } else {
            ("updateTwin", changes(before.twin, after.twin))
        };
        let notice = Notice {
            source: EventSource::TwinChange,
            schema: "twinChangeNotification",
            operation,
            content_type: JSON,
            body,
        };
        (id, after.generation, notice)
    };
    committed.changed_twins().into_iter().map(about).collect()
}

/// What changed in the twins of devices that announced a model.
pub(super) fn of_digital_twins(committed: &Committed<'_>) -> Vec<About> {
    let about = |(id, before, after): (IdentityId, Side<'_>, Side<'_>)| {
        after.twin.model_id.as_ref()?;
        let name = id.module.as_ref().map_or_else(|| id.device.as_str(), |module| module.as_str());
        let document = |twin| digital_twin::document(name, twin);
        let operations = json_patch::between(&document(before.twin), &document(after.twin));
        if operations.is_empty() {
            return None;
        }
        let notice = Notice {
            source: EventSource::DigitalTwinChange,
            schema: "digitalTwinChangeNotification",
            operation: "updateTwin",
            content_type: "application/json-patch+json",
            body: Value::Array(operations),
        };
        Some((id, after.generation, notice))
    };
    committed.changed_twins().into_iter().filter_map(about).collect()
}

/// A whole twin, as notices show it.
pub(super) fn whole(id: &IdentityId, twin: &Twin) -> Value {
    let properties = json!({
        "desired": twin.desired.to_json(),
        "reported": twin.reported.to_json(),
    });
    let members = [
        ("deviceId", Some(id.device.as_str().into())),
        ("moduleId", id.module.as_ref().map(|module| module.as_str().into())),
        ("etag", Some(twin.etag().as_str().into())),
        ("version", Some(twin.version.into())),
        ("tags", twin.tags.clone().map(Value::Object)),
        ("properties", Some(properties)),
    ];
    object(members)
}

/// What of a twin changed, and nothing else.
fn changes(before: &Twin, after: &Twin) -> Value {
    let none = Document::new();
    let tags = (before.tags != after.tags).then(|| {
        let (before, after) = (before.tags.as_ref(), after.tags.as_ref());
        Value::Object(changed_members(before.unwrap_or(&none), after.unwrap_or(&none)))
    });
    let section = |before: &Section, after: &Section| {
        (before.version != after.version).then(|| section_changes(before, after))
    };
    let properties = object([
        ("desired", section(&before.desired, &after.desired)),
        ("reported", section(&before.reported, &after.reported)),
    ]);
    let properties = Some(properties).filter(|found| *found != json!({}));
    object([("version", Some(after.version.into())), ("tags", tags), ("properties", properties)])
}

/// An object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

fn changed_members(before: &Document, after: &Document) -> Document {
    let mut changed = Document::new();
    for (name, value) in after {
        match (before.get(name), value) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                changed.insert(name.clone(), Value::Object(changed_members(old, new)));
            }
            _ => drop(changed.insert(name.clone(), value.clone())),
        }
    }
    changed.extend(removed(before, after));
    changed
}

/// Null for what is gone.
fn removed(before: &Document, after: &Document) -> impl Iterator<Item = (String, Value)> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    gone.map(|name| (name.clone(), Value::Null))
}

fn section_changes(before: &Section, after: &Section) -> Value {
    let (mut changed, metadata) =
        written((&before.properties, Some(&before.metadata)), (&after.properties, &after.metadata));
    changed.insert("$metadata".to_owned(), Value::Object(metadata));
    changed.insert("$version".to_owned(), after.version.into());
    Value::Object(changed)
}

/// What a write touched, with its metadata: also what got the value that it had.
fn written(
    (before, metadata_before): (&Document, Option<&Metadata>),
    (after, metadata): (&Document, &Metadata),
) -> (Document, Map<String, Value>) {
    let (mut changed, mut told) = (Document::new(), metadata.own_json());
    for (name, value) in after {
        let Some(metadata) = metadata.member(name) else { continue };
        let old = before.get(name);
        let old_metadata = metadata_before.and_then(|before| before.member(name));
        if old == Some(value) && old_metadata == Some(metadata) {
            continue;
        }
        let (value, metadata) = match (old, value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let (value, told) = written((old, old_metadata), (new, metadata));
                (Value::Object(value), told)
            }
            _ => (value.clone(), metadata.to_json()),
        };
        changed.insert(name.clone(), value);
        told.insert(name.clone(), Value::Object(metadata));
    }
    changed.extend(removed(before, after));
    (changed, told)
}
