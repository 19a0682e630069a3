//! The admin port: whether the emulator is ready, alive, and which version it is. Plain HTTP, on
//! loopback unless told otherwise.
//!
//! | request | answer |
//! |---|---|
//! | `GET /ready` | 200 `ready` when every part serves, else 503 with the names of those that do not |
//! | `GET /live` | 200 `live` |
//! | `GET /version` | 200 `{"name":…,"version":…}` |

mod readiness;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

pub use readiness::{Latch, Readiness};

/// The routes of the admin port.
pub fn router(readiness: Readiness, version: &'static str) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .with_state(readiness)
        .route("/live", get(|| async { "live\n" }))
        .route("/version", get(move || async move { Json(describe(version)) }))
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
