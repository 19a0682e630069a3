//! Where a connection finds the cloud-to-device messages of its device.
//!
//! The edge takes them one by one when it is ready, so that a lock begins when the message is sent
//! and nothing piles up on the way.

use tokio::sync::Notify;

use super::presence::ConnectionId;
use crate::auth::DevicePrincipal;
use crate::devicebound::{Delivery, LockToken, Taking};
use crate::hub::Hub;
use crate::ids::{GenerationId, IdentityId};

/// The queue of a device, as one connection sees it.
#[derive(Debug)]
pub(super) struct Mailbox {
    hub: Hub,
    id: IdentityId,
    generation: GenerationId,
    connection: ConnectionId,
}

impl Mailbox {
    /// The mailbox of a connection; modules have none.
    pub(super) fn of(
        hub: &Hub,
        principal: &DevicePrincipal,
        connection: ConnectionId,
    ) -> Option<Self> {
        let id = principal.id().clone();
        id.module.is_none().then(|| Self {
            hub: hub.clone(),
            id,
            generation: principal.generation(),
            connection,
        })
    }

    fn take(&self) -> Taking {
        let presences = self.hub.presences();
        let Some(subscription) = presences.devicebound(&self.id, self.connection) else {
            return Taking::NothingUntil(None);
        };
        let token = LockToken::new(self.hub.random().bytes());
        let receiver = (self.connection, token);
        let queues = self.hub.devicebound();
        queues.take(&self.id.device, self.generation, subscription, receiver, self.hub.now())
    }

    async fn next(&self, wake: &Notify) -> Delivery {
        loop {
            match self.take() {
                Taking::Taken(delivery) => return delivery,
                Taking::NothingUntil(None) => wake.notified().await,
                Taking::NothingUntil(Some(deadline)) => tokio::select! {
                    () = wake.notified() => {}
                    () = self.hub.clock().sleep_until(deadline) => {}
                },
            }
        }
    }
}

/// The next message, taken as this returns. Safe to drop and call again.
pub(super) async fn next(mailbox: Option<&Mailbox>, wake: &Notify) -> Delivery {
    match mailbox {
        Some(mailbox) => mailbox.next(wake).await,
        None => std::future::pending().await,
    }
}
