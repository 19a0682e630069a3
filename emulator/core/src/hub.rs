//! The hub: a cheap handle through which principals open sessions.

use std::fmt;
use std::sync::Arc;

use crate::auth::policy::SharedAccessPolicy;
use crate::auth::sas::{SasToken, SymmetricKey};
use crate::auth::x509::{self, CertificateChain, DeviceAuthorities};
use crate::auth::{self, Credentials, DevicePrincipal, Refusal, ServicePrincipal};
use crate::error::HubError;
use crate::ids::{DeviceId, IdentityId};
use crate::limits;
use crate::random::Random;
use crate::session::{Connect, Connected, DeviceSession, Presences, ServiceSession};
use crate::store::{Change, Effect, EventLog, Record, Records, StoreError, Versioned};
use crate::throttle::{Operation, Throttles};
use crate::time::{Clock, Timestamp};
use crate::twin::Twin;

/// What a hub is made of.
pub struct Ports {
    /// Where records live.
    pub records: Arc<dyn Records>,
    /// Where events live.
    pub events: Arc<dyn EventLog>,
    /// Whose certificates devices may authenticate with.
    pub authorities: Arc<dyn DeviceAuthorities>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub random: Random,
}

/// An IoT hub. Clones are handles to the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    name: String,
    policies: Vec<SharedAccessPolicy>,
    throttles: Option<Throttles>,
    ports: Ports,
    presences: Arc<Presences>,
    /// Signs what clients hold between the pages of a query. Of this life of this hub only, so that
    /// what another one signed is told from its own; the well-known keys would not do that.
    continuation_key: SymmetricKey,
}

impl Hub {
    /// A hub over these ports, with these policies; without throttles it takes what comes.
    pub fn new(
        name: impl Into<String>,
        policies: Vec<SharedAccessPolicy>,
        throttles: Option<Throttles>,
        ports: Ports,
    ) -> Self {
        let presences = Arc::new(Presences::default());
        ports.records.watch(presences.clone());
        let continuation_key = SymmetricKey::generate(&ports.random);
        let name = name.into();
        Self(Arc::new(Inner { name, policies, throttles, ports, presences, continuation_key }))
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

    /// Counts an operation, and returns when the hub's throttles let it through.
    ///
    /// # Errors
    ///
    /// It would have to wait too long, or the messages of the day are used up.
    pub async fn admit(&self, operation: Operation) -> Result<(), HubError> {
        let Some(throttles) = &self.0.throttles else { return Ok(()) };
        let now = self.now();
        let until = throttles.admit(operation, now)?;
        if until > now {
            self.clock().sleep_until(until).await;
        }
        Ok(())
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

    /// Opens the session of a back end.
    pub fn service(&self, principal: ServicePrincipal) -> ServiceSession {
        ServiceSession::open(self.clone(), principal)
    }

    /// The time, by the hub's clock.
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
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
        &self.0.presences
    }

    /// The record of a device.
    pub(crate) async fn record(&self, id: &DeviceId) -> Result<Versioned, HubError> {
        let found = self.records().get(id).await?;
        found.ok_or_else(|| HubError::DeviceNotFound(id.clone()))
    }

    /// Reads the record of a device, lets `decide` make a new one of it, and commits that; again,
    /// if another change came in between.
    pub(crate) async fn change(
        &self,
        id: &DeviceId,
        decide: impl Fn(&Record, Timestamp) -> Result<Decision, HubError>,
    ) -> Result<Arc<Record>, HubError> {
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let current = self.record(id).await?;
            let Decision { record, effects } = decide(&current.record, self.now())?;
            let record = Arc::new(record);
            let change = Change {
                id: id.clone(),
                expected: Some(current.revision),
                record: Some(record.clone()),
                effects,
            };
            match self.records().commit(change).await {
                Ok(_) => return Ok(record),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HubError::Conflict(id.clone().into()))
    }

    /// As [`Hub::change`], for the twin of a device or module.
    pub(crate) async fn change_twin(
        &self,
        id: &IdentityId,
        decide: impl Fn(&Twin, Timestamp) -> Result<(Twin, Vec<Effect>), HubError>,
    ) -> Result<Arc<Record>, HubError> {
        let change = |record: &Record, now| {
            let twin = record.twin_of(id).ok_or_else(|| HubError::not_found(id))?;
            let (twin, effects) = decide(twin, now)?;
            let effects = effects.into_iter().map(|effect| (id.clone(), effect)).collect();
            Ok(Decision { record: record.with_twin(id, twin), effects })
        };
        self.change(&id.device, change).await
    }
}

/// What a change makes of a record, and what follows from it for whom.
pub(crate) struct Decision {
    pub(crate) record: Record,
    pub(crate) effects: Vec<(IdentityId, Effect)>,
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
