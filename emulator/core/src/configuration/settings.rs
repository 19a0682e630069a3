//! Settings: the part of the desired properties that configurations wrote, and what of it changes.
//! A null among settings keeps a property away.

use serde_json::Value;

use crate::twin::Document;

/// Lays `over` over `settings`: objects merge, everything else replaces.
pub(super) fn lay_over(settings: &mut Document, over: &Document) {
    for (key, value) in over {
        match (settings.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            _ => {
                settings.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The patch that turns `before` into `after` in properties where `before` was written once. What
/// others have written since stays, unless it stands in the way.
pub(super) fn patch(before: &Document, after: &Document, current: &Document) -> Document {
    let mut patch = removal(before, after, current);
    for (key, value) in after {
        match (before.get(key), value) {
            (Some(found), value) if found == value => {}
            (Some(Value::Object(before)), Value::Object(after)) => {
                let inner = self::patch(before, after, object(current, key));
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (_, Value::Null) if !current.contains_key(key) => {}
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    patch
}

/// The nulls that remove what stood in `before` and does not stand in `after`.
fn removal(before: &Document, after: &Document, current: &Document) -> Document {
    let mut nulls = Document::new();
    for (key, value) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        match (value, current.get(key)) {
            (_, None) => {}
            (Value::Object(before), Some(Value::Object(current))) if !covers(before, current) => {
                let inner = removal(before, &Document::new(), current);
                nulls.insert(key.clone(), Value::Object(inner));
            }
            _ => {
                nulls.insert(key.clone(), Value::Null);
            }
        }
    }
    nulls
}

/// Whether everything in `current` came from `settings`.
fn covers(settings: &Document, current: &Document) -> bool {
    current.iter().all(|(key, value)| match (settings.get(key), value) {
        (Some(Value::Object(settings)), Value::Object(current)) => covers(settings, current),
        (found, _) => found.is_some(),
    })
}

fn object<'a>(document: &'a Document, key: &str) -> &'a Document {
    static EMPTY: std::sync::LazyLock<Document> = std::sync::LazyLock::new(Document::new);
    document.get(key).and_then(Value::as_object).unwrap_or(&EMPTY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Document {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn patches_write_what_changes_and_take_back_what_is_no_longer_set() {
        let table = [
            // before, after, current, patch
            (json!({}), json!({"a": 1}), json!({}), json!({"a": 1})),
            (json!({"a": 1}), json!({"a": 1}), json!({"a": 1}), json!({})),
            (json!({"a": 1}), json!({"a": 2}), json!({"a": 1}), json!({"a": 2})),
            // What the user wrote over it stays until the setting changes.
            (json!({"a": 1}), json!({"a": 1}), json!({"a": 9}), json!({})),
            (json!({"a": 1}), json!({}), json!({"a": 1, "b": 2}), json!({"a": null})),
            // What is gone already needs no null.
            (json!({"a": 1}), json!({}), json!({}), json!({})),
            // An object goes as a whole if nothing else stands in it.
            (json!({"a": {"b": 1}}), json!({}), json!({"a": {"b": 1}}), json!({"a": null})),
            (
                json!({"a": {"b": 1}}),
                json!({}),
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"b": null}}),
            ),
            (
                json!({"a": {"b": 1, "c": 1}}),
                json!({"a": {"b": 1, "d": 1}}),
                json!({"a": {"b": 1, "c": 1}}),
                json!({"a": {"c": null, "d": 1}}),
            ),
            (json!({"a": {"b": 1}}), json!({"a": 3}), json!({"a": {"b": 1}}), json!({"a": 3})),
            (json!({}), json!({"a": null}), json!({"a": 1}), json!({"a": null})),
            (json!({}), json!({"a": null}), json!({}), json!({})),
        ];
        for (before, after, current, expected) in table {
            let found = patch(
                &document(before.clone()),
                &document(after.clone()),
                &document(current.clone()),
            );
            assert_eq!(Value::Object(found), expected, "{before} {after} {current}");
        }
    }

    #[test]
    fn what_lies_over_wins() {
        let mut settings = document(json!({"a": {"b": 1, "c": 1}, "d": 1}));
        lay_over(&mut settings, &document(json!({"a": {"b": 2}, "d": {"e": null}})));
        assert_eq!(Value::Object(settings), json!({"a": {"b": 2, "c": 1}, "d": {"e": null}}));
    }
}
