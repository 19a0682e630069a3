//! Cloud-to-device messages: what a back end and a connected device may do with them.

use super::device::DeviceSession;
use super::service::ServiceSession;
use super::subscriptions::Channel;
use crate::auth::policy::AccessRight;
use crate::devicebound::feedback::FeedbackDelivery;
use crate::devicebound::{LockToken, Outgoing, Settlement};
use crate::error::HubError;
use crate::hub::Hub;
use crate::ids::{DeviceId, IdentityId};
use crate::registry::identity::DeviceIdentity;
use crate::throttle::Operation;

impl Hub {
    /// Ends messages in their time. Never returns.
    pub(crate) async fn keep_expiring(&self) {
        loop {
            let changed = self.devicebound().more_feedback();
            match self.devicebound().end_what_is_over(self.now()) {
                None => changed.await,
                Some(next) => tokio::select! {
                    () = changed => {}
                    () = self.clock().sleep_until(next) => {}
                },
            }
        }
    }

    /// Sends a message to a device for whoever looks after the hub.
    ///
    /// # Errors
    ///
    /// As [`ServiceSession::send_devicebound`], or the throttles do not let it through.
    pub async fn send_devicebound(
        &self,
        id: &DeviceId,
        outgoing: Outgoing,
    ) -> Result<(), HubError> {
        self.admit(Operation::SendDevicebound).await?;
        self.take_devicebound(id, outgoing).await
    }

    async fn take_devicebound(&self, id: &DeviceId, outgoing: Outgoing) -> Result<(), HubError> {
        let generation = self.record(id).await?.record.identity.generation;
        let now = self.now();
        self.devicebound().push(outgoing.accept(id, generation, now)?, now)?;
        // The device may have been deleted since it was read, and its queue with it.
        let current = self.records().get(id).await?;
        if current.is_none_or(|current| current.record.identity.generation != generation) {
            self.devicebound().remove_generation(id, generation);
            return Err(HubError::DeviceNotFound(id.clone()));
        }
        self.presences().wake(&id.clone().into());
        Ok(())
    }
}

impl ServiceSession {
    /// Sends a message to a device; it waits for the device when this returns. The edge has admitted
    /// it.
    ///
    /// # Errors
    ///
    /// There is no such device, as many messages wait for it as may, the message wants to wait for
    /// too long, or the caller may not connect as a service.
    pub async fn send_devicebound(
        &self,
        id: &DeviceId,
        outgoing: Outgoing,
    ) -> Result<(), HubError> {
        self.require(AccessRight::ServiceConnect)?;
        self.hub().take_devicebound(id, outgoing).await
    }

    /// Drops every message that waits for a device, and says how many there were.
    ///
    /// # Errors
    ///
    /// There is no such device, or the caller may not connect as a service.
    pub async fn purge_devicebound(&self, id: &DeviceId) -> Result<usize, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let current = self.hub().record(id).await?;
        let generation = current.record.identity.generation;
        Ok(self.hub().devicebound().purge(id, generation, self.hub().now()))
    }

    /// The next batch of feedback, as soon as there is one. Safe to drop and call again.
    ///
    /// # Errors
    ///
    /// The caller may not connect as a service.
    pub async fn receive_feedback(&self) -> Result<FeedbackDelivery, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let hub = self.hub();
        loop {
            let more = hub.devicebound().more_feedback();
            let token = LockToken::new(hub.random().bytes());
            match hub.devicebound().receive_feedback(token, hub.now()) {
                Ok(delivery) => return Ok(delivery),
                Err(None) => more.await,
                Err(Some(deadline)) => tokio::select! {
                    () = more => {}
                    () = hub.clock().sleep_until(deadline) => {}
                },
            }
        }
    }

    /// Settles a batch of feedback, and says whether its lock still held.
    ///
    /// # Errors
    ///
    /// The caller may not connect as a service.
    pub fn settle_feedback(
        &self,
        token: LockToken,
        settlement: Settlement,
    ) -> Result<bool, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        Ok(self.hub().devicebound().settle_feedback(token, settlement, self.hub().now()))
    }

    /// How many messages wait for a device.
    pub(super) fn waiting(&self, identity: &DeviceIdentity) -> usize {
        let hub = self.hub();
        hub.devicebound().count(&identity.id, identity.generation, hub.now())
    }
}

impl DeviceSession {
    /// Completes a message that came this way, as an acknowledgement of MQTT does. It may come
    /// after the time of the lock, unless somebody else received the message since.
    pub fn acknowledge_devicebound(&self, sequence_number: u64) {
        self.heard();
        let (device, generation) = (&self.id().device, self.principal.generation());
        let queues = self.hub.devicebound();
        queues.acknowledge(device, generation, sequence_number, self.connection, self.hub.now());
    }

    /// Rejects a message that came this way and cannot be delivered.
    ///
    /// # Errors
    ///
    /// Its lock has ended.
    pub fn reject_devicebound(&self, token: LockToken) -> Result<(), HubError> {
        self.settle_devicebound(token, Settlement::Reject)
    }

    /// Settles a message that came this way.
    ///
    /// # Errors
    ///
    /// Its lock has ended.
    pub fn settle_devicebound(
        &self,
        token: LockToken,
        settlement: Settlement,
    ) -> Result<(), HubError> {
        self.heard();
        let (device, generation) = (&self.id().device, self.principal.generation());
        let queues = self.hub.devicebound();
        let settled = queues.settle(device, generation, token, settlement, self.hub.now());
        self.hub.presences().wake(self.id());
        settled
    }

    /// Lets messages come, or not: a device over AMQP says how many it can take. What was sent
    /// before it listened is for it too, unlike over MQTT, and what it lets the lock of end comes again.
    pub fn receive_devicebound(&self, receive: bool) {
        self.hub.presences().subscribe(self.id(), self.connection, |subscriptions| {
            if receive {
                subscriptions.insert_waiting(Channel::Devicebound);
            } else {
                subscriptions.remove(Channel::Devicebound);
            }
        });
        self.hub.presences().wake(self.id());
    }

    /// Puts back what this connection did not acknowledge.
    pub(super) fn release_devicebound(&self) {
        let id: &IdentityId = self.id();
        let generation = self.principal.generation();
        let queues = self.hub.devicebound();
        if id.module.is_none()
            && queues.release(&id.device, generation, self.connection, self.hub.now())
        {
            // Another connection may have taken the place of this one and wait.
            self.hub.presences().wake(id);
        }
    }
}
