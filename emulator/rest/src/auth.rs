//! Who asks: the `Authorization` header to a session of a back end, or to what a
//! device may ask for.

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use iothub_core::auth::sas::SasToken;
use iothub_core::auth::x509::CertificateChain;
use iothub_core::auth::{Refusal, ServicePrincipal};
use iothub_core::directory::Directory;
use iothub_core::error::HubError;
use iothub_core::hub::Hub;
use iothub_core::session::{DeviceRequest, ServiceSession};
use percent_encoding::percent_decode_str;

use crate::error::Failure;
use crate::extract::Device;
use crate::throttle;

/// A back end that proved who it is.
pub(crate) struct Service(pub(crate) ServiceSession);

impl FromRequestParts<Directory> for Service {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        directory: &Directory,
    ) -> Result<Self, Self::Rejection> {
        let unauthorized = |why| Failure(HubError::Unauthorized(why));
        let (hub, principal) = authenticate(parts, directory).map_err(unauthorized)?;
        // Strangers do not use up what the tier allows.
        throttle::admit(hub, parts).await?;
        Ok(Self(hub.service(principal)))
    }
}

/// A device that proved who it is, and asks for one thing.
pub(crate) struct DeviceRole(pub(crate) DeviceRequest);

impl FromRequestParts<Directory> for DeviceRole {
    type Rejection = Failure;

    /// A device that there is not is not found, whatever the token signs.
    async fn from_request_parts(
        parts: &mut Parts,
        directory: &Directory,
    ) -> Result<Self, Self::Rejection> {
        let Device(id) = Device::from_request_parts(parts, directory).await?;
        let (hub, principal) = match parts.extensions.get::<CertificateChain>() {
            // A certificate beside a token does not count.
            Some(shown) if !parts.headers.contains_key(AUTHORIZATION) => {
                let hub = directory.find(host(parts)).map_err(HubError::Unauthorized)?;
                let id = id.clone().into();
                (hub, hub.authenticate_device_by_certificate(&id, shown).await)
            }
            _ => {
                let (hub, token) = token(parts, directory).map_err(HubError::Unauthorized)?;
                (hub, hub.authenticate_device(&id.clone().into(), &token).await)
            }
        };
        let principal = principal.map_err(|error| match error {
            HubError::Unauthorized(Refusal::UnknownIdentity(_)) => HubError::DeviceNotFound(id),
            error => error,
        })?;
        throttle::admit(hub, parts).await?;
        Ok(Self(hub.device_request(principal)))
    }
}

fn token<'a>(parts: &Parts, directory: &'a Directory) -> Result<(&'a Hub, SasToken), Refusal> {
    let text = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(Refusal::Missing)?;
    let token = SasToken::parse(text)?;
    Ok((directory.find_for(host(parts), &token)?, token))
}

fn host(parts: &Parts) -> &str {
    parts.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn authenticate<'a>(
    parts: &Parts,
    directory: &'a Directory,
) -> Result<(&'a Hub, ServicePrincipal), Refusal> {
    let (hub, token) = token(parts, directory)?;
    // Ids are encoded in the path, and plain in what a token is for.
    let path: Vec<String> =
        parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Ok((hub, hub.authenticate_service(&path, &token)?))
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
