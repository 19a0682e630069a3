//! Who asks: the `Authorization` header to a session of a back end.

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use iothub_core::auth::sas::SasToken;
use iothub_core::auth::{Refusal, ServicePrincipal};
use iothub_core::directory::Directory;
use iothub_core::error::HubError;
use iothub_core::hub::Hub;
use iothub_core::session::ServiceSession;
use percent_encoding::percent_decode_str;

use crate::error::Failure;
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

fn authenticate<'a>(
    parts: &Parts,
    directory: &'a Directory,
) -> Result<(&'a Hub, ServicePrincipal), Refusal> {
    let text = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(Refusal::Missing)?;
    let token = SasToken::parse(text)?;
    let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    let hub = directory.find_for(host.unwrap_or_default(), &token)?;
    // Ids are encoded in the path, and plain in what a token is for.
    let path: Vec<String> =
        parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Ok((hub, hub.authenticate_service(&path, &token)?))
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
