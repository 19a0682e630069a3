//! The modules of a device: `/devices/{id}/modules`.

use axum::http::StatusCode;
use axum::response::Response;
use iothub_core::ids::Precondition;
use iothub_wire::json::identity::Answering;
use iothub_wire::json::module;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Device, IfMatch, Module, Version};

pub(crate) async fn list(
    Service(session): Service,
    Version(_): Version,
    Device(device): Device,
) -> Result<Response, Failure> {
    Ok(json(module::list(&session.modules(&device).await?)))
}

pub(crate) async fn get(
    Service(session): Service,
    Version(_): Version,
    Module(device, id): Module,
) -> Result<Response, Failure> {
    let view = session.module(&device, &id).await?;
    Ok(json(module::document(&view, Answering::Other)))
}

pub(crate) async fn put(
    Service(session): Service,
    Version(_): Version,
    Module(device, id): Module,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    let draft = module::parse_draft(body, &device, &id)?;
    let view = session.put_module(&device, &id, &draft, &precondition).await?;
    let answering = match precondition {
        Precondition::None => Answering::Create,
        _ => Answering::Other,
    };
    Ok(json(module::document(&view, answering)))
}

pub(crate) async fn delete(
    Service(session): Service,
    Version(_): Version,
    Module(device, id): Module,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Failure> {
    session.delete_module(&device, &id, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
