//! Who a device is and how it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use iothub_core::ids::{DeviceId, ModuleId};
use iothub_core::random::Random;
use iothub_core::time::Clock;
use iothub_wire::connection_string::{
    DeviceConnectionString, Host, ServiceConnectionString, X509ConnectionString,
};

use crate::script::Script;
use crate::transport::tls::{ClientCertificate, Security};

/// How a device runs.
#[derive(Clone)]
pub struct Options {
    /// Who it is.
    pub identity: Identity,
    /// What it speaks.
    pub transport: Transport,
    /// Where that is served on the hub's host.
    pub port: u16,
    /// Whether and how the connection is secured.
    pub security: Security,
    /// What the device does.
    pub script: Script,
    /// How long a desired configuration stays pending.
    pub apply_delay: Duration,
    /// How long a token is good for, one second at least. The device reconnects with a new one
    /// before it ends.
    pub token_ttl: Duration,
    /// Tells the time, and with it when to send, to apply and to renew the token.
    pub clock: Arc<dyn Clock>,
    /// Spreads the times at which devices reconnect.
    pub random: Arc<Random>,
}

impl Options {
    /// The usual options: the tutorial's device, two seconds to apply, tokens of one hour.
    pub fn new(identity: Identity, security: Security, clock: Arc<dyn Clock>) -> Self {
        Self {
            transport: Transport::Mqtt,
            port: identity.host.port.unwrap_or(Transport::Mqtt.port()),
            identity,
            security,
            script: Script::default(),
            apply_delay: Duration::from_secs(2),
            token_ttl: Duration::from_secs(60 * 60),
            clock,
            random: Arc::new(Random::seeded(0)),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}:{}", self.identity.host.name, self.port)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("identity", &self.identity)
            .field("transport", &self.transport)
            .field("port", &self.port)
            .field("security", &self.security)
            .field("apply_delay", &self.apply_delay)
            .field("token_ttl", &self.token_ttl)
            .finish_non_exhaustive()
    }
}

/// What a device speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// MQTT.
    Mqtt,
    /// MQTT over WebSockets on the port of HTTPS, which firewalls let through.
    MqttWs,
    /// AMQP.
    Amqp,
    /// AMQP over WebSockets on the port of HTTPS.
    AmqpWs,
    /// HTTP: telemetry and messages, no twin and no methods.
    Http,
}

impl Transport {
    /// The port that the service has for it.
    pub fn port(self) -> u16 {
        match self {
            Self::Mqtt => 8883,
            Self::Amqp => 5671,
            Self::MqttWs | Self::AmqpWs | Self::Http => 443,
        }
    }
}

/// Who a device is, and what proves it.
#[derive(Clone, Debug)]
pub struct Identity {
    host: Host,
    device: DeviceId,
    module: Option<ModuleId>,
    proof: Proof,
}

#[derive(Clone, Debug)]
enum Proof {
    /// The key of the device itself.
    Own(DeviceConnectionString),
    /// The key of a policy with the right DeviceConnect, which speaks for every device.
    Policy(ServiceConnectionString),
    /// The certificate that it shows when TLS begins.
    Certificate(ClientCertificate),
}

impl Identity {
    /// A device that shows a token of a shared access policy instead of one of its own. The port of
    /// `policy` is that of HTTPS and is not used.
    pub fn with_policy(policy: ServiceConnectionString, device: DeviceId) -> Self {
        let host = Host { name: policy.host.name.clone(), port: None };
        Self { host, device, module: None, proof: Proof::Policy(policy) }
    }

    /// A device or module with a certificate instead of a key.
    pub fn with_certificate(
        connection_string: X509ConnectionString,
        certificate: ClientCertificate,
    ) -> Self {
        let X509ConnectionString { host, device, module } = connection_string;
        Self { host, device, module, proof: Proof::Certificate(certificate) }
    }

    /// The hub's name or address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The module on it, if that is what connects.
    pub fn module(&self) -> Option<&ModuleId> {
        self.module.as_ref()
    }

    /// A token that ends at `expiry`; none if a certificate takes its place.
    pub(crate) fn token(&self, expiry: u64) -> Option<String> {
        match &self.proof {
            Proof::Own(connection_string) => Some(connection_string.token(expiry)),
            Proof::Policy(connection_string) => Some(connection_string.token(expiry)),
            Proof::Certificate(_) => None,
        }
    }

    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        match &self.proof {
            Proof::Certificate(certificate) => Some(certificate),
            Proof::Own(_) | Proof::Policy(_) => None,
        }
    }
}

impl From<DeviceConnectionString> for Identity {
    fn from(connection_string: DeviceConnectionString) -> Self {
        Self {
            host: connection_string.host.clone(),
            device: connection_string.device.clone(),
            module: connection_string.module.clone(),
            proof: Proof::Own(connection_string),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)?;
        self.module.as_ref().map_or(Ok(()), |module| write!(f, "/{module}"))
    }
}
