//! Twins as back ends see them: `/twins`.

use axum::response::Response;
use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, IdentityId};
use iothub_core::session::TwinView;
use iothub_core::twin::Document;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json::twin::{parse_patch, parse_replacement, service_document};

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Device, IfMatch, Version};

pub(crate) async fn get(
    Service(session): Service,
    Version(version): Version,
    Device(id): Device,
) -> Result<Response, Failure> {
    let view = session.twin(&id.into()).await?;
    Ok(answer(&view, &version))
}

pub(crate) async fn patch(
    Service(session): Service,
    Version(version): Version,
    Device(id): Device,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    check_device(&body, &id)?;
    let patch = parse_patch(body)?;
    let id = IdentityId::from(id);
    let view = session.patch_twin(&id, &patch, version.twin_dialect(), &precondition).await?;
    Ok(answer(&view, &version))
}

pub(crate) async fn put(
    Service(session): Service,
    Version(version): Version,
    Device(id): Device,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    check_device(&body, &id)?;
    let content = parse_replacement(body)?;
    let id = IdentityId::from(id);
    let view = session.replace_twin(&id, &content, version.twin_dialect(), &precondition).await?;
    Ok(answer(&view, &version))
}

/// Clients send back documents that they read; one of another device is a mistake.
fn check_device(body: &Document, id: &DeviceId) -> Result<(), HubError> {
    match body.get("deviceId").and_then(|named| named.as_str()) {
        Some(named) if named != id.as_str() => Err(HubError::ArgumentInvalid(format!(
            "deviceId in the body is {named:?}, in the path {:?}",
            id.as_str()
        ))),
        _ => Ok(()),
    }
}

fn answer(view: &TwinView, version: &ApiVersion) -> Response {
    json(service_document(view, version))
}
