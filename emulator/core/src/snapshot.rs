//! A whole hub as a value: what [`Hub::snapshot`] takes, and what a hub can begin with.
//!
//! A document says all of it or little: [`Restoring`] makes records of either by the rules of the
//! registry, of twins and of configurations. A store takes them as they are, before a hub watches
//! it, so that nobody is told of devices that are there from the beginning.

use std::sync::Arc;

use crate::configuration::{Configuration, ConfigurationDraft, ConfigurationId};
use crate::error::HubError;
use crate::hub::Hub;
use crate::ids::{DeviceId, GenerationId, ModuleId};
use crate::limits;
use crate::random::Random;
use crate::registry::identity::{
    Authentication, AuthenticationDraft, IdentityDraft, ModuleIdentity, check_status_reason,
};
use crate::registry::{self, Birth, modules};
use crate::route::Routing;
use crate::route::properties::{EndpointKind, EndpointProperties, RoutingProperties};
use crate::session::check_metric;
use crate::store::{ModuleRecord, Record};
use crate::time::Timestamp;
use crate::twin::{Twin, TwinDraft};

/// What a hub holds, in the order of the ids; without what waits, runs or is connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Its devices with their modules.
    pub devices: Vec<Arc<Record>>,
    /// Its configurations.
    pub configurations: Vec<Arc<Configuration>>,
    /// Where its events go; none if that is not said.
    pub routing: Option<RoutingProperties>,
}

impl Snapshot {
    /// The configurations as a table takes them.
    pub fn configurations_by_id(
        &self,
    ) -> impl Iterator<Item = (ConfigurationId, Arc<Configuration>)> {
        self.configurations.iter().map(|one| (one.id.clone(), one.clone()))
    }
}

impl Hub {
    /// What the hub holds now. Changes go on meanwhile; each record is as it was at one moment.
    ///
    /// # Errors
    ///
    /// The records cannot be reached.
    pub async fn snapshot(&self) -> Result<Snapshot, HubError> {
        let mut devices = self.records().all().await?;
        devices.sort_by(|one, other| one.identity.id.cmp(&other.identity.id));
        let configurations = self.configurations().all().await?;
        Ok(Snapshot { devices, configurations, routing: Some(self.routes().clone()) })
    }
}

/// Makes records of what a document says; what it leaves out is as with something new.
#[derive(Clone, Copy, Debug)]
pub struct Restoring<'a> {
    /// The time.
    pub now: Timestamp,
    /// Where keys and versions come from that the document leaves out.
    pub random: &'a Random,
    /// Which folders routes may write to.
    pub folders: Folders<'a>,
}

/// Which folders the routes of a document may write to: that is for whoever starts the program to
/// say, and not for everybody who may bring a document.
#[derive(Clone, Copy, Debug)]
pub enum Folders<'a> {
    /// All.
    All,
    /// Those that are endpoints by these rules.
    Of(&'a RoutingProperties),
}

/// What a document says of an identity beside what callers of the registry write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IdentityHistory {
    /// Which identity of its name it is.
    pub generation: Option<GenerationId>,
    /// The count that shows as its ETag.
    pub version: Option<u64>,
    /// When the status changed last.
    pub status_updated: Option<Timestamp>,
}

/// What a document says of a configuration beside what callers write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConfigurationHistory {
    /// The count that shows as its ETag.
    pub version: Option<u64>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was changed last.
    pub updated: Option<Timestamp>,
}

/// The parts of a device, each in order.
#[derive(Clone, Debug)]
pub struct DeviceParts {
    /// Its name.
    pub id: DeviceId,
    /// What callers write of it.
    pub identity: IdentityDraft,
    /// How it authenticates.
    pub authentication: Authentication,
    /// What else there is of it.
    pub history: IdentityHistory,
    /// Its twin.
    pub twin: Twin,
    /// Its modules.
    pub modules: Vec<Arc<ModuleRecord>>,
}

/// The parts of a module, each in order.
#[derive(Clone, Debug)]
pub struct ModuleParts {
    /// Its name on its device.
    pub id: ModuleId,
    /// Who manages it.
    pub managed_by: Option<String>,
    /// How it authenticates.
    pub authentication: Authentication,
    /// What else there is of it.
    pub history: IdentityHistory,
    /// Its twin.
    pub twin: Twin,
}

