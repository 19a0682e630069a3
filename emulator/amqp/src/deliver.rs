//! What goes to the client: queues, credit, windows, and waiting for more.

use bytes::{Bytes, BytesMut};
use futures_util::future::AbortHandle;
use iothub_core::limits;

use crate::connection::{AMQP_FRAME, Conversation};
use crate::error::{AmqpError, RESOURCE_LIMIT, STOLEN};
use crate::link::{Chunk, Link, Outgoing, Session, Unsettled};
use crate::message::timestamp;
use crate::node::{DeviceNode, Node, ServiceNode};
use crate::outgoing::{self, Arrived, Batch, EventReader, Lost, Place};
use crate::performative::write_frame;
use crate::value::Value;

const TRANSFER: u64 = 0x14;
/// Bytes of a frame that a transfer needs beside its payload, at most.
const TRANSFER_BYTES: usize = 128;

impl Conversation {
    /// Puts a message into the queue of a link and sends what may be sent.
    pub(crate) fn send(
        &mut self,
        channel: u16,
        handle: u32,
        message: Outgoing,
        out: &mut BytesMut,
    ) {
        let Some(link) = self.link(channel, handle) else { return };
        if link.queue.len() >= limits::AMQP_LINK_QUEUE {
            let why = format!("{} messages wait for credit, which is the most", link.queue.len());
            return self.detach(channel, handle, &AmqpError::new(RESOURCE_LIMIT, why), out);
        }
        link.queue.push_back(message);
        self.pump(channel, out);
    }

    /// Sends what windows and credit allow, and awaits more for links that can take it.
    pub(crate) fn pump(&mut self, channel: u16, out: &mut BytesMut) {
        let chunk = self.max_frame - TRANSFER_BYTES;
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        session.send_all(channel, chunk, out);
        let handles: Vec<u32> = session
            .links
            .iter()
            .filter(|(_, link)| link.receives && link.awaited.is_none())
            .map(|(handle, _)| *handle)
            .collect();
        for handle in handles {
            self.note_credit(channel, handle);
        }
    }

    /// Awaits more for a link that can take it.
    pub(crate) fn note_credit(&mut self, channel: u16, handle: u32) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let blocked =
            !session.outbox.is_empty() || session.unsettled.len() >= limits::AMQP_UNSETTLED;
        let Some(link) = session.links.get_mut(&handle) else { return };
        let room = if blocked { 0 } else { link.credit as usize };
        let room = room.saturating_sub(link.queue.len());
        let at = Place { channel, handle, number: link.number };
        match &link.node {
            Node::Device(id, DeviceNode::Devicebound) if link.receives => {
                if let Some(device) = self.devices.get_mut(id) {
                    device.receive(room > 0);
                }
            }
            Node::Service(ServiceNode::Feedback) if room > 0 && link.awaited.is_none() => {
                let Some(principal) = link.service.clone() else { return };
                let session = self.hub.service(principal);
                let awaited = self.wait_for(outgoing::feedback(at, session));
                self.keep_awaited(at, awaited);
            }
            Node::Partition { .. } if room > 0 => {
                let Some(reader) = link.reader.take() else { return };
                let max = room.min(limits::AMQP_READ_BATCH);
                let awaited = self.wait_for(async move {
                    let (reader, events) = reader.read(max).await;
                    Arrived::Events { at, reader, events }
                });
                self.keep_awaited(at, awaited);
            }
            _ => {}
        }
    }

    fn keep_awaited(&mut self, at: Place, awaited: AbortHandle) {
        if let Some(link) = self.link(at.channel, at.handle) {
            link.awaited = Some(awaited);
        }
    }

    /// The link that something was awaited for, if it is still there.
    fn awaiting(&mut self, at: Place) -> Option<&mut Link> {
        let link = self.link(at.channel, at.handle).filter(|link| link.number == at.number)?;
        link.awaited = None;
        Some(link)
    }

    /// Hands on what has come.
    pub(crate) async fn arrived(&mut self, arrived: Arrived, out: &mut BytesMut) {
        match arrived {
            Arrived::Events { at, reader, events } => self.events(at, reader, events, out),
            Arrived::Feedback { at, delivery } => {
                if self.awaiting(at).is_none() {
                    return;
                }
                let Some(delivery) = delivery else { return };
                let token = delivery.lock_token;
                let message = Outgoing {
                    tag: Bytes::copy_from_slice(&token.bytes()),
                    payload: outgoing::feedback_batch(&delivery.batch, self.hub.name()),
                    unsettled: Some(Unsettled::Feedback(token)),
                };
                self.send(at.channel, at.handle, message, out);
            }
            Arrived::Downlink { id, number, receiver, downlink } => {
                self.downlink(id, number, receiver, downlink, out).await;
            }
            Arrived::Expiry => {
                self.drop_unauthorized(out).await;
                self.await_expiry();
            }
            Arrived::Fault { asked, id, channel } => self.kill(&asked, &id, channel, out),
        }
    }

    fn events(
        &mut self,
        at: Place,
        reader: Box<EventReader>,
        events: Result<Batch, Lost>,
        out: &mut BytesMut,
    ) {
        let now = timestamp(self.hub.now());
        let Some(link) = self.awaiting(at) else { return };
        match events {
            Ok(Batch { events, state }) => {
                let known = link.metrics.then_some((&state, now));
                for event in &events {
                    link.queue.push_back(Outgoing {
                        tag: Bytes::copy_from_slice(&event.sequence_number.to_be_bytes()),
                        payload: outgoing::event(event, known.clone()),
                        unsettled: (!link.presettled).then_some(Unsettled::Nothing),
                    });
                }
                link.reader = Some(reader);
                self.pump(at.channel, out);
            }
            Err(Lost::Stolen) => {
                let why = "another receiver with an epoch as high or higher reads the partition";
                self.detach(at.channel, at.handle, &AmqpError::new(STOLEN, why), out);
            }
            Err(Lost::Failed(why)) => {
                self.detach(
                    at.channel,
                    at.handle,
                    &AmqpError::new("amqp:internal-error", why),
                    out,
                );
            }
        }
    }

    /// Detaches the links for which no token is good any more.
    async fn drop_unauthorized(&mut self, out: &mut BytesMut) {
        let links =
            self.links().map(|(channel, handle, link)| (channel, handle, link.node.clone()));
        let all: Vec<_> = links.collect();
        for (channel, handle, node) in all {
            let allowed = match &node {
                Node::Device(id, _) => self.grants.device(&self.hub, id).await.map(drop),
                Node::Partition { event_hub, .. } => self.grants.reader(&self.hub, event_hub),
                Node::Service(node) => self.grants.service(&self.hub, node.path()).map(drop),
                _ => Ok(()),
            };
            if let Err(why) = allowed {
                let error = self.error(&why);
                self.detach(channel, handle, &error, out);
            }
        }
    }
}

