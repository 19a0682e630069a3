//! `/hubs/{name}/connections`: who is connected, and who is no more.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use iothub_core::session::{Channel, Connection};
use serde_json::{Value, json};

use crate::hubs::{HubRefusal, Hubs, hub_of, refusal};

pub(crate) async fn list<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    Ok(Json(hub_of(hubs.as_ref(), &name)?.connections().iter().map(document).collect()))
}

pub(crate) async fn cut_device<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path((name, device)): Path<(String, String)>,
) -> Result<Response, HubRefusal> {
    cut(hubs.as_ref(), &name, DeviceId::parse(&device).ok().map(Into::into), &device)
}

pub(crate) async fn cut_module<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path((name, device, module)): Path<(String, String, String)>,
) -> Result<Response, HubRefusal> {
    let id = DeviceId::parse(&device).ok().zip(ModuleId::parse(&module).ok());
    let id = id.map(|(device, module)| IdentityId { device, module: Some(module) });
    cut(hubs.as_ref(), &name, id, &format!("{device}/{module}"))
}

fn cut<H: Hubs>(
    hubs: &H,
    name: &str,
    id: Option<IdentityId>,
    written: &str,
) -> Result<Response, HubRefusal> {
    let hub = hub_of(hubs, name)?;
    // What is no id cannot be connected either.
    if id.is_some_and(|id| hub.disconnect(&id)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let message = format!("{written:?} is not connected to hub {name:?}");
    Ok(refusal(StatusCode::NOT_FOUND, "NotConnected", &message))
}

fn document(connection: &Connection) -> Value {
    let subscriptions: Vec<_> = connection.subscriptions.iter().copied().map(channel).collect();
    json!({
        "deviceId": connection.id.device.as_str(),
        "moduleId": connection.id.module.as_ref().map(ModuleId::as_str),
        "protocol": connection.protocol.name(),
        "since": connection.since.to_string(),
        "lastActivity": connection.last_activity.to_string(),
        "subscriptions": subscriptions,
        "waitingMessages": connection.waiting,
    })
}

fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::DesiredProperties => "desiredProperties",
        Channel::TwinResponses => "twinResponses",
        Channel::Methods => "methods",
        Channel::Devicebound => "devicebound",
        Channel::Inputs => "inputs",
    }
}
