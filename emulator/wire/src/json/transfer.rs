//! Import and export jobs: the request, and the document of a job.

use iothub_core::error::HubError;
use iothub_core::transfer::{Direction, TransferJob, TransferRequest, TransferStatus};
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

use super::{text, text_member, unexpected};

/// The body of a request for a job.
///
/// # Errors
///
/// It asks for something else than an import or an export, for configurations, or a member is not
/// what it should be.
pub fn parse_request(body: &Document) -> Result<TransferRequest, HubError> {
    if flag(body, "includeConfigurations")? {
        let what = "includeConfigurations of import and export jobs";
        return Err(HubError::FeatureNotSupported(what.to_owned()));
    }
    Ok(TransferRequest {
        direction: parse_direction(body)?,
        input_container: text_member(body, "inputBlobContainerUri")?,
        input_blob: text_member(body, "inputBlobName")?,
        output_container: text_member(body, "outputBlobContainerUri")?,
        output_blob: text_member(body, "outputBlobName")?,
        exclude_keys: flag(body, "excludeKeysInExport")?,
        storage_authentication: text_member(body, "storageAuthenticationType")?,
    })
}

fn parse_direction(body: &Document) -> Result<Direction, HubError> {
    let name = text_member(body, "type")?
        .ok_or_else(|| HubError::ArgumentNull("type is missing".to_owned()))?;
    [Direction::Import, Direction::Export]
        .into_iter()
        .find(|direction| direction_name(*direction).eq_ignore_ascii_case(&name))
        .ok_or_else(|| {
            let message = format!("type is {name:?}, expected \"import\" or \"export\"");
            HubError::ArgumentInvalid(message)
        })
}

fn flag(body: &Document, name: &str) -> Result<bool, HubError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(unexpected(name, other, "a boolean")),
    }
}

/// The document of a job.
pub fn document(job: &TransferJob) -> String {
    text(&Job::of(job))
}

/// The documents of several jobs.
pub fn list(jobs: &[TransferJob]) -> String {
    text(&jobs.iter().map(Job::of).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    job_id: &'a str,
    start_time_utc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time_utc: Option<String>,
    r#type: &'static str,
    status: &'static str,
    progress: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_blob_container_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_blob_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_blob_container_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_blob_name: Option<&'a str>,
    exclude_keys_in_export: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_authentication_type: Option<&'a str>,
    use_secondary_storage_as_source: bool,
    failure_reason: Option<&'a str>,
}

impl<'a> Job<'a> {
    fn of(job: &'a TransferJob) -> Self {
        let request = &job.request;
        Self {
            job_id: &job.id,
            start_time_utc: job.started.to_string(),
            end_time_utc: job.ended.map(|at| at.to_string()),
            r#type: direction_name(request.direction),
            status: status_name(&job.status),
            progress: job.progress,
            input_blob_container_uri: request.input_container.as_deref(),
            input_blob_name: request.input_blob.as_deref(),
            output_blob_container_uri: request.output_container.as_deref(),
            output_blob_name: request.output_blob.as_deref(),
            exclude_keys_in_export: request.exclude_keys,
            storage_authentication_type: request.storage_authentication.as_deref(),
            use_secondary_storage_as_source: false,
            failure_reason: match &job.status {
                TransferStatus::Failed(why) => Some(why),
                _ => None,
            },
        }
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Import => "import",
        Direction::Export => "export",
    }
}

fn status_name(status: &TransferStatus) -> &'static str {
    match status {
        TransferStatus::Enqueued => "enqueued",
        TransferStatus::Running => "running",
        TransferStatus::Completed => "completed",
        TransferStatus::Failed(_) => "failed",
        TransferStatus::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use iothub_core::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<TransferRequest, HubError> {
        parse_request(body.as_object().unwrap())
    }

    #[test]
    fn a_job_shows_what_was_asked_for() {
        let request = parse(json!({
            "type": "Export", "outputBlobContainerUri": "https://a/hub", "excludeKeysInExport": true,
            "storageAuthenticationType": "keyBased", "identity": null,
        }));
        let job = TransferJob {
            id: "j".to_owned(),
            request: request.unwrap(),
            status: TransferStatus::Running,
            progress: 40,
            started: Timestamp::from_unix_seconds(0),
            ended: None,
        };
        assert_eq!(
            document(&job),
            concat!(
                r#"{"jobId":"j","startTimeUtc":"1970-01-01T00:00:00Z","type":"export","#,
                r#""status":"running","progress":40,"outputBlobContainerUri":"https://a/hub","#,
                r#""excludeKeysInExport":true,"storageAuthenticationType":"keyBased","#,
                r#""useSecondaryStorageAsSource":false,"failureReason":null}"#
            )
        );
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            (json!({}), "ArgumentNull"),
            (json!({"type": "scheduleUpdateTwin"}), "ArgumentInvalid"),
            (json!({"type": "export", "excludeKeysInExport": "yes"}), "ArgumentInvalid"),
            (json!({"type": "export", "includeConfigurations": true}), "FeatureNotSupported"),
        ];
        for (body, expected) in table {
            assert_eq!(parse(body.clone()).unwrap_err().code().name, expected, "{body}");
        }
    }
}
