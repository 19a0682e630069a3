//! An entry of the journal as JSON, and whether it is like another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iothub_core::event::{Event, SystemProperty};
use iothub_core::journal::{Entry, Step, What};
use serde_json::{Map, Value, json};

/// What entries are of, each with fields of its own.
pub(crate) const KINDS: [&str; 15] = [
    "connected",
    "refused",
    "disconnected",
    "event",
    "twinRead",
    "reported",
    "desired",
    "created",
    "deleted",
    "disabled",
    "method",
    "devicebound",
    "request",
    "failed",
    "fault",
];

/// Whether there are entries of this kind; it may be the beginning of one, and `*`.
pub(crate) fn is_kind(kind: &Value) -> bool {
    KINDS.into_iter().any(|known| matches(kind, &known.into()))
}

/// An entry: its number, time, device and kind, and what each kind has of its own.
pub(crate) fn document(entry: &Entry) -> Value {
    let (kind, details) = details(&entry.what);
    let mut members = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let module = entry.id.as_ref().and_then(|id| id.module.as_ref());
    add("number", Some(entry.number.into()));
    add("time", Some(entry.at.to_string().into()));
    add("kind", Some(kind.into()));
    add("deviceId", entry.id.as_ref().map(|id| id.device.as_str().into()));
    add("moduleId", module.map(|module| module.as_str().into()));
    if let Value::Object(details) = details {
        members.extend(details.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(members)
}

fn details(what: &What) -> (&'static str, Value) {
    match what {
        What::Connected { protocol, resumed } => {
            ("connected", json!({ "protocol": protocol.name(), "resumed": resumed }))
        }
        What::Refused { protocol, why } => {
            ("refused", json!({ "protocol": protocol, "reason": why }))
        }
        What::Disconnected { why } => ("disconnected", json!({ "reason": why })),
        What::Event { event, endpoints, why } => {
            ("event", of_event(event, endpoints, why.as_deref()))
        }
        What::TwinRead => ("twinRead", Value::Null),
        What::Reported { version, patch } => {
            let patch: Value = serde_json::from_str(patch).unwrap_or_default();
            ("reported", json!({ "version": version, "patch": patch }))
        }
        What::Desired(change) => {
            ("desired", json!({ "version": change.version, "patch": change.patch }))
        }
        What::Created => ("created", Value::Null),
        What::Deleted => ("deleted", Value::Null),
        What::Disabled => ("disabled", Value::Null),
        What::Method { name, outcome } => {
            let (status, why) = (outcome.as_ref().ok(), outcome.as_ref().err());
            ("method", json!({ "name": name, "status": status, "reason": why }))
        }
        What::Devicebound { message_id, step } => {
            ("devicebound", json!({ "messageId": message_id, "step": step_name(*step) }))
        }
        What::Request { method, path, status, why } => {
            let details =
                json!({ "method": method, "path": path, "status": status, "reason": why });
            ("request", details)
        }
        What::Failed { operation, why } => {
            ("failed", json!({ "operation": operation, "reason": why }))
        }
        What::Fault { fault, operation } => {
            ("fault", json!({ "fault": fault, "operation": operation }))
        }
    }
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Enqueued => "Enqueued",
        Step::Delivered => "Delivered",
        Step::Ended(status) => status.as_str(),
    }
}

fn of_event(event: &Event, endpoints: &[String], why: Option<&str>) -> Value {
    let message = &event.message;
    let properties: Map<String, Value> = message
        .application
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    json!({
        "source": event.source.as_str(),
        "messageId": message.system(SystemProperty::MessageId),
        "contentType": message.system(SystemProperty::ContentType),
        "contentEncoding": message.system(SystemProperty::ContentEncoding),
        "properties": properties,
        "body": body(&message.body),
        "endpoints": endpoints,
        "reason": why,
    })
}

/// As a person would want to read it, whatever the content type says: JSON, text, or base64.
fn body(bytes: &[u8]) -> Value {
    let json = serde_json::from_slice(bytes).ok();
    json.unwrap_or_else(|| match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    })
}

/// Whether what stands in the pattern is in the value, which may have more. A text that ends with
/// `*` stands for all that begin like it.
pub(crate) fn matches(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => pattern
            .iter()
            .all(|(name, pattern)| value.get(name).is_some_and(|value| matches(pattern, value))),
        (Value::Array(pattern), Value::Array(value)) => {
            pattern.len() == value.len()
                && pattern.iter().zip(value).all(|(pattern, value)| matches(pattern, value))
        }
        (Value::String(pattern), Value::String(value)) => match pattern.strip_suffix('*') {
            Some(beginning) => value.starts_with(beginning),
            None => pattern == value,
        },
        // 1 and 1.0 are one number in JSON.
        (Value::Number(pattern), Value::Number(value)) => {
            pattern == value || pattern.as_f64() == value.as_f64()
        }
        _ => pattern == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_that_the_description_has() {
        let description: Value = serde_json::from_str(crate::OPENAPI).unwrap();
        let kinds = &description["components"]["schemas"]["Entry"]["properties"]["kind"]["enum"];
        assert_eq!(kinds, &json!(KINDS));
        for (kind, expected) in
            [("event", true), ("dev*", true), ("*", true), ("Event", false), ("x*", false)]
        {
            assert_eq!(is_kind(&kind.into()), expected, "{kind}");
        }
        assert!(!is_kind(&json!(1)));
    }

    #[test]
    fn a_pattern_is_in_what_it_matches() {
        let value = json!({
            "kind": "event", "body": {"t": 31.0, "unit": "celsius"}, "endpoints": ["events", "cold"],
        });
        let table = [
            (json!({}), true),
            (json!({"kind": "event"}), true),
            (json!({"kind": "ev*"}), true),
            (json!({"kind": "*"}), true),
            (json!({"kind": "even"}), false),
            (json!({"kind": null}), false),
            (json!({"body": {"t": 31}}), true),
            (json!({"body": {"t": 30}}), false),
            (json!({"body": {"t": "31"}}), false),
            (json!({"endpoints": ["events", "c*"]}), true),
            (json!({"endpoints": ["events"]}), false),
            (json!({"color": "red"}), false),
        ];
        for (pattern, expected) in table {
            assert_eq!(matches(&pattern, &value), expected, "{pattern}");
        }
    }

    #[test]
    fn bodies_are_readable() {
        let table: [(&[u8], Value); 4] = [
            (b"{\"t\": 1}", json!({"t": 1})),
            (b"plain", json!("plain")),
            (b"\xff\x00", json!({"base64": "/wA="})),
            (b"", json!("")),
        ];
        for (bytes, expected) in table {
            assert_eq!(body(bytes), expected, "{bytes:?}");
        }
    }
}
