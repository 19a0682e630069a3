//! [`Emulator`]: a hub, its ports, and how they start and end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use iothub_admin::Readiness;
use iothub_core::directory::Directory;
use iothub_core::hub::{Hub, Ports};
use iothub_core::limits;
use iothub_core::random::Random;
use iothub_core::route::{Routing, RoutingMistake};
use iothub_core::throttle::Throttles;
use iothub_core::time::Clock;
use iothub_store::memory::MemoryRecords;
use iothub_store::memory_table::MemoryTable;
use iothub_wire::connection_string::{Host, ServiceConnectionString};
use iothub_wire::local::{FILE_NAME, LocalEmulator};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::authorities::{Authorities, AuthorityError};
use crate::banner::Facts;
use crate::certificate::{CertificateError, Certificates, client};
use crate::clock::SystemClock;
use crate::config::{Config, FALLBACK_HTTPS_PORT, HTTPS_PORT};
use crate::drain::{self, Drain, Drainer};
use crate::endpoints::{self, Queues};
use crate::http;
use crate::keys::built_in_policies;
use crate::listener::{Port, handshake, no_delay};
use crate::state_dir::{Readers, StateDir, StateError};
use crate::storage::Folder;
use crate::websocket::{self, Below};

/// The policy whose connection string is handed out: it may do everything.
pub const OWNER: &str = "iothubowner";
/// The version that `/version` tells.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An emulator that serves. Dropping it ends it at once; [`Emulator::stop`] waits for its sessions.
#[derive(Debug)]
pub struct Emulator {
    hub: Hub,
    addresses: Addresses,
    connection_string: String,
    certificates: Certificates,
    drainer: Drainer,
    endpoints: Queues,
    announcement: Option<Announcement>,
}

/// Where an emulator is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// MQTT over TLS.
    pub mqtts: SocketAddr,
    /// MQTT without TLS, if it is served.
    pub mqtt: Option<SocketAddr>,
    /// AMQP over TLS.
    pub amqps: SocketAddr,
    /// AMQP without TLS, if it is served.
    pub amqp: Option<SocketAddr>,
    /// HTTPS.
    pub https: SocketAddr,
    /// Whether HTTPS is there because its own port may not be bound.
    pub https_fell_back: bool,
    /// The admin port.
    pub admin: SocketAddr,
}

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There are no certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The state directory does not do what it should.
    #[error(transparent)]
    State(#[from] StateError),
    /// The authorities of devices cannot be had.
    #[error(transparent)]
    Authorities(#[from] AuthorityError),
    /// An address cannot be bound.
    #[error("{address} cannot be bound for {purpose}: {source}; choose another with --{option}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What would be served there.
        purpose: &'static str,
        /// The option that sets the port.
        option: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// The configuration says where events go, and that does not hold together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Routing(Vec<RoutingMistake>),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(String),
}

impl Emulator {
    /// Starts an emulator. When this returns, every port serves.
    ///
    /// # Errors
    ///
    /// Names the file or the address that is wrong.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let certificates = Certificates::prepare(config, SystemClock.now())?;
        let (hub, endpoints) = build_hub(config)?;
        let ports = BoundPorts::bind(config)?;
        let addresses = ports.addresses();
        let (drainer, drain) = drain::channel();
        tokio::spawn(work(hub.clone(), drain.clone()));
        ports.serve(config, directory(config, &hub), &certificates, &drain);
        let connection_string = owner_string(config, &hub, addresses.https.port());
        let announcement = match &config.state_dir {
            None => None,
            Some(path) => Some(Announcement::write(
                path,
                &connection_string,
                hub.name(),
                &addresses,
                &certificates,
            )?),
        };
        Ok(Self {
            hub,
            addresses,
            connection_string,
            certificates,
            drainer,
            endpoints,
            announcement,
        })
    }

    /// The hub that it serves.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Where it is served.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The connection string of the policy `iothubowner`; with a port if HTTPS is not on 443.
    pub fn connection_string(&self) -> &str {
        &self.connection_string
    }

    /// The authority to trust.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What its start has to tell.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            mqtts: self.addresses.mqtts,
            mqtt: self.addresses.mqtt,
            amqps: self.addresses.amqps,
            amqp: self.addresses.amqp,
            https: self.addresses.https,
            https_fell_back: self.addresses.https_fell_back,
            admin: self.addresses.admin,
            connection_string: &self.connection_string,
            ca_file: self.certificates.ca_file(),
        }
    }

    /// Stops accepting, closes the sessions, and returns when the last one has ended.
    pub async fn stop(self) {
        let Self { drainer, announcement, endpoints, .. } = self;
        // Nobody should find an emulator that no longer accepts.
        drop(announcement);
        drainer.drain().await;
        endpoints.empty().await;
    }
}

