//! The registry's modules, as a back end works with them.

use std::sync::Arc;

use super::presence::ConnectionState;
use super::service::ServiceSession;
use crate::auth::policy::AccessRight;
use crate::error::HubError;
use crate::hub::Decision;
use crate::ids::{DeviceId, IdentityId, ModuleId, Precondition};
use crate::registry::identity::ModuleDraft;
use crate::registry::modules;
use crate::store::{Effect, ModuleRecord, Record};

/// A module as the registry shows it.
#[derive(Clone, Debug)]
pub struct ModuleView {
    /// The device that it runs on.
    pub device: DeviceId,
    /// What is stored.
    pub record: Arc<ModuleRecord>,
    /// What is going on.
    pub connection: ConnectionState,
}

impl ServiceSession {
    /// The modules of a device.
    ///
    /// # Errors
    ///
    /// There is no such device, or the caller may not read the registry.
    pub async fn modules(&self, device: &DeviceId) -> Result<Vec<ModuleView>, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let found = self.hub().record(device).await?;
        Ok(found.record.modules.values().map(|module| self.view(device, module)).collect())
    }

    /// A module.
    ///
    /// # Errors
    ///
    /// There is no such device or module, or the caller may not read the registry.
    pub async fn module(&self, device: &DeviceId, id: &ModuleId) -> Result<ModuleView, HubError> {
        self.require(AccessRight::RegistryRead)?;
        let found = self.hub().record(device).await?;
        self.find(&found.record, id)
    }

    /// Creates a module, or updates it where the precondition says that there is one.
    ///
    /// # Errors
    ///
    /// The draft breaks a rule, the precondition does not hold, or the caller may not write.
    pub async fn put_module(
        &self,
        device: &DeviceId,
        id: &ModuleId,
        draft: &ModuleDraft,
        precondition: &Precondition,
    ) -> Result<ModuleView, HubError> {
        self.require(AccessRight::RegistryWrite)?;
        let random = self.hub().random();
        let change = |record: &Record, now| {
            let record = match precondition {
                Precondition::None => modules::create(record, id, draft, now, random)?,
                _ => modules::update(record, id, draft, precondition, random)?,
            };
            Ok(Decision { record, effects: Vec::new() })
        };
        let changed = self.hub().change(device, change).await?;
        self.find(&changed, id)
    }

    /// Deletes a module and its twin; ends its connection.
    ///
    /// # Errors
    ///
    /// There is none, the precondition does not hold, or the caller may not write.
    pub async fn delete_module(
        &self,
        device: &DeviceId,
        id: &ModuleId,
        precondition: &Precondition,
    ) -> Result<(), HubError> {
        self.require(AccessRight::RegistryWrite)?;
        let full_id = IdentityId { device: device.clone(), module: Some(id.clone()) };
        let change = |record: &Record, _| {
            let record = modules::delete(record, id, precondition)?;
            Ok(Decision { record, effects: vec![(full_id.clone(), Effect::Deleted)] })
        };
        self.hub().change(device, change).await.map(drop)
    }

    fn find(&self, record: &Record, id: &ModuleId) -> Result<ModuleView, HubError> {
        let device = &record.identity.id;
        match record.modules.get(id) {
            Some(module) => Ok(self.view(device, module)),
            None => Err(HubError::ModuleNotFound(IdentityId {
                device: device.clone(),
                module: Some(id.clone()),
            })),
        }
    }

    fn view(&self, device: &DeviceId, module: &Arc<ModuleRecord>) -> ModuleView {
        let id = IdentityId { device: device.clone(), module: Some(module.identity.id.clone()) };
        let connection = self.hub().presences().state(&id, module.identity.generation);
        ModuleView { device: device.clone(), record: module.clone(), connection }
    }
}
