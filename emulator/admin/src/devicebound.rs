//! `/hubs/{name}/devicebound/{device}`: a cloud-to-device message for a test that has no AMQP.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use iothub_core::devicebound::{ACK_PROPERTY, Ack, Outgoing};
use iothub_core::error::HubError;
use iothub_core::event::{Message, SystemProperty};
use iothub_core::ids::DeviceId;
use iothub_core::time::Timestamp;
use iothub_wire::json::field::WrongField;
use serde_json::{Map, Value};

use crate::hubs::{Hubs, hub_of, invalid, object, refusal};

/// Fields that are texts, and what they are to the hub.
const TEXTS: [(&str, SystemProperty); 5] = [
    ("messageId", SystemProperty::MessageId),
    ("correlationId", SystemProperty::CorrelationId),
    ("userId", SystemProperty::UserId),
    ("contentType", SystemProperty::ContentType),
    ("contentEncoding", SystemProperty::ContentEncoding),
];

pub(crate) async fn send<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path((name, device)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Response> {
    let hub = hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    let (message, expiry) =
        parse(&body).map_err(|mistakes| invalid("InvalidMessage", &mistakes))?;
    let id =
        DeviceId::parse(&device).map_err(|why| invalid("InvalidDevice", &[why.to_string()]))?;
    let sent = async { hub.send_devicebound(&id, Outgoing::new(message, expiry)?).await };
    sent.await.map_err(|why| failed(&why))?;
    Ok(StatusCode::ACCEPTED)
}

/// As the service answers it over HTTPS, in the form of the harness.
fn failed(error: &HubError) -> Response {
    let code = error.code();
    let status =
        u16::try_from(code.number / 1000).ok().and_then(|one| StatusCode::from_u16(one).ok());
    let message = match error {
        HubError::DeviceNotFound(id) => format!("there is no device {:?}", id.as_str()),
        error => error.to_string(),
    };
    refusal(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code.name, &message)
}

/// Reads a message; every mistake in it is told.
fn parse(body: &[u8]) -> Result<(Message, Option<Timestamp>), Vec<String>> {
    let fields = object(body)?;
    let mut message = Message::default();
    let mut expiry = None;
    let mut mistakes = Vec::new();
    for (field, value) in &fields {
        let wrong = set(&mut message, &mut expiry, field, value).err();
        mistakes.extend(wrong.map(|why| why.told(field, value)));
    }
    if mistakes.is_empty() { Ok((message, expiry)) } else { Err(mistakes) }
}

/// Sets one field.
fn set(
    message: &mut Message,
    expiry: &mut Option<Timestamp>,
    field: &str,
    value: &Value,
) -> Result<(), WrongField> {
    if let Some((_, property)) = TEXTS.iter().find(|(name, _)| *name == field) {
        let text = value.as_str().ok_or("a text")?;
        message.system.push((*property, text.to_owned()));
        return Ok(());
    }
    match field {
        // A text is itself, everything else its JSON.
        "body" => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            message.body = text.into();
        }
        "properties" => {
            let properties = value.as_object().and_then(texts);
            message.application.extend(properties.ok_or("an object with texts")?);
        }
        "ack" => {
            let ack = value.as_str().and_then(Ack::parse);
            let ack = ack.ok_or("none, positive, negative or full")?;
            message.application.push((ACK_PROPERTY.to_owned(), Some(ack.as_str().to_owned())));
        }
        "expiry" => {
            let time = value.as_str().and_then(Timestamp::parse);
            *expiry = Some(time.ok_or("a time such as \"2026-01-31T12:00:00Z\"")?);
        }
        _ => {
            let texts = TEXTS.map(|(name, _)| name);
            let known = [&["body", "properties"], &texts[..], &["ack", "expiry"]].concat();
            return Err(WrongField::unknown(field, &known));
        }
    }
    Ok(())
}

fn texts(members: &Map<String, Value>) -> Option<Vec<(String, Option<String>)>> {
    let text =
        |(name, value): (&String, &Value)| Some((name.clone(), Some(value.as_str()?.to_owned())));
    members.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let body = br#"{"body": {"on": true}, "messageId": "m1", "properties": {"color": "red"},
            "ack": "full", "expiry": "2026-01-31T12:00:00Z"}"#;
        let (message, expiry) = parse(body).unwrap();
        assert_eq!(message.body, r#"{"on":true}"#);
        assert_eq!(message.system, [(SystemProperty::MessageId, "m1".to_owned())]);
        let property = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let application = [property("color", "red"), property("iothub-ack", "full")];
        assert_eq!(message.application, application);
        assert_eq!(expiry, Timestamp::parse("2026-01-31T12:00:00Z"));
        assert_eq!(parse(br#"{"body": "plain"}"#).unwrap().0.body, "plain");
        assert_eq!(parse(b"{}").unwrap().0.body, "");
    }

    #[test]
    fn every_mistake_is_told() {
        let body = br#"{"messageId": 1, "properties": {"n": 1}, "ack": "maybe", "expiry": "soon",
            "ttl": 1}"#;
        let mut mistakes = parse(body).unwrap_err();
        mistakes.sort();
        let expected = [
            "ack is \"maybe\", expected none, positive, negative or full",
            "expiry is \"soon\", expected a time such as \"2026-01-31T12:00:00Z\"",
            "messageId is 1, expected a text",
            "properties is {\"n\":1}, expected an object with texts",
            "there is no field \"ttl\", expected body, properties, messageId, correlationId, \
             userId, contentType, contentEncoding, ack or expiry",
        ];
        assert_eq!(mistakes, expected);
    }
}
