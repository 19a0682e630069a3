//! `/hubs/{name}/journal`: what arrived and what was decided, and waiting for what should.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use iothub_core::hub::Hub;
use iothub_core::journal::{Entry, Journal};
use iothub_core::limits;
use iothub_wire::json::field::unknown_field;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::entry::{KINDS, document, is_kind, matches};
use crate::hubs::{Hubs, hub_of, invalid, object, refusal};

const LAST_EVENT_ID: &str = "last-event-id";
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PATIENCE: f64 = 600.0;
/// How many entries somebody is shown who waited in vain.
const SHOWN: usize = 20;

/// Room for those who wait for entries; the connections to the admin port are not for them alone.
#[derive(Clone, Debug)]
pub(crate) struct Waiters(Arc<Semaphore>);

impl Default for Waiters {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::JOURNAL_WAITERS)))
    }
}

impl Waiters {
    fn enter(self) -> Option<OwnedSemaphorePermit> {
        self.0.try_acquire_owned().ok()
    }
}

/// The parameters of a request for entries, as they come.
type Parameters = Query<Vec<(String, String)>>;

/// Which entries somebody wants to see.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    /// The number of the last entry that is known already.
    after: u64,
    /// Of which kind; none means all.
    kind: Option<Value>,
}

impl Wanted {
    /// Reads it; every mistake in it is told.
    fn parse(parameters: &[(String, String)]) -> Result<Self, Vec<String>> {
        let mut wanted = Self::default();
        let mut mistakes = Vec::new();
        for (name, value) in parameters {
            let expected = match name.as_str() {
                "after" => match value.parse() {
                    Ok(after) => {
                        wanted.after = after;
                        continue;
                    }
                    Err(_) => "the number of an entry".to_owned(),
                },
                "kind" => {
                    let kind = value.as_str().into();
                    if is_kind(&kind) {
                        wanted.kind = Some(kind);
                        continue;
                    }
                    one_of_the_kinds()
                }
                _ => "no such parameter, but after or kind".to_owned(),
            };
            mistakes.push(format!("{name} is {value:?}, expected {expected}"));
        }
        if mistakes.is_empty() { Ok(wanted) } else { Err(mistakes) }
    }

    /// An entry as JSON, if it is wanted.
    fn document(&self, entry: &Entry) -> Option<Value> {
        let document = document(entry);
        let is_wanted = |kind| document.get("kind").is_some_and(|found| matches(kind, found));
        self.kind.as_ref().is_none_or(is_wanted).then_some(document)
    }
}

fn one_of_the_kinds() -> String {
    format!("one of {}", KINDS.join(", "))
}

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// What the entry has: what stands here must be in it, more may be.
    pub pattern: Value,
    /// The number of the last entry that does not count.
    pub after: u64,
    /// How long to wait.
    pub patience: Duration,
}

/// Nothing came that was expected; printing it prints the journal.
pub struct Unmet {
    expected: Value,
    waited: Duration,
    over: bool,
    /// The last entries that were seen instead.
    pub seen: Vec<Value>,
}

impl Expectation {
    /// Waits some seconds for an entry like this, among all of the journal.
    pub fn of(pattern: Value) -> Self {
        Self { pattern, after: 0, patience: PATIENCE }
    }
}

/// Waits until the journal of a hub has an entry as it is expected.
///
/// # Errors
///
/// None came in time.
pub async fn expect(hub: &Hub, expectation: Expectation) -> Result<Value, Box<Unmet>> {
    // The hub itself may end meanwhile, and takes nothing with it but its journal.
    let journal = Arc::clone(hub.journal());
    let deadline = Instant::now() + expectation.patience;
    let begun = Instant::now();
    let from = journal.place(expectation.after);
    let mut after = from;
    let over = loop {
        for entry in journal.after(after, limits::JOURNAL_PAGE) {
            after = entry.number;
            let entry = document(&entry);
            if matches(&expectation.pattern, &entry) {
                return Ok(entry);
            }
        }
        match timeout_at(deadline, journal.more(after)).await {
            Ok(true) => {}
            Ok(false) => break true,
            Err(_) => break false,
        }
    };
    Err(Box::new(Unmet {
        expected: expectation.pattern,
        waited: begun.elapsed(),
        over,
        seen: last(&journal, from),
    }))
}

