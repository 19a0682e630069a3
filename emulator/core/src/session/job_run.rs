//! Running jobs: starting each when its time has come, and taking it from device to device.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::jobs::{change_job, forget};
use super::query::pause;
use crate::error::HubError;
use crate::hub::Hub;
use crate::ids::{DeviceId, IdentityId};
use crate::job::{Action, Job, JobId, JobStatus, Outcome};
use crate::limits;
use crate::method::{self, MethodAnswer, MethodRequest};
use crate::query::twin::TwinDocument;
use crate::time::Timestamp;
use crate::twin::{Dialect, TwinPatch};

/// Runs jobs as they come. Never returns; dropping it ends those that run.
pub(crate) async fn run_jobs(hub: &Hub) {
    let mut running = JoinSet::new();
    let mut active = HashSet::new();
    loop {
        // What fails here is tried again when something else happens.
        let next = start_due(hub, &mut running, &mut active).await.unwrap_or(None);
        let next = next.unwrap_or_else(|| hub.now().after(limits::JOB_HISTORY));
        tokio::select! {
            () = hub.jobs_changed().notified() => {}
            () = hub.clock().sleep_until(next) => {}
            Some(Ok(ended)) = running.join_next(), if !running.is_empty() => {
                active.remove(&ended);
            }
        }
    }
}

/// Starts what is due, as far as there is room, and forgets what is old. Says when the next job is
/// due.
async fn start_due(
    hub: &Hub,
    running: &mut JoinSet<JobId>,
    active: &mut HashSet<JobId>,
) -> Result<Option<Timestamp>, HubError> {
    let now = hub.now();
    let mut jobs = hub.jobs().all().await?;
    for old in jobs
        .iter()
        .filter(|job| job.ended.is_some_and(|ended| ended.after(limits::JOB_HISTORY) < now))
    {
        forget(hub, &old.id).await?;
    }
    jobs.retain(|job| {
        matches!(job.status, JobStatus::Scheduled | JobStatus::Queued) && !active.contains(&job.id)
    });
    jobs.sort_by_key(|job| (job.start, job.created));
    for job in jobs {
        if job.start > now {
            return Ok(Some(job.start));
        }
        if active.len() >= hub.running_jobs() {
            return Ok(None);
        }
        active.insert(job.id.clone());
        let hub = hub.clone();
        running.spawn(async move {
            run(&hub, &job).await;
            job.id.clone()
        });
    }
    Ok(None)
}

/// Runs a job to its end. A job that has been cancelled has come to its end already.
async fn run(hub: &Hub, job: &Job) {
    let failure = match work(hub, job).await {
        Ok(()) | Err(HubError::JobHasEnded(_)) => None,
        Err(why) => Some(why.to_string()),
    };
    let finish = |job: &Job| {
        let ended = || HubError::JobHasEnded(job.id.clone());
        job.finished(failure.clone(), hub.now()).ok_or_else(ended)
    };
    // It was cancelled, or cannot be reached: there is nobody to tell.
    drop(change_job(hub, &job.id, finish).await);
}

async fn work(hub: &Hub, job: &Job) -> Result<(), HubError> {
    let devices: Arc<[DeviceId]> = matching(hub, job).await?.into();
    let start = |job: &Job| {
        let ended = || HubError::JobHasEnded(job.id.clone());
        job.started(devices.clone(), hub.now()).ok_or_else(ended)
    };
    let job = change_job(hub, &job.id, start).await?;
    match &job.action {
        Action::UpdateTwin(patch) => update_twins(hub, &job, patch).await,
        Action::InvokeMethod(request) => invoke_methods(hub, &job, request).await,
    }
}

