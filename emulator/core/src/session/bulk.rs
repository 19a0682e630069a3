//! Bulk operations on the registry, as a back end asks for them.

use std::sync::Arc;

use super::service::ServiceSession;
use crate::auth::policy::AccessRight;
use crate::error::HubError;
use crate::hub::{Decision, Hub};
use crate::ids::IdentityId;
use crate::limits;
use crate::registry::bulk::{self, BulkItem, TwinOutcome};
use crate::registry::identity::SymmetricKeys;
use crate::registry::keys::{self, WhichKey};
use crate::store::{Change, Revision, StoreError, Versioned};
use crate::twin::Dialect;

/// What became of a bulk request: items that are in neither list are done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BulkResult {
    /// What could not be done.
    pub errors: Vec<(IdentityId, HubError)>,
    /// What was registered without the twin that was asked for.
    pub warnings: Vec<(IdentityId, HubError)>,
}

/// What became of a request to renew keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RenewedKeys {
    /// Both keys of every identity that has a new one.
    pub renewed: Vec<(IdentityId, SymmetricKeys)>,
    /// What could not be done.
    pub errors: Vec<(IdentityId, HubError)>,
}

impl BulkResult {
    /// Takes note of how one item ended.
    pub(crate) fn note(&mut self, id: &IdentityId, outcome: Result<TwinOutcome, HubError>) {
        match outcome {
            Ok(TwinOutcome::Done) => {}
            Ok(TwinOutcome::LeftEmpty(why)) => self.warnings.push((id.clone(), why)),
            Ok(TwinOutcome::Refused(why)) | Err(why) => self.errors.push((id.clone(), why)),
        }
    }
}

impl ServiceSession {
    /// Does what each item asks for, independently of the others and in their order.
    ///
    /// # Errors
    ///
    /// There are too many items, an identity stands twice, or the caller may not write.
    pub async fn bulk(&self, items: &[BulkItem], dialect: Dialect) -> Result<BulkResult, HubError> {
        self.require(AccessRight::RegistryWrite)?;
        check_count(items.len())?;
        bulk::check_unique(items.iter().map(|item| &item.id))?;
        let mut result = BulkResult::default();
        for item in items {
            result.note(&item.id, self.bulk_item(item, dialect).await);
        }
        Ok(result)
    }

    /// Gives each of these identities a new key, independently of the others.
    ///
    /// # Errors
    ///
    /// There are too many, one stands twice, or the caller may not write.
    pub async fn renew_keys(
        &self,
        ids: &[IdentityId],
        which: WhichKey,
    ) -> Result<RenewedKeys, HubError> {
        self.require(AccessRight::RegistryWrite)?;
        check_count(ids.len())?;
        bulk::check_unique(ids)?;
        let mut result = RenewedKeys::default();
        for id in ids {
            match renew(self.hub(), id, which).await {
                Ok(keys) => result.renewed.push((id.clone(), keys)),
                Err(why) => result.errors.push((id.clone(), why)),
            }
        }
        Ok(result)
    }

    /// One item: read, decide, commit; again, if another change came in between.
    pub(super) async fn bulk_item(
        &self,
        item: &BulkItem,
        dialect: Dialect,
    ) -> Result<TwinOutcome, HubError> {
        self.check_scopes(&item.identity).await?;
        let hub = self.hub();
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let current = hub.records().get(&item.id.device).await?;
            let record = current.as_ref().map(|current| &*current.record);
            let decided = bulk::apply(record, item, dialect, hub.now(), hub.random())?;
            let (record, effects) = match decided.record {
                None => (None, decided.effects),
                Some(record) => {
                    let decision = Decision { record, effects: decided.effects };
                    let Decision { record, effects } = hub.configured(decision).await?;
                    (Some(Arc::new(record)), effects)
                }
            };
            let change = Change {
                id: item.id.device.clone(),
                expected: revision(current.as_ref()),
                record,
                effects,
            };
            match hub.commit(change).await {
                Ok(_) => return Ok(decided.twin),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HubError::Conflict(item.id.clone()))
    }
}

fn revision(current: Option<&Versioned>) -> Option<Revision> {
    current.map(|current| current.revision)
}

fn check_count(count: usize) -> Result<(), HubError> {
    if count > limits::BULK_ITEMS { Err(HubError::TooManyDevices(count)) } else { Ok(()) }
}

async fn renew(hub: &Hub, id: &IdentityId, which: WhichKey) -> Result<SymmetricKeys, HubError> {
    for _ in 0..limits::COMMIT_ATTEMPTS {
        let current = hub.record(&id.device).await?;
        let (record, keys) = keys::renew(&current.record, id, which, hub.random())?;
        let change = Change {
            id: id.device.clone(),
            expected: Some(current.revision),
            record: Some(Arc::new(record)),
            effects: Vec::new(),
        };
        match hub.commit(change).await {
            Ok(_) => return Ok(keys),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(HubError::Conflict(id.clone()))
}
