//! Counts: `/statistics`.

use axum::response::Response;
use iothub_wire::json::statistics;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::Version;

pub(crate) async fn devices(
    Service(session): Service,
    Version(_): Version,
) -> Result<Response, Failure> {
    Ok(json(statistics::registry(session.registry_statistics().await?)))
}

pub(crate) async fn service(
    Service(session): Service,
    Version(_): Version,
) -> Result<Response, Failure> {
    Ok(json(statistics::service(session.connected_devices()?)))
}
