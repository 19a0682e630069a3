//! Many identities in one request, or in one file: what an item asks for, and what it makes of a
//! record. Pure; the sessions commit.

use std::collections::HashSet;

use super::identity::{IdentityDraft, ModuleDraft, Status};
use super::{check_version, create, for_all, modules, update};
use crate::error::HubError;
use crate::ids::{DeviceId, ETag, IdentityId, ModuleId, Precondition};
use crate::random::Random;
use crate::store::{Effect, Record};
use crate::time::Timestamp;
use crate::twin::{self, Dialect, Document, SectionPatch, Twin, TwinPatch, TwinReplacement};

/// One identity of a bulk request, and what is to become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkItem {
    /// Which device or module.
    pub id: IdentityId,
    /// What is to be done.
    pub mode: ImportMode,
    /// The identity; of a module, its authentication alone counts.
    pub identity: IdentityDraft,
    /// Who manages it, if it is a module.
    pub managed_by: Option<String>,
    /// The version that the identity must have, in the modes that ask for one.
    pub etag: Option<ETag>,
    /// The tags of its twin; none leaves them.
    pub tags: Option<Document>,
    /// The desired properties of its twin; none leaves them.
    pub desired: Option<Document>,
    /// The version that the twin must have.
    pub twin_etag: Option<ETag>,
}

/// What an item does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ImportMode {
    /// Registers what is not there.
    Create,
    /// Registers what is not there, and replaces what is.
    #[default]
    CreateOrUpdate,
    /// The same; what is there must have the item's version.
    CreateOrUpdateIfMatch,
    /// Replaces what is there.
    Update,
    /// The same; it must have the item's version.
    UpdateIfMatch,
    /// Removes what is there.
    Delete,
    /// The same; it must have the item's version.
    DeleteIfMatch,
    /// Merges into the twin.
    UpdateTwin,
    /// The same; it must have the item's version of the twin.
    UpdateTwinIfMatch,
}

/// What an item makes of a device's record.
#[derive(Debug, PartialEq)]
pub(crate) struct Decided {
    /// The record; none if it goes.
    pub(crate) record: Option<Record>,
    /// What follows for whoever is connected.
    pub(crate) effects: Vec<(IdentityId, Effect)>,
    /// What became of the twin, if that is not what the item asked for: identity and twin are
    /// processed independently.
    pub(crate) twin: TwinOutcome,
}

/// What became of the twin beside an identity.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum TwinOutcome {
    /// What was asked for, if anything.
    #[default]
    Done,
    /// The identity is registered with an empty twin.
    LeftEmpty(HubError),
    /// The identity is changed, and its twin is not.
    Refused(HubError),
}

/// Decides an item on the record of its device, which none stands for if there is no such device.
pub(crate) fn apply(
    current: Option<&Record>,
    item: &BulkItem,
    dialect: Dialect,
    now: Timestamp,
    random: &Random,
) -> Result<Decided, HubError> {
    let context = Context { item, dialect, now, random };
    match &item.id.module {
        None => context.device(current),
        Some(module) => {
            let device = &item.id.device;
            let record = current.ok_or_else(|| HubError::DeviceNotFound(device.clone()))?;
            context.module(record, module)
        }
    }
}

struct Context<'a> {
    item: &'a BulkItem,
    dialect: Dialect,
    now: Timestamp,
    random: &'a Random,
}

