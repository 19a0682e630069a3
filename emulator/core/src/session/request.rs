//! What a device may do without being connected: one request at a time, as over HTTPS.

use std::time::Duration;

use crate::auth::DevicePrincipal;
use crate::devicebound::{Delivery, LockToken, Settlement};
use crate::error::HubError;
use crate::event::{Event, EventSource, Message};
use crate::hub::Hub;
use crate::ids::{DeviceId, IdentityId};
use crate::limits;

/// A device that asks for one thing. It is no presence: nothing shows it as connected.
#[derive(Debug)]
pub struct DeviceRequest {
    hub: Hub,
    principal: DevicePrincipal,
}

impl DeviceRequest {
    pub(crate) fn open(hub: Hub, principal: DevicePrincipal) -> Self {
        Self { hub, principal }
    }

    /// Who asks.
    pub fn id(&self) -> &IdentityId {
        self.principal.id()
    }

    /// The hub that is asked.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Takes an event; it is kept when this returns.
    ///
    /// # Errors
    ///
    /// The message is too large, or the log cannot be reached.
    pub async fn send_event(&self, message: Message) -> Result<(), HubError> {
        self.hub.take_event(&self.principal, message, None).await
    }

    /// Takes several events, all or none: together they have the bound of one.
    ///
    /// # Errors
    ///
    /// They are too large, or the log cannot be reached.
    pub async fn send_events(&self, messages: Vec<Message>) -> Result<(), HubError> {
        check_size(messages.iter().map(Message::size).sum())?;
        for message in messages {
            self.send_event(message).await?;
        }
        Ok(())
    }

    /// The next cloud-to-device message, locked for this long; none if none waits.
    pub fn receive_devicebound(&self, lock: Duration) -> Option<Delivery> {
        let now = self.hub.now();
        let lock = (LockToken::new(self.hub.random().bytes()), now.after(lock));
        let (device, generation) = (self.device(), self.principal.generation());
        let received = self.hub.devicebound().receive(device, generation, lock, now);
        self.wake();
        received
    }

    /// Settles a cloud-to-device message that was received.
    ///
    /// # Errors
    ///
    /// Its lock has ended, or never was.
    pub fn settle_devicebound(
        &self,
        token: LockToken,
        settlement: Settlement,
    ) -> Result<(), HubError> {
        let (device, generation) = (self.device(), self.principal.generation());
        let queues = self.hub.devicebound();
        let settled = queues.settle(device, generation, token, settlement, self.hub.now());
        self.wake();
        settled
    }

    fn device(&self) -> &DeviceId {
        &self.id().device
    }

    /// The device may be connected as well, and wait for what was left or put back here.
    fn wake(&self) {
        self.hub.presences().wake(self.id());
    }
}

impl Hub {
    /// Keeps an event of this sender.
    pub(super) async fn take_event(
        &self,
        principal: &DevicePrincipal,
        message: Message,
        model_id: Option<String>,
    ) -> Result<(), HubError> {
        check_size(message.size())?;
        let event = Event {
            message,
            sender: principal.id().clone(),
            generation: principal.generation(),
            auth_method: Some(principal.method()),
            enqueued: self.now(),
            model_id,
            source: EventSource::Telemetry,
        };
        self.publish(event).await
    }
}

fn check_size(bytes: usize) -> Result<(), HubError> {
    let max = limits::EVENT_BYTES;
    if bytes > max { Err(HubError::MessageTooLarge { bytes, max }) } else { Ok(()) }
}
