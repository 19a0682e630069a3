//! The registry's modules.

use iothub_core::ids::{DeviceId, ModuleId, Precondition};
use iothub_wire::connection_string::encode;
use serde_json::Value;
use ureq::http::Method;

use super::{Client, device_path};
use crate::error::Error;

impl Client {
    /// The identity of a module.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn get_module(&self, device: &DeviceId, module: &ModuleId) -> Result<Value, Error> {
        self.json(&self.read(Method::GET, &path(device, module))?)
    }

    /// The identities of a device's modules, 50 at most.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn list_modules(&self, device: &DeviceId) -> Result<Vec<Value>, Error> {
        let list = self.read(Method::GET, &format!("{}/modules", device_path(device)))?;
        match self.json(&list)? {
            Value::Array(modules) => Ok(modules),
            other => Err(self.strange(&other, "an array of modules")),
        }
    }

    /// Creates a module's identity (no precondition) or replaces one (with one).
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn put_module(
        &self,
        device: &DeviceId,
        module: &ModuleId,
        identity: &Value,
        precondition: &Precondition,
    ) -> Result<Value, Error> {
        self.json(&self.write(Method::PUT, &path(device, module), identity, precondition)?)
    }

    /// Deletes a module's identity with its twin.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn delete_module(
        &self,
        device: &DeviceId,
        module: &ModuleId,
        precondition: &Precondition,
    ) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &path(device, module), "", precondition);
        self.send(request, ()).map(drop)
    }
}

fn path(device: &DeviceId, module: &ModuleId) -> String {
    format!("{}/modules/{}", device_path(device), encode(module.as_str()))
}
