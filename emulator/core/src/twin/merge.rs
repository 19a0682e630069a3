//! Merge patch, RFC 7396: null removes, objects merge, everything else replaces.

use serde_json::Value;

use super::Document;

/// Merges `patch` into `target`. What is new comes last; what was there keeps its place.
pub(crate) fn merge(target: &mut Document, patch: &Document) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(patch) => {
                let slot = target.entry(key).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Document::new());
                }
                if let Value::Object(object) = slot {
                    merge(object, patch);
                }
            }
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}
