//! A JSON object as a document: what a job did to a device, or a twin that somebody else wrote.

use serde_json::{Map, Value};

use super::eval::Subject;
use super::path::{Attribute, Path, TwinAttribute};
use super::value::Datum;

/// A JSON object with the members that tell it from others.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    members: Map<String, Value>,
    keys: [&'static str; 2],
}

impl Row {
    /// An object that its member `key` tells from others.
    pub fn new(key: &'static str, members: Map<String, Value>) -> Self {
        Self { members, keys: [key, ""] }
    }

    /// What a job did to a device.
    pub fn of_job(members: Map<String, Value>) -> Self {
        Self { members, keys: ["jobId", "deviceId"] }
    }

    /// The object.
    pub fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// A member, whatever the case of its name: these names are the service's own.
    fn member(&self, name: &str) -> Option<&Value> {
        let find = |name: &str| {
            self.members.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, one)| one)
        };
        match name {
            // The documents' samples use a name that rows do not have.
            name if name.eq_ignore_ascii_case("createdTimeUtc") => {
                find(name).or_else(|| find("createdDateTimeUtc"))
            }
            name => find(name),
        }
    }

    fn text(&self, name: &str) -> &str {
        self.members.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Subject for Row {
    fn value(&self, path: &Path) -> Datum<'_> {
        let below = |name: &str, path: &[String]| {
            self.member(name).map_or(Datum::Undefined, |value| Datum::below(value, path))
        };
        match &path.attribute {
            Attribute::Other(name) => below(name, &path.below),
            Attribute::Twin(section @ (TwinAttribute::Desired | TwinAttribute::Reported)) => {
                let properties = self.member("properties");
                let section = properties.and_then(|section_of| section_of.get(section.name()));
                section.map_or(Datum::Undefined, |section| Datum::below(section, &path.below))
            }
            Attribute::Twin(attribute) => below(attribute.name(), &path.below),
            Attribute::Message(_) => Datum::Undefined,
        }
    }

    fn key(&self) -> (&str, &str) {
        let [first, second] = self.keys;
        (self.text(first), self.text(second))
    }
}
