//! The hub: a cheap handle through which principals open sessions.

use std::fmt;
use std::sync::Arc;

use crate::auth::policy::SharedAccessPolicy;
use crate::auth::sas::SasToken;
use crate::auth::x509::{self, CertificateChain, DeviceAuthorities};
use crate::auth::{self, DevicePrincipal, Refusal, ServicePrincipal};
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::limits;
use crate::random::Random;
use crate::session::{Connect, Connected, DeviceSession, Presences, ServiceSession};
use crate::store::{Change, Effect, EventLog, Record, Records, StoreError, Versioned};
use crate::time::{Clock, Timestamp};

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
    ports: Ports,
    presences: Arc<Presences>,
}

impl Hub {
    /// A hub over these ports, with these policies.
    pub fn new(name: impl Into<String>, policies: Vec<SharedAccessPolicy>, ports: Ports) -> Self {
        let presences = Arc::new(Presences::default());
        ports.records.watch(presences.clone());
        Self(Arc::new(Inner { name: name.into(), policies, ports, presences }))
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
        let current = self.records().get(id).await?;
        let identity = current.as_ref().map(|current| &current.record.identity);
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
        let current = self.records().get(id).await?;
        let identity = current.as_ref().map(|current| &current.record.identity);
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

    pub(crate) fn presences(&self) -> &Presences {
        &self.0.presences
    }

    pub(crate) async fn record(&self, id: &IdentityId) -> Result<Versioned, HubError> {
        self.records().get(id).await?.ok_or_else(|| HubError::not_found(id))
    }

    /// Reads the record of `id`, lets `decide` make a new one of it, and commits that; again, if
    /// another change came in between.
    pub(crate) async fn change(
        &self,
        id: &IdentityId,
        decide: impl Fn(&Record, Timestamp) -> Result<(Record, Vec<Effect>), HubError>,
    ) -> Result<Arc<Record>, HubError> {
        for _ in 0..limits::COMMIT_ATTEMPTS {
            let current = self.record(id).await?;
            let (record, effects) = decide(&current.record, self.now())?;
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
        Err(HubError::Conflict(id.clone()))
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
