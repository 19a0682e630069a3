//! `/hubs/{name}/snapshot` and `/hubs/{name}/restore`: all that a hub holds, out and in.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use iothub_core::limits;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::hubs::{HubRefusal, Hubs, document, refusal};

/// Held while a document is taken in, so that memory is bounded; of the process, as memory is.
static RESTORES: Semaphore = Semaphore::const_new(limits::RESTORES);

pub(crate) async fn take<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Response, HubRefusal> {
    let document = hubs.snapshot(&name).await?;
    Ok(([(CONTENT_TYPE, "application/json")], document).into_response())
}

pub(crate) async fn restore<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, Response> {
    // It is never closed; were it, there would be one bound less.
    let _permit = RESTORES.acquire().await;
    if announced(&request).is_some_and(|bytes| bytes > limits::SNAPSHOT_BYTES) {
        return Err(too_large());
    }
    let body = body(request).await?;
    let facts = hubs.restore(&name, body).await.map_err(IntoResponse::into_response)?;
    Ok(Json(document(&facts)))
}

/// The body of a request, in its time: others wait for it to end.
async fn body(request: Request) -> Result<Bytes, Response> {
    let read = timeout(limits::HTTP_BODY_TIME, Bytes::from_request(request, &())).await;
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(why)) if why.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Ok(Err(why)) => Err(refusal(why.status(), "InvalidSnapshot", &why.body_text())),
        Err(_) => {
            let message = format!("the body took longer than {:?}", limits::HTTP_BODY_TIME);
            Err(refusal(StatusCode::REQUEST_TIMEOUT, "SnapshotTooSlow", &message))
        }
    }
}

/// How long the body says that it is: whoever waits to be asked for it need not send it.
fn announced(request: &Request) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Response {
    let message = format!("the body has more than {} bytes", limits::SNAPSHOT_BYTES);
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "SnapshotTooLarge", &message)
}
