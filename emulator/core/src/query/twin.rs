//! Twins as documents. A twin is looked up where it is stored: a filter on a tag touches that tag
//! and nothing else, and only a query that asks for the connection looks at it.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::{Value, json};

use super::eval::Subject;
use super::path::{Attribute, Path, TwinAttribute};
use super::value::Datum;
use crate::ids::{DeviceId, ETag, GenerationId, IdentityId, ModuleId};
use crate::registry::identity::{Authentication, Thumbprints};
use crate::session::{ConnectionState, TwinView};
use crate::store::{ModuleRecord, Record};
use crate::twin::{Section, Twin};

/// Where it can be seen who is connected, and what waits for whom.
pub trait Connections: Sync {
    /// What goes on with the identity of this generation.
    fn state(&self, id: &IdentityId, generation: GenerationId) -> ConnectionState;

    /// How many cloud-to-device messages wait for the device of this generation.
    fn waiting(&self, id: &DeviceId, generation: GenerationId) -> usize;
}

/// The twin of a device, or of a module.
pub struct TwinDocument<'c> {
    device: Arc<Record>,
    module: Option<Arc<ModuleRecord>>,
    connections: &'c dyn Connections,
    /// Looked at once, so that a document agrees with itself.
    connection: OnceCell<ConnectionState>,
}

impl<'c> TwinDocument<'c> {
    /// The twin of a device.
    pub fn of_device(device: Arc<Record>, connections: &'c dyn Connections) -> Self {
        Self { device, module: None, connections, connection: OnceCell::new() }
    }

    /// The twins of a device's modules.
    pub fn of_modules(device: &Arc<Record>, connections: &'c dyn Connections) -> Vec<Self> {
        let of_module = |module: &Arc<ModuleRecord>| Self {
            device: device.clone(),
            module: Some(module.clone()),
            connections,
            connection: OnceCell::new(),
        };
        device.modules.values().map(of_module).collect()
    }

    /// The twin of a device and those of its modules.
    pub fn all_of(device: &Arc<Record>, connections: &'c dyn Connections) -> Vec<Self> {
        let mut twins = Self::of_modules(device, connections);
        twins.push(Self::of_device(device.clone(), connections));
        twins
    }

    /// Whose it is.
    pub fn id(&self) -> IdentityId {
        let module = self.module.as_ref().map(|module| module.identity.id.clone());
        IdentityId { device: self.device.identity.id.clone(), module }
    }

    /// What a back end gets to see.
    pub fn into_view(self) -> TwinView {
        let (connection, waiting) = (self.connection(), self.waiting());
        TwinView { id: self.id(), record: self.device, connection, waiting }
    }

    fn waiting(&self) -> usize {
        let device = &self.device.identity;
        match &self.module {
            None => self.connections.waiting(&device.id, device.generation),
            Some(_) => 0,
        }
    }

    fn connection(&self) -> ConnectionState {
        let generation = match &self.module {
            None => self.device.identity.generation,
            Some(module) => module.identity.generation,
        };
        *self.connection.get_or_init(|| self.connections.state(&self.id(), generation))
    }

    fn twin(&self) -> &Twin {
        self.module.as_ref().map_or(&self.device.twin, |module| &module.twin)
    }

    fn authentication(&self) -> &Authentication {
        let module = self.module.as_ref().map(|module| &module.identity.authentication);
        module.unwrap_or(&self.device.identity.authentication)
    }

    fn identity_etag(&self) -> ETag {
        let module = self.module.as_ref().map(|module| module.identity.etag());
        module.unwrap_or_else(|| self.device.identity.etag())
    }

