//! `/hubs/{name}/snapshot` and `/hubs/{name}/restore`: all that a hub holds, out and in.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use iothub_core::limits;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::hubs::{HubRefusal, Hubs, document, hub_of, refusal};

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
    hub_of(hubs.as_ref(), &name).map_err(IntoResponse::into_response)?;
    if announced(&request).is_some_and(|bytes| bytes > limits::SNAPSHOT_BYTES) {
        return Err(too_large());
    }
    let (body, place) = taken_in(request).await?;
    // A task of its own: a document that is being read keeps its place when its sender hangs up.
    let restored = tokio::spawn(async move {
        let restored = hubs.restore(&name, body).await;
        drop(place);
        restored
    });
    let restored = restored.await.unwrap_or_else(|why| Err(HubRefusal::Failed(why.to_string())));
    Ok(Json(document(&restored.map_err(IntoResponse::into_response)?)))
}

/// The body of a request, and the place of its document among those that are restored. What every
/// request may send needs no place, so that most documents wait for no other's sender.
async fn taken_in(request: Request) -> Result<(Bytes, SemaphorePermit<'static>), Response> {
    let mut body = request.into_body().into_data_stream();
    let mut kept = BytesMut::new();
    let small = read(&mut body, &mut kept, limits::ADMIN_BODY_BYTES);
    let ended = in_time(limits::HTTP_BODY_TIME, small).await?;
    let place = place().await?;
    if !ended {
        let rest = read(&mut body, &mut kept, limits::SNAPSHOT_BYTES);
        if !in_time(limits::RESTORE_BODY_TIME, rest).await? {
            return Err(too_large());
        }
    }
    Ok((kept.freeze(), place))
}

/// Reads on until a body ends, or has more than `most` bytes; says whether it has ended.
async fn read(
    body: &mut BodyDataStream,
    kept: &mut BytesMut,
    most: usize,
) -> Result<bool, Response> {
    while kept.len() <= most {
        let Some(data) = body.next().await else { return Ok(true) };
        let broken = |why: axum::Error| {
            refusal(StatusCode::BAD_REQUEST, "InvalidSnapshot", &format!("the body: {why}"))
        };
        kept.extend_from_slice(&data.map_err(broken)?);
    }
    Ok(false)
}

async fn in_time<T>(
    time: Duration,
    read: impl Future<Output = Result<T, Response>>,
) -> Result<T, Response> {
    let slow = |_| {
        let message = format!("the body took longer than {time:?}");
        refusal(StatusCode::REQUEST_TIMEOUT, "SnapshotTooSlow", &message)
    };
    timeout(time, read).await.map_err(slow)?
}

async fn place() -> Result<SemaphorePermit<'static>, Response> {
    match timeout(limits::RESTORE_WAIT, RESTORES.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        // It is never closed, so that this is the time-out.
        _ => {
            let message =
                format!("other documents were being restored for {:?}", limits::RESTORE_WAIT);
            Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "RestoresBusy", &message))
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
