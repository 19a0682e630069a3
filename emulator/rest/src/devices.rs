//! The identity registry: `/devices`.

use axum::extract::FromRequestParts;
use axum::http::header::ETAG;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use iothub_core::error::HubError;
use iothub_core::ids::Precondition;
use iothub_core::limits;
use iothub_core::session::DeviceView;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json::identity::{self, Answering};

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Device, IfMatch, Version, query_field};

/// How many devices a list may have.
pub(crate) struct Top(usize);

impl<S: Send + Sync> FromRequestParts<S> for Top {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let Some(text) = query_field(parts, "top") else { return Ok(Self(limits::DEVICE_LIST)) };
        match text.parse::<i64>().map(usize::try_from) {
            Ok(Ok(top)) if (1..=limits::DEVICE_LIST).contains(&top) => Ok(Self(top)),
            // "Any value outside the range of 1-1000 is considered to be 1000", says the API.
            Ok(_) => Ok(Self(limits::DEVICE_LIST)),
            Err(_) => Err(Failure(HubError::DeviceInvalidResultCount(text.into_owned()))),
        }
    }
}

pub(crate) async fn list(
    Service(session): Service,
    Version(version): Version,
    Top(top): Top,
) -> Result<Response, Failure> {
    let views = session.devices(top).await?;
    Ok(json(identity::list(&views, &version)))
}

pub(crate) async fn get(
    Service(session): Service,
    Version(version): Version,
    Device(id): Device,
) -> Result<Response, Failure> {
    let view = session.device(&id).await?;
    Ok(answer(&view, Answering::Other, &version))
}

pub(crate) async fn put(
    Service(session): Service,
    Version(version): Version,
    Device(id): Device,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    let draft = identity::parse_draft(body, &id)?;
    let view = session.put_device(&id, &draft, &precondition).await?;
    let answering = match precondition {
        Precondition::None => Answering::Create,
        _ => Answering::Other,
    };
    Ok(answer(&view, answering, &version))
}

pub(crate) async fn delete(
    Service(session): Service,
    Version(_): Version,
    Device(id): Device,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Failure> {
    session.delete_device(&id, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A device's document, with its ETag as a header: twins and modules have none.
fn answer(view: &DeviceView, answering: Answering, version: &ApiVersion) -> Response {
    let mut response = json(identity::document(view, answering, version));
    let etag = format!("\"{}\"", view.record.identity.etag());
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
