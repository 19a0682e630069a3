//! Who is connected, and what each device listens to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::connections::Connection;
use super::downlink::{self, CloseReason, Downlink, DownlinkReceiver, DownlinkSender};
use super::subscriptions::{Channel, Subscription, Subscriptions};
use crate::ids::{GenerationId, IdentityId};
use crate::method::broker::{Arrivals, Calls, Lost, NotCalled, PendingCall};
use crate::method::{MethodCall, MethodName, Payload};
use crate::notice::Notices;
use crate::store::Effect;
use crate::time::Timestamp;

/// Tells the connections of one device apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConnectionId(u64);

#[cfg(test)]
impl ConnectionId {
    /// A connection for tests of what is kept by connection.
    pub(crate) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// What a device speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Protocol {
    /// MQTT.
    #[default]
    Mqtt,
    /// AMQP.
    Amqp,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
        }
    }
}

/// What the registry shows of a device's connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectionState {
    /// Whether it is connected now.
    pub connected: bool,
    /// When that changed last.
    pub updated: Timestamp,
    /// When the device was last heard of.
    pub last_activity: Timestamp,
}

impl ConnectionState {
    /// The service's word for it.
    pub fn name(self) -> &'static str {
        if self.connected { "Connected" } else { "Disconnected" }
    }
}

/// Everybody who is, or was, connected. Locks are per shard and held for a few statements; nothing
/// here waits or calls the store, so that the store may call in while it commits.
pub(crate) struct Presences {
    by_id: DashMap<IdentityId, Presence>,
    last_connection: AtomicU64,
    /// Who waits for a device to listen to its methods.
    arrivals: Arrivals,
    /// Who is to be told that a device connected or disconnected.
    notices: Arc<Notices>,
}

#[derive(Debug)]
struct Presence {
    generation: GenerationId,
    /// The live connection.
    connection: Option<(ConnectionId, DownlinkSender)>,
    /// The direct methods that the live connection has to answer.
    calls: Arc<Calls>,
    /// Kept between connections if the session is persistent.
    subscriptions: Subscriptions,
    persistent: bool,
    protocol: Protocol,
    /// Whether it was told that the device is connected.
    told: bool,
    changed: Timestamp,
    activity: Arc<Activity>,
}

/// When a device was last heard of; shared with its session, which notes it without a lock.
#[derive(Debug, Default)]
pub(super) struct Activity(AtomicU64);

impl Activity {
    pub(super) fn note(&self, now: Timestamp) {
        self.0.store(now.ticks(), Ordering::Relaxed);
    }

    fn last(&self) -> Timestamp {
        Timestamp::from_ticks(self.0.load(Ordering::Relaxed))
    }
}

/// What a new connection gets.
pub(super) struct Arrival {
    pub(super) connection: ConnectionId,
    pub(super) receiver: DownlinkReceiver,
    pub(super) activity: Arc<Activity>,
    pub(super) calls: Arc<Calls>,
    /// Whether subscriptions of an earlier connection came back.
    pub(super) resumed: bool,
}

impl Presences {
    pub(crate) fn new(notices: Arc<Notices>) -> Self {
        Self {
            by_id: DashMap::new(),
            last_connection: AtomicU64::new(0),
            arrivals: Arrivals::default(),
            notices,
        }
    }

    /// Connects, and closes whatever connection there was.
    pub(super) fn connect(
        &self,
        id: &IdentityId,
        generation: GenerationId,
        (persistent, protocol): (bool, Protocol),
        now: Timestamp,
    ) -> Arrival {
        let connection = ConnectionId(self.last_connection.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, receiver) = downlink::channel();
        let mut presence =
            self.by_id.entry(id.clone()).or_insert_with(|| Presence::new(generation));
        if presence.generation != generation {
            // A device of the same name that has been deleted since.
            presence.close(CloseReason::Deleted);
            self.tell(id, &mut presence, false);
            *presence = Presence::new(generation);
        }
        presence.close(CloseReason::TakenOver);
        // What a clean session subscribed to ends with it, also when it is taken over.
        if !persistent || !presence.persistent {
            presence.subscriptions = Subscriptions::default();
        }
        presence.persistent = persistent;
        presence.protocol = protocol;
        presence.connection = Some((connection, sender));
        let before = std::mem::take(&mut presence.calls);
        before.end(Lost::TakenOver);
        if presence.subscriptions.get(Channel::Methods).is_some() {
            self.arrivals.announce(id);
        }
        presence.changed = now;
        presence.activity.note(now);
        Arrival {
            connection,
            receiver,
            activity: presence.activity.clone(),
            calls: presence.calls.clone(),
            resumed: !presence.subscriptions.is_empty(),
        }
    }

