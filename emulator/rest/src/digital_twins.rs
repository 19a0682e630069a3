//! Digital twins of IoT Plug and Play devices: `/digitaltwins`.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::{ETAG, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use iothub_core::digital_twin::{document, parse_patch};
use iothub_core::error::HubError;
use iothub_core::ids::IdentityId;
use iothub_core::method::{MethodAnswer, MethodRequest, Payload, Timeouts};
use iothub_core::session::TwinView;
use iothub_core::twin::Twin;
use iothub_wire::connection_string::encode;
use iothub_wire::json::parse_value;
use serde_json::Value;

use crate::auth::Service;
use crate::error::{CallFailure, Failure, json};
use crate::extract::{Device, IfMatch, Raw, Version, query_field};
use crate::methods::call;

const COMMAND_STATUS: HeaderName = HeaderName::from_static("x-ms-command-statuscode");

pub(crate) async fn get(
    Service(session): Service,
    Version(_): Version,
    Device(device): Device,
) -> Result<Response, Failure> {
    let view = session.twin(&device.clone().into()).await?;
    let twin = twin_of(&view)?;
    let body = Value::Object(document(device.as_str(), twin)).to_string();
    Ok(([(ETAG, etag(twin))], json(body)).into_response())
}

pub(crate) async fn patch(
    Service(session): Service,
    Version(version): Version,
    Device(device): Device,
    IfMatch(precondition): IfMatch,
    Raw(body): Raw,
) -> Result<Response, Failure> {
    let operations = parse_patch(&parse_value(&body)?)?;
    let dialect = version.twin_dialect();
    let view = session.patch_digital_twin(&device, &operations, dialect, &precondition).await?;
    let location = format!("/digitaltwins/{}", encode(device.as_str()));
    let headers = [(ETAG, etag(twin_of(&view)?)), (LOCATION, location)];
    Ok((StatusCode::ACCEPTED, headers).into_response())
}

/// A command is a direct method of the device; that of a component has the component's name before
/// its own.
pub(crate) async fn command(
    Service(session): Service,
    Version(_): Version,
    Device(device): Device,
    Command { method, timeouts }: Command,
    Raw(body): Raw,
) -> Response {
    let answered = async {
        let payload = Payload::parse(&body)
            .map_err(|why| HubError::ArgumentInvalid(format!("body is not JSON: {why}")))?;
        let request = MethodRequest::new(&method, payload, timeouts)?;
        call(session, IdentityId::from(device), request).await
    };
    match answered.await {
        Ok(MethodAnswer { status, payload }) => {
            let status = HeaderValue::from(status);
            ([(COMMAND_STATUS, status)], json(payload.as_str().to_owned())).into_response()
        }
        Err(error) => CallFailure(error).into_response(),
    }
}

/// The command that the path names, and how long the query lets it take.
pub(crate) struct Command {
    method: String,
    timeouts: Timeouts,
}

impl<S: Send + Sync> FromRequestParts<S> for Command {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let encoding = || HubError::ArgumentInvalid("name in the path is not UTF-8".to_owned());
        let parameters =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| encoding())?;
        let named =
            |name| parameters.iter().find_map(|(key, value)| (key == name).then_some(value));
        let command = named("command").unwrap_or_default();
        let method = match named("component") {
            None => command.to_owned(),
            Some(component) => format!("{component}*{command}"),
        };
        let timeouts = Timeouts {
            response: seconds(parts, "responseTimeoutInSeconds")?,
            connect: seconds(parts, "connectTimeoutInSeconds")?,
        };
        Ok(Self { method, timeouts })
    }
}

fn seconds(parts: &Parts, name: &str) -> Result<Option<i64>, HubError> {
    let Some(text) = query_field(parts, name) else { return Ok(None) };
    let seconds = text.parse().map_err(|_| {
        HubError::ArgumentInvalid(format!("{name} is {text:?}, expected an integer"))
    })?;
    Ok(Some(seconds))
}

fn twin_of(view: &TwinView) -> Result<&Twin, HubError> {
    view.record.twin_of(&view.id).ok_or_else(|| HubError::not_found(&view.id))
}

fn etag(twin: &Twin) -> String {
    format!("\"{}\"", twin.etag())
}
