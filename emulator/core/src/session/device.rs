//! What a connected device or module may do.

use std::sync::{Arc, OnceLock};

use super::downlink::DownlinkReceiver;
use super::mailbox::Mailbox;
use super::presence::{Activity, Arrival, ConnectionId, Protocol};
use super::subscriptions::{Assurance, Channel};
use crate::auth::{Credentials, DevicePrincipal, Refusal};
use crate::error::HubError;
use crate::event::Message;
use crate::fault;
use crate::hub::Hub;
use crate::ids::IdentityId;
use crate::journal::What;
use crate::method::broker::{Calls, Lost};
use crate::registry::identity::Status;
use crate::throttle::Operation;
use crate::time::Timestamp;
use crate::twin::{Dialect, Document, Twin};

/// How a device connects.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Connect {
    /// Whether its subscriptions outlive the connection.
    pub persistent: bool,
    /// The IoT Plug and Play model that it announces.
    pub model_id: Option<String>,
    /// What it speaks.
    pub protocol: Protocol,
}

/// A device that is connected.
pub struct Connected {
    /// What it may do.
    pub session: DeviceSession,
    /// What the hub has for it.
    pub receiver: DownlinkReceiver,
    /// Whether subscriptions of an earlier connection came back.
    pub resumed: bool,
}

/// The connection of a device or module, seen from the hub. Dropping it is the disconnect.
#[derive(Debug)]
pub struct DeviceSession {
    pub(super) hub: Hub,
    pub(super) principal: DevicePrincipal,
    pub(super) connection: ConnectionId,
    model_id: Option<String>,
    activity: Arc<Activity>,
    calls: Arc<Calls>,
    /// Why it ends, if that is known.
    end: OnceLock<String>,
}

impl DeviceSession {
    /// Connects a device; a connection that it had before is closed.
    pub(crate) async fn open(
        hub: Hub,
        principal: DevicePrincipal,
        connect: Connect,
    ) -> Result<Connected, HubError> {
        let Arrival { connection, mut receiver, activity, calls, resumed } =
            hub.presences().connect(
                principal.id(),
                principal.generation(),
                (connect.persistent, connect.protocol),
                hub.now(),
            );
        receiver.open_mailbox(Mailbox::of(&hub, &principal, connection));
        let model_id = connect.model_id;
        let end = OnceLock::new();
        let session = Self { hub, principal, connection, model_id, activity, calls, end };
        // The identity may have changed between the check of the credential and the line above,
        // when there was no connection yet that its commit could have closed.
        session.check_identity().await?;
        session.announce_model().await?;
        session.note(What::Connected { protocol: connect.protocol, resumed });
        session.hub.presences().tell_connected(session.id(), connection);
        session.hub.tell_notices().await;
        Ok(Connected { session, receiver, resumed })
    }

    /// Says why this connection ends, for the journal. The first reason stands.
    pub fn ends(&self, why: impl ToString) {
        self.end.get_or_init(|| why.to_string());
    }

