//! Twin documents as the device sees them, and the merge rule that patches follow.

use serde_json::{Map, Value};

/// A JSON object of properties.
pub type Properties = Map<String, Value>;

/// A device's twin: what the hub answers to a GET.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Twin {
    /// What the back end wants.
    pub desired: Section,
    /// What the device has said.
    pub reported: Section,
}

/// One half of a twin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// The properties, without `$version`.
    pub properties: Properties,
    /// Counts the writes to this half.
    pub version: u64,
}

/// Why a body is no twin document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidDocument {
    /// It is not JSON.
    #[error("body is not JSON: {0}")]
    Json(String),
    /// It, or a half of it, is no object.
    #[error("{0} is no JSON object")]
    NotAnObject(&'static str),
    /// It carries no `$version`.
    #[error("{0} has no $version")]
    Version(&'static str),
}

impl Twin {
    /// Parses the answer to a GET: `{"desired":{…,"$version":1},"reported":{…,"$version":1}}`.
    ///
    /// # Errors
    ///
    /// Names the part that is not as documented.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidDocument> {
        let mut twin = object(body, "twin")?;
        let mut section = |name| Section::from_value(twin.remove(name).unwrap_or_default(), name);
        Ok(Self { desired: section("desired")?, reported: section("reported")? })
    }
}

impl Section {
    /// Parses the body of a desired notification: the patch and the version after it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidDocument> {
        Self::from_value(Value::Object(object(body, "patch")?), "patch")
    }

    fn from_value(value: Value, name: &'static str) -> Result<Self, InvalidDocument> {
        let Value::Object(mut properties) = value else {
            return Err(InvalidDocument::NotAnObject(name));
        };
        let version = properties
            .shift_remove("$version")
            .and_then(|version| version.as_u64())
            .ok_or(InvalidDocument::Version(name))?;
        Ok(Self { properties, version })
    }
}

fn object(body: &[u8], name: &'static str) -> Result<Properties, InvalidDocument> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(properties)) => Ok(properties),
        Ok(_) => Err(InvalidDocument::NotAnObject(name)),
        Err(error) => Err(InvalidDocument::Json(error.to_string())),
    }
}

/// Merges `patch` into `target`: null removes, objects merge, everything else replaces.
///
/// Recursion ends: serde_json reads no more than 128 levels.
pub(crate) fn merge(target: &mut Properties, patch: &Properties) {
    for (name, value) in patch {
        match (target.get_mut(name), value) {
            (_, Value::Null) => {
                target.shift_remove(name);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            (_, Value::Object(patch)) => {
                let mut inner = Properties::new();
                merge(&mut inner, patch);
                target.insert(name.clone(), Value::Object(inner));
            }
            _ => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The patch that brings `actual` to say what `intended` says; null in `intended` means absent.
/// Properties that `intended` does not name stay, but one that it names becomes just as it says.
pub(crate) fn difference(intended: &Properties, actual: &Properties) -> Properties {
    let mut patch = Properties::new();
    for (name, wanted) in intended {
        match (wanted, actual.get(name)) {
            (Value::Null, None) => {}
            (Value::Object(wanted), Some(Value::Object(actual))) => {
                let mut inner = difference(wanted, actual);
                let extra = actual.keys().filter(|name| !wanted.contains_key(*name));
                inner.extend(extra.map(|name| (name.clone(), Value::Null)));
                if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
            }
            (wanted, Some(actual)) if wanted == actual => {}
            _ => {
                patch.insert(name.clone(), wanted.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(value: &Value) -> Properties {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn twins_parse() {
        let body = br#"{"desired":{"k":1,"$version":4},"reported":{"$version":7}}"#;
        let twin = Twin::parse(body).unwrap();
        assert_eq!(twin.desired.properties, properties(&json!({"k": 1})));
        assert_eq!((twin.desired.version, twin.reported.version), (4, 7));
    }

    #[test]
    fn what_is_no_document_is_named() {
        let table: [(&[u8], InvalidDocument); 4] = [
            (b"[]", InvalidDocument::NotAnObject("twin")),
            (b"{}", InvalidDocument::NotAnObject("desired")),
            (b"{\"desired\":{}}", InvalidDocument::Version("desired")),
            (b"{\"desired\":{\"$version\":\"1\"}}", InvalidDocument::Version("desired")),
        ];
        for (body, expected) in table {
            assert_eq!(Twin::parse(body), Err(expected));
        }
        assert!(matches!(Section::parse(b"{"), Err(InvalidDocument::Json(_))));
    }

    #[test]
    fn patches_merge() {
        let table = [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": 1}), json!({"a": null}), json!({})),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": null}}), json!({"a": {"x": 1}})),
            (json!({"a": 1}), json!({"a": {"x": {"y": null}}}), json!({"a": {"x": {}}})),
            (json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]})),
        ];
        for (target, patch, expected) in table {
            let mut merged = properties(&target);
            merge(&mut merged, &properties(&patch));
            assert_eq!(Value::Object(merged), expected, "{patch}");
        }
    }

    #[test]
    fn the_difference_is_the_smallest_patch() {
        let table = [
            (json!({"a": 1, "b": null}), json!({"a": 1, "c": 3}), json!({})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
            (json!({"a": null}), json!({"a": 1}), json!({"a": null})),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"x": 1}}), json!({"a": {"y": 2}})),
            (json!({"a": {"x": 1}}), json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": null}})),
            (json!({"a": {}}), json!({"a": 1}), json!({"a": {}})),
        ];
        for (intended, actual, expected) in table {
            let patch = difference(&properties(&intended), &properties(&actual));
            assert_eq!(Value::Object(patch), expected, "{intended}");
        }
    }
}