/// Lets the hub do what it does by itself, until the end.
async fn work(hub: Hub, drain: Drain) {
    tokio::select! {
        () = hub.work() => {}
        () = drain.asked() => {}
    }
}

fn build_hub(config: &Config) -> Result<(Hub, Queues), StartError> {
    let mut entropy = [0; 32];
    SysRng.try_fill_bytes(&mut entropy).map_err(|error| StartError::Entropy(error.to_string()))?;
    let random = Random::from_entropy(entropy);
    let policies = built_in_policies(config.keys, &random);
    let dir = config.state_dir.as_ref().map(StateDir::open).transpose()?;
    let routing = Routing::new(&config.routing).map_err(StartError::Routing)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (routing, endpoints) = endpoints::wire(config, routing, &clock);
    let ports = Ports {
        records: Arc::new(MemoryRecords::default()),
        events: endpoints::event_log(config.event_partitions, config, clock.clone()),
        consumer_groups: config.consumer_groups.clone(),
        routing,
        configurations: Arc::new(MemoryTable::default()),
        jobs: Arc::new(MemoryTable::default()),
        authorities: Arc::new(Authorities::new(&config.device_authorities, dir)?),
        clock,
        random: Arc::new(random),
        storage: config.storage_dir.clone().map(|root| Arc::new(Folder::new(root)) as _),
    };
    let throttles = config.enforce_throttles.then(|| Throttles::new(config.tier, config.units));
    Ok((Hub::new(&config.hub_name, policies, throttles, ports), endpoints))
}

fn directory(config: &Config, hub: &Hub) -> Directory {
    let mut names: Vec<String> = config.hostnames().map(ToString::to_string).collect();
    names.push(format!("{}.azure-devices.net", config.hub_name));
    Directory::new(hub.clone(), &names, config.strict_hosts)
}

fn owner_string(config: &Config, hub: &Hub, https_port: u16) -> String {
    let policies = hub.policies();
    let Some(owner) = policies.iter().find(|policy| policy.name == OWNER) else {
        return String::new();
    };
    let port = (https_port != HTTPS_PORT).then_some(https_port);
    ServiceConnectionString {
        host: Host { name: config.hostname.to_string(), port },
        policy: owner.name.clone(),
        key: owner.primary.clone(),
    }
    .to_string()
}

/// Every port, bound and not yet served: that one is taken should show before anything starts.
struct BoundPorts {
    mqtts: Port,
    mqtt: Option<Port>,
    amqps: Port,
    amqp: Option<Port>,
    https: Port,
    https_fell_back: bool,
    admin: Port,
}

impl BoundPorts {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let mqtt = match config.mqtt_port {
            None => None,
            Some(port) => Some(bind(config.bind, port, "MQTT", "mqtt-port")?),
        };
        let amqp = match config.amqp_port {
            None => None,
            Some(port) => Some(bind(config.bind, port, "AMQP", "amqp-port")?),
        };
        let (https, https_fell_back) = bind_https(config)?;
        Ok(Self {
            amqps: bind(config.bind, config.amqps_port, "AMQP over TLS", "amqps-port")?,
            amqp,
            mqtts: bind(config.bind, config.mqtts_port, "MQTT over TLS", "mqtts-port")?,
            mqtt,
            https,
            https_fell_back,
            admin: bind(config.admin_bind, config.admin_port, "the harness", "admin-port")?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            mqtts: self.mqtts.address(),
            mqtt: self.mqtt.as_ref().map(Port::address),
            amqps: self.amqps.address(),
            amqp: self.amqp.as_ref().map(Port::address),
            https: self.https.address(),
            https_fell_back: self.https_fell_back,
            admin: self.admin.address(),
        }
    }

