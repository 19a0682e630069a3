//! What a frame asks for: sessions, links, windows, credit, settlement.

use std::collections::btree_map::Entry;

use bytes::{Bytes, BytesMut};
use iothub_core::devicebound::Settlement;
use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_core::store::EventHub;

use crate::connection::{AMQP_FRAME, Conversation, End};
use crate::error::{ARGUMENT, AmqpError, NOT_ALLOWED, NOT_FOUND, REDIRECT, RESOURCE_LIMIT, STOLEN};
use crate::link::{Chunk, Link, Outgoing, Partial, RUNTIME_METRIC, Session, Unsettled};
use crate::message::timestamp;
use crate::node::{DeviceNode, Node};
use crate::outgoing::{self, Arrived, Batch, EventReader, Lost, Place};
use crate::performative::{
    ACCEPTED, Attach, Begin, Disposition, Flow, MODIFIED, Performative, REJECTED, RELEASED,
    Transfer, descriptor, write_frame,
};
use crate::selector;
use crate::value::Value;

const BEGIN: u64 = 0x11;
const ATTACH: u64 = 0x12;
const FLOW: u64 = 0x13;
const TRANSFER: u64 = 0x14;
const DISPOSITION: u64 = 0x15;
const DETACH: u64 = 0x16;
const END: u64 = 0x17;
/// Bytes of a frame that a transfer needs beside its payload, at most.
const TRANSFER_BYTES: usize = 128;
/// Where the Event Hubs-compatible endpoint is, beside the hub itself.
const AMQPS_PORT: i32 = 5671;

impl Conversation {
    /// Carries out what a frame asks for.
    pub(crate) async fn frame(
        &mut self,
        channel: u16,
        performative: Performative,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        match performative {
            Performative::Begin(begin) => self.begin(channel, &begin, out)?,
            Performative::Attach(attach) => self.attach(channel, *attach, out).await?,
            Performative::Flow(flow) => self.flow(channel, &flow, out).await?,
            Performative::Transfer(transfer) => self.transfer(channel, transfer, out).await?,
            Performative::Disposition(disposition) => self.disposition(channel, &disposition, out),
            Performative::Detach { handle, closed } => self.detached(channel, handle, closed, out),
            Performative::End => {
                self.end(channel);
                write_frame(out, AMQP_FRAME, channel, (END, vec![Value::Null]), &[]);
            }
            Performative::Close => return Err(End::Closed),
            Performative::Open(_) | Performative::SaslInit { .. } => {
                return Err(AmqpError::new(NOT_ALLOWED, "connection is open already").into());
            }
        }
        Ok(())
    }

    fn begin(&mut self, channel: u16, begin: &Begin, out: &mut BytesMut) -> Result<(), AmqpError> {
        let count = self.sessions.len();
        if count >= limits::AMQP_SESSIONS {
            return Err(AmqpError::new(
                RESOURCE_LIMIT,
                format!("connection has {count} sessions, which is the most"),
            ));
        }
        let Entry::Vacant(place) = self.sessions.entry(channel) else {
            return Err(AmqpError::new(
                NOT_ALLOWED,
                format!("channel {channel} has a session already"),
            ));
        };
        let session = place.insert(Session::new(begin));
        let fields = vec![
            Value::Ushort(channel),
            Value::Uint(session.next_outgoing),
            Value::Uint(session.window),
            Value::Uint(u32::MAX),
            Value::Uint(262_143),
            Value::Null,
            Value::Null,
            Value::symbols(vec![("product", Value::string("iothub-emulator"))]),
        ];
        write_frame(out, AMQP_FRAME, channel, (BEGIN, fields), &[]);
        Ok(())
    }

    fn session(&mut self, channel: u16) -> Result<&mut Session, AmqpError> {
        let missing = || AmqpError::new(NOT_ALLOWED, format!("channel {channel} has no session"));
        self.sessions.get_mut(&channel).ok_or_else(missing)
    }

    pub(crate) fn link(&mut self, channel: u16, handle: u32) -> Option<&mut Link> {
        self.sessions.get_mut(&channel)?.links.get_mut(&handle)
    }

