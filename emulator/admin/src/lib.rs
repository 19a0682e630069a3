//! The admin port: whether the emulator is ready, and the harness that tests drive it with. Plain
//! HTTP, on loopback unless told otherwise.
//!
//! | request | answer |
//! |---|---|
//! | `GET /ready` | 200 `ready` when every part serves, else 503 with the names of those that do not |
//! | `GET /live` | 200 `live` |
//! | `GET /version` | 200 `{"name":…,"version":…}` |
//! | `GET /openapi.json` | the description of all this |
//! | `GET /ca.pem` | the certificate to trust |
//! | `GET /hubs`, `POST /hubs` | the hubs; a new one |
//! | `GET /hubs/{name}`, `DELETE /hubs/{name}` | one hub; its end |
//! | `POST /hubs/{name}/reset` | a hub as it was in the beginning |
//! | `GET /hubs/{name}/snapshot` | all that a hub holds, in one document |
//! | `POST /hubs/{name}/restore` | a hub that holds what such a document says |
//! | `GET /hubs/{name}/clock`, `POST /hubs/{name}/clock` | what time it is for a hub; turns that |
//! | `GET /hubs/{name}/certificate`, `POST /hubs/{name}/certificate` | which certificate a hub shows; another |
//! | `GET /hubs/{name}/devices` | who may connect, and how |
//! | `GET /hubs/{name}/connections` | who is connected |
//! | `DELETE /hubs/{name}/connections/{device}[/{module}]` | ends a connection |
//! | `POST /hubs/{name}/devicebound/{device}` | sends a cloud-to-device message |
//! | `GET`, `POST`, `DELETE /hubs/{name}/faults` | the faults of a hub; another; none any more |
//! | `DELETE /hubs/{name}/faults/{id}` | removes a fault |
//! | `GET /hubs/{name}/journal`, `GET /hubs/{name}/journal/events` | what arrived and what was decided; the same as it happens |
//! | `POST /hubs/{name}/journal/expect` | waits for an entry |
//! | `POST /hubs/{name}/routes/test` | which routes a message would take, and why not the others |
//!
//! All but the first three are for this machine, and for others with the token: `guard.rs`.

mod certificate;
mod clock;
mod connections;
mod devicebound;
mod devices;
mod entry;
mod errors;
mod faults;
mod guard;
mod hubs;
mod journal;
mod readiness;
mod routes;
mod snapshots;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use iothub_core::limits;
use serde_json::{Value, json};

pub use certificate::CertificateKind;
pub use clock::{ClockFacts, Turn};
pub use guard::AdminToken;
pub use hubs::{HubFacts, HubRefusal, Hubs, WantedHub};
pub use journal::{Expectation, Unmet, expect};
pub use readiness::{Latch, Readiness};

/// The description of the harness API.
const OPENAPI: &str = include_str!("openapi.json");

/// The routes of the admin port. They want the peer's address, as [`axum::extract::ConnectInfo`].
pub fn router<H: Hubs>(
    readiness: Readiness,
    version: &'static str,
    ca_pem: String,
    hubs: Arc<H>,
    token: Option<AdminToken>,
) -> Router {
    let harness = hubs::router(hubs)
        .route("/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], OPENAPI) }))
        .route("/ca.pem", get(move || async move { ca_pem }))
        .layer(middleware::from_fn_with_state(token, guard::guard))
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES));
    Router::new()
        .route("/ready", get(ready))
        .with_state(readiness)
        .route("/live", get(|| async { "live\n" }))
        .route("/version", get(move || async move { Json(describe(version)) }))
        .merge(harness)
        .layer(middleware::from_fn(errors::in_json))
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let waiting = readiness.waiting();
    if waiting.is_empty() {
        return "ready\n".into_response();
    }
    let text = format!("waiting for {}\n", waiting.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, [(CONTENT_TYPE, "text/plain")], text).into_response()
}

fn describe(version: &str) -> Value {
    json!({ "name": "iothub-emulator", "version": version })
}
