//! What operations take from a request.

use std::borrow::Cow;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, IdentityId, ModuleId, Precondition};
use iothub_core::limits;
use iothub_core::twin::Document;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use crate::error::Failure;
use crate::etag;

/// The device that the path names.
pub(crate) struct Device(pub(crate) DeviceId);

/// The module that the path names, and its device.
pub(crate) struct Module(pub(crate) DeviceId, pub(crate) ModuleId);

/// The device, or the module, that the path names.
pub(crate) struct Identity(pub(crate) IdentityId);

/// The api-version of the query.
pub(crate) struct Version(pub(crate) ApiVersion);

/// What `If-Match` demands.
pub(crate) struct IfMatch(pub(crate) Precondition);

/// A body of any kind.
pub(crate) struct Bytes(pub(crate) bytes::Bytes);

/// A body that is a JSON object.
pub(crate) struct Body(pub(crate) Document);

impl<S: Send + Sync> FromRequestParts<S> for Device {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Identity(id) = Identity::from_request_parts(parts, state).await?;
        Ok(Self(id.device))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Module {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Identity(id) = Identity::from_request_parts(parts, state).await?;
        let missing = || HubError::ArgumentNull("the path names no module".to_owned());
        Ok(Self(id.device, id.module.ok_or_else(missing)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let encoding = || HubError::ArgumentInvalid("id in the path is not UTF-8".to_owned());
        let parameters =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| encoding())?;
        let named =
            |name| parameters.iter().find_map(|(key, value)| (key == name).then_some(value));
        // Where the route names the device itself, its id is the path's last segment.
        let device = named("id").or_else(|| parts.uri.path().rsplit('/').next());
        let device = DeviceId::parse(device.unwrap_or_default()).map_err(HubError::from)?;
        let module = named("module").map(ModuleId::parse).transpose().map_err(HubError::from)?;
        Ok(Self(IdentityId { device, module }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Version {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = query_field(parts, "api-version").unwrap_or_default();
        ApiVersion::parse(&text)
            .map(Self)
            .ok_or_else(|| Failure(HubError::InvalidProtocolVersion(text.into_owned())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(etag::precondition(&parts.headers)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Bytes {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let body = timeout(limits::HTTP_BODY_TIME, read(request.into_body())).await;
        Ok(Self(body.map_err(|_| HubError::RequestTimedOut)??))
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let Bytes(bytes) = Bytes::from_request(request, state).await?;
        if bytes.is_empty() {
            return Err(HubError::ArgumentNull("body is missing".to_owned()).into());
        }
        Ok(Self(json::parse_object(&bytes)?))
    }
}

/// Reads a body up to its bound.
async fn read(mut body: axum::body::Body) -> Result<bytes::Bytes, HubError> {
    let mut kept = BytesMut::new();
    while let Some(data) = next(&mut body).await? {
        if kept.len() + data.len() > limits::HTTP_BODY_BYTES {
            return Err(HubError::BodyTooLarge);
        }
        kept.extend_from_slice(&data);
    }
    Ok(kept.freeze())
}

/// The next piece of a body; none at its end.
async fn next(body: &mut axum::body::Body) -> Result<Option<bytes::Bytes>, HubError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| HubError::ArgumentInvalid(format!("body: {why}")))?;
        // What is no data are trailers.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// A field of the query.
pub(crate) fn query_field<'a>(parts: &'a Parts, name: &str) -> Option<Cow<'a, str>> {
    let pairs = parts.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
}
