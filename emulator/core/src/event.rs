//! Events: what devices send to the cloud.

mod body;

use bytes::Bytes;

use crate::auth::AuthMethod;
use crate::ids::{GenerationId, IdentityId};
use crate::limits;
use crate::time::Timestamp;

pub use body::OpaqueBody;

/// A device-to-cloud message as the hub keeps it.
#[derive(Clone, Debug)]
pub struct Event {
    /// What the device sent.
    pub message: Message,
    /// Who sent it.
    pub sender: IdentityId,
    /// Which identity of that name.
    pub generation: GenerationId,
    /// How the sender authenticated; none if the hub itself says this.
    pub auth_method: Option<AuthMethod>,
    /// When the hub took it.
    pub enqueued: Timestamp,
    /// The IoT Plug and Play model that the sender announced when it connected.
    pub model_id: Option<String>,
    /// What it tells of.
    pub source: EventSource,
}

/// What an event tells of.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum EventSource {
    /// What a device sent.
    #[default]
    Telemetry,
    /// A twin changed.
    TwinChange,
    /// A device or module was created or deleted.
    DeviceLifecycle,
    /// A device or module connected or disconnected.
    DeviceConnectionState,
    /// A digital twin changed.
    DigitalTwinChange,
}

impl EventSource {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Telemetry,
        Self::TwinChange,
        Self::DeviceLifecycle,
        Self::DeviceConnectionState,
        Self::DigitalTwinChange,
    ];

    /// What routes call it.
    pub fn route_source(self) -> &'static str {
        match self {
            Self::Telemetry => "DeviceMessages",
            Self::TwinChange => "TwinChangeEvents",
            Self::DeviceLifecycle => "DeviceLifecycleEvents",
            Self::DeviceConnectionState => "DeviceConnectionStateEvents",
            Self::DigitalTwinChange => "DigitalTwinChangeEvents",
        }
    }

    /// What routes call all of them, for whoever named another.
    pub fn route_sources() -> String {
        Self::ALL.map(Self::route_source).join(", ")
    }

    /// The source that routes call so, in any case.
    pub fn of_route(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.route_source().eq_ignore_ascii_case(name))
    }

    /// The value of `iothub-message-source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "Telemetry",
            Self::TwinChange => "twinChangeEvents",
            Self::DeviceLifecycle => "deviceLifecycleEvents",
            Self::DeviceConnectionState => "deviceConnectionStateEvents",
            Self::DigitalTwinChange => "digitalTwinChangeEvents",
        }
    }
}

/// A message: body and properties.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// Properties that the service gives a meaning to.
    pub system: Vec<(SystemProperty, String)>,
    /// Properties of the application, in the order sent; a name may come without a value.
    pub application: Vec<(String, Option<String>)>,
    /// Anything.
    pub body: Bytes,
}

/// A property that the service gives a meaning to and the sender may set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SystemProperty {
    /// `message-id`
    MessageId,
    /// `correlation-id`
    CorrelationId,
    /// `user-id`
    UserId,
    /// `to`
    To,
    /// `content-type`
    ContentType,
    /// `content-encoding`
    ContentEncoding,
    /// `absolute-expiry-time`
    Expiry,
    /// `iothub-creation-time-utc`
    CreationTime,
    /// The output of a module.
    OutputName,
    /// `iothub-interface-id`
    InterfaceId,
    /// The component of a Plug and Play device, `dt-subject`.
    Component,
    /// `iothub-message-schema`
    MessageSchema,
    /// Legacy distributed tracing.
    DiagnosticsId,
    /// Legacy distributed tracing.
    DiagnosticsContext,
    /// Distributed tracing.
    TraceState,
}

impl Message {
    /// A system property, if it is set.
    pub fn system(&self, name: SystemProperty) -> Option<&str> {
        self.system.iter().find_map(|(known, value)| (*known == name).then_some(value.as_str()))
    }

    /// The size that the service counts: body, values of system properties, names and values of
    /// application properties.
    pub fn size(&self) -> usize {
        let system: usize = self.system.iter().map(|(_, value)| value.len()).sum();
        let application: usize = self
            .application
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len))
            .sum();
        self.body.len() + system + application
    }
}

impl Event {
    /// How the sender authenticated, as the service writes it; none if the hub itself says this.
    pub fn auth_method_json(&self) -> Option<String> {
        let scope = if self.sender.module.is_some() { "module" } else { "device" };
        let (scope, kind, issuer) = match self.auth_method? {
            AuthMethod::DeviceKey => (scope, "sas", "iothub"),
            AuthMethod::Policy => ("hub", "sas", "iothub"),
            AuthMethod::Certificate => (scope, "x509", "external"),
        };
        Some(format!(
            r#"{{"scope":"{scope}","type":"{kind}","issuer":"{issuer}","acceptingIpFilterRule":null}}"#
        ))
    }

    /// What keeping it costs, roughly.
    pub fn kept_bytes(&self) -> usize {
        self.message.size() + limits::EVENT_OVERHEAD_BYTES
    }
}

/// The partition of everything that `sender`'s device sends: the same each time, so that events of
/// one device keep their order.
pub fn partition_of(sender: &IdentityId, partitions: usize) -> usize {
    // FNV-1a: stable across runs and platforms, which the standard library's hasher is not.
    let hash = sender.device.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let partitions = partitions.max(1) as u64;
    usize::try_from(hash % partitions).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    #[test]
    fn size_counts_body_and_properties() {
        let message = Message {
            system: vec![(SystemProperty::MessageId, "m1".to_owned())],
            application: vec![("alert".to_owned(), Some("yes".to_owned())), ("x".to_owned(), None)],
            body: Bytes::from_static(b"hello"),
        };
        assert_eq!(message.size(), 5 + 2 + 8 + 1);
    }

    #[test]
    fn devices_spread_over_the_partitions_and_stay_there() {
        let partition = |name: &str| partition_of(&DeviceId::parse(name).unwrap().into(), 4);
        assert_eq!(partition("dev-1"), partition("dev-1"));
        let used: std::collections::BTreeSet<_> =
            (0..100).map(|index| partition(&format!("dev-{index}"))).collect();
        assert_eq!(used.len(), 4);
    }
}
