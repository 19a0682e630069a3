//! What operations take from a request.

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
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

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let bytes = timeout(limits::HTTP_BODY_TIME, read(request.into_body()))
            .await
            .map_err(|_| HubError::RequestTimedOut)??;
        if bytes.is_empty() {
            return Err(HubError::ArgumentNull("body is missing".to_owned()).into());
        }
        Ok(Self(json::parse_object(&bytes)?))
    }
}

/// Reads a body up to its bound; of a larger one the rest is dropped, so that the client, which
/// sends it all before it looks for an answer, finds one.
async fn read(mut body: axum::body::Body) -> Result<Bytes, HubError> {
    let mut kept = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| HubError::ArgumentInvalid(format!("body: {why}")))?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size <= limits::HTTP_BODY_BYTES {
            kept.extend_from_slice(&data);
        } else if size > limits::HTTP_DISCARDED_BYTES {
            break;
        }
    }
    if size > limits::HTTP_BODY_BYTES { Err(HubError::BodyTooLarge) } else { Ok(kept.freeze()) }
}

/// A field of the query, as it stands there: the ones that are asked for hold nothing to decode.
pub(crate) fn query_field<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = parts.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}
