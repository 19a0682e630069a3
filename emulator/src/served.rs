//! One hub that is served: its ports, and the tasks behind them.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use iothub_core::auth::policy::SharedAccessPolicy;
use iothub_core::auth::x509::CertificateChain;
use iothub_core::directory::Directory;
use iothub_core::fault::Edge;
use iothub_core::fault::line::Line;
use iothub_core::hub::{Hub, Ports};
use iothub_core::random::Random;
use iothub_core::route::Routing;
use iothub_core::snapshot::Snapshot;
use iothub_core::throttle::Throttles;
use iothub_core::time::Clock;
use iothub_store::memory::MemoryRecords;
use iothub_store::memory_table::MemoryTable;
use iothub_wire::connection_string::{Host, ServiceConnectionString};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::authorities::Authorities;
use crate::certificate::client;
use crate::clock::turned::TurnedClock;
use crate::config::{Config, FALLBACK_HTTPS_PORT, HTTPS_PORT};
use crate::drain::{self, Drain, Drainer, Why};
use crate::emulator::{OWNER, StartError};
use crate::endpoints::{self, Queues};
use crate::http;
use crate::keys::built_in_policies;
use crate::line::Tcp;
use crate::listener::{Port, handshake, is_let_in, no_delay};
use crate::state_dir::StateDir;
use crate::storage::Folder;
use crate::tls::Tls;
use crate::websocket::{self, Below};

/// A hub that is served. Dropping it ends it at once; [`ServedHub::stop`] waits for its sessions.
#[derive(Debug)]
pub(crate) struct ServedHub {
    hub: Hub,
    ports: BoundPorts,
    tls: Arc<Tls>,
    /// What devices and services call it in their connection strings.
    host: String,
    clock: Arc<TurnedClock>,
    drainer: Drainer,
    endpoints: Queues,
}

/// A hub that is not served yet.
pub(crate) struct Built {
    pub(crate) hub: Hub,
    pub(crate) endpoints: Queues,
    pub(crate) clock: Arc<TurnedClock>,
}

/// Where a hub is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HubAddresses {
    pub(crate) mqtts: SocketAddr,
    pub(crate) mqtt: Option<SocketAddr>,
    pub(crate) amqps: SocketAddr,
    pub(crate) amqp: Option<SocketAddr>,
    pub(crate) https: SocketAddr,
    pub(crate) https_fell_back: bool,
}

impl ServedHub {
    /// Serves a hub at the ports that were bound for it.
    pub(crate) fn start(
        config: &Config,
        Built { hub, endpoints, clock }: Built,
        ports: BoundPorts,
        tls: Arc<ServerConfig>,
        permits: Arc<Semaphore>,
    ) -> Self {
        let (drainer, drain) = drain::channel();
        tokio::spawn(work(hub.clone(), drain.clone()));
        let directory = directory(config, &hub);
        let tls = Arc::new(Tls::new(tls));
        ports.clone().serve(&directory, &tls, &permits, &drain);
        Self { hub, ports, tls, host: config.hostname.to_string(), clock, drainer, endpoints }
    }

    /// Serves another hub in the place of this one, which is given back to be stopped. The ports
    /// stay open all the time, and whoever comes from now on meets the other.
    pub(crate) fn replace(
        &mut self,
        config: &Config,
        built: Built,
        tls: Arc<ServerConfig>,
        permits: Arc<Semaphore>,
        why: Why,
    ) -> Self {
        self.drainer.ask(why);
        let next = Self::start(config, built, self.ports.clone(), tls, permits);
        mem::replace(self, next)
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn clock(&self) -> &Arc<TurnedClock> {
        &self.clock
    }

    /// What its TLS listeners show.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(crate) fn addresses(&self) -> HubAddresses {
        self.ports.addresses()
    }

    /// What devices and services call it in their connection strings.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// How a back end is let in with a policy; with a port if HTTPS is not on 443.
    pub(crate) fn connection_string(&self, policy: &SharedAccessPolicy) -> ServiceConnectionString {
        let port = self.addresses().https.port();
        ServiceConnectionString {
            host: Host { name: self.host.clone(), port: (port != HTTPS_PORT).then_some(port) },
            policy: policy.name.clone(),
            key: policy.primary.clone(),
        }
    }

