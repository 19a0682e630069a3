//! `/hubs/{name}/clock`: the time that a hub goes by, which a test may turn.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use iothub_core::time::Timestamp;
use iothub_wire::json::field::unknown_field;
use serde_json::{Value, json};

use crate::hubs::{HubRefusal, Hubs, invalid, object};

/// What a hub's clock shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockFacts {
    /// The time.
    pub now: Timestamp,
    /// Whether it stands still.
    pub frozen: bool,
}

/// How a clock is turned: first stopped or let go, then moved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    /// Whether it is to stand still.
    pub frozen: Option<bool>,
    /// What it is to show.
    pub set: Option<Timestamp>,
    /// How far it is to move on.
    pub advance: Duration,
}

pub(crate) async fn show<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    let facts = hubs.clock(&name).ok_or(HubRefusal::NotFound(name))?;
    Ok(Json(document(facts)))
}

pub(crate) async fn turn<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Response> {
    let turn = parse(&body).map_err(|mistakes| invalid("InvalidTurn", &mistakes))?;
    let turned = hubs.turn_clock(&name, turn).await;
    Ok(Json(document(turned.map_err(IntoResponse::into_response)?)))
}

fn document(facts: ClockFacts) -> Value {
    json!({ "now": facts.now.to_string(), "frozen": facts.frozen })
}

/// Reads how to turn a clock; every mistake in it is told.
fn parse(body: &[u8]) -> Result<Turn, Vec<String>> {
    let fields = object(body)?;
    let mut turn = Turn::default();
    let mut mistakes = Vec::new();
    for (field, value) in &fields {
        match (field.as_str(), value) {
            ("frozen", Value::Bool(frozen)) => turn.frozen = Some(*frozen),
            ("frozen", _) => mistakes.push(format!("frozen is {value}, expected true or false")),
            ("set", _) => match value.as_str().and_then(Timestamp::parse) {
                Some(time) => turn.set = Some(time),
                None => mistakes.push(format!(
                    "set is {value}, expected a time such as \"2026-01-31T12:00:00Z\""
                )),
            },
            ("advance", _) => match value.as_f64().and_then(span) {
                Some(span) => turn.advance = span,
                None => mistakes.push(format!(
                    "advance is {value}, expected a number of seconds up to ten years"
                )),
            },
            _ => mistakes.push(unknown_field(field, &["frozen", "set", "advance"])),
        }
    }
    if mistakes.is_empty() { Ok(turn) } else { Err(mistakes) }
}

fn span(seconds: f64) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
    Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_read_and_mistakes_told() {
        let time = Timestamp::parse("2030-01-01T00:00:00Z");
        let table = [
            (
                r#"{"advance": 1.5}"#,
                Ok(Turn { advance: Duration::from_millis(1500), ..Turn::default() }),
            ),
            (
                r#"{"frozen": true, "set": "2030-01-01T00:00:00Z"}"#,
                Ok(Turn { frozen: Some(true), set: time, ..Turn::default() }),
            ),
            ("{}", Ok(Turn::default())),
            (
                r#"{"advance": -1}"#,
                Err("advance is -1, expected a number of seconds up to ten years"),
            ),
            (
                r#"{"advance": 1e300}"#,
                Err("advance is 1e+300, expected a number of seconds up to ten years"),
            ),
            (r#"{"frozen": 1}"#, Err("frozen is 1, expected true or false")),
            (
                r#"{"set": "now"}"#,
                Err("set is \"now\", expected a time such as \"2026-01-31T12:00:00Z\""),
            ),
            (r#"{"back": 1}"#, Err("there is no field \"back\", expected frozen, set or advance")),
            ("1", Err("the body is 1, expected an object")),
        ];
        for (body, expected) in table {
            let expected = expected.map_err(|mistake| vec![mistake.to_owned()]);
            assert_eq!(parse(body.as_bytes()), expected, "{body}");
        }
    }
}
