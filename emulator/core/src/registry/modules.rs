//! Modules of a device: how an identity comes to be and changes. Pure; the sessions commit.

use std::sync::Arc;

use super::identity::{AuthenticationDraft, ModuleDraft, ModuleIdentity};
use super::{Birth, check_version};
use crate::error::HubError;
use crate::ids::{IdentityId, ModuleId, Precondition};
use crate::limits;
use crate::random::Random;
use crate::store::{ModuleRecord, Record};
use crate::time::Timestamp;
use crate::twin::Twin;

/// The modules that every edge device has, and that only the service makes.
const SYSTEM_MODULES: [&str; 2] = ["$edgeAgent", "$edgeHub"];

/// The record with a new module in it.
pub(crate) fn create(
    record: &Record,
    id: &ModuleId,
    draft: &ModuleDraft,
    now: Timestamp,
    random: &Random,
) -> Result<Record, HubError> {
    check_writable(record, id)?;
    if record.modules.contains_key(id) {
        return Err(HubError::ModuleAlreadyExists(full_id(record, id)));
    }
    let count = record.modules.len();
    if count >= limits::MODULES_PER_DEVICE {
        return Err(HubError::TooManyModules(record.identity.id.clone()));
    }
    let module = new_module(id, draft, now, random)?;
    Ok(with(record, module))
}

/// The record with the writable part of a module's identity replaced.
pub(crate) fn update(
    record: &Record,
    id: &ModuleId,
    draft: &ModuleDraft,
    precondition: &Precondition,
    random: &Random,
) -> Result<Record, HubError> {
    check_writable(record, id)?;
    let old = find(record, id)?;
    check_version(old.identity.etag(), precondition)?;
    let identity = ModuleIdentity {
        id: id.clone(),
        generation: old.identity.generation,
        version: old.identity.version + 1,
        authentication: match &draft.authentication {
            Some(authentication) => authentication.settle(random)?,
            None => old.identity.authentication.clone(),
        },
        managed_by: draft.managed_by.clone(),
    };
    Ok(with(record, ModuleRecord { identity, twin: old.twin.clone() }))
}

/// The record without a module.
pub(crate) fn delete(
    record: &Record,
    id: &ModuleId,
    precondition: &Precondition,
) -> Result<Record, HubError> {
    check_writable(record, id)?;
    check_version(find(record, id)?.identity.etag(), precondition)?;
    let mut record = record.clone();
    record.modules.remove(id);
    Ok(record)
}

/// Gives an edge device the modules that each has, where it does not have them yet.
pub(crate) fn add_system_modules(record: &mut Record, now: Timestamp, random: &Random) {
    let managed = ModuleDraft { managed_by: Some("iotEdge".to_owned()), ..ModuleDraft::default() };
    for id in SYSTEM_MODULES.iter().filter_map(|name| ModuleId::parse(name).ok()) {
        if let (false, Ok(module)) =
            (record.modules.contains_key(&id), new_module(&id, &managed, now, random))
        {
            record.modules.insert(id, Arc::new(module));
        }
    }
}

/// Adds a module that a deployment names, unless it is there.
pub(crate) fn add_managed_module(
    record: &mut Record,
    id: &ModuleId,
    now: Timestamp,
    random: &Random,
) -> Result<(), HubError> {
    if record.modules.contains_key(id) {
        return Ok(());
    }
    if record.modules.len() >= limits::MODULES_PER_DEVICE {
        return Err(HubError::TooManyModules(record.identity.id.clone()));
    }
    let managed = ModuleDraft { managed_by: Some("iotEdge".to_owned()), ..ModuleDraft::default() };
    record.modules.insert(id.clone(), Arc::new(new_module(id, &managed, now, random)?));
    Ok(())
}

fn new_module(
    id: &ModuleId,
    draft: &ModuleDraft,
    now: Timestamp,
    random: &Random,
) -> Result<ModuleRecord, HubError> {
    let authentication =
        draft.authentication.as_ref().unwrap_or(&AuthenticationDraft::default()).settle(random)?;
    let Birth { generation, version } = Birth::at(now, random);
    let managed_by = draft.managed_by.clone();
    let identity =
        ModuleIdentity { id: id.clone(), generation, version, authentication, managed_by };
    Ok(ModuleRecord { identity, twin: Twin::new(now) })
}