fn last(journal: &Journal, after: u64) -> Vec<Value> {
    let from = journal.last().saturating_sub(SHOWN as u64).max(after);
    journal.after(from, SHOWN).iter().map(|entry| document(entry)).collect()
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, waited, over, seen } = self;
        let why = if *over { "before the hub ended or was reset" } else { "in time" };
        write!(f, "nothing like {expected} came {why} ({:.1} s); ", waited.as_secs_f64())?;
        if seen.is_empty() {
            return f.write_str("the journal has no entries");
        }
        f.write_str("the last entries of the journal:")?;
        seen.iter().try_for_each(|entry| write!(f, "\n  {entry}"))
    }
}

// As `unwrap` in a test prints it.
impl fmt::Debug for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Unmet {}

pub(crate) async fn list<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    Query(parameters): Parameters,
) -> Result<Json<Value>, Response> {
    let hub = hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    let wanted = Wanted::parse(&parameters).map_err(|mistakes| misplaced(&mistakes))?;
    let (entries, last) = page(hub.journal(), &wanted);
    let more = last < hub.journal().last();
    Ok(Json(json!({ "entries": entries, "last": last, "more": more })))
}

/// A page of the entries that are wanted, and the number of the last that was looked at.
fn page(journal: &Journal, wanted: &Wanted) -> (Vec<Value>, u64) {
    let mut last = journal.place(wanted.after);
    let mut page = Vec::new();
    loop {
        let entries = journal.after(last, limits::JOURNAL_PAGE);
        if entries.is_empty() {
            return (page, last);
        }
        for entry in entries {
            last = entry.number;
            page.extend(wanted.document(&entry));
            if page.len() >= limits::JOURNAL_PAGE {
                return (page, last);
            }
        }
    }
}

/// Server-sent events: one per entry, with its number as the id.
pub(crate) async fn follow<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    Query(parameters): Parameters,
    Extension(waiters): Extension<Waiters>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let hub = hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    let wanted = Wanted::parse(&parameters).map_err(|mistakes| misplaced(&mistakes))?;
    let waiter = waiters.enter().ok_or_else(too_many)?;
    // Who follows by the rules of server-sent events says so when it comes back.
    let seen = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse().ok());
    let journal = Arc::clone(hub.journal());
    let after = journal.place(seen.unwrap_or(wanted.after));
    let begin = (journal, after, wanted, waiter);
    let stream =
        futures_util::stream::unfold(begin, |(journal, after, wanted, waiter)| async move {
            if !journal.more(after).await {
                return None;
            }
            let entries = journal.after(after, limits::JOURNAL_PAGE);
            let last = entries.last().map_or_else(|| journal.last(), |entry| entry.number);
            let text: String = entries.iter().filter_map(|entry| event(entry, &wanted)).collect();
            Some((Ok::<_, Infallible>(Bytes::from(text)), (journal, last, wanted, waiter)))
        });
    let headers = [(CONTENT_TYPE, "text/event-stream")];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn too_many() -> Response {
    let most = limits::JOURNAL_WAITERS;
    let message = format!("{most} clients wait for entries of journals, and there may be no more");
    refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyWaiting", &message)
}

/// The refusal of parameters with these mistakes.
fn misplaced(mistakes: &[String]) -> Response {
    invalid("InvalidPlace", mistakes)
}

fn event(entry: &Entry, wanted: &Wanted) -> Option<String> {
    let document = wanted.document(entry)?;
    Some(format!("id: {}\ndata: {document}\n\n", entry.number))
}

pub(crate) async fn wait<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    Extension(waiters): Extension<Waiters>,
    body: Bytes,
) -> Result<Json<Value>, Response> {
    let hub = hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    let expectation = parse(&body).map_err(|mistakes| invalid("InvalidExpectation", &mistakes))?;
    let _waiter = waiters.enter().ok_or_else(too_many)?;
    expect(&hub, expectation).await.map(Json).map_err(|unmet| {
        refusal(StatusCode::EXPECTATION_FAILED, "ExpectationFailed", &unmet.to_string())
    })
}

