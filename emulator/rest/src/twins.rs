//! Twins as back ends see them: `/twins`.

use axum::response::Response;
use iothub_core::error::HubError;
use iothub_core::ids::IdentityId;
use iothub_core::session::TwinView;
use iothub_core::twin::Document;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json::identity::check_named;
use iothub_wire::json::twin::{parse_patch, parse_replacement, service_document};

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Identity, IfMatch, Version};

pub(crate) async fn get(
    Service(session): Service,
    Version(version): Version,
    Identity(id): Identity,
) -> Result<Response, Failure> {
    let view = session.twin(&id).await?;
    answer(&view, &version)
}

pub(crate) async fn patch(
    Service(session): Service,
    Version(version): Version,
    Identity(id): Identity,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    check_identity(&body, &id)?;
    let patch = parse_patch(body)?;
    let view = session.patch_twin(&id, &patch, version.twin_dialect(), &precondition).await?;
    answer(&view, &version)
}

pub(crate) async fn put(
    Service(session): Service,
    Version(version): Version,
    Identity(id): Identity,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    check_identity(&body, &id)?;
    let content = parse_replacement(body)?;
    let view = session.replace_twin(&id, &content, version.twin_dialect(), &precondition).await?;
    answer(&view, &version)
}

/// Clients send back documents that they read; one of another identity is a mistake.
fn check_identity(body: &Document, id: &IdentityId) -> Result<(), HubError> {
    check_named(body, "deviceId", id.device.as_str())?;
    match &id.module {
        Some(module) => check_named(body, "moduleId", module.as_str()),
        None => Ok(()),
    }
}

fn answer(view: &TwinView, version: &ApiVersion) -> Result<Response, Failure> {
    match service_document(view, version) {
        Some(document) => Ok(json(document)),
        None => Err(HubError::not_found(&view.id).into()),
    }
}
