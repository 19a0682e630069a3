//! Jobs: the body that creates one, and the service's document.

use std::time::Duration;

use iothub_core::error::HubError;
use iothub_core::job::{Action, DeviceCounts, Job, JobDraft, JobId};
use iothub_core::time::Timestamp;
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

use super::identity::check_named;
use super::{method, object_member, text, text_member, twin, unexpected};

/// The body of a PUT for the job `id`.
///
/// # Errors
///
/// The body is for another job, or a member is not what it should be.
pub fn parse_draft(mut body: Document, id: &JobId) -> Result<JobDraft, HubError> {
    check_named(&body, "jobId", id.as_str())?;
    let kind = text_member(&body, "type")?.unwrap_or_default();
    let (name, parse): (_, fn(Document) -> Result<Action, HubError>) =
        if kind.eq_ignore_ascii_case("scheduleUpdateTwin") {
            ("updateTwin", update_twin)
        } else if kind.eq_ignore_ascii_case("scheduleDeviceMethod") {
            ("cloudToDeviceMethod", invoke_method)
        } else {
            return Err(HubError::ArgumentInvalid(format!(
                "type is {kind:?}, expected \"scheduleUpdateTwin\" or \"scheduleDeviceMethod\""
            )));
        };
    let missing = || HubError::ArgumentInvalid(format!("{name} is missing"));
    let source = object_member(&mut body, name)?.ok_or_else(missing)?;
    Ok(JobDraft {
        action: parse(source.clone())?,
        source,
        query_condition: text_member(&body, "queryCondition")?.unwrap_or_else(|| "*".to_owned()),
        start: start(&body)?,
        time_limit: time_limit(&body)?,
    })
}

fn update_twin(source: Document) -> Result<Action, HubError> {
    if source.get("etag").and_then(Value::as_str) != Some("*") {
        return Err(HubError::ArgumentInvalid(
            "Missing or invalid etag for job type ScheduleUpdateTwin: only accepts '*'".to_owned(),
        ));
    }
    Ok(Action::UpdateTwin(twin::parse_patch(source)?))
}

fn invoke_method(source: Document) -> Result<Action, HubError> {
    Ok(Action::InvokeMethod(method::parse_request(&source)?))
}

fn start(body: &Document) -> Result<Option<Timestamp>, HubError> {
    let Some(text) = text_member(body, "startTime")? else { return Ok(None) };
    match Timestamp::parse(&text) {
        Some(start) => Ok(Some(start)),
        None => Err(HubError::ArgumentInvalid(format!(
            "startTime is {text:?}, expected a date such as \"2024-05-01T10:00:00Z\""
        ))),
    }
}

/// Clients that have no opinion send zero.
fn time_limit(body: &Document) -> Result<Option<Duration>, HubError> {
    const NAME: &str = "maxExecutionTimeInSeconds";
    match body.get(NAME) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds) => {
                Ok(Some(Duration::from_secs(seconds)).filter(|limit| !limit.is_zero()))
            }
            None => Err(unexpected(NAME, value, "a number of seconds")),
        },
    }
}

/// The document of a job.
pub fn document(job: &Job) -> String {
    text(&JobDocument::of(job))
}

/// The documents of several jobs.
pub fn list<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> String {
    text(&jobs.into_iter().map(JobDocument::of).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobDocument<'a> {
    job_id: &'a str,
    query_condition: &'a str,
    created_time: String,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    max_execution_time_in_seconds: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_to_device_method: Option<&'a Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_twin: Option<&'a Document>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'a str>,
    device_job_statistics: Statistics,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    device_count: usize,
    failed_count: usize,
    succeeded_count: usize,
    running_count: usize,
    pending_count: usize,
}

impl<'a> JobDocument<'a> {
    fn of(job: &'a Job) -> Self {
        let (cloud_to_device_method, update_twin) = match job.action {
            Action::InvokeMethod(_) => (Some(&job.source), None),
            Action::UpdateTwin(_) => (None, Some(&job.source)),
        };
        Self {
            job_id: job.id.as_str(),
            query_condition: &job.query_condition,
            created_time: job.created.to_string(),
            start_time: job.start.to_string(),
            end_time: job.ended.map(|ended| ended.to_string()),
            max_execution_time_in_seconds: job.time_limit.as_secs(),
            kind: job.action.name(),
            cloud_to_device_method,
            update_twin,
            status: job.status.name(),
            failure_reason: job.failure.as_deref(),
            device_job_statistics: Statistics::of(job.counts()),
        }
    }
}

impl Statistics {
    fn of(counts: DeviceCounts) -> Self {
        Self {
            device_count: counts.all,
            failed_count: counts.failed,
            succeeded_count: counts.succeeded,
            // A device is noted when the job is done with it; until then it is pending.
            running_count: 0,
            pending_count: counts.pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<JobDraft, HubError> {
        parse_draft(body.as_object().unwrap().clone(), &JobId::parse("j").unwrap())
    }

    #[test]
    fn bodies_parse_as_sdks_send_them() {
        let draft = parse(json!({
            "jobId": "j", "type": "scheduleUpdateTwin", "queryCondition": "deviceId IN ['a']",
            "startTime": "2024-05-01T10:00:00Z", "maxExecutionTimeInSeconds": 3600,
            "updateTwin": {"etag": "*", "deviceId": null, "tags": {"a": 1}, "properties": {}},
        }))
        .unwrap();
        assert_eq!(draft.start.unwrap().to_string(), "2024-05-01T10:00:00Z");
        assert_eq!(draft.time_limit, Some(Duration::from_secs(3600)));
        let draft = parse(json!({
            "type": "ScheduleDeviceMethod", "startTime": null, "maxExecutionTimeInSeconds": 0,
            "cloudToDeviceMethod": {"methodName": "m", "payload": null},
        }))
        .unwrap();
        assert_eq!((draft.start, draft.time_limit), (None, None));
        assert_eq!(draft.query_condition, "*");
    }

    #[test]
    fn bad_bodies_are_refused() {
        let update = |name: &str, value: Value| {
            let mut body = json!({"type": "scheduleUpdateTwin", "updateTwin": {"etag": "*"}});
            body[name] = value;
            body
        };
        let table = [
            json!({}),
            update("type", json!("readDeviceProperties")),
            update("jobId", json!("other")),
            update("startTime", json!("tomorrow")),
            update("startTime", json!(1)),
            update("maxExecutionTimeInSeconds", json!(-1)),
            update("updateTwin", json!(null)),
            update("updateTwin", json!({"tags": {}})),
            update("updateTwin", json!({"etag": "AAAAAAAAAAE="})),
            update("updateTwin", json!({"etag": "*", "tags": 1})),
            json!({"type": "scheduleDeviceMethod", "cloudToDeviceMethod": {}}),
        ];
        for body in table {
            let found = parse(body.clone());
            assert!(matches!(found, Err(HubError::ArgumentInvalid(_))), "{body} {found:?}");
        }
    }
}
