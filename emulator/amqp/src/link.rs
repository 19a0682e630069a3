//! Sessions and links: windows, credit, and what waits on both sides.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use futures_util::future::AbortHandle;
use iothub_core::auth::ServicePrincipal;
use iothub_core::devicebound::LockToken;
use iothub_core::ids::IdentityId;
use iothub_core::limits;

use crate::node::Node;
use crate::outgoing::EventReader;
use crate::performative::{Attach, Begin};
use crate::value::Value;

/// A session: windows of frames, and the links inside it.
#[derive(Debug)]
pub(crate) struct Session {
    /// How many frames the client takes.
    pub(crate) remote_window: u32,
    pub(crate) next_outgoing: u32,
    pub(crate) next_incoming: u32,
    /// How many frames the client may send before it hears more.
    pub(crate) window: u32,
    pub(crate) next_delivery: u32,
    /// By the client's handle, which is the hub's as well.
    pub(crate) links: BTreeMap<u32, Link>,
    /// Frames that wait for the window.
    pub(crate) outbox: VecDeque<Chunk>,
    /// By delivery id.
    pub(crate) unsettled: BTreeMap<u32, (u32, Unsettled)>,
}

/// A frame of a delivery.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) handle: u32,
    pub(crate) delivery: u32,
    pub(crate) tag: Bytes,
    pub(crate) settled: bool,
    pub(crate) more: bool,
    pub(crate) payload: Bytes,
}

/// What a delivery stands for that the client has to settle.
#[derive(Clone, Debug)]
pub(crate) enum Unsettled {
    /// Nothing: it is only said that it is settled.
    Nothing,
    Devicebound(IdentityId, LockToken),
    Feedback(LockToken),
}

/// A message on its way to the client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) tag: Bytes,
    pub(crate) payload: Bytes,
    /// What it stands for; none if it is settled as it is sent.
    pub(crate) unsettled: Option<Unsettled>,
}

/// A link, from the hub's side.
#[derive(Debug)]
pub(crate) struct Link {
    /// Tells links apart that have one handle after the other.
    pub(crate) number: u64,
    pub(crate) node: Node,
    /// Whether the client receives.
    pub(crate) receives: bool,
    /// How many messages the receiving side takes.
    pub(crate) credit: u32,
    pub(crate) delivery_count: u32,
    pub(crate) queue: VecDeque<Outgoing>,
    /// A message of which more is to come.
    pub(crate) partial: Option<Partial>,
    /// Whether deliveries are settled as they are sent.
    pub(crate) presettled: bool,
    /// What a pair of links has in common.
    pub(crate) pair: Option<String>,
    /// Where the client expects replies.
    pub(crate) reply_to: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) reader: Option<Box<EventReader>>,
    pub(crate) service: Option<ServicePrincipal>,
    /// Whether events come with what is known of their partition.
    pub(crate) metrics: bool,
    /// Ends what is awaited for this link.
    pub(crate) awaited: Option<AbortHandle>,
}

/// The beginning of a message.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) delivery: u32,
    pub(crate) format: u32,
    pub(crate) settled: bool,
    pub(crate) payload: BytesMut,
}

impl Session {
    pub(crate) fn new(begin: &Begin) -> Self {
        Self {
            remote_window: begin.incoming_window,
            next_outgoing: 1,
            next_incoming: begin.next_outgoing,
            window: limits::AMQP_WINDOW,
            next_delivery: 0,
            links: BTreeMap::new(),
            outbox: VecDeque::new(),
            unsettled: BTreeMap::new(),
        }
    }

    /// The fields of a flow; of the session alone, or of a link too.
    pub(crate) fn flow(&self, handle: Option<u32>, drained: bool) -> Vec<Value> {
        let link = handle.and_then(|handle| self.links.get(&handle));
        let of_link = |value: Option<u32>| value.map_or(Value::Null, Value::Uint);
        vec![
            Value::Uint(self.next_incoming),
            Value::Uint(self.window),
            Value::Uint(self.next_outgoing),
            Value::Uint(u32::MAX),
            of_link(handle),
            of_link(link.map(|link| link.delivery_count)),
            of_link(link.map(|link| link.credit)),
            Value::Uint(0),
            Value::Bool(drained),
            Value::Bool(false),
            Value::Null,
        ]
    }
}

impl Link {
    pub(crate) fn new(number: u64, node: Node, attach: &Attach) -> Self {
        let text = |name: &str| attach.property(name).and_then(Value::to_text);
        Self {
            number,
            node,
            receives: attach.receives,
            credit: if attach.receives { 0 } else { limits::AMQP_CREDIT },
            delivery_count: if attach.receives { 0 } else { attach.initial_count },
            queue: VecDeque::new(),
            partial: None,
            presettled: attach.sender_settles != 0,
            pair: text("com.microsoft:channel-correlation-id"),
            reply_to: attach.target_address().map(str::to_owned),
            api_version: text("com.microsoft:api-version"),
            reader: None,
            service: None,
            metrics: wants_metrics(&attach.desired),
            awaited: None,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(awaited) = self.awaited.take() {
            awaited.abort();
        }
    }
}

pub(crate) const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";

fn wants_metrics(desired: &Value) -> bool {
    match desired {
        Value::Array(values) => values.iter().any(|one| one.as_str() == Some(RUNTIME_METRIC)),
        one => one.as_str() == Some(RUNTIME_METRIC),
    }
}