    async fn attach(
        &mut self,
        channel: u16,
        attach: Attach,
        out: &mut BytesMut,
    ) -> Result<(), AmqpError> {
        let links: usize = self.sessions.values().map(|session| session.links.len()).sum();
        let handle = attach.handle;
        if self.session(channel)?.links.contains_key(&handle) {
            return Err(AmqpError::new(
                "amqp:session:handle-in-use",
                format!("handle {handle} has a link already"),
            ));
        }
        let opened = if links < limits::AMQP_LINKS {
            self.open_link(&attach).await
        } else {
            Err(AmqpError::new(
                RESOURCE_LIMIT,
                format!("connection has {links} links, which is the most"),
            ))
        };
        match opened {
            Ok(link) => {
                let (receives, node) = (link.receives, link.node.clone());
                write_attach(out, channel, &attach, link.metrics && receives);
                let session = self.session(channel)?;
                session.links.insert(handle, link);
                if !receives {
                    let flow = session.flow(Some(handle), false);
                    write_frame(out, AMQP_FRAME, channel, (FLOW, flow), &[]);
                }
                self.listen(&node, receives, &attach);
            }
            Err(error) => {
                tracing::info!(address = ?attach.target_address().or(attach.source_address()), why = %error.description, "refused a link");
                write_attach(out, channel, &attach, false);
                write_detach(out, channel, handle, Some(&error));
            }
        }
        Ok(())
    }

    /// What a link leads to, if the connection may use that.
    async fn open_link(&mut self, attach: &Attach) -> Result<Link, AmqpError> {
        let address =
            if attach.receives { attach.source_address() } else { attach.target_address() };
        let address = address.unwrap_or_default();
        let unknown = || {
            let text =
                format!("The link address '{address}' did not match any of the expected formats.");
            AmqpError::of(&HubError::LinkAddress(text), &self.hub)
        };
        let node = Node::parse(address).ok_or_else(unknown)?;
        self.last_number += 1;
        let mut link = Link::new(self.last_number, node.clone(), attach);
        match &node {
            Node::Cbs | Node::Management => {}
            Node::Redirect(rest) => return Err(self.redirect(rest)),
            Node::Producer(_) => {
                let why =
                    "events are sent by devices; the Event Hubs-compatible endpoint is for reading";
                return Err(AmqpError::new(NOT_ALLOWED, why));
            }
            Node::Partition { event_hub, group, partition } if attach.receives => {
                link.reader = Some(self.reader(attach, event_hub, group, partition).await?);
            }
            Node::Devicebound if !attach.receives => {
                link.service = Some(self.service(&["messages", "devicebound"])?);
            }
            Node::Feedback | Node::FileNotifications if attach.receives => {
                link.service = Some(self.service(&["messages", "servicebound"])?);
            }
            Node::Device(id, node) if may_attach(*node, attach.receives) => {
                let model = attach.property("com.microsoft:model-id").and_then(Value::to_text);
                self.connect_device(id, model).await?;
            }
            _ => {
                return Err(AmqpError::new(
                    NOT_ALLOWED,
                    format!("address {address:?} is for links of the other direction"),
                ));
            }
        }
        Ok(link)
    }

    fn service(&self, path: &[&str]) -> Result<iothub_core::auth::ServicePrincipal, AmqpError> {
        let principal = self.grants.service(&self.hub, path).map_err(|why| self.error(&why))?;
        let right = iothub_core::auth::policy::AccessRight::ServiceConnect;
        let refused = |why| self.error(&HubError::Unauthorized(why));
        principal.require(right).map_err(refused)?;
        Ok(principal)
    }

    pub(crate) fn error(&self, error: &HubError) -> AmqpError {
        AmqpError::of(error, &self.hub)
    }

