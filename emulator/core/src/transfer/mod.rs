//! Import and export jobs: the whole registry from a file, or into one. [`storage`] is the port to
//! where the files are; a back end starts and watches jobs through its session.

mod places;
pub mod storage;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use places::{BlobName, BlobPlace, Container, InvalidPlace};

use crate::error::HubError;
use crate::limits;
use crate::time::Timestamp;

/// The file that identities are read from or written to, unless a request names another.
const DEVICES: &str = "devices.txt";
/// The file that tells what an import could not do.
const ERRORS: &str = "importErrors.log";

/// What a back end asks for, in its own words.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferRequest {
    /// Which way.
    pub direction: Direction,
    /// The container that is read; of an import only.
    pub input_container: Option<String>,
    /// The file that is read.
    pub input_blob: Option<String>,
    /// The container that is written: an import's errors, an export's identities.
    pub output_container: Option<String>,
    /// The file that an export writes.
    pub output_blob: Option<String>,
    /// Whether an export leaves out what signs.
    pub exclude_keys: bool,
    /// How the storage account is signed in to; only shown again.
    pub storage_authentication: Option<String>,
}

/// Which way identities go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Into the registry.
    Import,
    /// Out of it.
    Export,
}

/// A request whose places are checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Read identities, write what went wrong.
    Import { from: BlobPlace, errors: BlobPlace },
    /// Write identities.
    Export { to: BlobPlace, exclude_keys: bool },
}

impl TransferRequest {
    /// Where the job is to read and write.
    pub(crate) fn plan(&self) -> Result<Plan, HubError> {
        let output = container("outputBlobContainerUri", self.output_container.as_deref())?;
        match self.direction {
            Direction::Import => {
                let input = container("inputBlobContainerUri", self.input_container.as_deref())?;
                Ok(Plan::Import {
                    from: place(input, self.input_blob.as_deref().unwrap_or(DEVICES))?,
                    errors: place(output, ERRORS)?,
                })
            }
            Direction::Export => Ok(Plan::Export {
                to: place(output, self.output_blob.as_deref().unwrap_or(DEVICES))?,
                exclude_keys: self.exclude_keys,
            }),
        }
    }
}

fn container(name: &str, uri: Option<&str>) -> Result<Container, HubError> {
    let uri = uri.ok_or_else(|| HubError::ArgumentNull(format!("{name} is missing")))?;
    Container::of_uri(uri).map_err(|why| HubError::InvalidBlobContainer(format!("{name}: {why}")))
}

fn place(container: Container, name: &str) -> Result<BlobPlace, HubError> {
    let name = BlobName::parse(name).map_err(|why| HubError::ArgumentInvalid(why.to_string()))?;
    Ok(BlobPlace { container, name })
}

/// A job as a back end sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferJob {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub request: TransferRequest,
    /// How far it is.
    pub status: TransferStatus,
    /// How much is done, of a hundred.
    pub progress: u8,
    /// When it was asked for.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// How far a job is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransferStatus {
    /// It is about to begin.
    Enqueued,
    /// It is at work.
    Running,
    /// It is done; what single items failed at stands in the log of errors.
    Completed,
    /// It could not go on.
    Failed(String),
    /// A back end stopped it.
    Cancelled,
}

impl TransferJob {
    /// Whether it is yet to end.
    pub fn is_active(&self) -> bool {
        matches!(self.status, TransferStatus::Enqueued | TransferStatus::Running)
    }
}

/// The jobs of a hub, oldest first.
///
/// A std mutex around plain state: nothing awaits while it is held.
#[derive(Debug, Default)]
pub(crate) struct Transfers(Mutex<VecDeque<TransferJob>>);

impl Transfers {
    /// Takes a job in, unless another one is at work.
    pub(crate) fn add(&self, job: TransferJob) -> Result<(), HubError> {
        let mut jobs = self.lock();
        if let Some(active) = jobs.iter().find(|job| job.is_active()) {
            return Err(HubError::JobQuotaExceeded(active.id.clone()));
        }
        if jobs.len() >= limits::TRANSFER_JOBS_KEPT {
            jobs.pop_front();
        }
        jobs.push_back(job);
        Ok(())
    }

