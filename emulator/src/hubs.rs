//! The hubs of this process: the one that it began with, and those that the harness makes.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use iothub_admin::{CertificateKind, ClockFacts, HubFacts, HubRefusal, Turn, WantedHub};
use iothub_core::fault::reach::RequestKind;
use iothub_core::hub::Hub;
use iothub_core::limits;
use iothub_core::route::properties::RoutingProperties;
use iothub_core::snapshot::{Folders, Snapshot};
use iothub_core::time::Clock as _;
use iothub_wire::json::snapshot::document;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;

use crate::certificate::Certificates;
use crate::clock::SystemClock;
use crate::clock::turned::TurnedClock;
use crate::config::{Config, HostName, HubKeys};
use crate::drain::Why;
use crate::emulator::StartError;
use crate::seed::{read_json, read_value};
use crate::served::{BoundPorts, Built, ServedHub, build_hub};

/// The ports that SDKs hard-code. That of HTTPS has a fallback, see [`BoundPorts::bind`].
const MQTTS_PORT: u16 = 8883;
const AMQPS_PORT: u16 = 5671;
/// Addresses for hubs: the block 127.64.0.0/10, which is this machine's on Linux and where nobody
/// else is likely to be.
const FIRST_ADDRESS: u32 = 0x7f40_0000;
const ADDRESSES: u32 = 0x0040_0000;
/// How many addresses are tried for one hub; those of other emulators are taken.
const TRIES: u32 = 1000;
/// How many addresses are between those where two emulators of one process begin.
const STRIDE: u32 = 100;

/// The hubs.
#[derive(Debug)]
pub(crate) struct Hubs {
    config: Config,
    certificates: Certificates,
    permits: Arc<Semaphore>,
    served: DashMap<String, Entrance>,
    /// The hub that the emulator began with, also while it is being reset.
    first: RwLock<Hub>,
    next: AtomicU32,
}

/// A hub, and what it is made of again when it is reset.
#[derive(Debug)]
struct Entrance {
    served: ServedHub,
    config: Config,
    tls: Arc<ServerConfig>,
    seed: Snapshot,
}

impl Hubs {
    /// Serves the first hub, whose ports are bound.
    pub(crate) fn start(
        config: &Config,
        ports: BoundPorts,
        certificates: &Certificates,
        seed: Snapshot,
    ) -> Result<Self, StartError> {
        let hub = build_hub(config, None, &seed)?;
        let permits = Arc::new(Semaphore::new(config.max_connections));
        let first = hub.hub.clone();
        let tls = certificates.tls();
        let entrance = Entrance::open(config.clone(), hub, ports, tls, &permits, seed);
        Ok(Self {
            next: AtomicU32::new(first_number()),
            certificates: certificates.clone(),
            permits,
            served: DashMap::from_iter([(config.hub_name.clone(), entrance)]),
            first: RwLock::new(first),
            config: config.clone(),
        })
    }