    fn redirect(&self, rest: &str) -> AmqpError {
        let name = self.hub.event_hubs().first().map_or("", |hub| hub.name.as_str());
        let rest = if rest.is_empty() || rest == "*" { "$management" } else { rest };
        AmqpError {
            condition: REDIRECT,
            description: format!("events are read from the event hub {name:?}"),
            info: vec![
                ("hostname", Value::string(self.host.clone())),
                ("network-host", Value::string(self.host.clone())),
                ("port", Value::Int(AMQPS_PORT)),
                (
                    "address",
                    Value::string(format!("amqps://{}:{AMQPS_PORT}/{name}/{rest}", self.host)),
                ),
            ],
        }
    }

    async fn reader(
        &mut self,
        attach: &Attach,
        event_hub: &str,
        group: &str,
        partition: &str,
    ) -> Result<Box<EventReader>, AmqpError> {
        let missing = |what: String| AmqpError::new(NOT_FOUND, what);
        let hub: &EventHub = self
            .hub
            .event_hub(event_hub)
            .ok_or_else(|| missing(format!("there is no event hub {event_hub:?}")))?;
        self.grants.reader(&self.hub, &hub.name).map_err(|why| self.error(&why))?;
        if !hub.has_group(group) {
            return Err(missing(format!(
                "event hub {:?} has no consumer group {group:?}",
                hub.name
            )));
        }
        let number = partition.parse().ok();
        let found = number.and_then(|number| hub.log.watch(number).map(|grown| (number, grown)));
        let Some((number, grown)) = found else {
            let count = hub.log.partitions();
            return Err(missing(format!(
                "there is no partition {partition:?}, only 0 to {}",
                count.saturating_sub(1)
            )));
        };
        let position =
            selector::position(&attach.source).map_err(|why| AmqpError::new(ARGUMENT, why))?;
        let next = hub.log.seek(number, position).await;
        let next = next.map_err(|why| self.error(&why.into()))?;
        let epoch = attach.property("com.microsoft:epoch").and_then(Value::as_i64);
        let seat = hub.readers.join(group, number, epoch).map_err(|holding| {
            AmqpError::new(
                STOLEN,
                format!("a receiver with epoch {holding} reads partition {number}"),
            )
        })?;
        let log = hub.log.clone();
        Ok(Box::new(EventReader { log, partition: number, next, grown, seat }))
    }

    async fn flow(
        &mut self,
        channel: u16,
        flow: &Flow,
        out: &mut BytesMut,
    ) -> Result<(), AmqpError> {
        let session = self.session(channel)?;
        let initial = flow.next_incoming.unwrap_or(1);
        let in_flight = session.next_outgoing.wrapping_sub(initial);
        session.remote_window = flow.incoming_window.saturating_sub(in_flight);
        let Some(handle) = flow.handle else {
            if flow.echo {
                let fields = session.flow(None, false);
                write_frame(out, AMQP_FRAME, channel, (FLOW, fields), &[]);
            }
            self.pump(channel, out);
            return Ok(());
        };
        let Some(link) = session.links.get_mut(&handle) else {
            // It may have been detached by the hub while this was on its way.
            return Ok(());
        };
        if link.receives {
            let count = flow.delivery_count.unwrap_or(0);
            let limit = count.wrapping_add(flow.credit.unwrap_or(0));
            link.credit = limit.wrapping_sub(link.delivery_count);
            if i32::from_ne_bytes(link.credit.to_ne_bytes()) < 0 {
                link.credit = 0;
            }
        }
        let receives = link.receives;
        self.pump(channel, out);
        if flow.drain && receives {
            self.arrived_by_now_boxed(out).await;
            self.drained(channel, handle, out);
        } else if flow.echo {
            let fields = self.session(channel)?.flow(Some(handle), false);
            write_frame(out, AMQP_FRAME, channel, (FLOW, fields), &[]);
        }
        Ok(())
    }

    /// In a box, since what arrives can lead to more of the same.
    async fn arrived_by_now_boxed(&mut self, out: &mut BytesMut) {
        Box::pin(self.arrived_by_now(out)).await;
    }

