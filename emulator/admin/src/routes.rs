//! `/hubs/{name}/routes/test`: what would become of a message.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use iothub_core::route::trial::TestMistake;
use iothub_wire::json::trial;
use serde_json::Value;

use crate::hubs::{Hubs, hub_of, invalid, object, refusal};

const INVALID: &str = "InvalidTest";

pub(crate) async fn test<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Response> {
    let hub = hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    let input = object(&body).and_then(|fields| trial::parse_input(&fields));
    let input = input.map_err(|mistakes| invalid(INVALID, &mistakes))?;
    let outcome = hub.test_routes(&input).await.map_err(|why| refused(&why))?;
    Ok(Json(trial::trial(&outcome)))
}

fn refused(why: &TestMistake) -> Response {
    let (status, name) = match why {
        TestMistake::NoRoute { .. } => (StatusCode::NOT_FOUND, "RouteNotFound"),
        TestMistake::Condition(_) | TestMistake::Twin(_) => (StatusCode::BAD_REQUEST, INVALID),
        TestMistake::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "HubNotServed"),
    };
    refusal(status, name, &why.to_string())
}