    /// The same with the policy that may do everything, if the hub has it.
    pub(crate) fn owner_string(&self) -> Option<ServiceConnectionString> {
        let owner = self.hub.policies().iter().find(|policy| policy.name == OWNER)?;
        Some(self.connection_string(owner))
    }

    /// Stops accepting, closes the sessions, and returns when the last one has ended, or when the
    /// grace is over.
    pub(crate) async fn stop(self, why: Why, grace: Option<Duration>) {
        drop(self.ports);
        self.hub.journal().end();
        let ending = async {
            self.drainer.drain(why).await;
            self.endpoints.empty().await;
        };
        match grace {
            // What has not ended then goes on without a port and ends by itself.
            Some(grace) => drop(timeout(grace, ending).await),
            None => ending.await,
        }
    }
}

/// Lets the hub do what it does by itself, until the end.
async fn work(hub: Hub, drain: Drain) {
    tokio::select! {
        () = hub.work() => {}
        () = drain.asked() => {}
    }
}

/// Chance that begins with what the operating system gives.
pub(crate) fn chance() -> Result<Random, StartError> {
    let mut entropy = [0; 32];
    SysRng.try_fill_bytes(&mut entropy).map_err(|error| StartError::Entropy(error.to_string()))?;
    Ok(Random::from_entropy(entropy))
}

/// Makes a hub with these policies, or with those that every hub begins with, that holds this.
pub(crate) fn build_hub(
    config: &Config,
    policies: Option<Vec<SharedAccessPolicy>>,
    content: &Snapshot,
) -> Result<Built, StartError> {
    let random = chance()?;
    let policies = policies.unwrap_or_else(|| built_in_policies(config.keys, &random));
    let dir = config.state_dir.as_ref().map(StateDir::open).transpose()?;
    let routing = content.routing.clone().unwrap_or_default();
    let routing = Routing::new(&routing).map_err(StartError::Routing)?;
    let turned = Arc::new(TurnedClock::default());
    let clock: Arc<dyn Clock> = turned.clone();
    let (routing, endpoints) = endpoints::wire(config, routing, &clock);
    let ports = Ports {
        records: Arc::new(content.devices.iter().cloned().collect::<MemoryRecords>()),
        events: endpoints::event_log(config.event_partitions, config, clock.clone()),
        consumer_groups: config.consumer_groups.clone(),
        routing,
        configurations: Arc::new(content.configurations_by_id().collect::<MemoryTable<_, _>>()),
        jobs: Arc::new(MemoryTable::default()),
        authorities: Arc::new(Authorities::new(&config.device_authorities, dir)?),
        clock,
        random: Arc::new(random),
        storage: config.storage_dir.clone().map(|root| Arc::new(Folder::new(root)) as _),
    };
    let throttles = config.enforce_throttles.then(|| Throttles::new(config.tier, config.units));
    let hub = Hub::new(&config.hub_name, policies, throttles, ports);
    hub.obey_fault_messages(config.fault_messages);
    Ok(Built { hub, endpoints, clock: turned })
}

fn directory(config: &Config, hub: &Hub) -> Directory {
    let mut names: Vec<String> = config.hostnames().map(ToString::to_string).collect();
    names.push(format!("{}.azure-devices.net", config.hub_name));
    Directory::new(hub.clone(), &names, config.strict_hosts)
}

/// Every port of a hub, bound before anything starts, so that one that is taken shows at once.
#[derive(Clone, Debug)]
pub(crate) struct BoundPorts {
    mqtts: Port,
    mqtt: Option<Port>,
    amqps: Port,
    amqp: Option<Port>,
    https: Port,
    https_fell_back: bool,
}

