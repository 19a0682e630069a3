//! What turns one document into another, as a JSON patch (RFC 6902).

use serde_json::{Value, json};

use crate::twin::Document;

/// The operations, each on the least that changed.
pub(super) fn between(before: &Document, after: &Document) -> Vec<Value> {
    let mut operations = Vec::new();
    compare("", before, after, &mut operations);
    operations
}

fn compare(path: &str, before: &Document, after: &Document, operations: &mut Vec<Value>) {
    for (name, value) in after {
        let path = format!("{path}/{}", escaped(name));
        match (before.get(name), value) {
            (None, new) => operations.push(json!({ "op": "add", "path": path, "value": new })),
            (Some(Value::Object(old)), Value::Object(new)) => compare(&path, old, new, operations),
            (Some(old), new) if old == new => {}
            (Some(_), new) => {
                operations.push(json!({ "op": "replace", "path": path, "value": new }));
            }
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        let path = format!("{path}/{}", escaped(name));
        operations.push(json!({ "op": "remove", "path": path }));
    }
}

/// RFC 6901.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: Value) -> Document {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn only_what_changed_is_told() {
        let before = document(json!({"a": 1, "b": {"c": 1, "d": 2}, "gone": 1, "same": [1]}));
        let after = document(
            json!({"a": 2, "b": {"c": 1, "d": 3, "e/f~": 4}, "same": [1], "new": {"x": 1}}),
        );
        assert_eq!(
            Value::Array(between(&before, &after)),
            json!([
                {"op": "replace", "path": "/a", "value": 2},
                {"op": "replace", "path": "/b/d", "value": 3},
                {"op": "add", "path": "/b/e~1f~0", "value": 4},
                {"op": "add", "path": "/new", "value": {"x": 1}},
                {"op": "remove", "path": "/gone"},
            ])
        );
        assert!(between(&after, &after).is_empty());
    }
}
