//! The identity registry: how an identity comes to be and changes. Pure; the sessions commit.

pub mod bulk;
pub mod identity;
pub mod keys;
pub(crate) mod modules;

use identity::{
    Authentication, AuthenticationDraft, DeviceIdentity, IdentityDraft, check_status_reason,
};

use std::collections::BTreeMap;

use crate::error::HubError;
use crate::ids::{DeviceId, ETag, GenerationId, IdentityId, Precondition};
use crate::random::Random;
use crate::store::{Effect, Record};
use crate::time::Timestamp;
use crate::twin::Twin;

/// The first version of an identity: ten random digits, as the service's are.
const FIRST_VERSIONS: std::ops::Range<u64> = 100_000_000..1_000_000_000;

/// A new device with an empty twin.
pub(crate) fn create(
    id: &DeviceId,
    draft: &IdentityDraft,
    now: Timestamp,
    random: &Random,
) -> Result<Record, HubError> {
    check_status_reason(draft)?;
    let authentication =
        draft.authentication.as_ref().unwrap_or(&AuthenticationDraft::default()).settle(random)?;
    let birth = Birth::at(now, random);
    let identity = identity(id, draft, authentication, birth);
    let mut record = Record { identity, twin: Twin::new(now), modules: BTreeMap::new() };
    if record.identity.iot_edge {
        modules::add_system_modules(&mut record, now, random);
    }
    Ok(record)
}

/// Which identity of its name it is, and its first version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) generation: GenerationId,
    pub(crate) version: u64,
}

impl Birth {
    /// That of an identity which is registered now.
    pub(crate) fn at(now: Timestamp, random: &Random) -> Self {
        Self { generation: GenerationId::at(now), version: random.number(FIRST_VERSIONS) }
    }
}

/// An identity of which nothing has changed yet.
pub(crate) fn identity(
    id: &DeviceId,
    draft: &IdentityDraft,
    authentication: Authentication,
    Birth { generation, version }: Birth,
) -> DeviceIdentity {
    DeviceIdentity {
        id: id.clone(),
        generation,
        version,
        status: draft.status,
        status_reason: draft.status_reason.clone(),
        status_updated: Timestamp::NEVER,
        authentication,
        iot_edge: draft.iot_edge,
        device_scope: scope(id, generation, draft),
        parent_scopes: parents(draft),
    }
}

/// The record with the writable part of its identity replaced.
pub(crate) fn update(
    record: &Record,
    draft: &IdentityDraft,
    precondition: &Precondition,
    now: Timestamp,
    random: &Random,
) -> Result<Record, HubError> {
    let old = &record.identity;
    check_version(old.etag(), precondition)?;
    check_status_reason(draft)?;
    let identity = DeviceIdentity {
        id: old.id.clone(),
        generation: old.generation,
        version: old.version + 1,
        status: draft.status,
        status_reason: draft.status_reason.clone(),
        status_updated: if draft.status == old.status { old.status_updated } else { now },
        authentication: match &draft.authentication {
            Some(authentication) => authentication.settle(random)?,
            None => old.authentication.clone(),
        },
        iot_edge: draft.iot_edge,
        device_scope: scope(&old.id, old.generation, draft),
        parent_scopes: parents(draft),
    };
    let mut updated =
        Record { identity, twin: record.twin.clone(), modules: record.modules.clone() };
    if updated.identity.iot_edge {
        modules::add_system_modules(&mut updated, now, random);
    }
    Ok(updated)
}

/// Fails unless the identity has the version that the caller demands.
pub(crate) fn check_version(etag: ETag, precondition: &Precondition) -> Result<(), HubError> {
    match precondition {
        Precondition::Matches(expected) if !precondition.allows(&etag) => {
            Err(HubError::DeviceVersionMismatch { existing: etag, expected: expected.clone() })
        }
        _ => Ok(()),
    }
}

/// An edge device defines a scope; a leaf device lives in the one that it was given.
fn scope(id: &DeviceId, generation: GenerationId, draft: &IdentityDraft) -> Option<String> {
    if draft.iot_edge {
        return Some(edge_scope(id, generation));
    }
    draft.device_scope.clone()
}

fn parents(draft: &IdentityDraft) -> Vec<String> {
    match &draft.device_scope {
        Some(scope) if !draft.iot_edge => vec![scope.clone()],
        _ => draft.parent_scopes.clone(),
    }
}

/// The scope that an edge device defines.
pub(crate) fn edge_scope(id: &DeviceId, generation: GenerationId) -> String {
    format!("ms-azure-iot-edge://{id}-{generation}")
}

/// The device that a scope names, if it is of the form of [`edge_scope`].
pub(crate) fn scope_device(scope: &str) -> Option<DeviceId> {
    let (id, _generation) = scope.strip_prefix("ms-azure-iot-edge://")?.rsplit_once('-')?;
    DeviceId::parse(id).ok()
}

/// What happens to a device happens to its modules.
pub(crate) fn for_all(record: &Record, effect: &Effect) -> Vec<(IdentityId, Effect)> {
    let device = &record.identity.id;
    let modules = record
        .modules
        .keys()
        .map(|module| IdentityId { device: device.clone(), module: Some(module.clone()) });
    std::iter::once(IdentityId::from(device.clone()))
        .chain(modules)
        .map(|id| (id, effect.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
