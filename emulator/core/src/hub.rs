//! The hub: a cheap handle through which principals open sessions.

mod admission;
mod change;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::policy::SharedAccessPolicy;
use crate::auth::sas::{SasToken, SymmetricKey};
use crate::auth::x509::{self, CertificateChain, DeviceAuthorities};
use crate::auth::{self, Credentials, DevicePrincipal, Refusal, ServicePrincipal};
use crate::configuration::{Configuration, ConfigurationId};
use crate::devicebound::Queues;
use crate::error::HubError;
use crate::fault::Faults;
use crate::ids::{DeviceId, GenerationId, IdentityId};
use crate::job::{Job, JobId};
use crate::journal::{Journal, What};
use crate::limits;
use crate::notice::Notices;
use crate::query::twin::Connections;
use crate::random::Random;
use crate::route::Wiring;
use crate::route::properties::RoutingProperties;
use crate::session::{
    Connect, Connected, ConnectionState, DeviceRequest, DeviceSession, Presences, ServiceSession,
    keep_configured, run_jobs,
};
use crate::store::{
    Committed, Effect, EventHub, EventLog, Records, StoreError, Versioned, Watcher,
};
use crate::table::Table;
use crate::throttle::Throttles;
use crate::time::{Clock, Timestamp};
use crate::transfer::Transfers;
use crate::transfer::storage::Storage;

pub(crate) use self::change::Decision;

/// What a hub is made of.
pub struct Ports {
    /// Where records live.
    pub records: Arc<dyn Records>,
    /// Where events live.
    pub events: Arc<dyn EventLog>,
    /// The consumer groups of the built-in endpoint; `$Default` is always there.
    pub consumer_groups: Vec<String>,
    /// Where events go.
    pub routing: Wiring,
    /// Where configurations live.
    pub configurations: Arc<dyn Table<ConfigurationId, Configuration>>,
    /// Where jobs live.
    pub jobs: Arc<dyn Table<JobId, Job>>,
    /// Whose certificates devices may authenticate with.
    pub authorities: Arc<dyn DeviceAuthorities>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub random: Arc<Random>,
    /// Where import and export jobs read and write, if there is such a place.
    pub storage: Option<Arc<dyn Storage>>,
}

/// An IoT hub. Clones are handles to the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    name: String,
    /// The built-in one first, then those that routes name.
    event_hubs: Vec<EventHub>,
    policies: Vec<SharedAccessPolicy>,
    throttles: Option<Throttles>,
    ports: Ports,
    live: Arc<Live>,
    transfers: Transfers,
    faults: Faults,
    /// Signs what clients hold between the pages of a query. Of this life of this hub only, so that
    /// what another one signed is told from its own; the well-known keys would not do that.
    continuation_key: SymmetricKey,
    /// Wakes the sweep over all records.
    configurations_changed: Notify,
    /// Wakes whoever starts jobs.
    jobs_changed: Notify,
    /// Wakes the jobs, to see whether they are the one that was cancelled.
    job_cancelled: Notify,
}

/// What a hub holds beside its records: who is connected, and what waits for devices.
struct Live {
    presences: Presences,
    notices: Arc<Notices>,
    devicebound: Queues,
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
}

impl Watcher for Live {
    fn committed(&self, committed: &Committed<'_>) {
        self.journal.committed(committed, self.clock.now());
        self.presences.committed(committed.effects);
        self.notices.committed(committed);
        for (id, effect) in committed.effects {
            if *effect == Effect::Deleted && id.module.is_none() {
                self.devicebound.remove(&id.device);
            }
        }
    }
}

