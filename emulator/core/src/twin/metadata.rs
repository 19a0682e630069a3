//! `$metadata`: when each property was written, and as part of which version.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::Document;
use crate::time::Timestamp;

/// What stands beside the members.
const OWN: [&str; 2] = ["$lastUpdated", "$lastUpdatedVersion"];

/// The metadata of a property and of those below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    updated: Timestamp,
    /// Only desired properties know the version; reported ones never show it.
    version: Option<u64>,
    members: IndexMap<String, Metadata>,
}

/// What a write leaves on everything it touches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    now: Timestamp,
    version: Option<u64>,
}

impl Stamp {
    pub(super) fn desired(now: Timestamp, version: u64) -> Self {
        Self { now, version: Some(version) }
    }

    pub(super) fn reported(now: Timestamp) -> Self {
        Self { now, version: None }
    }
}

impl Metadata {
    /// The metadata of an empty section.
    pub(super) fn new(now: Timestamp) -> Self {
        Self::stamped(Stamp::reported(now))
    }

    /// The metadata of a content that is all new.
    pub(super) fn of(content: &Document, stamp: Stamp) -> Self {
        let mut metadata = Self::stamped(stamp);
        metadata.merge(content, stamp);
        metadata
    }

    /// Follows a merge of `patch`: stamps what it touches and everything above that.
    pub(super) fn merge(&mut self, patch: &Document, stamp: Stamp) {
        self.updated = stamp.now;
        self.version = stamp.version;
        for (key, value) in patch {
            match value {
                Value::Null => {
                    self.members.shift_remove(key);
                }
                Value::Object(patch) => self
                    .members
                    .entry(key.clone())
                    .or_insert_with(|| Self::stamped(stamp))
                    .merge(patch, stamp),
                // An array is one leaf.
                _ => {
                    self.members.insert(key.clone(), Self::stamped(stamp));
                }
            }
        }
    }

    /// Reads what [`Metadata::to_json`] writes.
    ///
    /// # Errors
    ///
    /// Names the member that is not as it should be, and where it stands.
    pub fn from_json(json: &Document) -> Result<Self, String> {
        let updated = match json.get("$lastUpdated") {
            Some(Value::String(text)) => Timestamp::parse(text),
            _ => None,
        };
        let updated =
            updated.ok_or("$lastUpdated is no time, expected \"2026-01-31T12:00:00Z\"")?;
        let version = match json.get("$lastUpdatedVersion") {
            None => None,
            Some(version) => Some(version.as_u64().ok_or("$lastUpdatedVersion is no number")?),
        };
        let mut members = IndexMap::new();
        for (name, member) in json.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            let Value::Object(member) = member else {
                return Err(format!("{name} is no object"));
            };
            let member = Self::from_json(member).map_err(|why| format!("{name}.{why}"))?;
            members.insert(name.clone(), member);
        }
        Ok(Self { updated, version, members })
    }

    /// The metadata of this content: what it says nothing of was written with this stamp, and what
    /// it says of others is left out.
    pub(super) fn covering(mut self, content: &Document, stamp: Stamp) -> Self {
        let cover = |(name, value): (&String, &Value)| {
            let member = self.members.swap_remove(name).unwrap_or_else(|| Self::stamped(stamp));
            let member = match value {
                Value::Object(value) => member.covering(value, stamp),
                _ => Self { members: IndexMap::new(), ..member },
            };
            (name.clone(), member)
        };
        let members = content.iter().map(cover).collect();
        Self { members, ..self }
    }

    /// When it was written last.
    pub fn updated(&self) -> Timestamp {
        self.updated
    }

    /// As part of which version, if the section tells.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The metadata of a property.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.members.get(name)
    }

    /// The object that stands under `$metadata`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = self.own_json();
        for (key, member) in &self.members {
            json.insert(key.clone(), Value::Object(member.to_json()));
        }
        json
    }

    /// The same, without the members.
    pub(crate) fn own_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("$lastUpdated".to_owned(), Value::String(self.updated.to_string()));
        if let Some(version) = self.version {
            json.insert("$lastUpdatedVersion".to_owned(), version.into());
        }
        json
    }

    /// What a query finds below `$metadata` at the end of `path`.
    pub(crate) fn find(&self, path: &[String]) -> Option<Value> {
        let Some((name, rest)) = path.split_first() else {
            return Some(Value::Object(self.to_json()));
        };
        match name.as_str() {
            "$lastUpdated" if rest.is_empty() => Some(Value::String(self.updated.to_string())),
            "$lastUpdatedVersion" if rest.is_empty() => self.version.map(Value::from),
            name => self.members.get(name)?.find(rest),
        }
    }

    fn stamped(stamp: Stamp) -> Self {
        Self { updated: stamp.now, version: stamp.version, members: IndexMap::new() }
    }
}
