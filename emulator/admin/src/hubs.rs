//! `/hubs`: a hub for each test, made in a moment and dropped when the test is over.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use iothub_core::fault::reach::RequestKind;
use iothub_core::hub::Hub;
use iothub_core::time::Timestamp;
use iothub_wire::json::field::unknown_field;
use serde_json::{Map, Value, json};

use crate::certificate::CertificateKind;
use crate::clock::{self, ClockFacts, Turn};
use crate::{certificate, connections, devicebound, devices, faults, journal, routes, snapshots};

/// What can be asked of whoever serves the hubs.
pub trait Hubs: Send + Sync + 'static {
    /// Makes a hub and serves it. When this returns, its ports accept.
    fn create(&self, wanted: WantedHub) -> Result<HubFacts, HubRefusal>;
    /// All hubs, in the order of their names.
    fn list(&self) -> Vec<HubFacts>;
    /// One hub.
    fn find(&self, name: &str) -> Option<HubFacts>;
    /// Ends a hub and its connections.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), HubRefusal>> + Send;
    /// The hub itself.
    fn hub(&self, name: &str) -> Option<Hub>;
    /// The requests over HTTPS that hubs answer.
    fn requests(&self) -> Vec<RequestKind>;
    /// What the clock of a hub shows.
    fn clock(&self, name: &str) -> Option<ClockFacts>;
    /// Turns the clock of a hub. When this returns, what was due until then has happened.
    fn turn_clock(
        &self,
        name: &str,
        turn: Turn,
    ) -> impl Future<Output = Result<ClockFacts, HubRefusal>> + Send;
    /// What the TLS listeners of a hub show.
    fn certificate(&self, name: &str) -> Option<CertificateKind>;
    /// Lets them show another certificate, from the next handshake on.
    fn show_certificate(&self, name: &str, kind: CertificateKind) -> Result<(), HubRefusal>;
    /// Makes a hub what it was in the beginning; address, keys and name stay.
    fn reset(&self, name: &str) -> impl Future<Output = Result<HubFacts, HubRefusal>> + Send;
    /// What a hub holds, as a document.
    fn snapshot(&self, name: &str) -> impl Future<Output = Result<String, HubRefusal>> + Send;
    /// Makes a hub what a document says, or changes nothing; address, keys and name stay.
    fn restore(
        &self,
        name: &str,
        document: Bytes,
    ) -> impl Future<Output = Result<HubFacts, HubRefusal>> + Send;
}

/// A hub to make.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WantedHub {
    /// Its name; one is made up if there is none.
    pub name: Option<String>,
    /// Whether its keys are made up too, instead of the documented ones.
    pub random_keys: bool,
    /// What it begins with, and has again when it is reset: a document as of a snapshot.
    pub seed: Option<Value>,
    /// Where its events go, beside a seed that does not say so.
    pub routing: Option<Value>,
}

/// A hub that is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HubFacts {
    /// Its name.
    pub name: String,
    /// What clients call it in connection strings, without a port.
    pub host: String,
    /// Where MQTT over TLS is served.
    pub mqtts: SocketAddr,
    /// Where AMQP over TLS is served.
    pub amqps: SocketAddr,
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// Where MQTT without TLS is served, if it is.
    pub mqtt: Option<SocketAddr>,
    /// Where AMQP without TLS is served, if it is.
    pub amqp: Option<SocketAddr>,
    /// The connection strings of its policies, by their names.
    pub connection_strings: Vec<(String, String)>,
    /// What reads its events.
    pub event_hub: String,
    /// What reads the further event hubs that its routes go to, by their names.
    pub event_hubs: Vec<(String, String)>,
}

/// Why a hub is not made, found or ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HubRefusal {
    /// There is one already.
    #[error("there is a hub {0:?} already")]
    Exists(String),
    /// There is none.
    #[error("there is no hub {0:?}")]
    NotFound(String),
    /// It is the one that the emulator began with.
    #[error("{0:?} is the hub that the emulator began with: it can be reset, not deleted")]
    First(String),
    /// There are as many as there may be.
    #[error("there are {0} hubs, and there may be no more")]
    TooMany(usize),
    /// Its clock does not go back.
    #[error("the hub's clock shows {now}, and cannot go back to {wanted}")]
    Back {
        /// What it shows.
        now: Timestamp,
        /// What it was to show.
        wanted: Timestamp,
    },
    /// Its clock does not go so far.
    #[error("the hub's clock cannot show {wanted}, only times up to {latest}")]
    TooLate {
        /// What it was to show.
        wanted: Timestamp,
        /// The last that it may show.
        latest: Timestamp,
    },
    /// The document of what it is to hold has these.
    #[error("{}", .0.join("; "))]
    Mistakes(Vec<String>),
    /// It cannot be served.
    #[error("the hub cannot be served: {0}")]
    Failed(String),
}

