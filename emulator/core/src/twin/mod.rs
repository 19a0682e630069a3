//! Device twins: tags and desired properties that the service writes, reported properties that the
//! device writes. Everything here is pure: a twin and a change give a new twin.

mod draft;
mod limits;
mod merge;
mod metadata;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use draft::{SectionDraft, TwinDraft};
pub use limits::Dialect;
pub use metadata::Metadata;

use crate::configuration::Targeting;
use crate::error::HubError;
use crate::ids::{ETag, IdentityId, Precondition};
use crate::store::Effect;
use crate::time::Timestamp;
pub(crate) use merge::merge;
use metadata::Stamp;

/// A JSON object.
pub type Document = Map<String, Value>;

/// The twin of a device or module.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// What only the service sees; none until it was written once.
    pub tags: Option<Document>,
    /// What the service wants.
    pub desired: Section,
    /// What the device says.
    pub reported: Section,
    /// The IoT Plug and Play model that the device announced when it last did.
    pub model_id: Option<String>,
    /// Counts every write.
    pub version: u64,
    /// Counts the service's writes; shows as the ETag.
    pub service_writes: u64,
    /// The configurations that target it.
    pub configurations: Targeting,
}

/// The desired or the reported properties.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The properties themselves.
    pub properties: Document,
    /// When each was written.
    pub metadata: Metadata,
    /// Counts the writes of this section.
    pub version: u64,
}

/// A change that the service makes: what is none stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinPatch {
    /// To the tags.
    pub tags: Option<SectionPatch>,
    /// To the desired properties.
    pub desired: Option<SectionPatch>,
}

/// A change of one section.
#[derive(Clone, Debug, PartialEq)]
pub enum SectionPatch {
    /// Remove everything.
    Clear,
    /// Merge: null removes, objects merge, everything else replaces.
    Merge(Document),
}

/// A new content that the service gives a twin: what is none becomes empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinReplacement {
    /// The tags.
    pub tags: Option<Document>,
    /// The desired properties.
    pub desired: Option<Document>,
}

/// What a device is told when its desired properties change.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredPatch {
    /// What changed; null stands for what is gone.
    pub patch: Document,
    /// The version of the section after the change.
    pub version: u64,
}

impl Section {
    fn new(now: Timestamp) -> Self {
        Self { properties: Document::new(), metadata: Metadata::new(now), version: 1 }
    }

    /// The properties, and what the service keeps beside them.
    pub(crate) fn to_json(&self) -> Value {
        let mut members = self.properties.clone();
        members.insert("$metadata".to_owned(), Value::Object(self.metadata.to_json()));
        members.insert("$version".to_owned(), self.version.into());
        Value::Object(members)
    }

    fn merged(&self, patch: &Document, stamp: Stamp) -> Self {
        let mut section = self.clone();
        section.version += 1;
        merge(&mut section.properties, patch);
        section.metadata.merge(patch, stamp);
        section
    }
}

impl Twin {
    /// The twin of a device that was just created.
    pub fn new(now: Timestamp) -> Self {
        Self {
            tags: None,
            desired: Section::new(now),
            reported: Section::new(now),
            model_id: None,
            version: 2,
            service_writes: 1,
            configurations: Targeting::default(),
        }
    }

    /// The twin of a device that is registered in bulk, with this content. It shows the versions of
    /// a new twin, and what it was given without a time: seen on the service.
    ///
    /// # Errors
    ///
    /// The content breaks a rule of twins, or a section would outgrow its limit.
    pub fn registered(
        content: TwinReplacement,
        dialect: Dialect,
        now: Timestamp,
    ) -> Result<Self, HubError> {
        let given = content.desired.is_some();
        let (filled, _) = Self::new(now).replaced(content, dialect, now)?;
        let mut twin = Self { tags: filled.tags, ..Self::new(now) };
        if given {
            let stamp = Stamp::desired(Timestamp::NEVER, twin.desired.version);
            twin.desired.metadata = Metadata::of(&filled.desired.properties, stamp);
            twin.desired.properties = filled.desired.properties;
        }
        Ok(twin)
    }

    /// The version as clients see it. A device's reports do not change it.
    pub fn etag(&self) -> ETag {
        ETag::of_twin(self.service_writes)
    }