impl Hub {
    /// A hub over these ports, with these policies; without throttles it takes what comes.
    pub fn new(
        name: impl Into<String>,
        policies: Vec<SharedAccessPolicy>,
        throttles: Option<Throttles>,
        ports: Ports,
    ) -> Self {
        let name = name.into();
        let notices = Arc::new(Notices::new(
            &name,
            ports.routing.clone(),
            ports.clock.clone(),
            ports.random.clone(),
        ));
        let presences = Presences::new(notices.clone());
        let journal = Arc::new(Journal::default());
        let live = Arc::new(Live {
            presences,
            notices,
            devicebound: Queues::new(journal.clone()),
            journal,
            clock: ports.clock.clone(),
        });
        ports.records.watch(live.clone());
        let mut event_hubs = vec![built_in(&name, &ports)];
        event_hubs.extend(ports.routing.event_hubs(ports.clock.now()));
        let continuation_key = SymmetricKey::generate(&ports.random);
        Self(Arc::new(Inner {
            name,
            event_hubs,
            policies,
            throttles,
            ports,
            live,
            transfers: Transfers::default(),
            faults: Faults::default(),
            continuation_key,
            configurations_changed: Notify::new(),
            jobs_changed: Notify::new(),
            job_cancelled: Notify::new(),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its shared access policies.
    pub fn policies(&self) -> &[SharedAccessPolicy] {
        &self.0.policies
    }

    /// The log of what devices sent.
    pub fn events(&self) -> &Arc<dyn EventLog> {
        &self.0.ports.events
    }

    /// The event hub of this name. The built-in one has the name of the hub, and comes first.
    pub fn event_hub(&self, name: &str) -> Option<&EventHub> {
        self.event_hubs().iter().find(|hub| hub.name.eq_ignore_ascii_case(name))
    }

    /// All event hubs, the built-in one first.
    pub fn event_hubs(&self) -> &[EventHub] {
        &self.0.event_hubs
    }

    /// Where events go.
    pub(crate) fn routing(&self) -> &Wiring {
        &self.0.ports.routing
    }

    /// The rules for where events go, as they were configured.
    pub fn routes(&self) -> &RoutingProperties {
        self.routing().rules().properties()
    }

    /// What arrived and what was decided.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.0.live.journal
    }

    /// Writes into the journal.
    pub fn note(&self, id: Option<&IdentityId>, what: What) {
        self.0.live.journal.write(self.now(), id, what);
    }

    /// Writes into the journal that somebody was not let in.
    pub fn note_refusal(
        &self,
        protocol: &'static str,
        id: Option<&IdentityId>,
        why: &dyn fmt::Display,
    ) {
        self.note(id, What::Refused { protocol, why: why.to_string() });
    }

    /// Checks the token with which a device or module wants to connect.
    ///
    /// # Errors
    ///
    /// Says why it is refused; the caller's answer shows less, the log all of it. The outer error
    /// is the hub's own trouble.
    pub async fn authenticate_device(
        &self,
        id: &IdentityId,
        token: &SasToken,
    ) -> Result<DevicePrincipal, HubError> {
        let current = self.records().get(&id.device).await?;
        let identity = current.as_ref().and_then(|current| Credentials::of(&current.record, id));
        auth::device(token, id, identity, self.policies(), self.now())
            .map_err(HubError::Unauthorized)
    }

    /// Checks the certificate with which a device or module wants to connect.
    ///
    /// # Errors
    ///
    /// As [`Hub::authenticate_device`].
    pub async fn authenticate_device_by_certificate(
        &self,
        id: &IdentityId,
        chain: &CertificateChain,
    ) -> Result<DevicePrincipal, HubError> {
        let current = self.records().get(&id.device).await?;
        let identity = current.as_ref().and_then(|current| Credentials::of(&current.record, id));
        x509::device(chain, id, identity, &*self.0.ports.authorities, self.now())
            .map_err(HubError::Unauthorized)
    }

    /// Checks the token with which a back end asks for the resource at `path`.
    ///
    /// # Errors
    ///
    /// Says why it is refused.
    pub fn authenticate_service(
        &self,
        path: &[&str],
        token: &SasToken,
    ) -> Result<ServicePrincipal, Refusal> {
        auth::service(token, path, self.policies(), self.now())
    }

    /// Checks the token with which somebody wants to read the event hub of this name.
    ///
    /// # Errors
    ///
    /// Says why it is refused.
    pub fn authenticate_reader(&self, event_hub: &str, token: &SasToken) -> Result<(), Refusal> {
        auth::events(token, event_hub, self.policies(), self.now())
    }

    /// Connects a device or module; a connection that it had before is closed.
    ///
    /// # Errors
    ///
    /// Its identity changed since it authenticated, or the records cannot be reached.
    pub async fn device(
        &self,
        principal: DevicePrincipal,
        connect: Connect,
    ) -> Result<Connected, HubError> {
        DeviceSession::open(self.clone(), principal, connect).await
    }

    /// Lets a device ask for something without connecting.
    pub fn device_request(&self, principal: DevicePrincipal) -> DeviceRequest {
        DeviceRequest::open(self.clone(), principal)
    }

    /// Opens the session of a back end.
    pub fn service(&self, principal: ServicePrincipal) -> ServiceSession {
        ServiceSession::open(self.clone(), principal)
    }

    /// The time, by the hub's clock.
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// Returns when this span is over, by the hub's clock.
    pub async fn wait(&self, span: Duration) {
        if !span.is_zero() {
            self.clock().sleep_until(self.now().after(span)).await;
        }
    }

    /// The hub's clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.ports.clock
    }

    /// The hub's source of chance.
    pub fn random(&self) -> &Random {
        &self.0.ports.random
    }

    pub(crate) fn records(&self) -> &dyn Records {
        &*self.0.ports.records
    }

    pub(crate) fn continuation_key(&self) -> &SymmetricKey {
        &self.0.continuation_key
    }

    pub(crate) fn presences(&self) -> &Presences {
        &self.0.live.presences
    }

    pub(crate) fn notices(&self) -> &Notices {
        &self.0.live.notices
    }

    pub(crate) fn devicebound(&self) -> &Queues {
        &self.0.live.devicebound
    }

    pub(crate) fn storage(&self) -> Option<&Arc<dyn Storage>> {
        self.0.ports.storage.as_ref()
    }

    pub(crate) fn transfers(&self) -> &Transfers {
        &self.0.transfers
    }

    /// The record of a device.
    pub(crate) async fn record(&self, id: &DeviceId) -> Result<Versioned, HubError> {
        let found = self.records().get(id).await?;
        found.ok_or_else(|| HubError::DeviceNotFound(id.clone()))
    }

    /// What the hub does by itself: keeps twins as configurations want them, runs jobs, tells of
    /// connections that ended, and lets messages expire. Never returns; whoever runs the hub runs
    /// this beside it, and drops it to end it.
    pub async fn work(&self) {
        tokio::join!(
            keep_configured(self),
            run_jobs(self),
            self.keep_telling(),
            self.keep_expiring()
        );
    }

    pub(crate) fn jobs(&self) -> &dyn Table<JobId, Job> {
        &*self.0.ports.jobs
    }

    /// How many jobs may be at work at a time.
    pub(crate) fn running_jobs(&self) -> usize {
        self.0.throttles.as_ref().map_or(limits::RUNNING_JOBS, Throttles::running_jobs)
    }

    pub(crate) fn jobs_changed(&self) -> &Notify {
        &self.0.jobs_changed
    }

    pub(crate) fn job_cancelled(&self) -> &Notify {
        &self.0.job_cancelled
    }

    pub(crate) fn configurations(&self) -> &dyn Table<ConfigurationId, Configuration> {
        &*self.0.ports.configurations
    }

    pub(crate) fn configurations_changed(&self) -> &Notify {
        &self.0.configurations_changed
    }
}

fn built_in(name: &str, ports: &Ports) -> EventHub {
    EventHub::new(name, ports.events.clone(), &ports.consumer_groups, ports.clock.now())
}

impl Connections for Hub {
    fn state(&self, id: &IdentityId, generation: GenerationId) -> ConnectionState {
        self.presences().state(id, generation)
    }

    fn waiting(&self, id: &DeviceId, generation: GenerationId) -> usize {
        self.devicebound().count(id, generation, self.now())
    }
}

impl PartialEq for Hub {
    /// Whether these are handles to the same hub.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hub").field(&self.0.name).finish()
    }
}

impl From<StoreError> for HubError {
    fn from(error: StoreError) -> Self {
        Self::ServiceUnavailable(error.to_string())
    }
}
