//! `/hubs/{name}/faults`: operations of a hub that take long, or fail as the service's do.

mod reach;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use iothub_core::fault::preset::Preset;
use iothub_core::fault::reach::RequestKind;
use iothub_core::fault::{ActiveFault, Edge, Failure, Fault, OPERATIONS};
use iothub_core::limits;
use iothub_wire::json::field::{WrongField, unknown_field};
use serde_json::{Map, Value, json};

use crate::hubs::{HubRefusal, Hubs, hub_of, invalid, object, refusal};

const FAILURES: [(&str, Failure); 10] = [
    ("throttled", Failure::Throttled),
    ("quotaExceeded", Failure::QuotaExceeded),
    ("unauthorized", Failure::Unauthorized),
    ("unavailable", Failure::Unavailable),
    ("disconnect", Failure::Disconnect),
    ("reset", Failure::Reset),
    ("halfOpen", Failure::HalfOpen),
    ("answerLost", Failure::AnswerLost),
    ("answerLate", Failure::AnswerLate),
    ("answerCorrupt", Failure::AnswerCorrupt),
];
const FIELDS: [&str; 12] = [
    "operation",
    "protocol",
    "device",
    "route",
    "error",
    "status",
    "delay",
    "after",
    "duration",
    "count",
    "percent",
    "seed",
];
const LONGEST_SPAN: f64 = 3600.0;

pub(crate) async fn list<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    Ok(Json(hub_of(hubs.as_ref(), &name)?.faults().iter().map(document).collect()))
}

pub(crate) async fn add<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Response> {
    let hub = hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    let wanted =
        read(&body, &hubs.requests()).map_err(|mistakes| invalid("InvalidFault", &mistakes))?;
    let added = match wanted {
        Wanted::One(fault) => hub.add_fault(*fault).map(|added| document(&added)),
        Wanted::Preset(preset, seed) => {
            hub.add_preset(preset, seed).map(|added| added.iter().map(document).collect())
        }
    };
    let added = added.ok_or_else(|| {
        let message = format!("there may be {} faults, and no more", limits::FAULTS);
        refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyFaults", &message)
    })?;
    Ok((StatusCode::CREATED, Json(added)))
}