    /// Tells that the device of this connection, which was let in for good, is connected.
    pub(super) fn tell_connected(&self, id: &IdentityId, connection: ConnectionId) {
        if let Some(mut presence) = self.by_id.get_mut(id)
            && presence.is(connection)
        {
            self.tell(id, &mut presence, true);
        }
    }

    /// Tells whether a device is connected, if that is news.
    fn tell(&self, id: &IdentityId, presence: &mut Presence, connected: bool) {
        if presence.told != connected {
            presence.told = connected;
            self.notices.connection(id, presence.generation, connected);
        }
    }

    /// Ends a connection, unless another has taken its place.
    pub(super) fn disconnect(&self, id: &IdentityId, connection: ConnectionId, now: Timestamp) {
        let Some(mut presence) = self.by_id.get_mut(id) else { return };
        if !presence.is(connection) {
            return;
        }
        presence.connection = None;
        presence.changed = now;
        self.tell(id, &mut presence, false);
        if !presence.persistent {
            presence.subscriptions = Subscriptions::default();
        }
    }

    /// Undoes a connection of an identity that turned out to be gone, unless another has taken its
    /// place: nothing would ever remove what stays of it.
    pub(super) fn forget(&self, id: &IdentityId, connection: ConnectionId) {
        let gone = self.by_id.remove_if(id, |_, presence| presence.is(connection));
        if let Some((_, mut presence)) = gone {
            self.tell(id, &mut presence, false);
        }
    }

    /// Changes what a connection listens to, unless another has taken its place.
    pub(super) fn subscribe(
        &self,
        id: &IdentityId,
        connection: ConnectionId,
        change: impl FnOnce(&mut Subscriptions),
    ) {
        if let Some(mut presence) = self.by_id.get_mut(id)
            && presence.is(connection)
        {
            change(&mut presence.subscriptions);
            if presence.subscriptions.get(Channel::Methods).is_some() {
                self.arrivals.announce(id);
            }
        }
    }

    /// Hands a call to a device that is connected and listens to its methods.
    pub(crate) fn call(
        &self,
        id: &IdentityId,
        name: &MethodName,
        payload: &Payload,
    ) -> Result<PendingCall, NotCalled> {
        let presence = self.by_id.get(id).ok_or(NotCalled::NotOnline)?;
        presence.call(name, payload)
    }

    /// Who waits for a device to listen to its methods.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Whether a device listens to `channel`.
    pub(super) fn subscription(&self, id: &IdentityId, channel: Channel) -> Option<Subscription> {
        self.by_id.get(id)?.subscriptions.get(channel)
    }

    /// How the device of this connection listens to cloud-to-device messages, unless another
    /// connection has taken its place.
    pub(super) fn devicebound(
        &self,
        id: &IdentityId,
        connection: ConnectionId,
    ) -> Option<Subscription> {
        let presence = self.by_id.get(id)?;
        presence.is(connection).then(|| presence.subscriptions.get(Channel::Devicebound)).flatten()
    }

    /// Tells the connection of a device that there may be a message for it.
    pub(super) fn wake(&self, id: &IdentityId) {
        if let Some(presence) = self.by_id.get(id)
            && let Some((_, sender)) = &presence.connection
        {
            sender.wake();
        }
    }

    /// What the registry shows.
    pub(crate) fn state(&self, id: &IdentityId, generation: GenerationId) -> ConnectionState {
        match self.by_id.get(id) {
            Some(presence) if presence.generation == generation => ConnectionState {
                connected: presence.connection.is_some(),
                updated: presence.changed,
                last_activity: presence.activity.last(),
            },
            _ => ConnectionState::default(),
        }
    }