impl IntoResponse for HubRefusal {
    fn into_response(self) -> Response {
        let (status, name) = match self {
            Self::Exists(_) => (StatusCode::CONFLICT, "HubExists"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "HubNotFound"),
            Self::First(_) => (StatusCode::CONFLICT, "FirstHub"),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyHubs"),
            Self::TooLate { .. } => (StatusCode::BAD_REQUEST, "InvalidTurn"),
            Self::Back { .. } => (StatusCode::CONFLICT, "ClockGoesBack"),
            Self::Mistakes(_) => (StatusCode::BAD_REQUEST, "InvalidSnapshot"),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "HubNotServed"),
        };
        refusal(status, name, &self.to_string())
    }
}

/// An answer that says what is wrong.
pub(crate) fn refusal(status: StatusCode, name: &str, message: &str) -> Response {
    (status, Json(json!({ "error": name, "message": message }))).into_response()
}

pub(crate) fn router<H: Hubs>(hubs: Arc<H>) -> Router {
    Router::new()
        .route("/hubs", get(list::<H>).post(create::<H>))
        .route("/hubs/{name}", get(find::<H>).delete(delete::<H>))
        .route("/hubs/{name}/reset", post(reset::<H>))
        .route("/hubs/{name}/snapshot", get(snapshots::take::<H>))
        .route("/hubs/{name}/restore", post(snapshots::restore::<H>))
        .route("/hubs/{name}/clock", get(clock::show::<H>).post(clock::turn::<H>))
        .route("/hubs/{name}/certificate", get(certificate::find::<H>).post(certificate::show::<H>))
        .route("/hubs/{name}/devices", get(devices::list::<H>))
        .route("/hubs/{name}/connections", get(connections::list::<H>))
        .route(
            "/hubs/{name}/connections/{device}",
            axum::routing::delete(connections::cut_device::<H>),
        )
        .route(
            "/hubs/{name}/connections/{device}/{module}",
            axum::routing::delete(connections::cut_module::<H>),
        )
        .route("/hubs/{name}/devicebound/{device}", post(devicebound::send::<H>))
        .route(
            "/hubs/{name}/faults",
            get(faults::list::<H>).post(faults::add::<H>).delete(faults::clear::<H>),
        )
        .route("/hubs/{name}/faults/{id}", axum::routing::delete(faults::remove::<H>))
        .route("/hubs/{name}/journal", get(journal::list::<H>))
        .route("/hubs/{name}/journal/events", get(journal::follow::<H>))
        .route("/hubs/{name}/journal/expect", post(journal::wait::<H>))
        .route("/hubs/{name}/routes/test", post(routes::test::<H>))
        .layer(Extension(journal::Waiters::default()))
        .with_state(hubs)
}

async fn list<H: Hubs>(State(hubs): State<Arc<H>>) -> Json<Value> {
    Json(hubs.list().iter().map(document).collect())
}

async fn create<H: Hubs>(
    State(hubs): State<Arc<H>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Response> {
    let wanted = parse(&body).map_err(|mistakes| invalid("InvalidHub", &mistakes))?;
    let facts = hubs.create(wanted).map_err(IntoResponse::into_response)?;
    Ok((StatusCode::CREATED, Json(document(&facts))))
}

async fn find<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    let facts = hubs.find(&name).ok_or(HubRefusal::NotFound(name))?;
    Ok(Json(document(&facts)))
}

async fn delete<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<StatusCode, HubRefusal> {
    hubs.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reset<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    let facts = hubs.reset(&name).await?;
    Ok(Json(document(&facts)))
}

/// The hub that a path names.
pub(crate) fn hub_of<H: Hubs>(hubs: &H, name: &str) -> Result<Hub, HubRefusal> {
    hubs.hub(name).ok_or_else(|| HubRefusal::NotFound(name.to_owned()))
}

