//! A device twin as the service hands it out, and what is read from it.

use serde_json::{Map, Value, json};

/// A twin: a JSON object in the service's own form, kept whole so that it can be printed and sent
/// back as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin(Map<String, Value>);

/// One of the two sections of properties.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Section {
    /// What the back end asks for.
    Desired,
    /// What the device says it is.
    Reported,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Reported => "reported",
        }
    }
}

impl Twin {
    /// Takes a document that is an object; gives any other back.
    ///
    /// # Errors
    ///
    /// The document, if it is no object.
    pub fn new(document: Value) -> Result<Self, Value> {
        match document {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(other),
        }
    }

    /// A field of the document itself, such as `status`; null counts as absent.
    pub fn field(&self, name: &str) -> Option<&Value> {
        present(self.0.get(name))
    }

    /// The number of changes so far, the device's own included.
    pub fn version(&self) -> Option<u64> {
        self.field("version")?.as_u64()
    }

    /// Whether the service says that the device is not there; it says so of devices over HTTPS too.
    pub fn is_disconnected(&self) -> bool {
        self.field("connectionState").and_then(Value::as_str) == Some("Disconnected")
    }

    /// The tag that a conditional change has to name.
    pub fn etag(&self) -> Option<&str> {
        self.field("etag")?.as_str()
    }

    /// A top-level property of a section; null counts as absent.
    pub fn property(&self, section: Section, name: &str) -> Option<&Value> {
        present(self.section(section)?.get(name))
    }

    /// Where the section's properties end and what they are: `a.b.c` with each leaf's value,
    /// without `$metadata` and `$version`.
    pub fn leaves(&self, section: Section) -> Vec<(String, &Value)> {
        self.section(section).map_or_else(Vec::new, leaves)
    }

    /// The same for the tags.
    pub fn tags(&self) -> Vec<(String, &Value)> {
        self.field("tags").and_then(Value::as_object).map_or_else(Vec::new, leaves)
    }

    /// What is worth comparing: version, tags and properties without `$metadata`, whose times
    /// change with everything else and say nothing new.
    pub fn essence(&self) -> Value {
        let section = |section: Section| {
            let mut fields = self.section(section).cloned().unwrap_or_default();
            fields.shift_remove("$metadata");
            // At the end, so that a new property is one new line and no change of another.
            if let Some(version) = fields.shift_remove("$version") {
                fields.insert("$version".to_owned(), version);
            }
            fields
        };
        json!({
            "version": self.field("version"),
            "tags": self.field("tags").cloned().unwrap_or_else(|| json!({})),
            "properties": {
                "desired": section(Section::Desired),
                "reported": section(Section::Reported),
            },
        })
    }

    /// The whole document.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The whole document, as a copy.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn section(&self, section: Section) -> Option<&Map<String, Value>> {
        self.0.get("properties")?.get(section.name())?.as_object()
    }
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn leaves(fields: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('$')) {
        match value.as_object() {
            Some(inner) if !inner.is_empty() => found.extend(
                leaves(inner).into_iter().map(|(rest, value)| (format!("{name}.{rest}"), value)),
            ),
            _ => found.push((name.clone(), value)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin() -> Twin {
        Twin::new(json!({
            "deviceId": "d", "etag": "AAAAAAAAAAI=", "version": 4, "statusReason": null,
            "tags": {"site": {"floor": 3}, "empty": {}},
            "properties": {
                "desired": {"configId": 2, "gone": null, "$metadata": {}, "$version": 2},
                "reported": {"$version": 3, "a": {"b": [1], "c": true}, "$metadata": {}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_asked_for_is_found_and_null_is_absent() {
        let twin = twin();
        assert_eq!(twin.version(), Some(4));
        assert_eq!(twin.etag(), Some("AAAAAAAAAAI="));
        assert_eq!(twin.field("statusReason"), None);
        assert_eq!(twin.property(Section::Desired, "configId"), Some(&json!(2)));
        assert_eq!(twin.property(Section::Desired, "gone"), None);
        assert_eq!(twin.property(Section::Reported, "configId"), None);
    }

    #[test]
    fn leaves_are_named_by_their_path() {
        let twin = twin();
        let reported = twin.leaves(Section::Reported);
        assert_eq!(reported, [("a.b".to_owned(), &json!([1])), ("a.c".to_owned(), &json!(true))]);
        let tags = twin.tags();
        assert_eq!(tags, [("site.floor".to_owned(), &json!(3)), ("empty".to_owned(), &json!({}))]);
    }

    #[test]
    fn the_essence_has_no_metadata_and_ends_with_the_version() {
        assert_eq!(
            twin().essence().to_string(),
            json!({
                "version": 4,
                "tags": {"site": {"floor": 3}, "empty": {}},
                "properties": {
                    "desired": {"configId": 2, "gone": null, "$version": 2},
                    "reported": {"a": {"b": [1], "c": true}, "$version": 3},
                },
            })
            .to_string()
        );
    }

    #[test]
    fn a_twin_with_nothing_in_it_is_read_too() {
        let twin = Twin::new(json!({})).unwrap();
        assert_eq!(twin.version(), None);
        assert!(twin.tags().is_empty() && twin.leaves(Section::Desired).is_empty());
        assert_eq!(Twin::new(json!([1])), Err(json!([1])));
    }
}
