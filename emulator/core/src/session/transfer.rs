//! Import and export jobs, as a back end starts and watches them.

use std::sync::Arc;

use super::service::ServiceSession;
use crate::auth::policy::AccessRight;
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::registry::bulk::{BulkItem, TwinOutcome};
use crate::transfer::storage::{Sink, Storage, StorageError};
use crate::transfer::{BlobPlace, Direction, Plan, TransferJob, TransferRequest, TransferStatus};
use crate::twin::Dialect;

/// A job that was taken in and is yet to do its work: somebody has to run it.
#[must_use = "the job waits until it is run, and holds up every other one"]
pub struct TransferRun {
    session: ServiceSession,
    storage: Arc<dyn Storage>,
    plan: Plan,
    dialect: Dialect,
    id: String,
}

/// How the work of a job came to its end.
enum End {
    Done,
    Cancelled,
}

impl ServiceSession {
    /// Takes in a job that imports or exports the registry.
    ///
    /// # Errors
    ///
    /// The request names no places, the hub has no storage, another job is at work, or the caller
    /// may not write (an import) or read (an export) the registry.
    pub fn start_transfer(
        self,
        request: TransferRequest,
        dialect: Dialect,
    ) -> Result<(TransferJob, TransferRun), HubError> {
        self.require(match request.direction {
            Direction::Import => AccessRight::RegistryWrite,
            Direction::Export => AccessRight::RegistryRead,
        })?;
        let storage = self.hub().storage().cloned().ok_or(HubError::StorageNotConfigured)?;
        let plan = request.plan()?;
        let job = TransferJob {
            id: self.hub().random().guid(),
            request,
            status: TransferStatus::Enqueued,
            progress: 0,
            started: self.hub().now(),
            ended: None,
        };
        self.hub().transfers().add(job.clone())?;
        let id = job.id.clone();
        Ok((job, TransferRun { session: self, storage, plan, dialect, id }))
    }

    /// The import and export jobs, oldest first.
    ///
    /// # Errors
    ///
    /// The caller may not read the registry.
    pub fn transfers(&self) -> Result<Vec<TransferJob>, HubError> {
        self.require(AccessRight::RegistryRead)?;
        Ok(self.hub().transfers().all())
    }

    /// An import or export job.
    ///
    /// # Errors
    ///
    /// There is none of that id, or the caller may not read the registry.
    pub fn transfer(&self, id: &str) -> Result<TransferJob, HubError> {
        self.require(AccessRight::RegistryRead)?;
        self.hub().transfers().get(id)
    }

    /// Stops an import or export job. One that has ended stays as it is.
    ///
    /// # Errors
    ///
    /// There is none of that id, or the caller may not write the registry.
    pub fn cancel_transfer(&self, id: &str) -> Result<(), HubError> {
        self.require(AccessRight::RegistryWrite)?;
        self.hub().transfers().get(id)?;
        self.hub().transfers().end(id, TransferStatus::Cancelled, self.hub().now());
        Ok(())
    }
}

impl TransferRun {
    /// Does the work, to its end or until the job is cancelled.
    pub async fn run(self) {
        let done = match &self.plan {
            Plan::Import { from, errors } => self.import(from, errors).await,
            Plan::Export { to, exclude_keys } => self.export(to, *exclude_keys).await,
        };
        let status = match done {
            Ok(End::Done) => TransferStatus::Completed,
            Ok(End::Cancelled) => TransferStatus::Cancelled,
            Err(why) => TransferStatus::Failed(why.to_string()),
        };
        let hub = self.session.hub();
        hub.transfers().end(&self.id, status, hub.now());
    }

    async fn import(&self, from: &BlobPlace, errors: &BlobPlace) -> Result<End, StorageError> {
        let mut source = self.storage.read(from).await?;
        let mut log = self.storage.write(errors).await?;
        while self.advance(source.progress()) {
            let Some(item) = source.next().await? else {
                log.finish().await?;
                return Ok(End::Done);
            };
            self.take(item, &mut *log).await?;
        }
        // What was refused so far is known, and can be told.
        log.finish().await?;
        Ok(End::Cancelled)
    }

    /// Does what an item asks for, and writes down what it could not do.
    async fn take(
        &self,
        item: Result<BulkItem, HubError>,
        log: &mut dyn Sink,
    ) -> Result<(), StorageError> {
        let item = match item {
            Ok(item) => item,
            Err(why) => return log.error(None, &why).await,
        };
        let id: &IdentityId = &item.id;
        match self.session.bulk_item(&item, self.dialect).await {
            Ok(TwinOutcome::Done) => Ok(()),
            Ok(TwinOutcome::LeftEmpty(why) | TwinOutcome::Refused(why)) | Err(why) => {
                log.error(Some(id), &why).await
            }
        }
    }

    async fn export(&self, to: &BlobPlace, exclude_keys: bool) -> Result<End, StorageError> {
        let records = self.session.hub().records().all().await;
        let mut records = records.map_err(|why| StorageError(why.to_string()))?;
        records.sort_unstable_by(|one, other| one.identity.id.cmp(&other.identity.id));
        let mut sink = self.storage.write(to).await?;
        for (done, record) in records.iter().enumerate() {
            let percent = done * 100 / records.len();
            if !self.advance(u8::try_from(percent).unwrap_or(100)) {
                return Ok(End::Cancelled);
            }
            sink.record(record, exclude_keys).await?;
        }
        sink.finish().await?;
        Ok(End::Done)
    }

    /// Tells how far the work is. Returns whether it is to go on.
    fn advance(&self, progress: u8) -> bool {
        self.session.hub().transfers().advance(&self.id, progress)
    }
}