    /// Gives back the credit that is left.
    fn drained(&mut self, channel: u16, handle: u32, out: &mut BytesMut) {
        let Some(link) = self.link(channel, handle) else { return };
        link.delivery_count = link.delivery_count.wrapping_add(link.credit);
        link.credit = 0;
        let Some(session) = self.sessions.get(&channel) else { return };
        write_frame(out, AMQP_FRAME, channel, (FLOW, session.flow(Some(handle), true)), &[]);
        self.note_credit(channel, handle);
    }

    async fn transfer(
        &mut self,
        channel: u16,
        transfer: Transfer,
        out: &mut BytesMut,
    ) -> Result<(), AmqpError> {
        let session = self.session(channel)?;
        session.next_incoming = session.next_incoming.wrapping_add(1);
        session.window = session.window.saturating_sub(1);
        if session.window < limits::AMQP_WINDOW / 2 {
            session.window = limits::AMQP_WINDOW;
            let fields = session.flow(None, false);
            write_frame(out, AMQP_FRAME, channel, (FLOW, fields), &[]);
        }
        let handle = transfer.handle;
        let Some(link) = session.links.get_mut(&handle).filter(|link| !link.receives) else {
            // It may have been detached by the hub while this was on its way.
            return Ok(());
        };
        if transfer.aborted {
            link.partial = None;
            return Ok(());
        }
        match collect(link, transfer) {
            Ok(None) => {}
            Ok(Some(complete)) => {
                let outcome = self.received(channel, handle, &complete, out).await;
                self.settle_incoming(channel, &complete, outcome, out);
                self.renew_credit(channel, handle, out);
            }
            Err(error) => self.detach(channel, handle, &error, out),
        }
        Ok(())
    }

    fn settle_incoming(
        &mut self,
        channel: u16,
        complete: &Partial,
        outcome: Result<(), AmqpError>,
        out: &mut BytesMut,
    ) {
        if complete.settled {
            return;
        }
        let state = match outcome {
            Ok(()) => Value::described(ACCEPTED, Value::List(Vec::new())),
            Err(error) => Value::described(REJECTED, Value::List(vec![error.to_value()])),
        };
        write_disposition(out, channel, true, complete.delivery, state);
    }

    fn renew_credit(&mut self, channel: u16, handle: u32, out: &mut BytesMut) {
        let Some(link) = self.link(channel, handle) else { return };
        if link.credit > limits::AMQP_CREDIT / 2 {
            return;
        }
        link.credit = limits::AMQP_CREDIT;
        let Some(session) = self.sessions.get(&channel) else { return };
        write_frame(out, AMQP_FRAME, channel, (FLOW, session.flow(Some(handle), false)), &[]);
    }