    fn serve(
        self,
        config: &Config,
        directory: Directory,
        certificates: &Certificates,
        drain: &Drain,
    ) {
        let permits = Arc::new(Semaphore::new(config.max_connections));
        // Of its own, so that a hub that is full still says that it is ready.
        let admin_permits = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS));
        let tls = TlsAcceptor::from(certificates.tls());
        let readiness = Readiness::default();
        let https_service = iothub_rest::service(&directory);
        let latches = ["mqtts", "amqps", "https"].map(|name| readiness.latch(name));
        let admin_service = iothub_admin::router(readiness, VERSION);

        if let Some(mqtt) = self.mqtt {
            let directory = directory.clone();
            tokio::spawn(mqtt.serve(permits.clone(), drain.clone(), move |stream, drain| {
                let directory = directory.clone();
                async move {
                    no_delay(&stream);
                    iothub_mqtt::serve(stream, None, &directory, drain.asked()).await;
                }
            }));
        }
        let mqtts_tls = tls.clone();
        let mqtts_directory = directory.clone();
        tokio::spawn(self.mqtts.serve(permits.clone(), drain.clone(), move |stream, drain| {
            let (tls, directory) = (mqtts_tls.clone(), mqtts_directory.clone());
            async move {
                if let Some(stream) = handshake(&tls, stream, &drain).await {
                    let shown = client::shown(stream.get_ref().1);
                    iothub_mqtt::serve(stream, shown, &directory, drain.asked()).await;
                }
            }
        }));
        if let Some(amqp) = self.amqp {
            let directory = directory.clone();
            tokio::spawn(amqp.serve(permits.clone(), drain.clone(), move |stream, drain| {
                let directory = directory.clone();
                async move {
                    no_delay(&stream);
                    iothub_amqp::serve(stream, None, &directory, drain.asked()).await;
                }
            }));
        }
        let (amqps_tls, amqps_directory) = (tls.clone(), directory.clone());
        tokio::spawn(self.amqps.serve(permits.clone(), drain.clone(), move |stream, drain| {
            let (tls, directory) = (amqps_tls.clone(), amqps_directory.clone());
            async move {
                if let Some(stream) = handshake(&tls, stream, &drain).await {
                    let shown = client::shown(stream.get_ref().1);
                    iothub_amqp::serve(stream, shown, &directory, drain.asked()).await;
                }
            }
        }));
        tokio::spawn(self.https.serve(permits, drain.clone(), move |stream, drain| {
            let (tls, service) = (tls.clone(), https_service.clone());
            let directory = directory.clone();
            async move {
                if let Some(stream) = handshake(&tls, stream, &drain).await {
                    let shown = client::shown(stream.get_ref().1);
                    let below = Below { directory, shown, drain: drain.clone() };
                    let service = websocket::in_front_of(service, below);
                    http::serve(stream, service, drain).await;
                }
            }
        }));
        tokio::spawn(self.admin.serve(admin_permits, drain.clone(), move |stream, drain| {
            http::serve(stream, admin_service.clone(), drain)
        }));
        // The ports are bound and their loops are on their way: whoever connects now is served.
        drop(latches);
    }
}

fn bind(
    address: IpAddr,
    port: u16,
    purpose: &'static str,
    option: &'static str,
) -> Result<Port, StartError> {
    let address = SocketAddr::new(address, port);
    let failed = |source| StartError::Bind { address, purpose, option, source };
    Port::bind(address).map_err(failed)
}

/// The port that SDKs hard-code, or another where that one may not be bound and none was asked for.
fn bind_https(config: &Config) -> Result<(Port, bool), StartError> {
    let at = |port| bind(config.bind, port, "HTTPS", "https-port");
    if let Some(port) = config.https_port {
        return Ok((at(port)?, false));
    }
    match at(HTTPS_PORT) {
        Err(StartError::Bind { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok((at(FALLBACK_HTTPS_PORT)?, true))
        }
        bound => Ok((bound?, false)),
    }
}

/// The file that tells tools on this machine where the emulator is. Withdrawn when dropped.
#[derive(Debug)]
struct Announcement {
    dir: StateDir,
    written: LocalEmulator,
    /// What another emulator had announced: if that one still runs then, it is found again.
    replaced: Option<LocalEmulator>,
}

impl Announcement {
    fn write(
        path: &Path,
        connection_string: &str,
        event_hub: &str,
        addresses: &Addresses,
        certificates: &Certificates,
    ) -> Result<Self, StateError> {
        let dir = StateDir::open(path)?;
        let written = LocalEmulator {
            connection_string: connection_string.to_owned(),
            mqtt_port: addresses.mqtts.port(),
            amqp_port: addresses.amqps.port(),
            event_hub: event_hub.to_owned(),
            ca_file: certificates.ca_file().map(Path::to_owned).unwrap_or_default(),
            pid: std::process::id(),
        };
        // What cannot be read is nothing to go back to.
        let replaced = LocalEmulator::read(dir.path()).ok().flatten();
        write_announcement(&dir, &written)?;
        Ok(Self { dir, written, replaced })
    }

    fn withdraw(&self) -> Result<(), StateError> {
        match &self.replaced {
            Some(other) if other.pid != self.written.pid && is_running(other.pid) => {
                write_announcement(&self.dir, other)
            }
            _ => self.dir.remove(FILE_NAME),
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Another emulator may have written its own over it.
        let is_own = LocalEmulator::read(self.dir.path())
            .is_ok_and(|found| found.as_ref() == Some(&self.written));
        if is_own && let Err(error) = self.withdraw() {
            tracing::warn!(%error, "a stale file stays in the state directory");
        }
    }
}

/// Only its owner may read it: it holds a key.
fn write_announcement(dir: &StateDir, emulator: &LocalEmulator) -> Result<(), StateError> {
    dir.write(FILE_NAME, emulator.to_json().as_bytes(), Readers::Owner)
}

/// Whether there is a process of this id; no, where that cannot be told.
fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
