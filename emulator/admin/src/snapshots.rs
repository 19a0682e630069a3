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

// These bound memory, and so are of the process, as memory is.
/// Held while a document becomes what a hub holds.
static RESTORES: Semaphore = Semaphore::const_new(limits::RESTORES);
/// The bytes that documents may have beyond what every request may send, all of them together. Who
/// stalls keeps what it has sent, and nobody waits for the rest.
static ROOM: Semaphore = Semaphore::const_new(limits::RESTORE_ROOM_BYTES);
/// Held by the one document that comes although there is no room left for it.
static OVERFLOW: Semaphore = Semaphore::const_new(1);

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

/// The body of a request, and what it occupies until it is restored. Nobody waits for its sender but
/// those who come when there is no room any more.
async fn taken_in(request: Request) -> Result<(Bytes, Places), Response> {
    let mut coming = Coming::new(request);
    let mut overflow = None;
    if !in_time(limits::HTTP_BODY_TIME, coming.come(Coming::has_room)).await? {
        overflow = Some(place(&OVERFLOW).await?);
        in_time(limits::RESTORE_BODY_TIME, coming.come(|_| true)).await?;
    }
    let restoring = place(&RESTORES).await?;
    let Coming { kept, room, .. } = coming;
    Ok((kept.freeze(), Places { _room: room, _overflow: overflow, _restoring: restoring }))
}

/// What a document occupies.
struct Places {
    _room: Option<SemaphorePermit<'static>>,
    _overflow: Option<SemaphorePermit<'static>>,
    _restoring: SemaphorePermit<'static>,
}

/// A document that is coming.
struct Coming {
    body: BodyDataStream,
    kept: BytesMut,
    room: Option<SemaphorePermit<'static>>,
}

impl Coming {
    fn new(request: Request) -> Self {
        let body = request.into_body().into_data_stream();
        Self { body, kept: BytesMut::new(), room: None }
    }

    /// Takes what comes while it may go on; says whether it has ended.
    async fn come(
        &mut self,
        mut may_go_on: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, Response> {
        while let Some(data) = self.next().await? {
            self.kept.extend_from_slice(&data);
            if self.kept.len() > limits::SNAPSHOT_BYTES {
                return Err(too_large());
            }
            if !may_go_on(self) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What comes next. A sender of much may not stop in the middle of it.
    async fn next(&mut self) -> Result<Option<Bytes>, Response> {
        let is_small = self.kept.len() <= limits::ADMIN_BODY_BYTES;
        let time = if is_small { limits::HTTP_BODY_TIME } else { limits::RESTORE_STALL_TIME };
        let stalled = |_| slow(&format!("nothing of the body came for {time:?}"));
        let data = timeout(time, self.body.next()).await.map_err(stalled)?;
        data.transpose().map_err(|why| {
            refusal(StatusCode::BAD_REQUEST, "InvalidSnapshot", &format!("the body: {why}"))
        })
    }

    /// Takes room for what has come, beyond what every request may send.
    fn has_room(&mut self) -> bool {
        let beyond = self.kept.len().saturating_sub(limits::ADMIN_BODY_BYTES);
        let held = self.room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = u32::try_from(beyond - held).unwrap_or(u32::MAX);
        let Ok(more) = ROOM.try_acquire_many(more) else { return false };
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

async fn in_time<T>(
    time: Duration,
    come: impl Future<Output = Result<T, Response>>,
) -> Result<T, Response> {
    let late = |_| slow(&format!("the body took longer than {time:?}"));
    timeout(time, come).await.map_err(late)?
}

async fn place(places: &'static Semaphore) -> Result<SemaphorePermit<'static>, Response> {
    match timeout(limits::RESTORE_WAIT, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        // It is never closed, so that this is the time-out.
        _ => Err(busy()),
    }
}

fn busy() -> Response {
    let message = format!("other documents were being restored for {:?}", limits::RESTORE_WAIT);
    refusal(StatusCode::SERVICE_UNAVAILABLE, "RestoresBusy", &message)
}

fn slow(message: &str) -> Response {
    refusal(StatusCode::REQUEST_TIMEOUT, "SnapshotTooSlow", message)
}

/// How long the body says that it is: whoever waits to be asked for it need not send it.
fn announced(request: &Request) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Response {
    let message = format!("the body has more than {} bytes", limits::SNAPSHOT_BYTES);
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "SnapshotTooLarge", &message)
}