impl Restoring<'_> {
    /// How somebody authenticates; keys are made where nothing is said.
    ///
    /// # Errors
    ///
    /// What is said does not hold together.
    pub fn authentication(
        &self,
        draft: Option<&AuthenticationDraft>,
    ) -> Result<Authentication, HubError> {
        draft.unwrap_or(&AuthenticationDraft::default()).settle(self.random)
    }

    /// A twin.
    ///
    /// # Errors
    ///
    /// Every section that breaks a rule of twins, by its path in a twin document.
    pub fn twin(&self, draft: TwinDraft) -> Result<Twin, Vec<(&'static str, HubError)>> {
        draft.settle(self.now)
    }

    /// A device. An edge device gets its system modules where the document leaves them out.
    pub fn device(&self, parts: DeviceParts) -> Record {
        let DeviceParts { id, identity, authentication, history, twin, modules } = parts;
        let mut identity = registry::identity(&id, &identity, authentication, self.birth(history));
        identity.status_updated = history.status_updated.unwrap_or(identity.status_updated);
        let by_id = |module: Arc<ModuleRecord>| (module.identity.id.clone(), module);
        let modules = modules.into_iter().map(by_id).collect();
        let mut record = Record { identity, twin, modules };
        if record.identity.iot_edge {
            modules::add_system_modules(&mut record, self.now, self.random);
        }
        record
    }

    /// A module.
    pub fn module(&self, parts: ModuleParts) -> ModuleRecord {
        let ModuleParts { id, managed_by, authentication, history, twin } = parts;
        let Birth { generation, version } = self.birth(history);
        let identity = ModuleIdentity { id, generation, version, authentication, managed_by };
        ModuleRecord { identity, twin }
    }

    /// A configuration.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks; [`check_configuration`] tells all.
    pub fn configuration(
        &self,
        id: ConfigurationId,
        draft: ConfigurationDraft,
        history: ConfigurationHistory,
    ) -> Result<Configuration, HubError> {
        let new = Configuration::create(id, draft, self.now)?;
        let version = history.version.unwrap_or(new.version);
        let created = history.created.unwrap_or(new.created);
        let updated = history.updated.unwrap_or(created);
        Ok(new.with_history(created, updated, version))
    }

    /// Rules for where events go.
    ///
    /// # Errors
    ///
    /// Every rule that they break.
    pub fn routing(&self, properties: RoutingProperties) -> Result<RoutingProperties, Vec<String>> {
        let foreign = properties.endpoints.iter().filter(|one| !self.folders.allow(one));
        let foreign = foreign.map(|one| {
            let name = &one.name;
            format!("endpoint {name:?} is a folder that the hub did not begin with, and others are not taken here, since they are written to")
        });
        let mut mistakes: Vec<_> = foreign.collect();
        if let Err(broken) = Routing::new(&properties) {
            mistakes.extend(broken.iter().map(ToString::to_string));
        }
        if mistakes.is_empty() { Ok(properties) } else { Err(mistakes) }
    }

    fn birth(&self, history: IdentityHistory) -> Birth {
        let new = Birth::at(self.now, self.random);
        Birth {
            generation: history.generation.unwrap_or(new.generation),
            version: history.version.unwrap_or(new.version),
        }
    }
}

impl Folders<'_> {
    fn allow(&self, endpoint: &EndpointProperties) -> bool {
        match (&endpoint.kind, self) {
            (EndpointKind::Folder(_), Self::Of(known)) => {
                known.endpoints.iter().any(|one| one.kind == endpoint.kind)
            }
            _ => true,
        }
    }
}

/// Fails if the writable part of an identity breaks a rule; its authentication apart.
///
/// # Errors
///
/// Says which.
pub fn check_identity(draft: &IdentityDraft) -> Result<(), HubError> {
    check_status_reason(draft)
}

/// Every rule that a configuration breaks.
pub fn check_configuration(draft: &ConfigurationDraft) -> Vec<HubError> {
    let metrics = draft.metrics.values().filter_map(|query| check_metric(query).err());
    draft.mistakes().into_iter().chain(metrics).collect()
}

/// Fails if a device has more of these modules than it may, its system modules apart.
///
/// # Errors
///
/// Names the device.
pub fn check_module_count<'a>(
    device: &DeviceId,
    modules: impl IntoIterator<Item = &'a ModuleId>,
) -> Result<(), HubError> {
    let count = modules.into_iter().filter(|id| !modules::is_system(id)).count();
    if count > limits::MODULES_PER_DEVICE {
        return Err(HubError::TooManyModules(device.clone()));
    }
    Ok(())
}
