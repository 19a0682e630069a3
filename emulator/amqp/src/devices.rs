//! Devices and modules on a connection: one presence for all links of each.

use bytes::{Bytes, BytesMut};
use futures_util::future::AbortHandle;
use iothub_core::devicebound::Delivery;
use iothub_core::error::HubError;
use iothub_core::fault::Edge;
use iothub_core::ids::IdentityId;
use iothub_core::session::{
    Assurance, Channel, CloseReason, Connect, Connected, DeviceSession, Downlink, DownlinkReceiver,
    Protocol,
};
use iothub_core::throttle::Operation;

use crate::connection::Conversation;
use crate::error::{AmqpError, DETACHED, NOT_FOUND, RESOURCE_LIMIT, STOLEN, UNAUTHORIZED};
use crate::link::{Link, Outgoing, Unsettled};
use crate::node::{DeviceNode, Node};
use crate::outgoing;
use crate::performative::Attach;
use crate::value::Value;

/// Clients of an api-version before this one get changes of desired properties unasked.
const ASKS_FOR_CHANGES: &str = "2020-05";

/// A device that is connected.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) session: DeviceSession,
    /// How many links it has.
    links: usize,
    number: u64,
    awaited: AbortHandle,
    /// Whether it takes cloud-to-device messages now.
    receives: bool,
}

impl Attached {
    /// Lets cloud-to-device messages come while there is credit for them.
    pub(crate) fn receive(&mut self, receive: bool) {
        if self.receives != receive {
            self.receives = receive;
            self.session.receive_devicebound(receive);
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.awaited.abort();
    }
}

impl Conversation {
    /// Connects a device with its first link.
    pub(crate) async fn connect_device(
        &mut self,
        id: &IdentityId,
        model_id: Option<String>,
    ) -> Result<(), AmqpError> {
        if let Some(device) = self.devices.get_mut(id) {
            device.links += 1;
            return Ok(());
        }
        let connected = self.open_device(id, model_id).await.map_err(|why| self.error(&why))?;
        let Connected { session, receiver, .. } = connected;
        self.last_number += 1;
        let number = self.last_number;
        let awaited = self.wait_for(outgoing::downlink(id.clone(), number, receiver));
        let device = Attached { session, links: 1, number, awaited, receives: false };
        self.devices.insert(id.clone(), device);
        Ok(())
    }

    async fn open_device(
        &mut self,
        id: &IdentityId,
        model_id: Option<String>,
    ) -> Result<Connected, HubError> {
        let principal = self.grants.device(&self.hub, id).await?;
        self.hub.admit_of(Operation::Connect, Some(id), Edge::Amqp, &*self.line).await?;
        self.hub
            .device(principal, Connect { persistent: false, model_id, protocol: Protocol::Amqp })
            .await
    }

    /// Lets come what a new link is for.
    pub(crate) fn listen(&self, node: &Node, receives: bool, attach: &Attach) {
        let Node::Device(id, node) = node else { return };
        let Some(device) = self.devices.get(id).filter(|_| receives) else { return };
        match node {
            DeviceNode::Methods => {
                device.session.subscribe(Channel::Methods, Assurance::AtMostOnce);
            }
            DeviceNode::Twin => {
                let version = attach.property("com.microsoft:api-version").and_then(Value::to_text);
                if version.is_some_and(|version| version.as_str() < ASKS_FOR_CHANGES) {
                    let channel = Channel::DesiredProperties;
                    device.session.subscribe(channel, Assurance::AtMostOnce);
                }
            }
            DeviceNode::Events | DeviceNode::Devicebound => {}
        }
    }

    /// Ends what a link was for; with the last one the device disconnects.
    pub(crate) fn leave_device(&mut self, id: &IdentityId, node: DeviceNode, receives: bool) {
        let Some(device) = self.devices.get_mut(id) else { return };
        device.links = device.links.saturating_sub(1);
        if device.links == 0 {
            device.session.ends("the last of its links was detached");
            self.devices.remove(id);
            return;
        }
        match node {
            DeviceNode::Methods if receives => device.session.unsubscribe(Channel::Methods),
            DeviceNode::Twin if receives => device.session.unsubscribe(Channel::DesiredProperties),
            DeviceNode::Devicebound => device.receive(false),
            _ => {}
        }
    }

