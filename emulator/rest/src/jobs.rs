//! Jobs over many devices: `/jobs/v2`.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use iothub_core::job::JobId;
use iothub_core::session::JobFilter;
use iothub_wire::json::job;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Version, parameter, query_field};
use crate::query::{Paging, answer};

/// The job that the path names.
pub(crate) struct Id(JobId);

/// Which jobs are asked for.
pub(crate) struct Filter(JobFilter);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let named = parameter(parts, state, "id").await?;
        Ok(Self(JobId::parse(&named)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Filter {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let field =
            |name| query_field(parts, name).filter(|text| !text.is_empty()).map(Cow::into_owned);
        Ok(Self(JobFilter { kind: field("jobType"), status: field("jobStatus") }))
    }
}

pub(crate) async fn put(
    Service(session): Service,
    Version(_): Version,
    Id(id): Id,
    Body(body): Body,
) -> Result<Response, Failure> {
    let draft = job::parse_draft(body, &id)?;
    let job = session.create_job(&id, draft).await?;
    Ok(json(job::document(&job)))
}

pub(crate) async fn get(
    Service(session): Service,
    Version(_): Version,
    Id(id): Id,
) -> Result<Response, Failure> {
    Ok(json(job::document(&*session.job(&id).await?)))
}

pub(crate) async fn cancel(
    Service(session): Service,
    Version(_): Version,
    Id(id): Id,
) -> Result<Response, Failure> {
    Ok(json(job::document(&*session.cancel_job(&id).await?)))
}

pub(crate) async fn query(
    Service(session): Service,
    Version(_): Version,
    Filter(filter): Filter,
    Paging { size, continuation }: Paging,
) -> Result<Response, Failure> {
    let page = session.jobs(&filter, size, continuation.as_deref()).await?;
    let jobs = job::list(page.jobs.iter().map(|job| &**job));
    Ok(answer(jobs, "JobResponse", page.continuation))
}