impl BoundPorts {
    pub(crate) fn bind(config: &Config) -> Result<Self, StartError> {
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
        })
    }

    pub(crate) fn addresses(&self) -> HubAddresses {
        HubAddresses {
            mqtts: self.mqtts.address(),
            mqtt: self.mqtt.as_ref().map(Port::address),
            amqps: self.amqps.address(),
            amqp: self.amqp.as_ref().map(Port::address),
            https: self.https.address(),
            https_fell_back: self.https_fell_back,
        }
    }

    fn serve(self, directory: &Directory, tls: &Arc<Tls>, permits: &Arc<Semaphore>, drain: &Drain) {
        let https_service = iothub_rest::service(directory);
        if let Some(mqtt) = self.mqtt {
            let directory = directory.clone();
            tokio::spawn(mqtt.serve(permits.clone(), drain.clone(), move |stream, drain| {
                let directory = directory.clone();
                async move {
                    if !is_let_in(&stream, Edge::Mqtt, directory.default_hub(), &drain).await {
                        return;
                    }
                    no_delay(&stream);
                    let line = stream.line();
                    iothub_mqtt::serve(stream, None, &directory, line, drain.asked()).await;
                }
            }));
        }
        let mqtts_tls = Arc::clone(tls);
        let mqtts_directory = directory.clone();
        tokio::spawn(self.mqtts.serve(permits.clone(), drain.clone(), move |stream, drain| {
            let (tls, directory) = (mqtts_tls.clone(), mqtts_directory.clone());
            async move {
                let hub = directory.default_hub();
                if !is_let_in(&stream, Edge::Mqtt, hub, &drain).await {
                    return;
                }
                if let Some(stream) = handshake(&tls, stream, &drain, directory.default_hub()).await
                {
                    let (line, shown) = below(&stream);
                    iothub_mqtt::serve(stream, shown, &directory, line, drain.asked()).await;
                }
            }
        }));
        if let Some(amqp) = self.amqp {
            let directory = directory.clone();
            tokio::spawn(amqp.serve(permits.clone(), drain.clone(), move |stream, drain| {
                let directory = directory.clone();
                async move {
                    if !is_let_in(&stream, Edge::Amqp, directory.default_hub(), &drain).await {
                        return;
                    }
                    no_delay(&stream);
                    let line = stream.line();
                    iothub_amqp::serve(stream, None, &directory, line, drain.reason()).await;
                }
            }));
        }
        let (amqps_tls, amqps_directory) = (Arc::clone(tls), directory.clone());
        tokio::spawn(self.amqps.serve(permits.clone(), drain.clone(), move |stream, drain| {
            let (tls, directory) = (amqps_tls.clone(), amqps_directory.clone());
            async move {
                let hub = directory.default_hub();
                if !is_let_in(&stream, Edge::Amqp, hub, &drain).await {
                    return;
                }
                if let Some(stream) = handshake(&tls, stream, &drain, directory.default_hub()).await
                {
                    let (line, shown) = below(&stream);
                    iothub_amqp::serve(stream, shown, &directory, line, drain.reason()).await;
                }
            }
        }));
        let (https_tls, directory) = (Arc::clone(tls), directory.clone());
        tokio::spawn(self.https.serve(permits.clone(), drain.clone(), move |stream, drain| {
            let (tls, service) = (https_tls.clone(), https_service.clone());
            let directory = directory.clone();
            async move {
                let hub = directory.default_hub();
                if !is_let_in(&stream, Edge::Https, hub, &drain).await {
                    return;
                }
                if let Some(stream) = handshake(&tls, stream, &drain, directory.default_hub()).await
                {
                    let (line, shown) = below(&stream);
                    let below = Below { directory, shown, line, drain: drain.clone() };
                    let service = websocket::in_front_of(service, below);
                    http::serve(stream, service, drain).await;
                }
            }
        }));
    }
}

/// What breaks the connection below TLS, and the certificates that the client proved to have.
fn below(stream: &TlsStream<Tcp>) -> (Arc<dyn Line>, Option<CertificateChain>) {
    let (tcp, session) = stream.get_ref();
    (tcp.line(), client::shown(session))
}

pub(crate) fn bind(
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