    /// The hub that the emulator began with.
    pub(crate) fn first(&self) -> Hub {
        self.first.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection string of the first hub for who may do everything.
    pub(crate) fn owner_string(&self) -> String {
        let first = self.served.get(&self.config.hub_name);
        let owner = first.and_then(|first| first.served.owner_string());
        owner.map(|owner| owner.to_string()).unwrap_or_default()
    }

    /// Says to whoever follows a journal that nothing follows.
    pub(crate) fn end_journals(&self) {
        for entry in &self.served {
            entry.served.hub().journal().end();
        }
    }

    /// Stops all, and returns when the last session has ended.
    pub(crate) async fn stop(&self) {
        let names: Vec<_> = self.served.iter().map(|entry| entry.key().clone()).collect();
        for name in names {
            if let Some((_, entrance)) = self.served.remove(&name) {
                entrance.served.stop(Why::Stop, None).await;
            }
        }
    }

    fn serve(&self, wanted: WantedHub, name: &str, seed: Snapshot) -> Result<Entrance, StartError> {
        let mut config = Config {
            hub_name: name.to_owned(),
            aliases: Vec::new(),
            routing: RoutingProperties::default(),
            keys: if wanted.random_keys { HubKeys::Random } else { HubKeys::WellKnown },
            ..self.config.clone()
        };
        let ports = self.bind(&mut config)?;
        let tls = self.certificates.tls_for(&config, SystemClock.now())?;
        let hub = build_hub(&config, None, &seed)?;
        Ok(Entrance::open(config, hub, ports, tls, &self.permits, seed))
    }

    /// Finds a place for another hub: on Linux an address of its own, so that it has the ports that
    /// SDKs hard-code, and the plain ones that the emulator was given; elsewhere free ports beside
    /// the first hub's.
    fn bind(&self, config: &mut Config) -> Result<BoundPorts, StartError> {
        let own_addresses = cfg!(target_os = "linux") && config.bind.is_loopback();
        if !own_addresses {
            (config.mqtts_port, config.amqps_port, config.https_port) = (0, 0, Some(0));
            let plain = |port: Option<u16>| port.map(|_| 0);
            (config.mqtt_port, config.amqp_port) =
                (plain(config.mqtt_port), plain(config.amqp_port));
            return BoundPorts::bind(config);
        }
        (config.mqtts_port, config.amqps_port, config.https_port) = (MQTTS_PORT, AMQPS_PORT, None);
        let mut tries = 0..TRIES;
        loop {
            config.bind = self.next_address();
            config.hostname = HostName::Address(config.bind);
            match BoundPorts::bind(config) {
                Err(StartError::Bind { source, .. })
                    if source.kind() == ErrorKind::AddrInUse && tries.next().is_some() => {}
                bound => return bound,
            }
        }
    }

    /// What a hub begins with that somebody wants, who may be far away.
    fn beginning_of(&self, wanted: &WantedHub) -> Result<Snapshot, HubRefusal> {
        let (first, known) = (self.first(), RoutingProperties::default());
        let read = |document: Option<&Value>| match document {
            None => Ok(Snapshot::default()),
            Some(document) => read_value(document, first.random(), Folders::Of(&known)),
        };
        let seed = read(wanted.seed.as_ref()).map_err(in_seed);
        let routing = wanted.routing.as_ref().map(|routing| json!({ "routing": routing }));
        match (seed, read(routing.as_ref())) {
            (Ok(seed), Ok(Snapshot { routing, .. })) => {
                if seed.routing.is_some() && routing.is_some() {
                    let why = "there are routing and seed.routing, expected one of them";
                    return Err(HubRefusal::Mistakes(vec![why.to_owned()]));
                }
                Ok(Snapshot { routing: seed.routing.or(routing), ..seed })
            }
            (seed, routing) => {
                let mistakes = [seed.err(), routing.err()].into_iter().flatten().flatten();
                Err(HubRefusal::Mistakes(mistakes.collect()))
            }
        }
    }

    /// Puts a hub that holds this, or what it began with, in the place of another, which is to be
    /// stopped; what says nothing of where events go leaves that as it is. If it cannot be made,
    /// nothing has changed.
    fn renew(
        &self,
        name: &str,
        content: Option<Snapshot>,
    ) -> Result<(ServedHub, HubFacts), HubRefusal> {
        let mut entrance =
            self.served.get_mut(name).ok_or_else(|| HubRefusal::NotFound(name.to_owned()))?;
        let Entrance { served, config, tls, seed } = &mut *entrance;
        let policies = served.hub().policies().to_vec();
        let why = if content.is_some() { Why::Restore } else { Why::Reset };
        let with_routes = |mut content: Snapshot| {
            content.routing.get_or_insert_with(|| served.hub().routes().clone());
            content
        };
        let content = content.map(with_routes);
        let content = content.as_ref().unwrap_or(seed);
        let built = build_hub(config, Some(policies), content).map_err(failed)?;
        if name == self.config.hub_name {
            *self.first.write().unwrap_or_else(PoisonError::into_inner) = built.hub.clone();
        }
        let old = served.replace(config, built, Arc::clone(tls), Arc::clone(&self.permits), why);
        Ok((old, entrance.facts()))
    }

    fn next_address(&self) -> IpAddr {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % ADDRESSES;
        Ipv4Addr::from(FIRST_ADDRESS + number).into()
    }

    fn made_up_name(&self) -> String {
        format!("hub-{:016x}", u64::from_be_bytes(self.first().random().bytes()))
    }
}

/// Where an emulator begins to look for addresses: elsewhere than others, of this process too, so that
/// who still knows an address that a hub has left meets nobody else's hub there.
fn first_number() -> u32 {
    static EMULATORS: AtomicU32 = AtomicU32::new(0);
    let before = EMULATORS.fetch_add(1, Ordering::Relaxed);
    std::process::id().wrapping_mul(TRIES).wrapping_add(before.wrapping_mul(STRIDE))
}

impl iothub_admin::Hubs for Hubs {
    fn create(&self, wanted: WantedHub) -> Result<HubFacts, HubRefusal> {
        let name = wanted.name.clone().unwrap_or_else(|| self.made_up_name());
        if self.served.len() >= limits::HUBS {
            return Err(HubRefusal::TooMany(limits::HUBS));
        }
        if self.served.contains_key(&name) {
            return Err(HubRefusal::Exists(name));
        }
        let seed = self.beginning_of(&wanted)?;
        let entrance = self.serve(wanted, &name, seed).map_err(failed)?;
        match self.served.entry(name) {
            Entry::Occupied(other) => Err(HubRefusal::Exists(other.key().clone())),
            Entry::Vacant(place) => Ok(place.insert(entrance).facts()),
        }
    }