    fn disposition(&mut self, channel: u16, disposition: &Disposition, out: &mut BytesMut) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        if !disposition.receives || disposition.first > disposition.last {
            return;
        }
        let range = disposition.first..=disposition.last;
        let settled: Vec<(u32, Unsettled)> =
            session.unsettled.range(range).map(|(id, (_, what))| (*id, what.clone())).collect();
        for (id, what) in settled {
            if let Some(session) = self.sessions.get_mut(&channel) {
                session.unsettled.remove(&id);
            }
            let mut state = disposition.state.clone();
            if let Err(error) = self.settle(&what, settlement(&state)) {
                state = Value::described(REJECTED, Value::List(vec![error.to_value()]));
            }
            // A client that waits for the hub to settle would wait for ever.
            if !disposition.settled {
                write_disposition(out, channel, false, id, state);
            }
        }
        self.pump(channel, out);
    }

    fn settle(&self, what: &Unsettled, settlement: Settlement) -> Result<(), AmqpError> {
        match what {
            Unsettled::Nothing => Ok(()),
            Unsettled::Devicebound(id, token) => {
                let Some(device) = self.devices.get(id) else { return Ok(()) };
                let settled = device.session.settle_devicebound(*token, settlement);
                settled.map_err(|why| self.error(&why))
            }
            Unsettled::Feedback(token) => {
                let services = self.sessions.values().flat_map(|session| session.links.values());
                let Some(principal) = services.filter_map(|link| link.service.clone()).next()
                else {
                    return Ok(());
                };
                let held = self.hub.service(principal).settle_feedback(*token, settlement);
                match held.map_err(|why| self.error(&why))? {
                    true => Ok(()),
                    false => Err(AmqpError::new(
                        "com.microsoft:message-lock-lost",
                        "the lock of this batch of feedback has ended",
                    )),
                }
            }
        }
    }

    fn detached(&mut self, channel: u16, handle: u32, closed: bool, out: &mut BytesMut) {
        let known = self.link(channel, handle).is_some();
        self.drop_link(channel, handle);
        if known {
            let fields = vec![Value::Uint(handle), Value::Bool(closed), Value::Null];
            write_frame(out, AMQP_FRAME, channel, (DETACH, fields), &[]);
        }
    }

    /// Detaches a link from the hub's side.
    pub(crate) fn detach(
        &mut self,
        channel: u16,
        handle: u32,
        error: &AmqpError,
        out: &mut BytesMut,
    ) {
        if self.link(channel, handle).is_some() {
            write_detach(out, channel, handle, Some(error));
        }
        self.drop_link(channel, handle);
    }

    /// Forgets a link; what it had not settled comes again.
    pub(crate) fn drop_link(&mut self, channel: u16, handle: u32) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let of_link = |(id, (owner, what)): (&u32, &(u32, Unsettled))| {
            (*owner == handle).then(|| (*id, what.clone()))
        };
        let unsettled: Vec<_> = session.unsettled.iter().filter_map(of_link).collect();
        for (id, _) in &unsettled {
            session.unsettled.remove(id);
        }
        for (_, what) in &unsettled {
            // The lock may have ended already, which comes to the same.
            let _lock_lost = self.settle(what, Settlement::Abandon);
        }
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        session.outbox.retain(|chunk| chunk.handle != handle);
        if let Some(link) = session.links.remove(&handle)
            && let Node::Device(id, node) = &link.node
        {
            self.leave_device(id, *node, link.receives);
        }
    }

    fn end(&mut self, channel: u16) {
        let Some(session) = self.sessions.get(&channel) else { return };
        let handles: Vec<u32> = session.links.keys().copied().collect();
        for handle in handles {
            self.drop_link(channel, handle);
        }
        self.sessions.remove(&channel);
    }

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
    fn note_credit(&mut self, channel: u16, handle: u32) {
        let hub = self.hub.clone();
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
            Node::Feedback if room > 0 && link.awaited.is_none() => {
                let Some(principal) = link.service.clone() else { return };
                let awaited = self.wait_for(outgoing::feedback(at, hub.service(principal)));
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

    fn keep_awaited(&mut self, at: Place, awaited: futures_util::future::AbortHandle) {
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
                self.downlink(id, number, receiver, downlink, out);
            }
            Arrived::Expiry => {
                if self.grants.expire(self.hub.now()) {
                    self.drop_unauthorized(out).await;
                }
                self.await_expiry();
            }
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
        let mut all = Vec::new();
        for (channel, session) in &self.sessions {
            for (handle, link) in &session.links {
                all.push((*channel, *handle, link.node.clone()));
            }
        }
        for (channel, handle, node) in all {
            let allowed = match &node {
                Node::Device(id, _) => self.grants.device(&self.hub, id).await.map(drop),
                Node::Partition { event_hub, .. } => self.grants.reader(&self.hub, event_hub),
                Node::Devicebound => {
                    self.grants.service(&self.hub, &["messages", "devicebound"]).map(drop)
                }
                Node::Feedback | Node::FileNotifications => {
                    self.grants.service(&self.hub, &["messages", "servicebound"]).map(drop)
                }
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
            let may_send = |link: &&mut Link| link.credit > 0 && !link.queue.is_empty();
            if !self.outbox.is_empty() || self.unsettled.len() >= limits::AMQP_UNSETTLED {
                return;
            }
            let links = self.links.iter_mut();
            let Some((handle, link)) =
                links.map(|(handle, link)| (*handle, link)).find(|(_, link)| may_send(&link))
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

/// Which links of a device there are.
fn may_attach(node: DeviceNode, receives: bool) -> bool {
    match node {
        // A receiver of events is a module's inputs, to which the cloud never sends anything.
        DeviceNode::Events | DeviceNode::Twin | DeviceNode::Methods => true,
        DeviceNode::Devicebound => receives,
    }
}

/// Adds a transfer to what came of its message before; the message if this was its end.
fn collect(link: &mut Link, transfer: Transfer) -> Result<Option<Partial>, AmqpError> {
    let partial = match link.partial.take() {
        Some(mut partial) => {
            partial.payload.extend_from_slice(&transfer.payload);
            partial.settled |= transfer.settled.unwrap_or(false);
            partial
        }
        None => {
            let Some(delivery) = transfer.delivery else {
                return Err(AmqpError::new(
                    NOT_ALLOWED,
                    "transfer begins a message and has no delivery-id",
                ));
            };
            link.credit = link.credit.checked_sub(1).ok_or_else(|| {
                AmqpError::new("amqp:link:transfer-limit-exceeded", "message came without credit")
            })?;
            link.delivery_count = link.delivery_count.wrapping_add(1);
            Partial {
                delivery,
                format: transfer.format.unwrap_or(0),
                settled: transfer.settled.unwrap_or(false),
                payload: BytesMut::from(&*transfer.payload),
            }
        }
    };
    let (bytes, max) = (partial.payload.len(), limits::AMQP_MESSAGE_BYTES);
    if bytes > max {
        let why = format!(
            "Message size is {bytes} bytes or more, which is greater than the max size {max} bytes allowed."
        );
        return Err(AmqpError::new(crate::error::TOO_LARGE, why));
    }
    if transfer.more {
        link.partial = Some(partial);
        return Ok(None);
    }
    Ok(Some(partial))
}

fn settlement(state: &Value) -> Settlement {
    match descriptor(state) {
        Some(ACCEPTED) => Settlement::Complete,
        Some(REJECTED) => Settlement::Reject,
        // Nothing may be lost for want of a word.
        Some(RELEASED | MODIFIED) | None | Some(_) => Settlement::Abandon,
    }
}

/// Echoes an attach from the other side, as the service does.
fn write_attach(out: &mut BytesMut, channel: u16, attach: &Attach, metrics: bool) {
    let terminus = |value: &Value, descriptor| match value {
        Value::Null => Value::described(descriptor, Value::List(vec![Value::Null])),
        given => given.clone(),
    };
    let count = if attach.receives { Value::Uint(0) } else { Value::Null };
    let offered =
        if metrics { Value::Array(vec![Value::symbol(RUNTIME_METRIC)]) } else { Value::Null };
    let properties = match &attach.properties {
        Value::Null => Value::symbols(Vec::new()),
        given => given.clone(),
    };
    let fields = vec![
        Value::string(attach.name.clone()),
        Value::Uint(attach.handle),
        Value::Bool(!attach.receives),
        Value::Ubyte(attach.sender_settles),
        Value::Ubyte(attach.receiver_settles),
        terminus(&attach.source, 0x28),
        terminus(&attach.target, 0x29),
        Value::Null,
        Value::Null,
        count,
        Value::Ulong(limits::AMQP_MESSAGE_BYTES as u64),
        offered,
        Value::Null,
        properties,
    ];
    write_frame(out, AMQP_FRAME, channel, (ATTACH, fields), &[]);
}

fn write_detach(out: &mut BytesMut, channel: u16, handle: u32, error: Option<&AmqpError>) {
    let error = error.map_or(Value::Null, AmqpError::to_value);
    let fields = vec![Value::Uint(handle), Value::Bool(true), error];
    write_frame(out, AMQP_FRAME, channel, (DETACH, fields), &[]);
}

fn write_disposition(out: &mut BytesMut, channel: u16, receives: bool, id: u32, state: Value) {
    let fields = vec![
        Value::Bool(receives),
        Value::Uint(id),
        Value::Uint(id),
        Value::Bool(true),
        state,
        Value::Bool(false),
    ];
    write_frame(out, AMQP_FRAME, channel, (DISPOSITION, fields), &[]);
}
