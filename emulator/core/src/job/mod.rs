//! Jobs: one change of many twins, or one call of many devices, at a time of the caller's choosing.
//!
//! A job is a document that its run writes again and again: first the devices that it is for, then
//! what became of them, some at a time. Whoever cancels it writes the same document, so that the
//! run finds out with its next write at the latest, and what is shown agrees with itself at any
//! time. Everything here is pure; [`crate::session`] runs the jobs.

mod rows;

pub(crate) use rows::rows;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::HubError;
use crate::ids::DeviceId;
use crate::limits;
use crate::method::{MethodAnswer, MethodRequest};
use crate::query::{Condition, Source};
use crate::time::Timestamp;
use crate::twin::{Document, TwinPatch};

/// The id of a job: the form of a device's.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JobId(Arc<str>);

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What it does.
    pub action: Action,
    /// The same, as the caller gave it.
    pub source: Document,
    /// For which devices, in the caller's words.
    pub query_condition: String,
    condition: Condition,
    /// When it was created.
    pub created: Timestamp,
    /// When it starts, or started.
    pub start: Timestamp,
    /// How long it may take.
    pub time_limit: Duration,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How far it is.
    pub status: JobStatus,
    /// Why it failed.
    pub failure: Option<String>,
    /// The devices that it is for, once it has started.
    devices: Arc<[DeviceId]>,
    /// What became of them, in the pieces in which it came.
    outcomes: Vec<Arc<[Outcome]>>,
    succeeded: usize,
    failed: usize,
}

/// What a job does with each device.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Patches its twin.
    UpdateTwin(TwinPatch),
    /// Calls a method of it.
    InvokeMethod(MethodRequest),
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobStatus {
    /// It starts when its time has come.
    Scheduled,
    /// It starts when others have ended.
    Queued,
    /// It is at work.
    Running,
    /// It has been at every device.
    Completed,
    /// It could not be run.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDraft {
    /// What to do.
    pub action: Action,
    /// The same, as the caller gave it.
    pub source: Document,
    /// For which devices.
    pub query_condition: String,
    /// When; at once if it lies in the past.
    pub start: Option<Timestamp>,
    /// How long it may take.
    pub time_limit: Option<Duration>,
}

/// What became of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which one.
    pub device: DeviceId,
    /// What it answered, if it was called; or what went wrong.
    pub result: Result<Option<MethodAnswer>, HubError>,
    /// When the job came to it.
    pub started: Timestamp,
    /// When it was done.
    pub ended: Timestamp,
}

/// How many devices are how far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeviceCounts {
    /// All of them.
    pub all: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that did not.
    pub succeeded: usize,
    /// Those that the job has not been at, and will be.
    pub pending: usize,
}

impl JobId {
    /// Checks and takes an id.
    ///
    /// # Errors
    ///
    /// Names the length or the character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        DeviceId::parse(text)?;
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JobStatus {
    /// As the service spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Action {
    /// As the service spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UpdateTwin(_) => "scheduleUpdateTwin",
            Self::InvokeMethod(_) => "scheduleDeviceMethod",
        }
    }
}

impl Job {
    /// A new job.
    ///
    /// # Errors
    ///
    /// Its condition is none, or not about devices.
    pub(crate) fn create(id: JobId, draft: JobDraft, now: Timestamp) -> Result<Self, HubError> {
        let condition = Condition::parse(&draft.query_condition)?;
        if condition.source() != Source::Devices {
            return Err(HubError::ArgumentInvalid(
                "queryCondition is about something else than devices".to_owned(),
            ));
        }
        let start = draft.start.unwrap_or(now).max(now);
        Ok(Self {
            id,
            action: draft.action,
            source: draft.source,
            query_condition: draft.query_condition,
            condition,
            created: now,
            start,
            time_limit: draft.time_limit.unwrap_or(limits::JOB_TIME),
            ended: None,
            status: if start > now { JobStatus::Scheduled } else { JobStatus::Queued },
            failure: None,
            devices: Arc::default(),
            outcomes: Vec::new(),
            succeeded: 0,
            failed: 0,
        })
    }

    /// Which devices it is for.
    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The devices that it is for, once it has started.
    pub(crate) fn devices(&self) -> &Arc<[DeviceId]> {
        &self.devices
    }

    /// When it has to have ended.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.start.after(self.time_limit)
    }

    /// The devices of which nothing has been noted.
    pub(crate) fn left_devices(&self) -> HashSet<DeviceId> {
        let noted = self.outcomes.iter().flat_map(|some| some.iter()).map(|one| &one.device);
        let noted: HashSet<&DeviceId> = noted.collect();
        self.devices.iter().filter(|device| !noted.contains(device)).cloned().collect()
    }

    /// How many devices are how far. Those that a cancelled job never came to are in `all` only.
    pub fn counts(&self) -> DeviceCounts {
        let (all, failed, succeeded) = (self.devices.len(), self.failed, self.succeeded);
        let left = all.saturating_sub(failed + succeeded);
        let pending = if self.status.is_end() { 0 } else { left };
        DeviceCounts { all, failed, succeeded, pending }
    }

    /// At work on these devices; none if it is no longer to be started.
    pub(crate) fn started(&self, devices: Arc<[DeviceId]>, now: Timestamp) -> Option<Self> {
        let waits = matches!(self.status, JobStatus::Scheduled | JobStatus::Queued);
        let started = || Self { status: JobStatus::Running, start: now, devices, ..self.clone() };
        waits.then(started)
    }

    /// With what became of some devices: also of one that was cancelled meanwhile, since it
    /// happened.
    pub(crate) fn progressed(&self, outcomes: &Arc<[Outcome]>) -> Self {
        let mut job = self.clone();
        let succeeded = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
        job.succeeded += succeeded;
        job.failed += outcomes.len() - succeeded;
        job.outcomes.push(outcomes.clone());
        job
    }

    /// At its end; none if it has come to another.
    pub(crate) fn finished(&self, failure: Option<String>, now: Timestamp) -> Option<Self> {
        let status = if failure.is_some() { JobStatus::Failed } else { JobStatus::Completed };
        let finished = || Self { status, failure, ended: Some(now), ..self.clone() };
        (!self.status.is_end()).then(finished)
    }

    /// Cancelled.
    ///
    /// # Errors
    ///
    /// It has ended already.
    pub(crate) fn cancelled(&self, now: Timestamp) -> Result<Self, HubError> {
        if self.status.is_end() {
            return Err(HubError::JobHasEnded(self.id.clone()));
        }
        Ok(Self { status: JobStatus::Cancelled, ended: Some(now), ..self.clone() })
    }
}

#[cfg(test)]
mod tests;