    /// A member that has no members, or one whose members are the service's.
    fn attribute(&self, attribute: TwinAttribute) -> Datum<'_> {
        let device = &self.device.identity;
        match attribute {
            TwinAttribute::DeviceId => Datum::text(device.id.as_str()),
            TwinAttribute::ModuleId => {
                optional(self.module.as_ref().map(|module| module.identity.id.as_str()))
            }
            TwinAttribute::ETag => self.twin().etag().as_str().to_owned().into(),
            TwinAttribute::DeviceETag => self.identity_etag().as_str().to_owned().into(),
            TwinAttribute::Status => Datum::text(device.status.name()),
            TwinAttribute::StatusReason => optional(device.status_reason.as_deref()),
            TwinAttribute::StatusUpdateTime => device.status_updated.to_string().into(),
            TwinAttribute::ConnectionState => Datum::text(self.connection().name()),
            TwinAttribute::LastActivityTime => self.connection().last_activity.to_string().into(),
            TwinAttribute::CloudToDeviceMessageCount => Datum::Number(self.waiting().into()),
            TwinAttribute::AuthenticationType => Datum::text(self.authentication().name()),
            TwinAttribute::X509Thumbprint => composite(thumbprints(self.authentication())),
            TwinAttribute::ModelId => {
                Datum::text(self.twin().model_id.as_deref().unwrap_or_default())
            }
            TwinAttribute::Version => Datum::Number(self.twin().version.into()),
            TwinAttribute::Properties => composite(json!({
                "desired": self.twin().desired.to_json(),
                "reported": self.twin().reported.to_json(),
            })),
            TwinAttribute::Capabilities => composite(json!({ "iotEdge": device.iot_edge })),
            TwinAttribute::DeviceScope => optional(device.device_scope.as_deref()),
            TwinAttribute::ParentScopes if device.parent_scopes.is_empty() => Datum::Undefined,
            TwinAttribute::ParentScopes => composite(json!(device.parent_scopes)),
            // The sections have members of their own and are looked up there.
            TwinAttribute::Tags | TwinAttribute::Desired | TwinAttribute::Reported => {
                Datum::Undefined
            }
            TwinAttribute::Configurations => self
                .twin()
                .configurations
                .to_json()
                .map_or(Datum::Undefined, |found| composite(Value::Object(found))),
        }
    }
}

impl Subject for TwinDocument<'_> {
    fn value(&self, path: &Path) -> Datum<'_> {
        let Attribute::Twin(attribute) = path.attribute else { return Datum::Undefined };
        let below = path.below.as_slice();
        match (attribute, below) {
            (TwinAttribute::Tags, _) => self
                .twin()
                .tags
                .as_ref()
                .map_or(Datum::Undefined, |tags| Datum::member(tags, below)),
            (TwinAttribute::Desired, _) => section(&self.twin().desired, below),
            (TwinAttribute::Reported, _) => section(&self.twin().reported, below),
            // Asked of every device by whoever lists edge devices.
            (TwinAttribute::Capabilities, [name]) if name == "iotEdge" => {
                self.device.identity.iot_edge.into()
            }
            (attribute, []) => self.attribute(attribute),
            (attribute, below) => self.attribute(attribute).into_below(below),
        }
    }

    fn key(&self) -> (&str, &str) {
        let module = self.module.as_ref().map(|module| &module.identity.id);
        (self.device.identity.id.as_str(), module.map_or("", ModuleId::as_str))
    }
}

fn optional(text: Option<&str>) -> Datum<'_> {
    text.map_or(Datum::Undefined, Datum::text)
}

fn composite<'a>(value: Value) -> Datum<'a> {
    Datum::Composite(std::borrow::Cow::Owned(value))
}

fn thumbprints(authentication: &Authentication) -> Value {
    let none = Thumbprints::default();
    let found = match authentication {
        Authentication::SelfSigned(thumbprints) => thumbprints,
        _ => &none,
    };
    json!({ "primaryThumbprint": found.primary, "secondaryThumbprint": found.secondary })
}

/// Desired or reported properties, with what the service keeps beside them.
fn section<'a>(section: &'a Section, path: &[String]) -> Datum<'a> {
    match path {
        [] => composite(section.to_json()),
        [name] if name == "$version" => Datum::Number(section.version.into()),
        [name, path @ ..] if name == "$metadata" => {
            section.metadata.find(path).map_or(Datum::Undefined, Datum::from_json)
        }
        path => Datum::member(&section.properties, path),
    }
}

#[cfg(test)]
mod tests;