impl Session {
    fn send_all(&mut self, channel: u16, chunk: usize, out: &mut BytesMut) {
        loop {
            self.send_outbox(channel, out);
            let may_send = |link: &Link| link.credit > 0 && !link.queue.is_empty();
            if !self.outbox.is_empty() || self.unsettled.len() >= limits::AMQP_UNSETTLED {
                return;
            }
            let links = self.links.iter_mut();
            let Some((handle, link)) =
                links.map(|(handle, link)| (*handle, link)).find(|(_, link)| may_send(link))
            else {
                return;
            };
            let Some(message) = link.queue.pop_front() else { return };
            link.credit -= 1;
            link.delivery_count = link.delivery_count.wrapping_add(1);
            let delivery = self.next_delivery;
            self.next_delivery = delivery.wrapping_add(1);
            let settled = message.unsettled.is_none();
            if let Some(unsettled) = message.unsettled {
                self.unsettled.insert(delivery, (handle, unsettled));
            }
            let mut payload = message.payload;
            loop {
                let part = payload.split_to(payload.len().min(chunk));
                let more = !payload.is_empty();
                let tag = message.tag.clone();
                self.outbox.push_back(Chunk {
                    handle,
                    delivery,
                    tag,
                    settled,
                    more,
                    payload: part,
                });
                if !more {
                    break;
                }
            }
        }
    }

    fn send_outbox(&mut self, channel: u16, out: &mut BytesMut) {
        while self.remote_window > 0 {
            let Some(chunk) = self.outbox.pop_front() else { return };
            self.remote_window -= 1;
            self.next_outgoing = self.next_outgoing.wrapping_add(1);
            let fields = vec![
                Value::Uint(chunk.handle),
                Value::Uint(chunk.delivery),
                Value::Binary(chunk.tag),
                Value::Uint(0),
                Value::Bool(chunk.settled),
                Value::Bool(chunk.more),
                Value::Null,
                Value::Null,
                Value::Bool(false),
                Value::Bool(false),
                Value::Bool(false),
            ];
            write_frame(out, AMQP_FRAME, channel, (TRANSFER, fields), &chunk.payload);
        }
    }
}
