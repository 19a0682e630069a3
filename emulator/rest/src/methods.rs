//! Direct methods: `/twins/{id}/methods`.

use axum::response::{IntoResponse, Response};
use iothub_core::error::HubError;
use iothub_core::ids::IdentityId;
use iothub_core::method::{MethodAnswer, MethodRequest};
use iothub_core::session::ServiceSession;
use iothub_wire::json::method::{answer, parse_request};

use crate::auth::Service;
use crate::error::{CallFailure, json};
use crate::extract::{Body, Identity, Version};

pub(crate) async fn invoke(
    Service(session): Service,
    Version(_): Version,
    Identity(id): Identity,
    Body(body): Body,
) -> Response {
    let answered = async { call(session, id, parse_request(&body)?).await };
    match answered.await {
        Ok(answered) => json(answer(&answered)),
        Err(error) => CallFailure(error).into_response(),
    }
}

/// Calls a method. A caller that hangs up does not end the call: the device may have it already.
pub(crate) async fn call(
    session: ServiceSession,
    id: IdentityId,
    request: MethodRequest,
) -> Result<MethodAnswer, HubError> {
    let call = tokio::spawn(async move { session.invoke_method(&id, &request).await });
    call.await.unwrap_or_else(|why| Err(HubError::ServiceUnavailable(why.to_string())))
}
