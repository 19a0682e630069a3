//! What the emulator can be told: [`Config`].
//!
//! A program that embeds the emulator changes fields of [`Config::default`]. The binary resolves
//! one from [`Sources`]: each option comes from a flag, else from an environment variable, else
//! from a TOML file, else it has its default. All mistakes are reported together.
//!
//! ```
//! use iothub_emulator::config::Config;
//!
//! // For a test: free ports, and nothing is written to disk.
//! let config = Config {
//!     mqtts_port: 0,
//!     amqps_port: 0,
//!     https_port: Some(0),
//!     admin_port: 0,
//!     ..Config::default()
//! };
//! assert_eq!(config.hostname.to_string(), "127.0.0.1");
//! ```

mod host_name;
mod routing;
mod sources;
mod values;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

pub use iothub_admin::AdminToken;
pub use iothub_core::throttle::Tier;

pub use self::host_name::HostName;
pub(crate) use self::sources::toml_table;
pub use self::sources::{Flags, Mistake, OPTIONS, Origin, Sources};

use iothub_core::limits;
use iothub_core::route::properties::RoutingProperties;

use self::sources::Layers;
use self::values::Kind;

/// The port of HTTPS that SDKs hard-code.
pub const HTTPS_PORT: u16 = 443;
/// The port of HTTPS where [`HTTPS_PORT`] may not be bound.
pub const FALLBACK_HTTPS_PORT: u16 = 8443;

/// Everything that the emulator can be told. Port 0 picks a free one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The address that devices and services connect to.
    pub bind: IpAddr,
    /// The port of MQTT over TLS.
    pub mqtts_port: u16,
    /// The port of HTTPS; none means 443, or 8443 where 443 may not be bound.
    pub https_port: Option<u16>,
    /// The port of MQTT without TLS; none means that there is no such listener.
    pub mqtt_port: Option<u16>,
    /// The port of AMQP over TLS.
    pub amqps_port: u16,
    /// The port of AMQP without TLS; none means that there is no such listener.
    pub amqp_port: Option<u16>,
    /// The address of the harness API.
    pub admin_bind: IpAddr,
    /// The port of the harness API.
    pub admin_port: u16,
    /// What programs on other machines have to know to drive the harness; none keeps them out.
    pub admin_token: Option<AdminToken>,
    /// The name in connection strings that the emulator hands out.
    pub hostname: HostName,
    /// Further names that the server certificate is valid for.
    pub aliases: Vec<HostName>,
    /// Certificates, in PEM or DER, of authorities whose devices may connect.
    pub device_authorities: Vec<PathBuf>,
    /// How many partitions the built-in endpoint for events has.
    pub event_partitions: usize,
    /// How long event hubs keep events.
    pub event_retention: Duration,
    /// Its consumer groups beside `$Default`.
    pub consumer_groups: Vec<String>,
    /// Where events go.
    pub routing: RoutingProperties,
    /// Whether a connection for a host name that is none of the emulator's is refused.
    pub strict_hosts: bool,
    /// Where certificates are kept from one run to the next; none keeps them in memory only.
    pub state_dir: Option<PathBuf>,
    /// The folder in which import and export jobs find the containers of their files; none means
    /// that there are no such jobs.
    pub storage_dir: Option<PathBuf>,
    /// What the hub begins with, and has again when it is reset; none means nothing.
    pub seed: Option<PathBuf>,
    /// The kind of the certificates' keys; none means what the state directory already has, and
    /// ECDSA where it has nothing.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// Which keys the hub's shared access policies have.
    pub keys: HubKeys,
    /// The name of the hub.
    pub hub_name: String,
    /// Whether the start is not told on standard output.
    pub quiet: bool,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// How long open sessions may take to end when the emulator stops.
    pub shutdown_grace: Duration,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// The tier of the hub.
    pub tier: Tier,
    /// How many units of that tier it has.
    pub units: u32,
    /// Whether the throttles and the daily quota of the tier hold.
    pub enforce_throttles: bool,
    /// Whether messages of devices may ask for faults, as those of Microsoft's own tests do.
    pub fault_messages: bool,
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyAlgorithm {
    /// ECDSA on the curve P-256: every SDK tried accepts it, and a handshake costs least.
    #[default]
    Ecdsa,
    /// RSA of 2048 bits, for clients that know nothing newer.
    Rsa,
}