fn with(record: &Record, module: ModuleRecord) -> Record {
    let mut record = record.clone();
    record.modules.insert(module.identity.id.clone(), Arc::new(module));
    record
}

fn find<'a>(record: &'a Record, id: &ModuleId) -> Result<&'a ModuleRecord, HubError> {
    match record.modules.get(id) {
        Some(module) => Ok(module),
        None => Err(HubError::ModuleNotFound(full_id(record, id))),
    }
}

/// Whether only the service writes this module.
pub(crate) fn is_system(id: &ModuleId) -> bool {
    SYSTEM_MODULES.contains(&id.as_str())
}

fn check_writable(record: &Record, id: &ModuleId) -> Result<(), HubError> {
    if is_system(id) {
        return Err(HubError::SystemModule(full_id(record, id)));
    }
    Ok(())
}

fn full_id(record: &Record, id: &ModuleId) -> IdentityId {
    IdentityId { device: record.identity.id.clone(), module: Some(id.clone()) }
}

#[cfg(test)]
mod tests {
    use super::super::identity::IdentityDraft;
    use super::*;
    use crate::ids::{DeviceId, ETag};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn random() -> Random {
        Random::seeded(1)
    }

    fn device(iot_edge: bool) -> Record {
        let draft = IdentityDraft { iot_edge, ..IdentityDraft::default() };
        super::super::create(&DeviceId::parse("d").unwrap(), &draft, at(0), &random()).unwrap()
    }

    fn module(name: &str) -> ModuleId {
        ModuleId::parse(name).unwrap()
    }

    fn created(record: &Record, name: &str) -> Result<Record, HubError> {
        create(record, &module(name), &ModuleDraft::default(), at(1), &random())
    }

    #[test]
    fn a_module_comes_changes_and_goes_with_its_version() {
        let record = created(&device(false), "m").unwrap();
        let first = record.modules[&module("m")].identity.clone();
        let managed = ModuleDraft { managed_by: Some("me".to_owned()), authentication: None };
        let changed = update(
            &record,
            &module("m"),
            &managed,
            &Precondition::Matches(first.etag()),
            &random(),
        )
        .unwrap();
        let second = changed.modules[&module("m")].identity.clone();
        assert_eq!(second.version, first.version + 1);
        assert_eq!(second.authentication, first.authentication);
        assert_eq!(second.managed_by.as_deref(), Some("me"));
        let stale = Precondition::Matches(first.etag());
        assert!(matches!(
            delete(&changed, &module("m"), &stale),
            Err(HubError::DeviceVersionMismatch { .. })
        ));
        let gone = delete(&changed, &module("m"), &Precondition::Exists).unwrap();
        assert!(gone.modules.is_empty());
    }

    #[test]
    fn names_are_taken_once_and_must_exist() {
        let record = created(&device(false), "m").unwrap();
        let id = |name: &str| full_id(&record, &module(name));
        assert_eq!(created(&record, "m"), Err(HubError::ModuleAlreadyExists(id("m"))));
        let draft = ModuleDraft::default();
        let any = Precondition::Matches(ETag::new("x"));
        assert_eq!(
            update(&record, &module("n"), &draft, &any, &random()),
            Err(HubError::ModuleNotFound(id("n")))
        );
        assert_eq!(delete(&record, &module("n"), &any), Err(HubError::ModuleNotFound(id("n"))));
    }

    #[test]
    fn a_device_has_fifty_modules_at_most() {
        let full = (0..limits::MODULES_PER_DEVICE)
            .fold(device(false), |record, index| created(&record, &format!("m{index}")).unwrap());
        assert_eq!(created(&full, "x"), Err(HubError::TooManyModules(full.identity.id.clone())));
    }

    #[test]
    fn an_edge_device_has_its_system_modules_and_nobody_else_writes_them() {
        let record = device(true);
        let names: Vec<_> = record.modules.keys().map(ModuleId::as_str).collect();
        assert_eq!(names, ["$edgeAgent", "$edgeHub"]);
        let refused = delete(&record, &module("$edgeHub"), &Precondition::Exists);
        assert!(matches!(refused, Err(HubError::SystemModule(_))));
    }
}
