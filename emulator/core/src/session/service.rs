//! What a back end may do. Each method demands the access right that the service documents for it.

use std::sync::Arc;

use super::presence::ConnectionState;
use crate::auth::policy::AccessRight;
use crate::auth::{Credentials, ServicePrincipal};
use crate::error::HubError;
use crate::hub::{Decision, Hub};
use crate::ids::{DeviceId, IdentityId, Precondition};
use crate::limits;
use crate::registry::{self, identity::IdentityDraft, identity::Status};
use crate::store::{Change, Effect, Record, StoreError};
use crate::time::Timestamp;
use crate::twin::{self, Dialect, Twin, TwinPatch, TwinReplacement};

/// A back end at work.
#[derive(Debug)]
pub struct ServiceSession {
    hub: Hub,
    principal: ServicePrincipal,
}

/// A device as the registry shows it.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// What is stored.
    pub record: Arc<Record>,
    /// What is going on.
    pub connection: ConnectionState,
    /// How many cloud-to-device messages wait for it.
    pub waiting: usize,
}

/// A twin as the service sees it.
#[derive(Clone, Debug)]
pub struct TwinView {
    /// Whose it is.
    pub id: IdentityId,
    /// What is stored.
    pub record: Arc<Record>,
    /// What is going on.
    pub connection: ConnectionState,
    /// How many cloud-to-device messages wait for it; none ever for a module.
    pub waiting: usize,
}

/// How many devices there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RegistryStatistics {
    /// Devices that may connect.
    pub enabled: usize,
    /// Devices that may not.
    pub disabled: usize,
}

impl ServiceSession {
    pub(crate) fn open(hub: Hub, principal: ServicePrincipal) -> Self {
        Self { hub, principal }
    }