impl Context<'_> {
    fn device(&self, current: Option<&Record>) -> Result<Decided, HubError> {
        use ImportMode as M;

        let id = &self.item.id.device;
        match (self.item.mode, current) {
            (M::Create, Some(_)) => Err(HubError::DeviceAlreadyExists(id.clone())),
            (M::Create | M::CreateOrUpdate | M::CreateOrUpdateIfMatch, None) => self.register(id),
            (_, None) => Err(HubError::DeviceNotFound(id.clone())),
            (M::Delete | M::DeleteIfMatch, Some(record)) => {
                check_version(record.identity.etag(), &self.precondition())?;
                let effects = for_all(record, &Effect::Deleted);
                Ok(Decided { record: None, effects, twin: TwinOutcome::Done })
            }
            (M::UpdateTwin | M::UpdateTwinIfMatch, Some(record)) => self.merge(record.clone()),
            (_, Some(record)) => self.replace(record),
        }
    }

    fn register(&self, id: &DeviceId) -> Result<Decided, HubError> {
        let record = create(id, &self.item.identity, self.now, self.random)?;
        Ok(self.filled(record))
    }

    fn replace(&self, record: &Record) -> Result<Decided, HubError> {
        let draft = &self.item.identity;
        let updated = update(record, draft, &self.precondition(), self.now, self.random)?;
        let effects = match updated.identity.status {
            Status::Enabled => Vec::new(),
            Status::Disabled => for_all(&updated, &Effect::Disabled),
        };
        Ok(self.merged_beside(updated, effects))
    }

    fn module(&self, record: &Record, module: &ModuleId) -> Result<Decided, HubError> {
        use ImportMode as M;

        let Self { now, random, .. } = *self;
        let draft = ModuleDraft {
            authentication: self.item.identity.authentication.clone(),
            managed_by: self.item.managed_by.clone(),
        };
        let exists = record.modules.contains_key(module);
        match self.item.mode {
            // Only the service writes their identities, but what was exported can come back.
            M::CreateOrUpdate | M::CreateOrUpdateIfMatch
                if exists && modules::is_system(module) =>
            {
                self.merge(record.clone())
            }
            M::Create => {
                modules::create(record, module, &draft, now, random).map(|made| self.filled(made))
            }
            M::CreateOrUpdate | M::CreateOrUpdateIfMatch if !exists => {
                modules::create(record, module, &draft, now, random).map(|made| self.filled(made))
            }
            M::CreateOrUpdate | M::CreateOrUpdateIfMatch | M::Update | M::UpdateIfMatch => {
                let precondition = self.precondition();
                let updated = modules::update(record, module, &draft, &precondition, random)?;
                Ok(self.merged_beside(updated, Vec::new()))
            }
            M::Delete | M::DeleteIfMatch => {
                let record = modules::delete(record, module, &self.precondition())?;
                let effects = vec![(self.item.id.clone(), Effect::Deleted)];
                Ok(Decided { record: Some(record), effects, twin: TwinOutcome::Done })
            }
            M::UpdateTwin | M::UpdateTwinIfMatch => self.merge(record.clone()),
        }
    }

    /// The record with the item's content in its new twin.
    fn filled(&self, record: Record) -> Decided {
        let BulkItem { id, tags, desired, .. } = self.item;
        let content = TwinReplacement { tags: tags.clone(), desired: desired.clone() };
        let (record, twin) = match Twin::registered(content, self.dialect, self.now) {
            Ok(twin) => (record.with_twin(id, twin), TwinOutcome::Done),
            Err(why) => (record, TwinOutcome::LeftEmpty(why)),
        };
        Decided { record: Some(record), effects: Vec::new(), twin }
    }

    /// The record with the item's content merged into its twin, if that can be done.
    fn merged_beside(&self, record: Record, mut effects: Vec<(IdentityId, Effect)>) -> Decided {
        let asked = self.item.tags.is_some() || self.item.desired.is_some();
        let merged = asked.then(|| self.merge(record.clone()));
        match merged {
            None => Decided { record: Some(record), effects, twin: TwinOutcome::Done },
            Some(Ok(merged)) => {
                effects.extend(merged.effects);
                Decided { effects, ..merged }
            }
            Some(Err(why)) => {
                Decided { record: Some(record), effects, twin: TwinOutcome::Refused(why) }
            }
        }
    }

    fn merge(&self, record: Record) -> Result<Decided, HubError> {
        let id = &self.item.id;
        let twin = record.twin_of(id).ok_or_else(|| HubError::not_found(id))?;
        twin::check_version(id, twin, &self.twin_precondition())?;
        let merge = |content: &Option<Document>| content.clone().map(SectionPatch::Merge);
        let patch = TwinPatch { tags: merge(&self.item.tags), desired: merge(&self.item.desired) };
        let (twin, effects) = twin.patched(&patch, self.dialect, self.now)?;
        let effects = effects.into_iter().map(|effect| (id.clone(), effect)).collect();
        let record = Some(record.with_twin(id, twin));
        Ok(Decided { record, effects, twin: TwinOutcome::Done })
    }

    /// A version that is asked for and not given lets everything pass: seen on the service.
    fn precondition(&self) -> Precondition {
        use ImportMode as M;

        match (self.item.mode, &self.item.etag) {
            (M::CreateOrUpdateIfMatch | M::UpdateIfMatch | M::DeleteIfMatch, Some(etag)) => {
                demand(etag)
            }
            _ => Precondition::Exists,
        }
    }

    fn twin_precondition(&self) -> Precondition {
        match (self.item.mode, &self.item.twin_etag) {
            (ImportMode::UpdateTwin, _) | (_, None) => Precondition::Exists,
            (_, Some(etag)) => demand(etag),
        }
    }
}

fn demand(etag: &ETag) -> Precondition {
    match etag.as_str() {
        "*" => Precondition::Exists,
        _ => Precondition::Matches(etag.clone()),
    }
}

/// Fails if an identity stands twice in a list.
pub(crate) fn check_unique<'a>(
    ids: impl IntoIterator<Item = &'a IdentityId>,
) -> Result<(), HubError> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(HubError::DeviceDefinedMultipleTimes(id.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