/// The devices that fulfil the condition, ordered by name.
async fn matching(hub: &Hub, job: &Job) -> Result<Vec<DeviceId>, HubError> {
    let mut found = Vec::new();
    for (count, record) in hub.records().all().await?.into_iter().enumerate() {
        if count % limits::SWEEP_CHUNK == limits::SWEEP_CHUNK - 1 {
            pause().await;
        }
        let twin = TwinDocument::of_device(record.clone(), hub);
        if job.condition().holds(&twin) {
            found.push(record.identity.id.clone());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Notes what became of some devices, and fails if the job is no longer to go on.
async fn note(hub: &Hub, job: &Job, outcomes: Vec<Outcome>) -> Result<(), HubError> {
    let outcomes: Arc<[Outcome]> = outcomes.into();
    let job = change_job(hub, &job.id, |job| Ok(job.progressed(&outcomes))).await?;
    if job.status == JobStatus::Running {
        Ok(())
    } else {
        Err(HubError::JobHasEnded(job.id.clone()))
    }
}

/// Gives up the devices that the job did not come to in time.
async fn give_up(hub: &Hub, job: &Job, left: &[DeviceId]) -> Result<(), HubError> {
    let now = hub.now();
    let late = |device: &DeviceId| Outcome {
        device: device.clone(),
        result: Err(HubError::JobTimedOut),
        started: job.start,
        ended: now,
    };
    if left.is_empty() { Ok(()) } else { note(hub, job, left.iter().map(late).collect()).await }
}

async fn update_twins(hub: &Hub, job: &Job, patch: &TwinPatch) -> Result<(), HubError> {
    let mut left: &[DeviceId] = job.devices();
    while let Some((some, others)) = left
        .split_at_checked(limits::JOB_CHUNK.min(left.len()))
        .filter(|(some, _)| !some.is_empty())
    {
        if hub.now() >= job.deadline() {
            return give_up(hub, job, left).await;
        }
        let mut outcomes = Vec::with_capacity(some.len());
        for device in some {
            outcomes.push(update_twin(hub, device, patch).await);
        }
        note(hub, job, outcomes).await?;
        pause().await;
        left = others;
    }
    Ok(())
}

async fn update_twin(hub: &Hub, device: &DeviceId, patch: &TwinPatch) -> Outcome {
    let started = hub.now();
    let id = IdentityId::from(device.clone());
    let patched = hub.change_twin(&id, |twin, now| twin.patched(patch, Dialect::CURRENT, now));
    let result = patched.await.map(|_| None);
    Outcome { device: device.clone(), result, started, ended: hub.now() }
}

/// Calls device after device, and comes back to those that were not there until the time is over.
async fn invoke_methods(hub: &Hub, job: &Job, request: &MethodRequest) -> Result<(), HubError> {
    let mut left = job.devices().to_vec();
    while !left.is_empty() {
        let mut absent = Vec::new();
        for some in left.chunks(limits::JOB_CHUNK) {
            let mut answers = Vec::new();
            let is_over = {
                let calls = call_all(hub, some, request, &mut answers);
                unless_over(hub, job, calls).await
            };
            let mut outcomes = Vec::new();
            let mut called: HashSet<DeviceId> = HashSet::new();
            for answer in answers {
                if !matches!(answer.result, Err(HubError::DeviceNotOnline { .. })) {
                    called.insert(answer.device.clone());
                    outcomes.push(answer);
                }
            }
            absent.extend(some.iter().filter(|device| !called.contains(*device)).cloned());
            if !outcomes.is_empty() || is_over {
                note(hub, job, outcomes).await?;
            }
            if is_over {
                break;
            }
        }
        if hub.now() >= job.deadline() {
            let left: Vec<DeviceId> = not_noted(hub, job).await?.into_iter().collect();
            return give_up(hub, job, &left).await;
        }
        left = absent;
        if !left.is_empty() {
            let again = hub.now().after(limits::JOB_RETRY);
            if unless_over(hub, job, hub.clock().sleep_until(again)).await {
                note(hub, job, Vec::new()).await?;
            }
        }
    }
    Ok(())
}

/// The devices of which nothing has been noted.
async fn not_noted(hub: &Hub, job: &Job) -> Result<HashSet<DeviceId>, HubError> {
    let found = hub.jobs().get(&job.id).await?;
    let found = found.ok_or_else(|| HubError::JobNotFound(job.id.to_string()))?;
    Ok(found.value.left_devices())
}

/// Calls these devices at the same time, and gathers what they answer.
async fn call_all(
    hub: &Hub,
    devices: &[DeviceId],
    request: &MethodRequest,
    answers: &mut Vec<Outcome>,
) {
    let mut calls = JoinSet::new();
    for device in devices {
        let (hub, device, request) = (hub.clone(), device.clone(), request.clone());
        calls.spawn(async move { call(&hub, device, &request).await });
    }
    while let Some(answer) = calls.join_next().await {
        answers.extend(answer);
    }
}

async fn call(hub: &Hub, device: DeviceId, request: &MethodRequest) -> Outcome {
    let started = hub.now();
    let id = IdentityId::from(device.clone());
    let result: Result<MethodAnswer, HubError> = method::invoke(hub, &id, request).await;
    Outcome { device, result: result.map(Some), started, ended: hub.now() }
}

/// Waits for `something`, unless the job's time is over first or somebody cancels it.
async fn unless_over(hub: &Hub, job: &Job, something: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = something => false,
        () = hub.clock().sleep_until(job.deadline()) => true,
        () = cancelled(hub, job) => true,
    }
}

async fn cancelled(hub: &Hub, job: &Job) {
    loop {
        let cancelled = hub.job_cancelled().notified();
        match hub.jobs().get(&job.id).await {
            Ok(Some(found)) if found.value.status == JobStatus::Running => cancelled.await,
            _ => return,
        }
    }
}