pub(crate) async fn remove<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, HubRefusal> {
    let hub = hub_of(hubs.as_ref(), &name)?;
    if id.parse().is_ok_and(|id| hub.remove_fault(id)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let message = format!("hub {name:?} has no fault {id:?}");
    Ok(refusal(StatusCode::NOT_FOUND, "FaultNotFound", &message))
}

pub(crate) async fn clear<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<StatusCode, HubRefusal> {
    let hub = hub_of(hubs.as_ref(), &name)?;
    for active in hub.faults() {
        hub.remove_fault(active.id);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn document(active: &ActiveFault) -> Value {
    let fault = &active.fault;
    let status = match fault.failure {
        Some(Failure::Status(status)) => Some(status),
        _ => None,
    };
    let failure = FAILURES.iter().find(|(_, failure)| Some(*failure) == fault.failure);
    json!({
        "id": active.id,
        "operation": fault.operation,
        "protocol": fault.edge.map(Edge::name),
        "device": fault.device,
        "route": fault.route,
        "status": status,
        "error": failure.map(|(name, _)| *name),
        "delay": fault.delay.as_secs_f64(),
        "after": fault.after.as_secs_f64(),
        "duration": fault.duration.map(|duration| duration.as_secs_f64()),
        "count": fault.count,
        "percent": fault.percent,
        "seed": fault.seed,
        "hits": active.hits,
    })
}

/// What a body asks for.
#[derive(Debug, PartialEq)]
enum Wanted {
    One(Box<Fault>),
    Preset(Preset, u64),
}

/// Reads what is wanted; every mistake in it is told.
fn read(body: &[u8], requests: &[RequestKind]) -> Result<Wanted, Vec<String>> {
    let fields = object(body)?;
    if fields.contains_key("preset") {
        parse_preset(&fields)
    } else {
        let fault = parse(&fields)?;
        match reach::mistake(&fault, requests) {
            None => Ok(Wanted::One(Box::new(fault))),
            Some(mistake) => Err(vec![mistake]),
        }
    }
}

fn parse_preset(fields: &Map<String, Value>) -> Result<Wanted, Vec<String>> {
    let mut mistakes = Vec::new();
    let (mut found, mut seed) = (None, 0);
    for (field, value) in fields {
        match (field.as_str(), value.as_u64()) {
            ("preset", _) => {
                found = Preset::ALL.into_iter().find(|one| value.as_str() == Some(one.name()));
                if found.is_none() {
                    let names = Preset::ALL.map(Preset::name).join(", ");
                    mistakes.push(format!("preset is {value}, expected one of {names}"));
                }
            }
            ("seed", Some(number)) => seed = number,
            ("seed", None) => mistakes.push(format!("seed is {value}, expected a whole number")),
            _ => mistakes.push(unknown_field(field, &["preset", "seed"])),
        }
    }
    match found {
        Some(preset) if mistakes.is_empty() => Ok(Wanted::Preset(preset, seed)),
        _ => Err(mistakes),
    }
}

fn parse(fields: &Map<String, Value>) -> Result<Fault, Vec<String>> {
    let mut fault = Fault::default();
    let mut mistakes = Vec::new();
    for (field, value) in fields {
        mistakes.extend(set(&mut fault, field, value).err().map(|why| why.told(field, value)));
    }
    if mistakes.is_empty() {
        mistakes.extend(contradiction(&fault, fields));
    }
    if mistakes.is_empty() { Ok(fault) } else { Err(mistakes) }
}

/// What is wrong with fields that are right by themselves.
fn contradiction(fault: &Fault, fields: &Map<String, Value>) -> Option<String> {
    if fields.contains_key("status") && fields.contains_key("error") {
        return Some("the fault has status and error, expected one of them".to_owned());
    }
    match fault.failure {
        None if fault.delay.is_zero() => {
            Some("the fault does nothing, expected error, status or delay".to_owned())
        }
        Some(Failure::AnswerLate) if fault.delay.is_zero() => {
            Some("the answer is not late, expected delay".to_owned())
        }
        _ => None,
    }
}

/// Sets one field.
fn set(fault: &mut Fault, field: &str, value: &Value) -> Result<(), WrongField> {
    let named = |all: &[&str]| format!("one of {}", all.join(", "));
    match field {
        "operation" => {
            let found = OPERATIONS.into_iter().find(|name| value.as_str() == Some(name));
            fault.operation = Some(found.ok_or_else(|| named(&OPERATIONS))?);
        }
        "protocol" => {
            let found = Edge::ALL.into_iter().find(|edge| value.as_str() == Some(edge.name()));
            fault.edge = Some(found.ok_or_else(|| named(&Edge::ALL.map(Edge::name)))?);
        }
        "device" => {
            let text = value.as_str().filter(|text| (1..=128).contains(&text.len()));
            let text = text.ok_or("a device id, or the beginning of one and *")?;
            fault.device = Some(text.to_owned());
        }
        "error" => {
            let found = FAILURES.iter().find(|(name, _)| value.as_str() == Some(name));
            let (_, failure) = found.ok_or_else(|| named(&FAILURES.map(|(name, _)| name)))?;
            fault.failure = Some(*failure);
        }
        "status" => {
            let status = value.as_u64().filter(|status| (400..600).contains(status));
            let status = status.and_then(|status| u16::try_from(status).ok());
            fault.failure = Some(Failure::Status(status.ok_or("a status from 400 to 599")?));
        }
        "route" => {
            let route = value.as_str().filter(|route| route.contains(" /"));
            let route = route.ok_or("a method and a path, as in \"GET /devices/{id}\"")?;
            fault.route = Some(route.to_owned());
        }
        "delay" => fault.delay = span(value)?,
        "after" => fault.after = span(value)?,
        "duration" => fault.duration = Some(span(value)?),
        "count" => {
            let count = value.as_u64().filter(|count| *count > 0);
            fault.count = Some(count.ok_or("a whole number from 1 on")?);
        }
        "percent" => {
            let percent = value.as_u64().filter(|percent| (1..=100).contains(percent));
            let percent = percent.and_then(|percent| u8::try_from(percent).ok());
            fault.percent = percent.ok_or("a whole number from 1 to 100")?;
        }
        "seed" => fault.seed = value.as_u64().ok_or("a whole number")?,
        _ => return Err(WrongField::unknown(field, &FIELDS)),
    }
    Ok(())
}

fn span(value: &Value) -> Result<Duration, String> {
    let seconds = value.as_f64().filter(|seconds| (0.0..=LONGEST_SPAN).contains(seconds));
    Ok(Duration::from_secs_f64(seconds.ok_or("a number of seconds up to 3600")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        let body = br#"{"operation": "sendEvent", "protocol": "https", "route": "POST /devices/{id}/messages/events",
            "error": "throttled", "delay": 0.5, "after": 2, "duration": 60, "count": 3, "percent": 20, "seed": 7}"#;
        let expected = Fault {
            operation: Some("sendEvent"),
            edge: Some(Edge::Https),
            device: None,
            route: Some("POST /devices/{id}/messages/events".to_owned()),
            failure: Some(Failure::Throttled),
            delay: Duration::from_millis(500),
            after: Duration::from_secs(2),
            duration: Some(Duration::from_secs(60)),
            count: Some(3),
            percent: 20,
            seed: 7,
        };
        let requests = [RequestKind {
            route: "POST /devices/{id}/messages/events".to_owned(),
            operation: Some("sendEvent"),
        }];
        assert_eq!(read(body, &requests), Ok(Wanted::One(Box::new(expected))));
    }

    #[test]
    fn every_mistake_is_told() {
        let table: [(&str, &[&str]); 8] = [
            ("{}", &["the fault does nothing, expected error, status or delay"]),
            (
                r#"{"error": "reset", "status": 412}"#,
                &["the fault has status and error, expected one of them"],
            ),
            (
                r#"{"preset": "rain", "seed": -1, "count": 1}"#,
                &[
                    "preset is \"rain\", expected one of flaky-network, throttled-s1, hub-failover",
                    "seed is -1, expected a whole number",
                    "there is no field \"count\", expected preset or seed",
                ],
            ),
            (r#"{"error": "answerLate"}"#, &["the answer is not late, expected delay"]),
            (
                r#"{"status": 200, "route": "/devices"}"#,
                &[
                    "route is \"/devices\", expected a method and a path, as in \"GET /devices/{id}\"",
                    "status is 200, expected a status from 400 to 599",
                ],
            ),
            (
                r#"{"error": "boom"}"#,
                &[
                    "error is \"boom\", expected one of throttled, quotaExceeded, unauthorized, unavailable, disconnect, reset, halfOpen, answerLost, answerLate, answerCorrupt",
                ],
            ),
            (
                r#"{"count": 0, "delay": -1, "device": "", "percent": 101, "protocol": "tls", "seed": 1.5}"#,
                &[
                    "count is 0, expected a whole number from 1 on",
                    "delay is -1, expected a number of seconds up to 3600",
                    "device is \"\", expected a device id, or the beginning of one and *",
                    "percent is 101, expected a whole number from 1 to 100",
                    "protocol is \"tls\", expected one of mqtt, amqp, https",
                    "seed is 1.5, expected a whole number",
                ],
            ),
            (
                r#"{"when": 1}"#,
                &[
                    "there is no field \"when\", expected operation, protocol, device, route, error, status, delay, after, duration, count, percent or seed",
                ],
            ),
        ];
        for (body, expected) in table {
            let mut mistakes = read(body.as_bytes(), &[]).unwrap_err();
            mistakes.sort();
            assert_eq!(mistakes, expected, "{body}");
        }
    }
}
