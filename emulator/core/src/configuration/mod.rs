//! Configurations: desired properties that the hub writes into every twin that matches a condition,
//! and takes back when it no longer does. The service calls it automatic device management; for
//! edge devices the same documents are deployments.
//!
//! Everything here is pure. `apply` says what the configurations make of a record; the hub lets
//! it have its say with each change of a record, and goes through all records when a configuration
//! changes.

pub(crate) mod apply;
pub(crate) mod content;
mod id;
mod metrics;
mod settings;
mod target;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

pub use content::Content;
pub use id::ConfigurationId;
pub(crate) use target::Target;

use crate::error::HubError;
use crate::ids::{ETag, Precondition};
use crate::limits;
use crate::query::Source;
use crate::time::Timestamp;
use crate::twin::Document;

/// Queries by their names.
pub type MetricQueries = IndexMap<String, String>;

/// A configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Its name.
    pub id: ConfigurationId,
    /// The version of its schema, in the caller's words.
    pub schema_version: Option<String>,
    /// Labels, in the caller's words.
    pub labels: Option<Document>,
    /// What it writes; none for one that only counts.
    pub content: Option<Content>,
    /// Whom it is for, in the caller's words.
    pub target_condition: String,
    /// The one with the higher priority wins.
    pub priority: i64,
    /// Queries whose results are counted, by their names.
    pub metrics: MetricQueries,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
    /// Counts its changes; shows as the ETag.
    pub version: u64,
    target: Target,
}

/// The part of a configuration that a caller writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigurationDraft {
    /// The version of its schema.
    pub schema_version: Option<String>,
    /// Labels.
    pub labels: Option<Document>,
    /// What it writes.
    pub content: Document,
    /// Whom it is for.
    pub target_condition: Option<String>,
    /// Which wins.
    pub priority: i64,
    /// Queries to count.
    pub metrics: MetricQueries,
}

/// The configurations that target a twin, and what they wrote into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targeting {
    statuses: BTreeMap<ConfigurationId, TargetStatus>,
    settings: Arc<Document>,
}

/// How far a configuration came with a twin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetStatus {
    /// It is for this twin; another one took its place, or it does not fit.
    Targeted,
    /// It has been written.
    Applied,
}

impl Configuration {
    /// A new configuration.
    ///
    /// # Errors
    ///
    /// Something in the draft is not as it should be.
    pub(crate) fn create(
        id: ConfigurationId,
        draft: ConfigurationDraft,
        now: Timestamp,
    ) -> Result<Self, HubError> {
        let content = Content::parse(draft.content)?.ok_or_else(no_content)?;
        let target_condition = draft.target_condition.unwrap_or_default();
        let target = Target::parse(&target_condition, content.source_of_targets())?;
        check_priority(draft.priority)?;
        check_count(&draft.metrics)?;
        Ok(Self {
            id,
            schema_version: draft.schema_version,
            labels: draft.labels,
            content: Some(content),
            target_condition,
            priority: draft.priority,
            metrics: draft.metrics,
            created: now,
            updated: now,
            version: 1,
            target,
        })
    }

    /// The same configuration with the history that a snapshot has of it.
    #[must_use]
    pub(crate) fn with_history(self, created: Timestamp, updated: Timestamp, version: u64) -> Self {
        Self { created, updated, version, ..self }
    }

