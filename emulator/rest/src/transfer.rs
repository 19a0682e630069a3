//! Import and export jobs: `/jobs`, but for those below `/jobs/v2`.

use axum::extract::RawPathParams;
use axum::http::StatusCode;
use axum::response::Response;
use iothub_wire::json::transfer;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Version};

pub(crate) async fn create(
    Service(session): Service,
    Version(version): Version,
    Body(body): Body,
) -> Result<Response, Failure> {
    let request = transfer::parse_request(&body)?;
    let (job, run) = session.start_transfer(request, version.twin_dialect())?;
    tokio::spawn(run.run());
    Ok(json(transfer::document(&job)))
}

pub(crate) async fn list(
    Service(session): Service,
    Version(_): Version,
) -> Result<Response, Failure> {
    Ok(json(transfer::list(&session.transfers()?)))
}

pub(crate) async fn get(
    Service(session): Service,
    Version(_): Version,
    path: RawPathParams,
) -> Result<Response, Failure> {
    Ok(json(transfer::document(&session.transfer(job_id(&path))?)))
}

pub(crate) async fn cancel(
    Service(session): Service,
    Version(_): Version,
    path: RawPathParams,
) -> Result<StatusCode, Failure> {
    session.cancel_transfer(job_id(&path))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The id in the path. The hub makes these ids: one with anything to decode is none of them.
fn job_id(path: &RawPathParams) -> &str {
    path.iter().find_map(|(name, id)| (name == "id").then_some(id)).unwrap_or_default()
}
