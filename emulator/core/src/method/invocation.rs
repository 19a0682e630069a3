//! The course of a call.

use super::broker::{Lost, NotCalled, PendingCall};
use super::{MethodAnswer, MethodRequest};
use crate::error::HubError;
use crate::hub::Hub;
use crate::ids::IdentityId;

/// Calls a method and waits for its answer.
///
/// # Errors
///
/// There is no such device, it does not come or answer in time, leaves before it answers, or
/// answers with something that is no answer.
pub(crate) async fn invoke(
    hub: &Hub,
    id: &IdentityId,
    request: &MethodRequest,
) -> Result<MethodAnswer, HubError> {
    let mut call = deliver(hub, id, request).await?;
    let deadline = hub.now().after(request.response_time);
    let outcome = tokio::select! {
        biased;
        outcome = call.outcome() => outcome,
        () = hub.clock().sleep_until(deadline) => return Err(HubError::MethodTimedOut),
    };
    match outcome {
        Ok(answer) => MethodAnswer::parse(answer.status, &answer.body),
        Err(Lost::Disconnected) => Err(HubError::DeviceConnectionClosedRemotely),
        Err(Lost::TakenOver) => Err(HubError::ConnectionForcefullyClosedOnNewConnection),
    }
}

/// Hands a call to the device's connection, waiting for one as long as the caller wishes.
async fn deliver(
    hub: &Hub,
    id: &IdentityId,
    request: &MethodRequest,
) -> Result<PendingCall, HubError> {
    let deadline = hub.now().after(request.connect_time);
    let expectation = hub.presences().arrivals().expect(id);
    loop {
        // Made before looking, so that an arrival in between is not missed.
        let arrived = expectation.arrived.notified();
        let current = hub.record(&id.device).await?;
        current.record.twin_of(id).ok_or_else(|| HubError::not_found(id))?;
        match hub.presences().call(id, &request.name, &request.payload) {
            Ok(call) => return Ok(call),
            Err(NotCalled::TooMany) => return Err(HubError::TooManyMethodsInFlight),
            Err(NotCalled::NotOnline) => {}
        }
        tokio::select! {
            () = arrived => {}
            () = hub.clock().sleep_until(deadline) => {
                return Err(HubError::DeviceNotOnline { waited: request.connect_time });
            }
        }
    }
}