    fn list(&self) -> Vec<HubFacts> {
        let mut all: Vec<_> = self.served.iter().map(|entry| entry.facts()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn find(&self, name: &str) -> Option<HubFacts> {
        self.served.get(name).map(|entry| entry.facts())
    }

    async fn delete(&self, name: &str) -> Result<(), HubRefusal> {
        if name == self.config.hub_name {
            return Err(HubRefusal::First(name.to_owned()));
        }
        let (_, entrance) =
            self.served.remove(name).ok_or_else(|| HubRefusal::NotFound(name.to_owned()))?;
        entrance.served.stop(Why::Deleted, Some(self.config.shutdown_grace)).await;
        Ok(())
    }

    fn hub(&self, name: &str) -> Option<Hub> {
        self.served.get(name).map(|entry| entry.served.hub().clone())
    }

    fn requests(&self) -> Vec<RequestKind> {
        iothub_rest::request_kinds()
    }

    fn clock(&self, name: &str) -> Option<ClockFacts> {
        self.served.get(name).map(|entry| clock_facts(entry.served.clock()))
    }

    async fn turn_clock(&self, name: &str, turn: Turn) -> Result<ClockFacts, HubRefusal> {
        let clock = self.served.get(name).map(|entry| Arc::clone(entry.served.clock()));
        let clock = clock.ok_or_else(|| HubRefusal::NotFound(name.to_owned()))?;
        clock.turn(turn).await?;
        Ok(clock_facts(&clock))
    }

    fn certificate(&self, name: &str) -> Option<CertificateKind> {
        self.served.get(name).map(|entry| entry.served.tls().kind())
    }

    fn show_certificate(&self, name: &str, kind: CertificateKind) -> Result<(), HubRefusal> {
        let entry = self.served.get(name).ok_or_else(|| HubRefusal::NotFound(name.to_owned()))?;
        let now = SystemClock.now();
        let tls = match kind {
            CertificateKind::Good => Arc::clone(&entry.tls),
            bad => self
                .certificates
                .bad_tls_for(&entry.config, bad, now)
                .map_err(|why| failed(why.into()))?,
        };
        entry.served.tls().show(kind, tls);
        Ok(())
    }

    async fn reset(&self, name: &str) -> Result<HubFacts, HubRefusal> {
        let (old, facts) = self.renew(name, None)?;
        old.stop(Why::Reset, Some(self.config.shutdown_grace)).await;
        Ok(facts)
    }

    async fn snapshot(&self, name: &str) -> Result<String, HubRefusal> {
        let hub = self.hub(name).ok_or_else(|| HubRefusal::NotFound(name.to_owned()))?;
        let taken = hub.snapshot().await.map_err(|why| HubRefusal::Failed(why.to_string()))?;
        aside(move || Ok(document(&taken))).await
    }

    async fn restore(&self, name: &str, document: Bytes) -> Result<HubFacts, HubRefusal> {
        let begun = self.served.get(name).map(|entry| entry.seed.routing.clone());
        let begun = begun.ok_or_else(|| HubRefusal::NotFound(name.to_owned()))?;
        let (first, begun) = (self.first(), begun.unwrap_or_default());
        let read = move || read_json(&document, first.random(), Folders::Of(&begun));
        let content = aside(move || read().map_err(HubRefusal::Mistakes)).await?;
        let (old, facts) = self.renew(name, Some(content))?;
        old.stop(Why::Restore, Some(self.config.shutdown_grace)).await;
        Ok(facts)
    }
}

impl Entrance {
    fn open(
        config: Config,
        built: Built,
        ports: BoundPorts,
        tls: Arc<ServerConfig>,
        permits: &Arc<Semaphore>,
        seed: Snapshot,
    ) -> Self {
        let served = ServedHub::start(&config, built, ports, Arc::clone(&tls), Arc::clone(permits));
        Self { served, config, tls, seed }
    }

    fn facts(&self) -> HubFacts {
        let served = &self.served;
        let addresses = served.addresses();
        let policies = served.hub().policies();
        let (owner, named) = (served.owner_string(), served.hub().event_hubs());
        let string = |event_hub: &str| {
            owner.as_ref().map(|owner| owner.event_hub_string(event_hub)).unwrap_or_default()
        };
        HubFacts {
            name: served.hub().name().to_owned(),
            host: served.host().to_owned(),
            mqtts: addresses.mqtts,
            amqps: addresses.amqps,
            https: addresses.https,
            mqtt: addresses.mqtt,
            amqp: addresses.amqp,
            connection_strings: policies
                .iter()
                .map(|policy| (policy.name.clone(), served.connection_string(policy).to_string()))
                .collect(),
            event_hub: string(served.hub().name()),
            // The first is the built-in one.
            event_hubs: named
                .iter()
                .skip(1)
                .map(|one| (one.name.clone(), string(&one.name)))
                .collect(),
        }
    }
}

fn clock_facts(clock: &TurnedClock) -> ClockFacts {
    ClockFacts { now: clock.now(), frozen: clock.is_frozen() }
}

fn failed(why: StartError) -> HubRefusal {
    HubRefusal::Failed(why.to_string())
}

/// The mistakes of a document that is the seed in the description of a hub.
fn in_seed(mistakes: Vec<String>) -> Vec<String> {
    mistakes.iter().map(|why| format!("seed: {why}")).collect()
}

/// Runs what takes long for a large hub where it holds nobody up.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HubRefusal> + Send + 'static,
) -> Result<T, HubRefusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|why| Err(HubRefusal::Failed(why.to_string())))
}
