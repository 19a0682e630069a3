//! [`Emulator`]: a hub, its ports, and how they start and end.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use iothub_admin::Readiness;
use iothub_core::hub::Hub;
use iothub_core::limits;
use iothub_core::route::RoutingMistake;
use iothub_core::time::Clock as _;
use iothub_wire::local::{FILE_NAME, LocalEmulator};
use tokio::sync::Semaphore;

use crate::authorities::AuthorityError;
use crate::banner::Facts;
use crate::certificate::{CertificateError, Certificates};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::drain::{self, Drain, Drainer, Why};
use crate::http;
use crate::hubs::Hubs;
use crate::listener::Port;
use crate::seed::{SeedError, beginning};
use crate::served::{BoundPorts, HubAddresses, bind};
use crate::state_dir::{Readers, StateDir, StateError};

/// The policy whose connection string is handed out: it may do everything.
pub const OWNER: &str = "iothubowner";
/// The version that `/version` tells.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An emulator that serves. Dropping it ends it at once; [`Emulator::stop`] waits for its sessions.
#[derive(Debug)]
pub struct Emulator {
    hubs: Arc<Hubs>,
    addresses: Addresses,
    connection_string: String,
    certificates: Certificates,
    drainer: Drainer,
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
    /// The hub cannot begin with what it is to begin with.
    #[error(transparent)]
    Seed(#[from] SeedError),
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
        let seed = beginning(config)?;
        let certificates = Certificates::prepare(config, SystemClock.now())?;
        let ports = BoundPorts::bind(config)?;
        let admin = bind(config.admin_bind, config.admin_port, "the harness", "admin-port")?;
        let addresses = addresses(&ports.addresses(), admin.address());
        let readiness = Readiness::default();
        let latches = ["mqtts", "amqps", "https"].map(|name| readiness.latch(name));
        let hubs = Arc::new(Hubs::start(config, ports, &certificates, seed)?);
        let (drainer, drain) = drain::channel();
        let router = iothub_admin::router(
            readiness,
            VERSION,
            certificates.authority().pem().to_owned(),
            Arc::clone(&hubs),
            config.admin_token.clone(),
        );
        serve_admin(admin, router, drain);
        // The ports are bound and their loops are on their way: whoever connects now is served.
        drop(latches);
        let connection_string = hubs.owner_string();
        let announcement = match &config.state_dir {
            None => None,
            Some(path) => Some(Announcement::write(
                path,
                &connection_string,
                &config.hub_name,
                &addresses,
                &certificates,
            )?),
        };
        Ok(Self { hubs, addresses, connection_string, certificates, drainer, announcement })
    }

    /// The hub that it began with.
    pub fn hub(&self) -> Hub {
        self.hubs.first()
    }

    /// All its hubs, to make and to end.
    pub fn hubs(&self) -> &impl iothub_admin::Hubs {
        self.hubs.as_ref()
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
        let Self { hubs, drainer, announcement, .. } = self;
        // Nobody should find an emulator that no longer accepts.
        drop(announcement);
        drainer.ask(Why::Stop);
        // Who follows a journal would never go.
        hubs.end_journals();
        drainer.drain(Why::Stop).await;
        hubs.stop().await;
    }
}

fn addresses(hub: &HubAddresses, admin: SocketAddr) -> Addresses {
    let HubAddresses { mqtts, mqtt, amqps, amqp, https, https_fell_back } = *hub;
    Addresses { mqtts, mqtt, amqps, amqp, https, https_fell_back, admin }
}

/// With permits of its own, so that a hub that is full still says that it is ready.
fn serve_admin(port: Port, router: Router, drain: Drain) {
    let permits = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS));
    tokio::spawn(port.serve(permits, drain, move |stream, drain| {
        // A peer that is gone already is nobody who may do anything.
        let peer = stream.stream().peer_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        http::serve(stream, router.clone().layer(Extension(ConnectInfo(peer))), drain)
    }));
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
            harness: format!("http://{}", reachable(addresses.admin)),
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

/// Where to connect for what is bound here: on this machine, if it is bound everywhere.
pub fn reachable(mut bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        bound.set_ip(if bound.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    bound
}

/// Whether there is a process of this id; no, where that cannot be told.
fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