/// Which keys the hub's shared access policies have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HubKeys {
    /// The documented ones: a connection string can be written into a test once and for all.
    #[default]
    WellKnown,
    /// New ones in every run.
    Random,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ECDSA P-256",
            Self::Rsa => "RSA",
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            bind: loopback,
            mqtts_port: 8883,
            https_port: None,
            mqtt_port: None,
            amqps_port: 5671,
            amqp_port: None,
            admin_bind: loopback,
            admin_port: 8088,
            admin_token: None,
            hostname: HostName::Address(loopback),
            aliases: Vec::new(),
            device_authorities: Vec::new(),
            event_partitions: limits::EVENT_PARTITIONS,
            event_retention: *limits::EVENT_RETENTION.start(),
            consumer_groups: Vec::new(),
            routing: RoutingProperties::default(),
            strict_hosts: false,
            state_dir: None,
            storage_dir: None,
            seed: None,
            key_algorithm: None,
            keys: HubKeys::default(),
            hub_name: "emulator".to_owned(),
            quiet: false,
            log_format: LogFormat::default(),
            shutdown_grace: Duration::from_secs(5),
            max_connections: 16_384,
            tier: Tier::S1,
            units: 1,
            enforce_throttles: false,
            fault_messages: false,
        }
    }
}

impl Config {
    /// Resolves the configuration of the binary.
    ///
    /// # Errors
    ///
    /// Every mistake that there is, not only the first.
    pub fn resolve(sources: &Sources<'_>) -> Result<Self, Vec<Mistake>> {
        let mut layers = Layers::read(sources);
        let default = Self::default();
        let bind = layers.one("bind", &Kind::ADDRESS).unwrap_or(default.bind);
        let (hostname, aliases) = hostnames(&mut layers, bind);
        let config = Self {
            bind,
            mqtts_port: layers.port("mqtts-port", default.mqtts_port),
            https_port: layers.port_or_unset("https-port"),
            mqtt_port: layers.one("mqtt-port", &Kind::OPTIONAL_PORT).flatten(),
            amqps_port: layers.port("amqps-port", default.amqps_port),
            amqp_port: layers.one("amqp-port", &Kind::OPTIONAL_PORT).flatten(),
            admin_bind: layers.one("admin-bind", &Kind::ADDRESS).unwrap_or(default.admin_bind),
            admin_port: layers.port("admin-port", default.admin_port),
            admin_token: layers.one("admin-token", &Kind::TOKEN),
            hostname,
            aliases,
            device_authorities: layers.many("device-ca", &Kind::PATH),
            event_partitions: layers
                .one("event-partitions", &Kind::PARTITIONS)
                .unwrap_or(default.event_partitions),
            event_retention: layers
                .one("event-retention-days", &Kind::RETENTION_DAYS)
                .unwrap_or(default.event_retention),
            consumer_groups: layers.many("consumer-group", &Kind::CONSUMER_GROUP),
            routing: routing::routing(&mut layers),
            strict_hosts: layers.one("strict-hosts", &Kind::SWITCH).unwrap_or_default(),
            state_dir: state_dir(&mut layers, sources),
            storage_dir: layers.one("storage-dir", &Kind::PATH),
            seed: layers.one("seed", &Kind::PATH),
            key_algorithm: layers.one("key-algorithm", &Kind::KEY_ALGORITHM),
            keys: layers.one("keys", &Kind::HUB_KEYS).unwrap_or_default(),
            hub_name: layers.one("hub-name", &Kind::HUB_NAME).unwrap_or(default.hub_name),
            quiet: layers.one("quiet", &Kind::SWITCH).unwrap_or_default(),
            log_format: layers.one("log-format", &Kind::LOG_FORMAT).unwrap_or_default(),
            shutdown_grace: layers
                .one("shutdown-grace", &Kind::DURATION)
                .unwrap_or(default.shutdown_grace),
            max_connections: layers
                .one("max-connections", &Kind::COUNT)
                .unwrap_or(default.max_connections),
            tier: layers.one("tier", &Kind::TIER).unwrap_or(default.tier),
            units: layers.one("units", &Kind::UNITS).unwrap_or(default.units),
            enforce_throttles: layers.one("enforce-throttles", &Kind::SWITCH).unwrap_or_default(),
            fault_messages: layers.one("fault-messages", &Kind::SWITCH).unwrap_or_default(),
        };
        layers.mistakes.extend(config.clashes());
        layers.mistakes.extend(config.too_many_groups());
        if layers.mistakes.is_empty() { Ok(config) } else { Err(layers.mistakes) }
    }