    /// The configuration with its writable part replaced. Its content stays for ever.
    ///
    /// # Errors
    ///
    /// The draft has another content, or something in it is not as it should be.
    pub(crate) fn changed(
        &self,
        draft: ConfigurationDraft,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Self, HubError> {
        self.check_version(precondition)?;
        let content = Content::parse(draft.content)?;
        let is_same = match (&content, &self.content) {
            (Some(new), Some(old)) => new.says_the_same(old),
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !is_same {
            return Err(HubError::ImmutableConfigurationContent(self.id.clone()));
        }
        let target_condition = draft.target_condition.unwrap_or_default();
        let source = self.content.as_ref().map_or(Source::Devices, Content::source_of_targets);
        let target = Target::parse(&target_condition, source)?;
        check_priority(draft.priority)?;
        check_count(&draft.metrics)?;
        Ok(Self {
            id: self.id.clone(),
            schema_version: draft.schema_version,
            labels: draft.labels,
            content: self.content.clone(),
            target_condition,
            priority: draft.priority,
            metrics: draft.metrics,
            created: self.created,
            updated: now,
            version: self.version + 1,
            target,
        })
    }

    /// Fails unless it has the version that the caller demands.
    pub(crate) fn check_version(&self, precondition: &Precondition) -> Result<(), HubError> {
        if precondition.allows(&self.etag()) {
            return Ok(());
        }
        Err(HubError::ConfigurationVersionMismatch(self.id.clone()))
    }

    /// The version as clients see it.
    pub fn etag(&self) -> ETag {
        ETag::of_identity(self.version)
    }

    /// What it is for.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Sorts the one that wins first: by priority, then the younger.
    pub(crate) fn precedence(&self) -> impl Ord + use<> {
        (Reverse(self.priority), Reverse(self.created), self.id.clone())
    }
}

impl Targeting {
    /// How far each configuration came.
    pub fn statuses(&self) -> &BTreeMap<ConfigurationId, TargetStatus> {
        &self.statuses
    }

    /// What a snapshot says: how far each configuration came, and what they wrote.
    pub fn restored(statuses: BTreeMap<ConfigurationId, TargetStatus>, settings: Document) -> Self {
        Self { statuses, settings: Arc::new(settings) }
    }

    /// What they wrote; for the agent of an edge device, into which module.
    pub fn settings(&self) -> &Document {
        &self.settings
    }

    /// How far one came, if it is for this twin.
    pub fn status(&self, id: &ConfigurationId) -> Option<TargetStatus> {
        self.statuses.get(id).copied()
    }

    /// The member `configurations` of a twin document; none if no configuration targets it.
    pub fn to_json(&self) -> Option<Document> {
        let entry = |(id, status): (&ConfigurationId, &TargetStatus)| {
            let status = Value::String(status.name().to_owned());
            let status = Document::from_iter([("status".to_owned(), status)]);
            (id.to_string(), Value::Object(status))
        };
        (!self.statuses.is_empty()).then(|| self.statuses.iter().map(entry).collect())
    }
}

impl TargetStatus {
    /// Reads what [`TargetStatus::name`] gives.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Targeted, Self::Applied].into_iter().find(|status| status.name() == name)
    }

    /// As the service spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Targeted => "Targeted",
            Self::Applied => "Applied",
        }
    }
}

impl ConfigurationDraft {
    /// Everything that keeps this from becoming a configuration, but for the metrics themselves;
    /// whoever asks for a single one is told of the first.
    pub(crate) fn mistakes(&self) -> Vec<HubError> {
        let content = Content::parse(self.content.clone());
        let source = match &content {
            Ok(Some(content)) => content.source_of_targets(),
            _ => Source::Devices,
        };
        let target = Target::parse(self.target_condition.as_deref().unwrap_or_default(), source);
        let content = content.and_then(|content| content.ok_or_else(no_content));
        [
            content.err(),
            target.err(),
            check_priority(self.priority).err(),
            check_count(&self.metrics).err(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn check_priority(priority: i64) -> Result<(), HubError> {
    if priority < 0 {
        return Err(HubError::ArgumentInvalid(format!(
            "priority is {priority}, expected 0 or more"
        )));
    }
    Ok(())
}

fn check_count(metrics: &MetricQueries) -> Result<(), HubError> {
    let (count, max) = (metrics.len(), limits::CONFIGURATION_METRICS);
    if count > max {
        return Err(HubError::InvalidMetricQuery(format!(
            "configuration has {count} metrics, expected at most {max}"
        )));
    }
    Ok(())
}

fn no_content() -> HubError {
    HubError::InvalidConfigurationContent(
        "content has none of deviceContent, moduleContent and modulesContent".to_owned(),
    )
}

#[cfg(test)]
mod tests;
