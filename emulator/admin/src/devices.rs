//! `/hubs/{name}/devices`: who may connect, and with which connection strings.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use iothub_core::ids::{DeviceId, ModuleId};
use iothub_core::registry::identity::Authentication;
use iothub_core::store::Record;
use iothub_wire::connection_string::{DeviceConnectionString, Host, X509ConnectionString};
use serde_json::{Value, json};

use crate::hubs::{HubRefusal, Hubs};

pub(crate) async fn list<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    let facts = hubs.find(&name);
    let (Some(facts), Some(hub)) = (facts, hubs.hub(&name)) else {
        return Err(HubRefusal::NotFound(name));
    };
    let held = hub.snapshot().await.map_err(|why| HubRefusal::Failed(why.to_string()))?;
    let host = Host { name: facts.host, port: None };
    Ok(Json(held.devices.iter().flat_map(|record| documents(record, &host)).collect()))
}

/// The device, then its modules.
fn documents<'r>(record: &'r Record, host: &'r Host) -> impl Iterator<Item = Value> + 'r {
    let identity = &record.identity;
    let device = document(host, &identity.id, None, &identity.authentication);
    let modules = record.modules.values().map(|module| {
        let module = &module.identity;
        document(host, &identity.id, Some(&module.id), &module.authentication)
    });
    std::iter::once(device).chain(modules)
}

fn document(
    host: &Host,
    device: &DeviceId,
    module: Option<&ModuleId>,
    authentication: &Authentication,
) -> Value {
    let [primary, secondary] = strings(host, device, module, authentication);
    json!({
        "deviceId": device.as_str(),
        "moduleId": module.map(ModuleId::as_str),
        "authentication": authentication.name(),
        "connectionString": primary,
        "secondaryConnectionString": secondary,
    })
}

fn strings(
    host: &Host,
    device: &DeviceId,
    module: Option<&ModuleId>,
    authentication: &Authentication,
) -> [Option<String>; 2] {
    let (host, device, module) = (host.clone(), device.clone(), module.cloned());
    match authentication {
        Authentication::Sas(keys) => [&keys.primary, &keys.secondary].map(|key| {
            let (host, device, module) = (host.clone(), device.clone(), module.clone());
            let string = DeviceConnectionString { host, device, module, key: key.clone() };
            Some(string.to_string())
        }),
        Authentication::SelfSigned(_) | Authentication::CertificateAuthority => {
            [Some(X509ConnectionString { host, device, module }.to_string()), None]
        }
        Authentication::None => [None, None],
    }
}