    /// Every name that connection strings and the server certificate have, the first one first.
    pub fn hostnames(&self) -> impl Iterator<Item = &HostName> {
        std::iter::once(&self.hostname).chain(&self.aliases)
    }

    fn too_many_groups(&self) -> Option<Mistake> {
        let count = self.consumer_groups.len();
        (count > limits::CONSUMER_GROUPS).then_some(Mistake::ConsumerGroups(count))
    }

    /// Pairs of listeners that could not both bind their port.
    fn clashes(&self) -> Vec<Mistake> {
        let listeners = [
            ("mqtts-port", self.bind, Some(self.mqtts_port)),
            ("https-port", self.bind, self.https_port.or(Some(HTTPS_PORT))),
            ("mqtt-port", self.bind, self.mqtt_port),
            ("amqps-port", self.bind, Some(self.amqps_port)),
            ("amqp-port", self.bind, self.amqp_port),
            ("admin-port", self.admin_bind, Some(self.admin_port)),
        ];
        let mut clashes = Vec::new();
        for (index, (first, first_address, first_port)) in listeners.iter().enumerate() {
            for (second, second_address, second_port) in listeners.iter().skip(index + 1) {
                let same_address = first_address == second_address
                    || first_address.is_unspecified()
                    || second_address.is_unspecified();
                match (first_port, second_port) {
                    (Some(port), Some(other)) if port == other && *port != 0 && same_address => {
                        clashes.push(Mistake::Clash { first, second, port: *port });
                    }
                    _ => {}
                }
            }
        }
        clashes
    }
}

/// The name for connection strings, and the further names.
fn hostnames(layers: &mut Layers<'_>, bind: IpAddr) -> (HostName, Vec<HostName>) {
    let mut names = layers.many("hostname", &Kind::HOST_NAME).into_iter();
    let hostname = names.next().unwrap_or_else(|| default_hostname(bind));
    if let HostName::Address(address @ IpAddr::V6(_)) = hostname {
        layers.mistakes.push(Mistake::Ipv6HostName(address));
    }
    (hostname, names.collect())
}

/// The address itself where it is one that a client can connect to, else that of the loopback.
fn default_hostname(bind: IpAddr) -> HostName {
    match bind {
        address if address.is_unspecified() => HostName::Address(Ipv4Addr::LOCALHOST.into()),
        address @ IpAddr::V6(_) if address.is_loopback() => HostName::localhost(),
        address => HostName::Address(address),
    }
}

fn state_dir(layers: &mut Layers<'_>, sources: &Sources<'_>) -> Option<PathBuf> {
    let said = layers.one("state-dir", &Kind::PATH);
    let dir = said.or_else(|| iothub_wire::local::default_state_dir(sources.variable));
    if dir.is_none() {
        layers.mistakes.push(Mistake::NoStateDir);
    }
    dir
}

#[cfg(test)]
mod tests;
