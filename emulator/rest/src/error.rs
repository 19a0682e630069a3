//! How an error looks, and the headers that every answer has.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, SERVER, VARY};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use iothub_core::auth::Refusal;
use iothub_core::directory::Directory;
use iothub_core::error::HubError;
use iothub_core::fault::line::{Line, Loss};
use iothub_core::fault::{AnswerFault, corrupted};
use iothub_core::hub::Hub;
use iothub_core::journal::What;
use iothub_wire::json::error::{classic, flat, nested, tracking_id};
use tracing::{debug, info};

use crate::throttle::{self, AnswerSlot};

pub(crate) const ERROR_CODE: HeaderName = HeaderName::from_static("iothub-errorcode");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// An error on its way to the caller. [`finish`] gives it its body.
#[derive(Clone, Debug)]
pub(crate) struct Failure(pub(crate) HubError);

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(&self.0);
        response.extensions_mut().insert(self);
        response
    }
}

/// An error of a direct method on its way to the caller: its body has a form of its own.
#[derive(Clone, Debug)]
pub(crate) struct CallFailure(pub(crate) HubError);

/// Marks an answer whose error is written in the form of direct methods.
#[derive(Clone, Copy, Debug)]
struct OfCall;

impl IntoResponse for CallFailure {
    fn into_response(self) -> Response {
        let mut response = Failure(self.0).into_response();
        response.extensions_mut().insert(OfCall);
        response
    }
}

/// A JSON body.
pub(crate) fn json(text: String) -> Response {
    ([(CONTENT_TYPE, JSON)], text).into_response()
}

/// Gives errors their body, and every answer the service's headers.
pub(crate) async fn finish(
    State(directory): State<Directory>,
    mut request: Request,
    next: Next,
) -> Response {
    let hub = directory.default_hub();
    let faults = hub.has_faults().then(|| {
        let slot = AnswerSlot::default();
        request.extensions_mut().insert(slot.clone());
        (slot, throttle::line(request.extensions()))
    });
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = next.run(request).await;
    let mut why = None;
    if let Some(Failure(error)) = response.extensions_mut().remove::<Failure>() {
        let path = uri.path();
        match &error {
            HubError::Unauthorized(why) => info!(%method, path, %why, "refused a request"),
            error => debug!(%method, path, %error, "answered with an error"),
        }
        write_error(&mut response, &error, hub);
        why = Some(error.to_string());
    }
    let status = response.status().as_u16();
    let (method, path) = (method.to_string(), uri.path().to_owned());
    hub.note(None, What::Request { method, path, status, why });
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("Microsoft-HTTPAPI/2.0"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Ok(id) = HeaderValue::from_str(&hub.random().guid()) {
        headers.insert(REQUEST_ID, id);
    }
    match faults.and_then(|(slot, line)| Some((slot.get()?, line))) {
        None => response,
        Some((fault, line)) => faulty(response, fault, &*line, hub).await,
    }
}

/// What becomes of an answer that a fault is about. One that is lost goes out like any other, and
/// the connection swallows it.
async fn faulty(response: Response, fault: AnswerFault, line: &dyn Line, hub: &Hub) -> Response {
    match fault {
        AnswerFault::Lost => line.lose(Loss::Silence),
        AnswerFault::Late(span) => hub.wait(span).await,
        AnswerFault::Corrupt => {
            let (parts, body) = response.into_parts();
            // Every body here was made in one piece, so that reading it does not fail.
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            return Response::from_parts(parts, Body::from(corrupted(&body)));
        }
    }
    response
}

fn write_error(response: &mut Response, error: &HubError, hub: &Hub) {
    let now = hub.now();
    let tracking_id = tracking_id(hub.random().bytes(), now);
    let of_call = response.extensions_mut().remove::<OfCall>().is_some();
    let body = match error {
        HubError::ModuleAlreadyExists(_) => flat(error, &tracking_id, now),
        // Node finds out about a missing device from the classic form alone.
        HubError::DeviceNotFound(_) | HubError::ModuleNotFound(_) | HubError::Unauthorized(_) => {
            classic(error.code(), &told(error), &tracking_id)
        }
        error if of_call => nested(error, &tracking_id, now),
        _ => classic(error.code(), &told(error), &tracking_id),
    };
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ERROR_CODE, HeaderValue::from_static(error.code().name));
}

/// What the caller is told; the log knows why somebody was not let in.
fn told(error: &HubError) -> String {
    match error {
        HubError::Unauthorized(Refusal::MissingRight { .. }) => error.to_string(),
        HubError::Unauthorized(_) => "Unauthorized".to_owned(),
        error => error.to_string(),
    }
}

fn status(error: &HubError) -> StatusCode {
    u16::try_from(error.code().number / 1000)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