    /// Applies the service's patch.
    ///
    /// # Errors
    ///
    /// The patch breaks a rule of twins, or a section would outgrow its limit.
    pub fn patched(
        &self,
        patch: &TwinPatch,
        dialect: Dialect,
        now: Timestamp,
    ) -> Result<(Self, Vec<Effect>), HubError> {
        let mut twin = self.written_by_service();
        let mut effects = Vec::new();
        if let Some(patch) = &patch.tags {
            twin.tags = Some(self.patched_tags(patch, dialect)?);
        }
        match &patch.desired {
            None => {}
            Some(SectionPatch::Clear) => {
                effects.push(twin.replace_desired(Document::new(), now));
            }
            Some(SectionPatch::Merge(patch)) => {
                dialect.check_patch(patch)?;
                let stamp = Stamp::desired(now, self.desired.version + 1);
                twin.desired = self.desired.merged(patch, stamp);
                limits::DESIRED.check_growth(&self.desired.properties, &twin.desired.properties)?;
                effects.push(twin.desired_changed(patch.clone()));
            }
        }
        Ok((twin, effects))
    }

    /// Gives the twin a new content.
    ///
    /// # Errors
    ///
    /// The content breaks a rule of twins, or a section would outgrow its limit.
    pub fn replaced(
        &self,
        content: TwinReplacement,
        dialect: Dialect,
        now: Timestamp,
    ) -> Result<(Self, Vec<Effect>), HubError> {
        let desired = content.desired.unwrap_or_default();
        dialect.check_content(&desired)?;
        limits::DESIRED.check_growth(&self.desired.properties, &desired)?;
        let mut twin = self.written_by_service();
        if content.tags.is_some() || self.tags.is_some() {
            let tags = content.tags.unwrap_or_default();
            dialect.check_content(&tags)?;
            limits::TAGS.check_growth(self.tags.as_ref().unwrap_or(&Document::new()), &tags)?;
            twin.tags = Some(tags);
        }
        let effect = twin.replace_desired(desired, now);
        Ok((twin, vec![effect, Effect::TwinReplaced]))
    }

    /// Applies what the device reports.
    ///
    /// # Errors
    ///
    /// The patch breaks a rule of twins, the section would outgrow its limit, or it does not have
    /// the version that the device expects.
    pub fn reported(
        &self,
        patch: &Document,
        expected: Option<u64>,
        dialect: Dialect,
        now: Timestamp,
    ) -> Result<Self, HubError> {
        let existing = self.reported.version;
        if let Some(expected) = expected.filter(|expected| *expected != existing) {
            return Err(HubError::ReportedVersionMismatch { existing, expected });
        }
        dialect.check_patch(patch)?;
        let mut twin = self.clone();
        twin.version += 1;
        twin.reported = self.reported.merged(patch, Stamp::reported(now));
        limits::REPORTED.check_growth(&self.reported.properties, &twin.reported.properties)?;
        Ok(twin)
    }

    /// The twin of a device that announced a model. It is no write: no version changes.
    #[must_use]
    pub(crate) fn announced(&self, model_id: &str) -> Self {
        Self { model_id: Some(model_id.to_owned()), ..self.clone() }
    }

    fn written_by_service(&self) -> Self {
        let mut twin = self.clone();
        twin.version += 1;
        twin.service_writes += 1;
        twin
    }

    fn patched_tags(&self, patch: &SectionPatch, dialect: Dialect) -> Result<Document, HubError> {
        let SectionPatch::Merge(patch) = patch else { return Ok(Document::new()) };
        dialect.check_patch(patch)?;
        let before = self.tags.clone().unwrap_or_default();
        let mut after = before.clone();
        merge(&mut after, patch);
        limits::TAGS.check_growth(&before, &after)?;
        Ok(after)
    }

    fn replace_desired(&mut self, content: Document, now: Timestamp) -> Effect {
        // The device is told of what vanished by an explicit null: iot-sdk-csharp issue 954.
        let mut told = Document::new();
        for key in self.desired.properties.keys().filter(|key| !content.contains_key(*key)) {
            told.insert(key.clone(), Value::Null);
        }
        told.extend(content.clone());
        self.desired.version += 1;
        let stamp = Stamp::desired(now, self.desired.version);
        self.desired.metadata = Metadata::of(&content, stamp);
        self.desired.properties = content;
        self.desired_changed(told)
    }

    fn desired_changed(&self, patch: Document) -> Effect {
        let version = self.desired.version;
        Effect::DesiredChanged(Arc::new(DesiredPatch { patch, version }))
    }
}

/// Fails unless the twin has the version that the caller demands.
pub(crate) fn check_version(
    id: &IdentityId,
    twin: &Twin,
    precondition: &Precondition,
) -> Result<(), HubError> {
    if precondition.allows(&twin.etag()) {
        return Ok(());
    }
    Err(HubError::TwinVersionMismatch(id.clone()))
}

#[cfg(test)]
mod tests;