/// Reads what is expected; every mistake in it is told.
fn parse(body: &[u8]) -> Result<Expectation, Vec<String>> {
    let fields = object(body)?;
    let mut expectation = Expectation::of(Value::Null);
    let mut mistakes = Vec::new();
    for (field, value) in fields {
        let expected = match (field.as_str(), &value) {
            ("match", Value::Object(_)) => {
                expectation.pattern = value;
                continue;
            }
            ("match", _) => "an object with what the entry has",
            ("after", value) if value.is_u64() => {
                expectation.after = value.as_u64().unwrap_or_default();
                continue;
            }
            ("after", _) => "the number of an entry",
            ("timeout", value) => {
                let seconds = value.as_f64().filter(|one| (0.0..=LONGEST_PATIENCE).contains(one));
                if let Some(seconds) = seconds {
                    expectation.patience = Duration::from_secs_f64(seconds);
                    continue;
                }
                "a number of seconds up to 600"
            }
            _ => {
                mistakes.push(unknown_field(&field, &["match", "after", "timeout"]));
                continue;
            }
        };
        mistakes.push(format!("{field} is {value}, expected {expected}"));
    }
    if let Some(kind) = expectation.pattern.get("kind").filter(|kind| !is_kind(kind)) {
        mistakes.push(format!("match.kind is {kind}, expected {}", one_of_the_kinds()));
    }
    if mistakes.is_empty() && expectation.pattern.is_null() {
        mistakes.push("there is no match, expected an object with what the entry has".to_owned());
    }
    if mistakes.is_empty() { Ok(expectation) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told() {
        let kinds = "one of connected, refused, disconnected, event, twinRead, reported, desired, \
                     created, deleted, disabled, method, devicebound, request, failed, fault";
        let no_kind = format!("match.kind is \"evnet\", expected {kinds}");
        let table: [(&str, &[&str]); 4] = [
            (r#"{"match": {"kind": "evnet"}}"#, &[&no_kind]),
            ("{}", &["there is no match, expected an object with what the entry has"]),
            (
                r#"{"match": 1, "after": -1, "timeout": 601, "until": 2}"#,
                &[
                    "after is -1, expected the number of an entry",
                    "match is 1, expected an object with what the entry has",
                    "there is no field \"until\", expected match, after or timeout",
                    "timeout is 601, expected a number of seconds up to 600",
                ],
            ),
            ("[]", &["the body is [], expected an object"]),
        ];
        for (body, expected) in table {
            let mut mistakes = parse(body.as_bytes()).unwrap_err();
            mistakes.sort();
            assert_eq!(mistakes, expected, "{body}");
        }
        let read = parse(br#"{"match": {"kind": "event"}, "after": 7, "timeout": 0.5}"#);
        let expected = Expectation {
            pattern: json!({"kind": "event"}),
            after: 7,
            patience: Duration::from_millis(500),
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_is_wanted_of_the_journal_is_read() {
        let parse = |parameters: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Wanted::parse(&parameters.iter().map(owned).collect::<Vec<_>>())
        };
        assert_eq!(parse(&[]), Ok(Wanted::default()));
        let wanted = Wanted { after: 7, kind: Some(json!("twin*")) };
        assert_eq!(parse(&[("after", "7"), ("kind", "twin*")]), Ok(wanted));
        let mistakes = parse(&[("after", "x"), ("kind", "evnet"), ("device", "d1")]).unwrap_err();
        let [after, kind, device] = &mistakes[..] else { panic!("{mistakes:?}") };
        assert_eq!(after, "after is \"x\", expected the number of an entry");
        assert!(kind.starts_with("kind is \"evnet\", expected one of connected, "), "{kind}");
        assert_eq!(device, "device is \"d1\", expected no such parameter, but after or kind");
    }
}
