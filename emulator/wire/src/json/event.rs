//! Events as the service writes them into storage: what folders and webhooks get.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iothub_core::event::{Event, SystemProperty};
use iothub_core::twin::Document;
use serde_json::{Value, json};

/// Properties that the sender sets, by their names in storage.
pub(super) const SENT: [(SystemProperty, &str); 10] = [
    (SystemProperty::MessageId, "messageId"),
    (SystemProperty::CorrelationId, "correlationId"),
    (SystemProperty::UserId, "userId"),
    (SystemProperty::To, "to"),
    (SystemProperty::ContentType, "contentType"),
    (SystemProperty::ContentEncoding, "contentEncoding"),
    (SystemProperty::CreationTime, "iothub-creation-time-utc"),
    (SystemProperty::InterfaceId, "iothub-interface-id"),
    (SystemProperty::MessageSchema, "iothub-message-schema"),
    (SystemProperty::Component, "dt-subject"),
];

/// The property that has this name in storage, in any case.
pub fn sent_property(name: &str) -> Option<SystemProperty> {
    let found = SENT.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
    found.map(|(property, _)| *property)
}

/// An event as an object: `EnqueuedTimeUtc`, `Properties`, `SystemProperties`, `Body`.
pub fn stored(event: &Event) -> Value {
    let properties: Document = event
        .message
        .application
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    json!({
        "EnqueuedTimeUtc": event.enqueued.to_string(),
        "Properties": properties,
        "SystemProperties": system_properties(event),
        "Body": body(event),
    })
}

fn system_properties(event: &Event) -> Document {
    let mut members = Document::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value.into());
        }
    };
    add("connectionDeviceId", Some(event.sender.device.to_string()));
    let module = event.sender.module.as_ref();
    add("connectionModuleId", module.map(|module| module.as_str().to_owned()));
    if let Some(method) = event.auth_method_json() {
        add("connectionAuthMethod", Some(method));
        add("connectionDeviceGenerationId", Some(event.generation.to_string()));
    }
    for (property, name) in SENT {
        add(name, event.message.system(property).map(str::to_owned));
    }
    add("dt-dataschema", event.model_id.clone());
    add("iothub-message-source", Some(event.source.as_str().to_owned()));
    add("enqueuedTime", Some(event.enqueued.to_string()));
    members
}

/// JSON as itself, everything else in base64.
fn body(event: &Event) -> Value {
    let message = &event.message;
    message.json().unwrap_or_else(|_| STANDARD.encode(&message.body).into())
}

#[cfg(test)]
mod tests {
    use iothub_core::auth::AuthMethod;
    use iothub_core::event::{EventSource, Message};
    use iothub_core::ids::{DeviceId, GenerationId};
    use iothub_core::time::Timestamp;

    use super::*;

    fn event(content_type: &str, body: &'static str) -> Event {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        Event {
            message: Message {
                system: vec![
                    (SystemProperty::ContentType, content_type.to_owned()),
                    (SystemProperty::ContentEncoding, "utf-8".to_owned()),
                ],
                application: vec![("level".to_owned(), Some("storage".to_owned()))],
                body: body.into(),
            },
            sender: DeviceId::parse("d1").unwrap().into(),
            generation: GenerationId::at(at),
            auth_method: Some(AuthMethod::DeviceKey),
            enqueued: at,
            model_id: None,
            source: EventSource::Telemetry,
        }
    }

    #[test]
    fn an_event_looks_as_documented() {
        let json = stored(&event("application/json", r#"{"temperature": 31.5}"#));
        assert_eq!(json["EnqueuedTimeUtc"], "2027-01-15T08:00:00Z");
        assert_eq!(json["Properties"], json!({"level": "storage"}));
        assert_eq!(json["Body"], json!({"temperature": 31.5}));
        let system = &json["SystemProperties"];
        assert_eq!(system["connectionDeviceId"], "d1");
        assert_eq!(
            system["connectionAuthMethod"],
            r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
        );
        assert_eq!(system["contentType"], "application/json");
        assert_eq!(system["contentEncoding"], "utf-8");
        assert_eq!(system["enqueuedTime"], "2027-01-15T08:00:00Z");
    }

    #[test]
    fn what_a_condition_can_look_into_is_no_base64() {
        let json = stored(&event("application/json; charset=utf-8", r#"{"t": 31.5}"#));
        assert_eq!(json["Body"], json!({"t": 31.5}));
    }

    #[test]
    fn what_is_no_json_is_in_base64() {
        for (content_type, body) in [("text/plain", "{}"), ("application/json", "{")] {
            let json = stored(&event(content_type, body));
            assert_eq!(json["Body"], STANDARD.encode(body), "{content_type} {body}");
        }
    }
}
