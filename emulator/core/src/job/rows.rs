//! What a job did to each device, as queries of `devices.jobs` see it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Job, JobStatus, Outcome};
use crate::ids::DeviceId;
use crate::query::row::Row;
use crate::twin::Document;

/// The rows of a job: one for each device that it is for.
pub(crate) fn rows(job: Arc<Job>) -> impl Iterator<Item = Row> + Send {
    let done: HashSet<DeviceId> =
        job.outcomes.iter().flat_map(|some| some.iter()).map(|one| one.device.clone()).collect();
    let outcomes: Vec<Arc<[Outcome]>> = job.outcomes.clone();
    let devices = job.devices.clone();
    let (job_of_done, job_of_left) = (job.clone(), job);
    let done_rows = outcomes.into_iter().flat_map(move |some| {
        let job = job_of_done.clone();
        (0..some.len()).filter_map(move |index| some.get(index).map(|one| job.done(one)))
    });
    let left_rows = (0..devices.len()).filter_map(move |index| {
        let device = devices.get(index).filter(|device| !done.contains(device))?;
        Some(job_of_left.left(device))
    });
    done_rows.chain(left_rows).map(Row::of_job)
}

impl Job {
    fn done(&self, outcome: &Outcome) -> Document {
        let (status, answer, error) = match &outcome.result {
            Ok(None) => ("completed", json!({}), None),
            Ok(Some(answer)) => ("completed", answer_json(answer), None),
            Err(why) => {
                let error = json!({ "code": why.code().name, "description": why.to_string() });
                ("failed", json!({}), Some(error))
            }
        };
        let mut row = self.row(&outcome.device, status);
        row.insert("startTimeUtc".to_owned(), outcome.started.to_string().into());
        row.insert("endTimeUtc".to_owned(), outcome.ended.to_string().into());
        row.insert("lastUpdatedDateTimeUtc".to_owned(), outcome.ended.to_string().into());
        row.insert("outcome".to_owned(), answer);
        if let Some(error) = error {
            row.insert("error".to_owned(), error);
        }
        row
    }

    /// The row of a device that the job has not been at.
    fn left(&self, device: &DeviceId) -> Document {
        let status = match self.status {
            JobStatus::Cancelled => "canceled",
            JobStatus::Failed => "failed",
            _ => "pending",
        };
        let mut row = self.row(device, status);
        let updated = self.ended.unwrap_or(self.start).to_string();
        row.insert("lastUpdatedDateTimeUtc".to_owned(), updated.into());
        row.insert("outcome".to_owned(), Value::Null);
        row
    }

    fn row(&self, device: &DeviceId, status: &str) -> Document {
        let mut row = Document::new();
        row.insert("deviceId".to_owned(), device.as_str().into());
        row.insert("jobId".to_owned(), self.id.as_str().into());
        row.insert("jobType".to_owned(), self.action.name().into());
        row.insert("status".to_owned(), status.into());
        row.insert("startTimeUtc".to_owned(), self.start.to_string().into());
        row.insert("endTimeUtc".to_owned(), self.ended.map(|at| at.to_string()).into());
        row.insert("createdDateTimeUtc".to_owned(), self.created.to_string().into());
        row
    }
}

fn answer_json(answer: &crate::method::MethodAnswer) -> Value {
    let payload: Value = serde_json::from_str(answer.payload.as_str()).unwrap_or_default();
    json!({ "deviceMethodResponse": { "status": answer.status, "payload": payload } })
}
