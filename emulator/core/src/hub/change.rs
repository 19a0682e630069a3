//! Changes of records: read, decided, committed, and decided again if another came in between.

use std::cell::OnceCell;
use std::sync::Arc;

use super::Hub;
use crate::configuration::Configuration;
use crate::configuration::apply::Applying;
use crate::error::HubError;
use crate::ids::{DeviceId, IdentityId};
use crate::limits;
use crate::query::twin::TwinDocument;
use crate::store::{Change, Effect, Record, StoreError};
use crate::time::Timestamp;
use crate::twin::Twin;

/// What a change makes of a record, and what follows from it for whom.
pub(crate) struct Decision {
    pub(crate) record: Record,
    pub(crate) effects: Vec<(IdentityId, Effect)>,
}

impl Hub {
    /// Reads the record of a device, lets `decide` make a new one of it, and commits that; again,
    /// if another change came in between.
    pub(crate) async fn change(
        &self,
        id: &DeviceId,
        decide: impl Fn(&Record, Timestamp) -> Result<Decision, HubError>,
    ) -> Result<Arc<Record>, HubError> {
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let current = self.record(id).await?;
            let decision = decide(&current.record, self.now())?;
            let Decision { record, effects } = self.configured(decision).await?;
            let record = Arc::new(record);
            let change = Change {
                id: id.clone(),
                expected: Some(current.revision),
                record: Some(record.clone()),
                effects,
            };
            match self.commit(change).await {
                Ok(_) => return Ok(record),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HubError::Conflict(id.clone().into()))
    }

    /// Makes a change, and tells of it whoever follows such changes.
    pub(crate) async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.records().commit(change).await?;
        self.tell_notices().await;
        Ok(())
    }

    /// Lets the configurations have their say in a decision.
    pub(crate) async fn configured(&self, decision: Decision) -> Result<Decision, HubError> {
        let configurations = self.configurations().all().await?;
        let Decision { record, mut effects } = decision;
        let record = Arc::new(record);
        match self.reconfigured(&record, &configurations) {
            None => Ok(Decision { record: Arc::unwrap_or_clone(record), effects }),
            Some(configured) => {
                effects.extend(configured.effects);
                Ok(Decision { record: configured.record, effects })
            }
        }
    }

    /// What these configurations make of a record; none if it is as they want it.
    pub(crate) fn reconfigured(
        &self,
        record: &Arc<Record>,
        configurations: &[Arc<Configuration>],
    ) -> Option<Decision> {
        let twins = OnceCell::new();
        let holds = |configuration: &Configuration, id: &IdentityId| {
            let twins = twins.get_or_init(|| TwinDocument::all_of(record, self));
            let twin = twins.iter().find(|twin| twin.id() == *id);
            twin.is_some_and(|twin| configuration.target().holds(twin))
        };
        Applying { configurations, holds, now: self.now(), random: self.random() }.to(record)
    }

    /// As [`Hub::change`], for the twin of a device or module.
    pub(crate) async fn change_twin(
        &self,
        id: &IdentityId,
        decide: impl Fn(&Twin, Timestamp) -> Result<(Twin, Vec<Effect>), HubError>,
    ) -> Result<Arc<Record>, HubError> {
        let change = |record: &Record, now| {
            let twin = record.twin_of(id).ok_or_else(|| HubError::not_found(id))?;
            let (twin, effects) = decide(twin, now)?;
            let effects = effects.into_iter().map(|effect| (id.clone(), effect)).collect();
            Ok(Decision { record: record.with_twin(id, twin), effects })
        };
        self.change(&id.device, change).await
    }
}