    /// Hands on what the hub has for a device.
    pub(crate) async fn downlink(
        &mut self,
        id: IdentityId,
        number: u64,
        receiver: DownlinkReceiver,
        downlink: Downlink,
        out: &mut BytesMut,
    ) {
        // What was awaited for a connection that has ended since is nobody's.
        if self.devices.get(&id).is_none_or(|device| device.number != number) {
            return;
        }
        match downlink {
            Downlink::Close(reason) => return self.close_device(&id, reason, out),
            Downlink::DesiredPatch(patch) => {
                self.tell(&id, DeviceNode::Twin, outgoing::desired_patch(&patch), out);
            }
            Downlink::MethodCall(call) => {
                self.tell(&id, DeviceNode::Methods, outgoing::method_call(&call), out);
            }
            Downlink::Devicebound(delivery) => self.hand_over(&id, delivery, out).await,
        }
        let awaited = self.wait_for(outgoing::downlink(id.clone(), number, receiver));
        if let Some(device) = self.devices.get_mut(&id) {
            device.awaited = awaited;
        } else {
            awaited.abort();
        }
    }

    async fn hand_over(&mut self, id: &IdentityId, delivery: Delivery, out: &mut BytesMut) {
        let arrives = self.hub.hand_to_device(delivery, id, Edge::Amqp, &*self.line).await;
        let Some(delivery) = arrives else { return };
        let token = delivery.lock_token;
        let message = Outgoing {
            tag: Bytes::copy_from_slice(&token.bytes()),
            payload: outgoing::devicebound(&delivery),
            unsettled: Some(Unsettled::Devicebound(id.clone(), token)),
        };
        if let Some((channel, handle)) = self.link_of(id, DeviceNode::Devicebound, None) {
            self.send(channel, handle, message, out);
        }
    }

    fn tell(&mut self, id: &IdentityId, node: DeviceNode, payload: Bytes, out: &mut BytesMut) {
        let Some((channel, handle)) = self.link_of(id, node, None) else { return };
        self.reply(channel, handle, payload, out);
    }

    /// Sends a message that nobody has to settle.
    pub(crate) fn reply(&mut self, channel: u16, handle: u32, payload: Bytes, out: &mut BytesMut) {
        self.last_number += 1;
        let tag = Bytes::copy_from_slice(&self.last_number.to_be_bytes());
        let presettled = self.link(channel, handle).is_none_or(|link| link.presettled);
        let unsettled = (!presettled).then_some(Unsettled::Nothing);
        self.send(channel, handle, Outgoing { tag, payload, unsettled }, out);
    }

    /// The link over which a device receives something; that of the same pair if there is one.
    pub(crate) fn link_of(
        &self,
        id: &IdentityId,
        node: DeviceNode,
        pair: Option<&str>,
    ) -> Option<(u16, u32)> {
        let wanted = Node::Device(id.clone(), node);
        let is_meant = |link: &Link| link.receives && link.node == wanted;
        let mut first = None;
        for (channel, handle, link) in self.links().filter(|(_, _, link)| is_meant(link)) {
            if pair.is_some() && link.pair.as_deref() == pair {
                return Some((channel, handle));
            }
            first = first.or(Some((channel, handle)));
        }
        first
    }

    fn close_device(&mut self, id: &IdentityId, reason: CloseReason, out: &mut BytesMut) {
        let error = match reason {
            CloseReason::TakenOver => {
                AmqpError::new(STOLEN, format!("device {id} connected again"))
            }
            CloseReason::Deleted => AmqpError::new(NOT_FOUND, format!("device {id} was deleted")),
            CloseReason::Disabled => {
                AmqpError::new(UNAUTHORIZED, format!("device {id} is disabled"))
            }
            CloseReason::Asked => {
                AmqpError::new(DETACHED, format!("the connection of device {id} was ended"))
            }
            CloseReason::Backlog => {
                AmqpError::new(RESOURCE_LIMIT, format!("device {id} let more pile up than it may"))
            }
            CloseReason::SessionEnded => return,
        };
        if let Some(device) = self.devices.get(id) {
            device.session.ends(&error.description);
        }
        let is_own = |link: &Link| matches!(&link.node, Node::Device(owner, _) if owner == id);
        let own = self.links().filter(|(_, _, link)| is_own(link));
        let links: Vec<_> = own.map(|(channel, handle, _)| (channel, handle)).collect();
        for (channel, handle) in links {
            self.detach(channel, handle, &error, out);
        }
    }
}
