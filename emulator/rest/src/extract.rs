//! What operations take from a request.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, Precondition};
use iothub_core::limits;
use iothub_core::twin::Document;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json;
use tokio::time::timeout;

use crate::error::Failure;
use crate::etag;

/// The device that the path names.
pub(crate) struct Device(pub(crate) DeviceId);

/// The api-version of the query.
pub(crate) struct Version(pub(crate) ApiVersion);

/// What `If-Match` demands.
pub(crate) struct IfMatch(pub(crate) Precondition);

/// A body that is a JSON object.
pub(crate) struct Body(pub(crate) Document);

impl<S: Send + Sync> FromRequestParts<S> for Device {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let encoding = || HubError::ArgumentInvalid("id in the path is not UTF-8".to_owned());
        let parameters =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| encoding())?;
        let id = parameters.iter().find_map(|(name, value)| (name == "id").then_some(value));
        let id = DeviceId::parse(id.unwrap_or_default()).map_err(HubError::from)?;
        Ok(Self(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Version {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = query_field(parts, "api-version").unwrap_or_default();
        ApiVersion::parse(text)
            .map(Self)
            .ok_or_else(|| Failure(HubError::InvalidProtocolVersion(text.to_owned())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(etag::precondition(&parts.headers)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bytes = timeout(limits::HTTP_BODY_TIME, Bytes::from_request(request, state))
            .await
            .map_err(|_| HubError::RequestTimedOut)?
            .map_err(|why| unreadable(&why))?;
        if bytes.is_empty() {
            return Err(HubError::ArgumentNull("body is missing".to_owned()).into());
        }
        Ok(Self(json::parse_object(&bytes)?))
    }
}

fn unreadable(why: &BytesRejection) -> HubError {
    if why.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return HubError::BodyTooLarge;
    }
    HubError::ArgumentInvalid(why.body_text())
}

/// A field of the query, as it stands there: the ones that are asked for hold nothing to decode.
pub(crate) fn query_field<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = parts.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}
