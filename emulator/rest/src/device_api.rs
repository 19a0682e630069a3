//! What devices do over HTTPS: `/devices/{id}/messages`.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use iothub_core::devicebound::{Delivery, LockToken, Settlement};
use iothub_core::error::HubError;
use iothub_core::event::Message;
use iothub_core::ids::DeviceId;
use iothub_core::limits;
use iothub_core::session::DeviceRequest;
use iothub_wire::headers;
use iothub_wire::json::messages::{BATCH, parse_batch};
use tracing::{debug, warn};

use crate::auth::DeviceRole;
use crate::error::Failure;
use crate::extract::{Device, Raw, Version, parameter, query_field};

const LOCK_TIMEOUT: &str = "iothub-messagelocktimeout";

/// How long the device wants to have for settling what it receives.
pub(crate) struct LockTime(Duration);

impl<S: Send + Sync> FromRequestParts<S> for LockTime {
    type Rejection = Failure;

    /// A header, or in C# a field of the query.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get(LOCK_TIMEOUT);
        let header = header.map(|value| Cow::from(value.to_str().unwrap_or("?")));
        let Some(text) = header.or_else(|| query_field(parts, LOCK_TIMEOUT)) else {
            return Ok(Self(limits::DEVICEBOUND_LOCK_TIME));
        };
        let refused =
            || HubError::ArgumentInvalid(format!("{LOCK_TIMEOUT} is {text:?}, expected seconds"));
        let wanted = Duration::from_secs(text.trim().parse().map_err(|_| refused())?);
        let (shortest, longest) = limits::DEVICEBOUND_LOCK_TIMES.into_inner();
        Ok(Self(wanted.clamp(shortest, longest)))
    }
}

/// The lock token that the path names. What is no token is the token of no message.
pub(crate) struct Token(LockToken);

impl<S: Send + Sync> FromRequestParts<S> for Token {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Device(id) = Device::from_request_parts(parts, state).await?;
        let text = parameter(parts, state, "token").await?;
        // Some clients leave the quotes of the ETag where they are.
        let token = LockToken::parse(text.trim_matches('"'));
        token.map(Self).ok_or(Failure(HubError::DeviceMessageLockLost(id)))
    }
}

pub(crate) async fn send(
    DeviceRole(device): DeviceRole,
    Version(_): Version,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<StatusCode, Failure> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(is_batch) {
        device.send_events(parse_batch(&body)?).await?;
    } else {
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .collect::<Vec<_>>();
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_ref()));
        send_event(&device, headers::event(pairs, body)).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A message that asks for a fault is answered with it, and is no event. One that asks for
/// something unknown is an event like any other.
async fn send_event(device: &DeviceRequest, event: Message) -> Result<(), HubError> {
    match device.hub().fault_asked(&event) {
        Ok(None) => device.send_event(event).await,
        Ok(Some(asked)) => device.hub().obey_once(&asked),
        Err(why) => {
            warn!(id = %device.id(), %why, "a message asks for no fault that there is");
            device.send_event(event).await
        }
    }
}

fn is_batch(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case(BATCH)
}

pub(crate) async fn receive(
    DeviceRole(device): DeviceRole,
    Version(_): Version,
    LockTime(lock): LockTime,
) -> Response {
    match device.receive_devicebound(lock) {
        Some(delivery) => message(&delivery, &device.id().device),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Completes, or rejects if the query says so. `If-Match` adds nothing: the path has the token.
pub(crate) async fn settle(
    DeviceRole(device): DeviceRole,
    Version(_): Version,
    Token(token): Token,
    parts: Parts,
) -> Result<StatusCode, Failure> {
    let settlement =
        if is_rejection(parts.uri.query()) { Settlement::Reject } else { Settlement::Complete };
    device.settle_devicebound(token, settlement)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Node and C write `&reject`, others give it a value.
fn is_rejection(query: Option<&str>) -> bool {
    let mut fields = query.unwrap_or_default().split('&');
    fields.any(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        name.eq_ignore_ascii_case("reject") && !value.eq_ignore_ascii_case("false")
    })
}

pub(crate) async fn abandon(
    DeviceRole(device): DeviceRole,
    Version(_): Version,
    Token(token): Token,
) -> Result<StatusCode, Failure> {
    device.settle_devicebound(token, Settlement::Abandon)?;
    Ok(StatusCode::NO_CONTENT)
}

fn message(delivery: &Delivery, device: &DeviceId) -> Response {
    let mut response = Response::new(Body::from(delivery.message.message.body.clone()));
    let etag = (ETAG.to_string(), format!("\"{}\"", delivery.lock_token));
    for (name, value) in std::iter::once(etag).chain(headers::devicebound(delivery)) {
        let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(&value).ok());
        match header {
            Some((name, value)) => {
                response.headers_mut().append(name, value);
            }
            // Documented: over HTTPS, names and values are of printable ASCII.
            None => debug!(%device, name, "left out a property that is no HTTP header"),
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_a_field_of_the_query_in_any_form() {
        let table = [
            (None, false),
            (Some("api-version=2021-04-12"), false),
            (Some("api-version=2021-04-12&reject"), true),
            (Some("reject=&api-version=2021-04-12"), true),
            (Some("api-version=2021-04-12&reject=true"), true),
            (Some("api-version=2021-04-12&reject=false"), false),
            (Some("api-version=2021-04-12&rejected"), false),
        ];
        for (query, expected) in table {
            assert_eq!(is_rejection(query), expected, "{query:?}");
        }
    }

    #[test]
    fn a_batch_is_told_by_its_content_type() {
        for text in [BATCH, "Application/vnd.microsoft.iothub.json; charset=utf-8"] {
            assert!(is_batch(text), "{text}");
        }
        assert!(!is_batch("application/json"));
    }
}