/// An answer that tells every mistake of a body.
pub(crate) fn invalid(name: &str, mistakes: &[String]) -> Response {
    refusal(StatusCode::BAD_REQUEST, name, &mistakes.join("; "))
}

pub(crate) fn document(facts: &HubFacts) -> Value {
    let ports = [
        ("mqtts", Some(facts.mqtts)),
        ("amqps", Some(facts.amqps)),
        ("https", Some(facts.https)),
        ("mqtt", facts.mqtt),
        ("amqp", facts.amqp),
    ];
    let ports: Map<String, Value> = ports
        .into_iter()
        .filter_map(|(name, address)| Some((name.to_owned(), address?.port().into())))
        .collect();
    let address: IpAddr = facts.https.ip();
    let by_name = |strings: &[(String, String)]| -> Map<String, Value> {
        strings.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect()
    };
    json!({
        "name": facts.name,
        "hostName": facts.host,
        "address": address,
        "ports": ports,
        "connectionStrings": by_name(&facts.connection_strings),
        "eventHubConnectionString": facts.event_hub,
        "eventHubConnectionStrings": by_name(&facts.event_hubs),
    })
}

/// Reads a body that has fields; one that is empty has none.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Vec<String>> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(vec![format!("the body is {other}, expected an object")]),
        Err(why) => Err(vec![format!("the body is not JSON: {why}")]),
    }
}

/// Reads the description of a hub; every mistake in it is told.
fn parse(body: &[u8]) -> Result<WantedHub, Vec<String>> {
    if body.is_empty() {
        return Ok(WantedHub::default());
    }
    let fields = object(body)?;
    let mut wanted = WantedHub::default();
    let mut mistakes = Vec::new();
    for (field, value) in &fields {
        match (field.as_str(), value) {
            ("name", Value::String(name)) if is_name(name) => wanted.name = Some(name.clone()),
            ("name", _) => mistakes.push(format!(
                "name is {value}, expected 3 to 50 letters, digits and hyphens, with none of those at an end"
            )),
            ("keys", Value::String(kind)) if kind == "random" => wanted.random_keys = true,
            ("keys", Value::String(kind)) if kind == "well-known" => {}
            ("keys", _) => {
                mistakes.push(format!("keys is {value}, expected \"well-known\" or \"random\""));
            }
            ("seed", seed) => wanted.seed = Some(seed.clone()),
            ("routing", routing) => wanted.routing = Some(routing.clone()),
            _ => mistakes.push(unknown_field(field, &["name", "keys", "seed", "routing"])),
        }
    }
    if mistakes.is_empty() { Ok(wanted) } else { Err(mistakes) }
}

/// The rule of the service for names of hubs.
fn is_name(name: &str) -> bool {
    (3..=50).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told() {
        let table: [(&str, &[&str]); 6] = [
            ("{", &["the body is not JSON: EOF while parsing an object at line 1 column 1"]),
            ("[]", &["the body is [], expected an object"]),
            (r#"{"keys": 1}"#, &["keys is 1, expected \"well-known\" or \"random\""]),
            (
                r#"{"size": 1}"#,
                &["there is no field \"size\", expected name, keys, seed or routing"],
            ),
            (
                r#"{"name": "-a-", "keys": "no"}"#,
                &[
                    "keys is \"no\", expected \"well-known\" or \"random\"",
                    "name is \"-a-\", expected 3 to 50 letters, digits and hyphens, with none of those at an end",
                ],
            ),
            (
                r#"{"name": "ab"}"#,
                &[
                    "name is \"ab\", expected 3 to 50 letters, digits and hyphens, with none of those at an end",
                ],
            ),
        ];
        for (body, expected) in table {
            let mut mistakes = parse(body.as_bytes()).unwrap_err();
            mistakes.sort();
            assert_eq!(mistakes, expected, "{body}");
        }
    }

    #[test]
    fn what_is_left_out_is_chosen() {
        assert_eq!(parse(b""), Ok(WantedHub::default()));
        assert_eq!(parse(b"{}"), Ok(WantedHub::default()));
        let seed = Some(json!({"devices": []}));
        let routing = Some(json!({"routes": []}));
        let wanted =
            WantedHub { name: Some("my-hub".to_owned()), random_keys: true, seed, routing };
        let body =
            br#"{"name":"my-hub","keys":"random","seed":{"devices":[]},"routing":{"routes":[]}}"#;
        assert_eq!(parse(body), Ok(wanted));
    }
}