    /// A device of the registry.
    ///
    /// # Errors
    ///
    /// There is none, or the caller may not read the registry.
    pub async fn device(&self, id: &DeviceId) -> Result<DeviceView, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let current = self.hub.record(id).await?;
        Ok(self.device_view(current.record))
    }

    /// Devices of the registry, at most `top`, ordered by name.
    ///
    /// # Errors
    ///
    /// The caller may not read the registry.
    pub async fn devices(&self, top: usize) -> Result<Vec<DeviceView>, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let mut records = self.hub.records().all().await?;
        records.sort_unstable_by(|one, other| one.identity.id.cmp(&other.identity.id));
        records.truncate(top.min(limits::DEVICE_LIST));
        Ok(records.into_iter().map(|record| self.device_view(record)).collect())
    }

    /// Creates a device, or updates it where the precondition says that there is one.
    ///
    /// # Errors
    ///
    /// The draft breaks a rule, the precondition does not hold, or the caller may not write.
    pub async fn put_device(
        &self,
        id: &DeviceId,
        draft: &IdentityDraft,
        precondition: &Precondition,
    ) -> Result<DeviceView, HubError> {
        self.require(AccessRight::RegistryWrite)?;
        self.check_scopes(draft).await?;
        let record = match precondition {
            Precondition::None => self.create_device(id, draft).await?,
            _ => self.update_device(id, draft, precondition).await?,
        };
        Ok(self.device_view(record))
    }

    /// Deletes a device, its twin and whatever waits for it; ends its connection.
    ///
    /// # Errors
    ///
    /// There is none, the precondition does not hold, or the caller may not write.
    pub async fn delete_device(
        &self,
        id: &DeviceId,
        precondition: &Precondition,
    ) -> Result<(), HubError> {
        self.require(AccessRight::RegistryWrite)?;
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let current = self.hub.record(id).await?;
            registry::check_version(current.record.identity.etag(), precondition)?;
            let change = Change {
                id: id.clone(),
                expected: Some(current.revision),
                record: None,
                effects: registry::for_all(&current.record, &Effect::Deleted),
            };
            match self.hub.commit(change).await {
                Err(StoreError::Conflict) => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Err(HubError::Conflict(id.clone().into()))
    }

    /// A twin.
    ///
    /// # Errors
    ///
    /// There is none, or the caller may not connect as a service.
    pub async fn twin(&self, id: &IdentityId) -> Result<TwinView, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let current = self.hub.record(&id.device).await?;
        self.twin_view(id, current.record)
    }

    /// Merges into the tags and desired properties of a twin.
    ///
    /// # Errors
    ///
    /// The patch breaks a rule of twins, the precondition does not hold, there is no such twin, or
    /// the caller may not connect as a service.
    pub async fn patch_twin(
        &self,
        id: &IdentityId,
        patch: &TwinPatch,
        dialect: Dialect,
        precondition: &Precondition,
    ) -> Result<TwinView, HubError> {
        self.change_twin(id, precondition, |twin, now| twin.patched(patch, dialect, now)).await
    }

    /// Replaces the tags and desired properties of a twin.
    ///
    /// # Errors
    ///
    /// As [`ServiceSession::patch_twin`].
    pub async fn replace_twin(
        &self,
        id: &IdentityId,
        content: &TwinReplacement,
        dialect: Dialect,
        precondition: &Precondition,
    ) -> Result<TwinView, HubError> {
        let replace = |twin: &Twin, now| twin.replaced(content.clone(), dialect, now);
        self.change_twin(id, precondition, replace).await
    }

    async fn change_twin(
        &self,
        id: &IdentityId,
        precondition: &Precondition,
        change: impl Fn(&Twin, Timestamp) -> Result<(Twin, Vec<Effect>), HubError>,
    ) -> Result<TwinView, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let checked = |twin: &Twin, now| {
            twin::check_version(id, twin, precondition)?;
            change(twin, now)
        };
        let record = self.hub.change_twin(id, checked).await?;
        self.twin_view(id, record)
    }

    /// How many devices there are.
    ///
    /// # Errors
    ///
    /// The caller may not read the registry.
    pub async fn registry_statistics(&self) -> Result<RegistryStatistics, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let mut statistics = RegistryStatistics::default();
        for record in self.hub.records().all().await? {
            match record.identity.status {
                Status::Enabled => statistics.enabled += 1,
                Status::Disabled => statistics.disabled += 1,
            }
        }
        Ok(statistics)
    }

    /// How many devices are connected.
    ///
    /// # Errors
    ///
    /// The caller may not read the registry.
    pub fn connected_devices(&self) -> Result<usize, HubError> {
        self.require(AccessRight::RegistryRead)?;
        Ok(self.hub.presences().connected())
    }

    async fn create_device(
        &self,
        id: &DeviceId,
        draft: &IdentityDraft,
    ) -> Result<Arc<Record>, HubError> {
        let record = registry::create(id, draft, self.hub.now(), self.hub.random())?;
        let created = Decision { record, effects: Vec::new() };
        let Decision { record, effects } = self.hub.configured(created).await?;
        let record = Arc::new(record);
        let change =
            Change { id: id.clone(), expected: None, record: Some(record.clone()), effects };
        match self.hub.commit(change).await {
            Ok(_) => Ok(record),
            Err(StoreError::Conflict) => Err(HubError::DeviceAlreadyExists(id.clone())),
            Err(error) => Err(error.into()),
        }
    }

    async fn update_device(
        &self,
        id: &DeviceId,
        draft: &IdentityDraft,
        precondition: &Precondition,
    ) -> Result<Arc<Record>, HubError> {
        let change = |record: &Record, now| {
            let updated = registry::update(record, draft, precondition, now, self.hub.random())?;
            let effects = match updated.identity.status {
                Status::Enabled => Vec::new(),
                Status::Disabled => registry::for_all(&updated, &Effect::Disabled),
            };
            Ok(Decision { record: updated, effects })
        };
        self.hub.change(id, change).await
    }

    /// A scope must be one that an edge device of this hub defines.
    pub(super) async fn check_scopes(&self, draft: &IdentityDraft) -> Result<(), HubError> {
        // An edge device's own scope comes back with its document and is not the caller's to set.
        let own = draft.device_scope.iter().filter(|_| !draft.iot_edge);
        for scope in own.chain(&draft.parent_scopes) {
            let unknown = || HubError::InvalidDeviceScope(scope.clone());
            let id = registry::scope_device(scope).ok_or_else(unknown)?;
            let parent = self.hub.records().get(&id).await?.ok_or_else(unknown)?;
            if !parent.record.identity.iot_edge
                || parent.record.identity.device_scope.as_ref() != Some(scope)
            {
                return Err(unknown());
            }
        }
        Ok(())
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) fn require(&self, right: AccessRight) -> Result<(), HubError> {
        self.principal.require(right).map_err(HubError::Unauthorized)
    }

    fn device_view(&self, record: Arc<Record>) -> DeviceView {
        let id = record.identity.id.clone().into();
        let connection = self.hub.presences().state(&id, record.identity.generation);
        let waiting = self.waiting(&record.identity);
        DeviceView { record, connection, waiting }
    }

    pub(super) fn twin_view(
        &self,
        id: &IdentityId,
        record: Arc<Record>,
    ) -> Result<TwinView, HubError> {
        let identity = Credentials::of(&record, id).ok_or_else(|| HubError::not_found(id))?;
        let connection = self.hub.presences().state(id, identity.generation);
        let waiting = if id.module.is_none() { self.waiting(&record.identity) } else { 0 };
        Ok(TwinView { id: id.clone(), record, connection, waiting })
    }
}
