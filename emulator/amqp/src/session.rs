//! What a frame asks for: sessions, links, windows, credit, settlement.

use std::collections::btree_map::Entry;

use bytes::BytesMut;
use iothub_core::devicebound::Settlement;
use iothub_core::error::HubError;
use iothub_core::fault::AnswerFault;
use iothub_core::limits;

use crate::connection::{AMQP_FRAME, Conversation, End};
use crate::error::{AmqpError, NOT_ALLOWED, RESOURCE_LIMIT};
use crate::link::{Link, Partial, Session, Unsettled};
use crate::node::Node;
use crate::performative::{
    ACCEPTED, Begin, Disposition, Flow, Performative, REJECTED, Transfer, descriptor, write_frame,
};
use crate::value::Value;

const BEGIN: u64 = 0x11;
pub(crate) const ATTACH: u64 = 0x12;
pub(crate) const FLOW: u64 = 0x13;
const DISPOSITION: u64 = 0x15;
const DETACH: u64 = 0x16;
const END: u64 = 0x17;

impl Conversation {
    /// Carries out what a frame asks for.
    pub(crate) async fn frame(
        &mut self,
        channel: u16,
        performative: Performative,
        out: &mut BytesMut,
    ) -> Result<(), End> {
        if self.ended.contains(&channel) && !matches!(performative, Performative::Close) {
            // What was on its way when the hub ended the session is for nobody.
            if matches!(performative, Performative::End) {
                self.ended.remove(&channel);
            }
            return Ok(());
        }
        match performative {
            Performative::Begin(begin) => self.begin(channel, &begin, out)?,
            Performative::Attach(attach) => self.attach(channel, *attach, out).await?,
            Performative::Flow(flow) => self.flow(channel, &flow, out).await?,
            Performative::Transfer(transfer) => self.transfer(channel, transfer, out).await?,
            Performative::Disposition(disposition) => self.disposition(channel, &disposition, out),
            Performative::Detach { handle, closed } => self.detached(channel, handle, closed, out),
            Performative::End => {
                self.end(channel);
                write_end(out, channel, None);
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

    pub(crate) fn session(&mut self, channel: u16) -> Result<&mut Session, AmqpError> {
        let missing = || AmqpError::new(NOT_ALLOWED, format!("channel {channel} has no session"));
        self.sessions.get_mut(&channel).ok_or_else(missing)
    }

    pub(crate) fn link(&mut self, channel: u16, handle: u32) -> Option<&mut Link> {
        self.sessions.get_mut(&channel)?.links.get_mut(&handle)
    }

    /// All links, with their channels and handles.
    pub(crate) fn links(&self) -> impl Iterator<Item = (u16, u32, &Link)> {
        self.sessions.iter().flat_map(|(channel, session)| {
            session.links.iter().map(move |(handle, link)| (*channel, *handle, link))
        })
    }

    pub(crate) fn error(&self, error: &HubError) -> AmqpError {
        AmqpError::of(error, &self.hub)
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
            // In a box, since what arrives can lead to more of the same.
            Box::pin(self.arrived_by_now(out)).await;
            self.drained(channel, handle, out);
        } else if flow.echo {
            let fields = self.session(channel)?.flow(Some(handle), false);
            write_frame(out, AMQP_FRAME, channel, (FLOW, fields), &[]);
        }
        Ok(())
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
        let more = transfer.more;
        let collected = collect(link, transfer);
        if more && self.partial_bytes() > limits::AMQP_PARTIAL_BYTES {
            let max = limits::AMQP_PARTIAL_BYTES;
            let why = format!("messages that have begun have more than {max} bytes");
            self.detach(channel, handle, &AmqpError::new(RESOURCE_LIMIT, why), out);
            return Ok(());
        }
        match collected {
            Ok(None) => {}
            Ok(Some(Partial { delivery, format, settled, payload })) => {
                let outcome = self.received(channel, handle, format, payload.freeze(), out).await;
                // Taken in any case, since it is about this message and no other.
                let fault = self.answer_fault.take();
                if !settled {
                    self.tell_outcome(channel, delivery, outcome, fault, out).await;
                }
                self.renew_credit(channel, handle, out);
            }
            Err(error) => self.detach(channel, handle, &error, out),
        }
        Ok(())
    }

    /// Says what became of a message, unless a fault has it that the client does not hear of it.
    async fn tell_outcome(
        &mut self,
        channel: u16,
        delivery: u32,
        outcome: Result<(), AmqpError>,
        fault: Option<AnswerFault>,
        out: &mut BytesMut,
    ) {
        // There is nothing to garble but what it is about.
        let told = self.hub.arriving(delivery, fault, |delivery| delivery ^ 0x4000_0000).await;
        if let Some(delivery) = told {
            write_outcome(out, channel, delivery, outcome);
        }
    }

    /// How much has come of messages of which more is to come.
    fn partial_bytes(&self) -> usize {
        let begun = self.links().filter_map(|(_, _, link)| link.partial.as_ref());
        begun.map(|partial| partial.payload.len()).sum()
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
                let mut services = self.links().filter_map(|(_, _, link)| link.service.clone());
                let Some(principal) = services.next() else { return Ok(()) };
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
        self.close_link(channel, handle, Some(error), out);
    }

    /// The same, also without an error.
    pub(crate) fn close_link(
        &mut self,
        channel: u16,
        handle: u32,
        error: Option<&AmqpError>,
        out: &mut BytesMut,
    ) {
        if self.link(channel, handle).is_some() {
            write_detach(out, channel, handle, error);
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

    /// Ends a session from the hub's side.
    pub(crate) fn end_session(
        &mut self,
        channel: u16,
        error: Option<&AmqpError>,
        out: &mut BytesMut,
    ) {
        if self.sessions.contains_key(&channel) {
            self.end(channel);
            self.ended.insert(channel);
            write_end(out, channel, error);
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
        _ => Settlement::Abandon,
    }
}

pub(crate) fn write_detach(
    out: &mut BytesMut,
    channel: u16,
    handle: u32,
    error: Option<&AmqpError>,
) {
    let error = error.map_or(Value::Null, AmqpError::to_value);
    let fields = vec![Value::Uint(handle), Value::Bool(true), error];
    write_frame(out, AMQP_FRAME, channel, (DETACH, fields), &[]);
}

fn write_end(out: &mut BytesMut, channel: u16, error: Option<&AmqpError>) {
    let error = error.map_or(Value::Null, AmqpError::to_value);
    write_frame(out, AMQP_FRAME, channel, (END, vec![error]), &[]);
}

/// Says what became of a message that the client sent.
fn write_outcome(out: &mut BytesMut, channel: u16, delivery: u32, outcome: Result<(), AmqpError>) {
    let state = match outcome {
        Ok(()) => Value::described(ACCEPTED, Value::List(Vec::new())),
        Err(error) => Value::described(REJECTED, Value::List(vec![error.to_value()])),
    };
    write_disposition(out, channel, true, delivery, state);
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