    /// Notes that an operation failed, if it did.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub fn noted<T>(
        &self,
        operation: Operation,
        result: Result<T, HubError>,
    ) -> Result<T, HubError> {
        if let Err(error) = &result {
            self.note(What::Failed {
                operation: fault::name_of(operation),
                why: error.to_string(),
            });
        }
        result
    }

    fn note(&self, what: What) {
        self.hub.note(Some(self.id()), what);
    }

    /// Who is connected.
    pub fn id(&self) -> &IdentityId {
        self.principal.id()
    }

    /// Returns when the credential of this connection, grace included, has ended.
    pub async fn expired(&self) {
        match self.principal.connection_ends() {
            Some(end) => self.hub.clock().sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// Listens to a channel.
    pub fn subscribe(&self, channel: Channel, assurance: Assurance) {
        let now = self.now();
        self.hub.presences().subscribe(self.id(), self.connection, |subscriptions| {
            subscriptions.insert(channel, assurance, now);
        });
    }

    /// Stops listening to a channel.
    pub fn unsubscribe(&self, channel: Channel) {
        self.hub.presences().subscribe(self.id(), self.connection, |subscriptions| {
            subscriptions.remove(channel);
        });
    }

    /// Whether the device listens to a channel.
    pub fn listens_to(&self, channel: Channel) -> Option<Assurance> {
        let subscription = self.hub.presences().subscription(self.id(), channel)?;
        Some(subscription.assurance)
    }

    /// Notes that the device was heard of.
    pub fn heard(&self) {
        self.activity.note(self.hub.now());
    }

    /// Takes an event; it is kept when this returns.
    ///
    /// # Errors
    ///
    /// The message is too large, or the log cannot be reached.
    pub async fn send_event(&self, message: Message) -> Result<(), HubError> {
        self.heard();
        self.hub.take_event(&self.principal, message, self.model_id.clone()).await
    }

    /// Reads the twin.
    ///
    /// # Errors
    ///
    /// The identity is gone, or the records cannot be reached.
    pub async fn twin(&self) -> Result<Twin, HubError> {
        self.heard();
        let found = self.hub.record(&self.id().device).await?;
        let twin = found.record.twin_of(self.id());
        let twin = twin.cloned().ok_or_else(|| HubError::not_found(self.id()))?;
        self.note(What::TwinRead);
        Ok(twin)
    }

    /// Changes the reported properties and returns the version of that section.
    ///
    /// # Errors
    ///
    /// The patch breaks a rule of twins, the section does not have the `expected` version, the
    /// identity is gone, or the records cannot be reached.
    pub async fn patch_reported(
        &self,
        patch: &Document,
        expected: Option<u64>,
        dialect: Dialect,
    ) -> Result<u64, HubError> {
        self.heard();
        let change =
            |twin: &Twin, now| Ok((twin.reported(patch, expected, dialect, now)?, Vec::new()));
        let changed = self.hub.change_twin(self.id(), change).await?;
        let twin = changed.twin_of(self.id()).ok_or_else(|| HubError::not_found(self.id()))?;
        let version = twin.reported.version;
        let patch = serde_json::to_string(patch).unwrap_or_default();
        self.note(What::Reported { version, patch });
        Ok(version)
    }

    /// Keeps the model that the device announces, for its twin to show.
    async fn announce_model(&self) -> Result<(), HubError> {
        let Some(model_id) = self.model_id.as_deref() else { return Ok(()) };
        let current = self.hub.record(&self.id().device).await?;
        let known = current.record.twin_of(self.id()).and_then(|twin| twin.model_id.as_deref());
        if known == Some(model_id) {
            return Ok(());
        }
        let change = |twin: &Twin, _| Ok((twin.announced(model_id), Vec::new()));
        self.hub.change_twin(self.id(), change).await.map(drop)
    }

    async fn check_identity(&self) -> Result<(), HubError> {
        let gone = || {
            self.hub.presences().forget(self.id(), self.connection);
            HubError::Unauthorized(Refusal::UnknownIdentity(self.id().clone()))
        };
        let current = self.hub.records().get(&self.id().device).await?.ok_or_else(gone)?;
        let identity = Credentials::of(&current.record, self.id()).ok_or_else(gone)?;
        if identity.generation != self.principal.generation() {
            return Err(gone());
        }
        if identity.status == Status::Disabled {
            return Err(HubError::Unauthorized(Refusal::Disabled(self.id().clone())));
        }
        Ok(())
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    fn now(&self) -> Timestamp {
        self.hub.now()
    }
}

impl Drop for DeviceSession {
    fn drop(&mut self) {
        let why = self.end.take().unwrap_or_default();
        self.note(What::Disconnected { why });
        self.release_devicebound();
        self.hub.presences().disconnect(self.principal.id(), self.connection, self.now());
        self.calls.end(Lost::Disconnected);
    }
}
