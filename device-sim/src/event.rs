//! What a device tells whoever runs it.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::document::Properties;

/// Something that happened to a device, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// It is about to connect.
    Connecting {
        /// Host and port.
        endpoint: String,
    },
    /// The hub let it in, and its subscriptions stand.
    Connected {
        /// Host and port.
        endpoint: String,
        /// Whether the hub still had the session of before.
        session_present: bool,
    },
    /// The hub, or the certificate check, said no.
    Refused {
        /// Why.
        reason: String,
    },
    /// The connection ended, or did not come about.
    Disconnected {
        /// Why.
        reason: String,
        /// How long until the next try, in milliseconds; none if there is none.
        #[serde(rename = "retryInMs", serialize_with = "milliseconds")]
        retry_in: Option<Duration>,
    },
    /// The token is about to end, so the device reconnects with a new one.
    TokenExpiring,
    /// The hub sent the whole twin.
    TwinReceived {
        /// What the back end wants.
        desired: Properties,
        /// The version of that.
        desired_version: u64,
        /// What the device said before.
        reported: Properties,
        /// The version of that.
        reported_version: u64,
    },
    /// The twin already held a configuration of this device, which goes on with it.
    Kept {
        /// That configuration.
        #[serde(flatten)]
        configuration: Configuration,
    },
    /// The back end changed desired properties.
    DesiredChanged {
        /// What it changed.
        patch: Properties,
        /// The version after it.
        version: u64,
    },
    /// A notification is no newer than what the device has already seen.
    DesiredIgnored {
        /// The version of the notification.
        version: u64,
        /// The version that the device has seen.
        seen: u64,
    },
    /// A desired configuration is going to be applied.
    Pending {
        /// That configuration.
        #[serde(flatten)]
        configuration: Configuration,
        /// How long that takes, in milliseconds.
        #[serde(rename = "afterMs", serialize_with = "whole_milliseconds")]
        after: Duration,
    },
    /// A configuration is in force.
    Applied {
        /// That configuration.
        #[serde(flatten)]
        configuration: Configuration,
    },
    /// A desired configuration cannot be applied; the old one stays.
    Rejected {
        /// Why.
        reason: String,
    },
    /// A scripted property follows what is desired.
    PropertyApplied {
        /// The property.
        name: String,
        /// Its value; null if it is gone.
        value: Value,
    },
    /// A scripted property does not follow what is desired.
    PropertyRefused {
        /// The property.
        name: String,
        /// The reason of the script.
        reason: String,
    },
    /// The hub took a patch of reported properties.
    Reported {
        /// What was reported.
        patch: Properties,
        /// The version after it.
        version: Option<u64>,
    },
    /// The hub did not carry a twin request out.
    TwinRefused {
        /// `get` or `report`.
        operation: &'static str,
        /// The status, as in HTTP.
        status: u16,
        /// The service's number, if it gave one.
        error_code: Option<u64>,
        /// The service's words, if it gave any.
        message: String,
        /// How long until the next try, in milliseconds; none if there is none.
        #[serde(rename = "retryInMs", serialize_with = "milliseconds")]
        retry_in: Option<Duration>,
    },
    /// A twin request was not answered in time and is sent again.
    TwinTimedOut {
        /// `get` or `report`.
        operation: &'static str,
        /// How many times it has been sent.
        attempts: u32,
    },
    /// The back end sent a message.
    MessageReceived {
        /// The message: what it says in JSON, or else as text.
        body: Value,
        /// What the back end added to it.
        properties: Properties,
    },
    /// The hub acknowledged a telemetry message.
    TelemetrySent {
        /// The message.
        body: Value,
    },
    /// Too many messages wait for their acknowledgement, so one was not sent.
    TelemetryDropped {
        /// How many wait.
        waiting: usize,
    },
    /// The back end called a direct method.
    MethodCalled {
        /// Which one.
        name: String,
        /// What it is given; null if that is nothing, or no JSON.
        payload: Value,
    },
    /// The device answered a direct method.
    MethodAnswered {
        /// Which one.
        name: String,
        /// With which status.
        status: i32,
        /// With which payload.
        payload: Value,
    },
    /// The hub sent something that the device does not understand.
    NotUnderstood {
        /// The topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
    /// The device stopped because it was asked to.
    Stopped,
}

fn whole_milliseconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn milliseconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => whole_milliseconds(span, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_objects_with_a_name() {
        let table = [
            (Event::Stopped, r#"{"event":"stopped"}"#),
            (
                Event::Disconnected {
                    reason: "gone".to_owned(),
                    retry_in: Some(Duration::from_millis(250)),
                },
                r#"{"event":"disconnected","reason":"gone","retryInMs":250}"#,
            ),
            (
                Event::Pending {
                    configuration: Configuration::initial(),
                    after: Duration::from_secs(2),
                },
                r#"{"event":"pending","configId":1,"sendFrequency":"24h","afterMs":2000}"#,
            ),
            (
                Event::Reported { patch: Properties::new(), version: Some(2) },
                r#"{"event":"reported","patch":{},"version":2}"#,
            ),
        ];
        for (event, expected) in table {
            assert_eq!(serde_json::to_string(&event).unwrap(), expected);
        }
    }
}
