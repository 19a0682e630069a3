//! Configurations: `/configurations`, and the content that an edge device gets by itself.

use axum::extract::FromRequestParts;
use axum::http::header::ETAG;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use iothub_core::configuration::ConfigurationId;
use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_core::session::ConfigurationView;
use iothub_wire::json::configuration;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Device, IfMatch, Version, parameter, query_field};

/// The configuration that the path names.
pub(crate) struct Id(ConfigurationId);

/// How many configurations a list may have.
pub(crate) struct Top(usize);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let named = parameter(parts, state, "id").await?;
        Ok(Self(ConfigurationId::parse(&named)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Top {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let Some(text) = query_field(parts, "top") else {
            return Ok(Self(limits::CONFIGURATION_LIST));
        };
        match text.parse::<i64>().map(usize::try_from) {
            Ok(Ok(top)) if top > 0 => Ok(Self(top.min(limits::CONFIGURATIONS))),
            Ok(_) => Ok(Self(limits::CONFIGURATION_LIST)),
            Err(_) => Err(HubError::ArgumentInvalid(format!(
                "top is {text:?}, expected a number from 1 to {}",
                limits::CONFIGURATIONS
            ))
            .into()),
        }
    }
}

pub(crate) async fn list(
    Service(session): Service,
    Version(_): Version,
    Top(top): Top,
) -> Result<Response, Failure> {
    Ok(json(configuration::list(&session.configurations(top).await?)))
}

pub(crate) async fn get(
    Service(session): Service,
    Version(_): Version,
    Id(id): Id,
) -> Result<Response, Failure> {
    Ok(answer(&session.configuration(&id).await?))
}

pub(crate) async fn put(
    Service(session): Service,
    Version(_): Version,
    Id(id): Id,
    IfMatch(precondition): IfMatch,
    Body(body): Body,
) -> Result<Response, Failure> {
    let draft = configuration::parse_draft(body, &id)?;
    Ok(answer(&session.put_configuration(&id, &draft, &precondition).await?))
}

pub(crate) async fn delete(
    Service(session): Service,
    Version(_): Version,
    Id(id): Id,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Failure> {
    session.delete_configuration(&id, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn test_queries(
    Service(session): Service,
    Version(_): Version,
    Body(body): Body,
) -> Result<Response, Failure> {
    let (condition, metrics) = configuration::parse_test(body)?;
    let errors = session.test_queries(condition.as_deref(), &metrics)?;
    Ok(json(configuration::test_answer(&errors)))
}

pub(crate) async fn apply_content(
    Service(session): Service,
    Version(_): Version,
    Device(id): Device,
    Body(content): Body,
) -> Result<StatusCode, Failure> {
    session.apply_content(&id, content).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A configuration's document, with its ETag as a header.
fn answer(view: &ConfigurationView) -> Response {
    let mut response = json(configuration::document(view));
    let etag = format!("\"{}\"", view.configuration.etag());
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