    /// All jobs that are kept.
    pub(crate) fn all(&self) -> Vec<TransferJob> {
        self.lock().iter().cloned().collect()
    }

    /// The job of this id.
    pub(crate) fn get(&self, id: &str) -> Result<TransferJob, HubError> {
        let found = self.lock().iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| HubError::JobNotFound(id.to_owned()))
    }

    /// Notes how far a job is. Returns whether it is to go on: a job that has ended stays as it is.
    pub(crate) fn advance(&self, id: &str, progress: u8) -> bool {
        self.change(id, |job| {
            job.status = TransferStatus::Running;
            job.progress = progress;
        })
    }

    /// Ends a job, if it has not ended yet.
    pub(crate) fn end(&self, id: &str, status: TransferStatus, now: Timestamp) {
        self.change(id, |job| {
            if status == TransferStatus::Completed {
                job.progress = 100;
            }
            job.status = status;
            job.ended = Some(now);
        });
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut TransferJob)) -> bool {
        let mut jobs = self.lock();
        let active = jobs.iter_mut().find(|job| job.id == id && job.is_active());
        active.map(change).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<TransferJob>> {
        // What a panic left behind is still a list of jobs.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(direction: Direction) -> TransferRequest {
        let container = Some("https://a.blob.core.windows.net/hub-1?sv=x".to_owned());
        TransferRequest {
            direction,
            input_container: container.clone(),
            input_blob: None,
            output_container: container,
            output_blob: None,
            exclude_keys: false,
            storage_authentication: None,
        }
    }

    fn job(id: &str) -> TransferJob {
        TransferJob {
            id: id.to_owned(),
            request: request(Direction::Export),
            status: TransferStatus::Enqueued,
            progress: 0,
            started: Timestamp::NEVER,
            ended: None,
        }
    }

    #[test]
    fn one_job_is_at_work_at_a_time() {
        let jobs = Transfers::default();
        jobs.add(job("1")).unwrap();
        assert_eq!(jobs.add(job("2")), Err(HubError::JobQuotaExceeded("1".to_owned())));
        assert!(jobs.advance("1", 40));
        assert!(jobs.add(job("2")).is_err());
        jobs.end("1", TransferStatus::Completed, Timestamp::NEVER);
        assert_eq!(jobs.get("1").unwrap().progress, 100);
        jobs.add(job("2")).unwrap();
    }

    #[test]
    fn what_has_ended_stays_as_it_is() {
        let jobs = Transfers::default();
        jobs.add(job("1")).unwrap();
        jobs.advance("1", 40);
        jobs.end("1", TransferStatus::Cancelled, Timestamp::NEVER);
        assert!(!jobs.advance("1", 50));
        jobs.end("1", TransferStatus::Completed, Timestamp::NEVER);
        let ended = jobs.get("1").unwrap();
        assert_eq!((ended.status, ended.progress), (TransferStatus::Cancelled, 40));
        assert_eq!(jobs.get("2"), Err(HubError::JobNotFound("2".to_owned())));
    }

    #[test]
    fn the_oldest_jobs_are_forgotten() {
        let jobs = Transfers::default();
        for index in 0..=limits::TRANSFER_JOBS_KEPT {
            jobs.add(job(&index.to_string())).unwrap();
            jobs.end(&index.to_string(), TransferStatus::Completed, Timestamp::NEVER);
        }
        assert_eq!(jobs.all().len(), limits::TRANSFER_JOBS_KEPT);
        assert!(jobs.get("0").is_err());
    }

    #[test]
    fn a_request_names_its_places() {
        let mut import = request(Direction::Import);
        import.input_blob = Some("../secret".to_owned());
        assert!(matches!(import.plan(), Err(HubError::ArgumentInvalid(_))));
        import.input_blob = None;
        import.input_container = None;
        assert!(matches!(import.plan(), Err(HubError::ArgumentNull(_))));
        let mut export = request(Direction::Export);
        export.output_container = Some("https://a/..".to_owned());
        assert!(matches!(export.plan(), Err(HubError::InvalidBlobContainer(_))));
    }
}
