//! `$metadata`: when each property was written, and as part of which version.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::Document;
use crate::time::Timestamp;

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
