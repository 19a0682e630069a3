//! Configurations, as a back end works with them.

use std::sync::Arc;

use super::metrics::check_metric;
use super::service::ServiceSession;
use crate::auth::policy::AccessRight;
use crate::configuration::{
    Configuration, ConfigurationDraft, ConfigurationId, Content, MetricQueries, Target, apply,
};
use crate::error::HubError;
use crate::ids::{DeviceId, Precondition};
use crate::limits;
use crate::store::{Record, StoreError};
use crate::table::{Entry, TableChange};
use crate::twin::Document;

/// A configuration and what it counts.
#[derive(Clone, Debug)]
pub struct ConfigurationView {
    /// What is stored.
    pub configuration: Arc<Configuration>,
    /// What the service counts for each.
    pub system: MetricResults,
    /// What the caller wants counted.
    pub custom: MetricResults,
}

/// Queries and how many rows they have, by their names.
#[derive(Clone, Debug, Default)]
pub struct MetricResults {
    /// The queries.
    pub queries: MetricQueries,
    /// How many rows each has.
    pub results: Vec<(String, u64)>,
}

/// What is wrong with the queries of a configuration that does not exist yet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueryErrors {
    /// With its condition.
    pub target_condition: Option<String>,
    /// With its metrics.
    pub metrics: Vec<(String, String)>,
}

impl ServiceSession {
    /// A configuration.
    ///
    /// # Errors
    ///
    /// There is none, or the caller may not read the registry.
    pub async fn configuration(&self, id: &ConfigurationId) -> Result<ConfigurationView, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let found = self.find_configuration(id).await?;
        self.counted(vec![found.value]).await?.pop().ok_or_else(|| not_found(id))
    }

    /// Configurations, at most `top`, the highest priority first.
    ///
    /// # Errors
    ///
    /// The caller may not read the registry.
    pub async fn configurations(&self, top: usize) -> Result<Vec<ConfigurationView>, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let mut found = self.hub().configurations().all().await?;
        found.sort_by_cached_key(|configuration| configuration.precedence());
        found.truncate(top);
        self.counted(found).await
    }

    /// Creates a configuration, or updates it where the precondition says that there is one. The
    /// hub goes through its twins afterwards.
    ///
    /// # Errors
    ///
    /// The draft breaks a rule, the precondition does not hold, there are as many as there may be,
    /// or the caller may not write.
    pub async fn put_configuration(
        &self,
        id: &ConfigurationId,
        draft: &ConfigurationDraft,
        precondition: &Precondition,
    ) -> Result<ConfigurationView, HubError> {
        self.require(AccessRight::RegistryWrite)?;
        for query in draft.metrics.values() {
            check_metric(query)?;
        }
        let configuration = match precondition {
            Precondition::None => self.create_configuration(id, draft).await?,
            _ => self.update_configuration(id, draft, precondition).await?,
        };
        self.hub().configurations_changed().notify_one();
        self.counted(vec![configuration]).await?.pop().ok_or_else(|| not_found(id))
    }

    /// Deletes a configuration. The hub takes back what it wrote afterwards.
    ///
    /// # Errors
    ///
    /// There is none, the precondition does not hold, or the caller may not write.
    pub async fn delete_configuration(
        &self,
        id: &ConfigurationId,
        precondition: &Precondition,
    ) -> Result<(), HubError> {
        self.require(AccessRight::RegistryWrite)?;
        let decide = |found: &Configuration| found.check_version(precondition).map(|()| None);
        self.change_configuration(id, decide).await?;
        self.hub().configurations_changed().notify_one();
        Ok(())
    }

    /// Says what is wrong with a condition and with metrics.
    ///
    /// # Errors
    ///
    /// The caller may not read the registry.
    pub fn test_queries(
        &self,
        target_condition: Option<&str>,
        metrics: &MetricQueries,
    ) -> Result<QueryErrors, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let target = target_condition.map(Target::check);
        let wrong = |(name, query): (&String, &String)| {
            check_metric(query).err().map(|why| (name.clone(), why.to_string()))
        };
        Ok(QueryErrors {
            target_condition: target.and_then(Result::err).map(|why| why.to_string()),
            metrics: metrics.iter().filter_map(wrong).collect(),
        })
    }

    /// Writes a content into the modules of an edge device, once.
    ///
    /// # Errors
    ///
    /// The content is none for an edge device or does not fit, the device is none, or the caller
    /// may not write.
    pub async fn apply_content(&self, id: &DeviceId, content: Document) -> Result<(), HubError> {
        self.require(AccessRight::RegistryWrite)?;
        let content = Content::parse(content)?;
        let deployment = content.as_ref().and_then(Content::deployment).ok_or_else(|| {
            HubError::InvalidConfigurationContent("content has no modulesContent".to_owned())
        })?;
        let change = |record: &Record, now| {
            if !record.identity.iot_edge {
                return Err(HubError::InvalidConfigurationContent(format!(
                    "device {id} is no edge device"
                )));
            }
            apply::deploy_content(record, deployment, now, self.hub().random())
        };
        self.hub().change(id, change).await.map(drop)
    }

    async fn find_configuration(
        &self,
        id: &ConfigurationId,
    ) -> Result<Entry<Configuration>, HubError> {
        let found = self.hub().configurations().get(id).await?;
        found.ok_or_else(|| not_found(id))
    }

    async fn create_configuration(
        &self,
        id: &ConfigurationId,
        draft: &ConfigurationDraft,
    ) -> Result<Arc<Configuration>, HubError> {
        let created = Configuration::create(id.clone(), draft.clone(), self.hub().now())?;
        let created = Arc::new(created);
        let change = TableChange {
            key: id.clone(),
            expected: None,
            value: Some(created.clone()),
            room: limits::CONFIGURATIONS,
        };
        match self.hub().configurations().commit(change).await {
            Ok(_) => Ok(created),
            Err(StoreError::Conflict) => Err(HubError::ConfigurationAlreadyExists(id.clone())),
            Err(StoreError::Full) => Err(HubError::TooManyConfigurations),
            Err(error) => Err(error.into()),
        }
    }

    async fn update_configuration(
        &self,
        id: &ConfigurationId,
        draft: &ConfigurationDraft,
        precondition: &Precondition,
    ) -> Result<Arc<Configuration>, HubError> {
        let decide = |found: &Configuration| {
            let changed = found.changed(draft.clone(), precondition, self.hub().now())?;
            Ok(Some(Arc::new(changed)))
        };
        self.change_configuration(id, decide).await?.ok_or_else(|| not_found(id))
    }

    /// Reads a configuration, lets `decide` make a new one of it or none, and commits that; again,
    /// if another change came in between.
    async fn change_configuration(
        &self,
        id: &ConfigurationId,
        decide: impl Fn(&Configuration) -> Result<Option<Arc<Configuration>>, HubError>,
    ) -> Result<Option<Arc<Configuration>>, HubError> {
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let found = self.find_configuration(id).await?;
            let value = decide(&found.value)?;
            let change = TableChange {
                key: id.clone(),
                expected: Some(found.revision),
                value: value.clone(),
                room: limits::CONFIGURATIONS,
            };
            match self.hub().configurations().commit(change).await {
                Ok(_) => return Ok(value),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HubError::ConfigurationVersionMismatch(id.clone()))
    }
}

fn not_found(id: &ConfigurationId) -> HubError {
    HubError::ConfigurationNotFound(id.clone())
}