    /// How many are connected.
    pub(super) fn connected(&self) -> usize {
        self.by_id.iter().filter(|presence| presence.connection.is_some()).count()
    }

    /// Everybody who is connected.
    pub(super) fn live(&self) -> Vec<(Connection, GenerationId)> {
        let live = self.by_id.iter().filter(|presence| presence.connection.is_some());
        let seen = live.map(|presence| {
            let connection = Connection {
                id: presence.key().clone(),
                protocol: presence.protocol,
                since: presence.changed,
                last_activity: presence.activity.last(),
                subscriptions: presence.subscriptions.channels().collect(),
                waiting: 0,
            };
            (connection, presence.generation)
        });
        seen.collect()
    }

    /// Ends the connection of a device; false if it has none.
    pub(super) fn cut(&self, id: &IdentityId, reason: CloseReason) -> bool {
        let presence = self.by_id.get(id).filter(|presence| presence.connection.is_some());
        presence.is_some_and(|presence| {
            presence.close(reason);
            true
        })
    }

    fn close(&self, id: &IdentityId, reason: CloseReason) {
        if let Some(presence) = self.by_id.get(id) {
            presence.close(reason);
        }
    }
}

impl Presences {
    /// Lets connected devices know what a commit means for them.
    pub(crate) fn committed(&self, effects: &[(IdentityId, Effect)]) {
        for (id, effect) in effects {
            match effect {
                Effect::DesiredChanged(patch) => {
                    if let Some(presence) = self.by_id.get(id) {
                        presence.notify(Channel::DesiredProperties, || {
                            Downlink::DesiredPatch(patch.clone())
                        });
                    }
                }
                Effect::Disabled => self.close(id, CloseReason::Disabled),
                Effect::Deleted => {
                    if let Some((_, mut presence)) = self.by_id.remove(id) {
                        presence.close(CloseReason::Deleted);
                        self.tell(id, &mut presence, false);
                    }
                    // Who waits for it learns that it will not come.
                    self.arrivals.announce(id);
                }
                Effect::TwinReplaced => {}
            }
        }
    }
}

impl Presence {
    fn new(generation: GenerationId) -> Self {
        Self {
            generation,
            connection: None,
            calls: Arc::default(),
            subscriptions: Subscriptions::default(),
            persistent: false,
            protocol: Protocol::default(),
            told: false,
            changed: Timestamp::NEVER,
            activity: Arc::default(),
        }
    }

    fn is(&self, connection: ConnectionId) -> bool {
        self.connection.as_ref().is_some_and(|(live, _)| *live == connection)
    }

    fn close(&self, reason: CloseReason) {
        if let Some((_, sender)) = &self.connection {
            sender.close(reason);
        }
    }

    fn call(&self, name: &MethodName, payload: &Payload) -> Result<PendingCall, NotCalled> {
        let Some((_, sender)) = &self.connection else { return Err(NotCalled::NotOnline) };
        self.subscriptions.get(Channel::Methods).ok_or(NotCalled::NotOnline)?;
        let call = self.calls.begin()?;
        sender.send(Downlink::MethodCall(Arc::new(MethodCall {
            id: call.id(),
            name: name.clone(),
            payload: payload.clone(),
        })));
        Ok(call)
    }

    fn notify(&self, channel: Channel, downlink: impl FnOnce() -> Downlink) {
        if let Some((_, sender)) = &self.connection
            && self.subscriptions.get(channel).is_some()
        {
            sender.send(downlink());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    #[test]
    fn a_connection_of_a_vanished_identity_leaves_nothing_behind() {
        let presences = Presences::new(Arc::new(Notices::unheard()));
        let id = IdentityId::from(DeviceId::parse("d").unwrap());
        let generation = GenerationId::at(Timestamp::NEVER);
        let connect =
            || presences.connect(&id, generation, (true, Protocol::Mqtt), Timestamp::NEVER);
        let (first, second) = (connect(), connect());
        presences.forget(&id, first.connection);
        assert_eq!(presences.connected(), 1, "another took its place");
        presences.forget(&id, second.connection);
        presences.disconnect(&id, second.connection, Timestamp::NEVER);
        assert!(presences.by_id.is_empty());
    }
}
