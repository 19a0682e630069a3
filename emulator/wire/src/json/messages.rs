//! Messages in the bodies of REST: batches of events, and what a purge did.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use iothub_core::devicebound::feedback::FeedbackBatch;
use iothub_core::error::HubError;
use iothub_core::event::Message;
use iothub_core::ids::DeviceId;
use serde::{Deserialize, Serialize};

use super::text;
use crate::headers;

/// The content type of a request that holds several events.
pub const BATCH: &str = "application/vnd.microsoft.iothub.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    original_message_id: Option<&'a str>,
    enqueued_time_utc: String,
    status_code: &'static str,
    description: &'static str,
    device_id: &'a str,
    device_generation_id: String,
}

/// What became of cloud-to-device messages, as back ends get it over AMQP.
pub fn feedback(batch: &FeedbackBatch) -> String {
    let records: Vec<_> = batch
        .records
        .iter()
        .map(|record| Feedback {
            original_message_id: record.original_message_id.as_deref(),
            enqueued_time_utc: record.at.to_string(),
            status_code: record.status.as_str(),
            description: record.status.as_str(),
            device_id: record.device.as_str(),
            device_generation_id: record.generation.to_string(),
        })
        .collect();
    text(&records)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchedEvent {
    body: String,
    /// Java says whether the body is in base64; everybody else means that it is.
    #[serde(default = "yes")]
    base64_encoded: bool,
    #[serde(default)]
    properties: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

/// Parses a batch of events.
///
/// # Errors
///
/// It is no JSON array of messages, or a body is not in base64.
pub fn parse_batch(bytes: &[u8]) -> Result<Vec<Message>, HubError> {
    let events: Vec<BatchedEvent> = serde_json::from_slice(bytes)
        .map_err(|why| HubError::ArgumentInvalid(format!("body is no batch of events: {why}")))?;
    events.into_iter().map(BatchedEvent::into_message).collect()
}

impl BatchedEvent {
    fn into_message(self) -> Result<Message, HubError> {
        let body = if self.base64_encoded {
            STANDARD.decode(&self.body).map_err(|why| {
                HubError::ArgumentInvalid(format!("body of an event is not base64: {why}"))
            })?
        } else {
            self.body.into_bytes()
        };
        let properties: Vec<(String, String)> = self
            .properties
            .into_iter()
            .map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .collect();
        let pairs = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(headers::event(pairs, Bytes::from(body)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Purged<'a> {
    total_messages_purged: usize,
    device_id: &'a str,
    module_id: Option<&'a str>,
}

/// The answer to a purge of a device's queue.
pub fn purged(device: &DeviceId, count: usize) -> String {
    let device_id = device.as_str();
    text(&Purged { total_messages_purged: count, device_id, module_id: None })
}

#[cfg(test)]
mod tests {
    use iothub_core::event::SystemProperty;

    use super::*;

    #[test]
    fn batches_parse_as_the_sdks_write_them() {
        let batch = br#"[
            {"body":"aGVsbG8=","properties":{"iothub-app-k":"v","iothub-messageid":"m1","x":"y"}},
            {"body":"plain","base64Encoded":false,"properties":{"iothub-app-n":1}},
            {"body":""}
        ]"#;
        let messages = parse_batch(batch).unwrap();
        let bodies: Vec<_> = messages.iter().map(|message| message.body.as_ref()).collect();
        assert_eq!(bodies, [b"hello".as_slice(), b"plain", b""]);
        let names: Vec<_> = messages.iter().flat_map(|message| &message.application).collect();
        assert_eq!(
            names,
            [&("k".to_owned(), Some("v".to_owned())), &("n".to_owned(), Some("1".to_owned())),]
        );
        let system: Vec<_> = messages.iter().flat_map(|message| &message.system).collect();
        assert_eq!(system, [&(SystemProperty::MessageId, "m1".to_owned())]);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for body in ["", "{}", "[1]", r#"[{"properties":{}}]"#, r#"[{"body":"!"}]"#, "[{"] {
            let refused = parse_batch(body.as_bytes());
            assert!(matches!(refused, Err(HubError::ArgumentInvalid(_))), "{body}: {refused:?}");
        }
    }

    #[test]
    fn a_purge_is_answered_as_the_service_does() {
        let id = DeviceId::parse("d").unwrap();
        let expected = r#"{"totalMessagesPurged":3,"deviceId":"d","moduleId":null}"#;
        assert_eq!(purged(&id, 3), expected);
    }
}
