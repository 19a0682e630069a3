//! What comes for a client without its asking: events, feedback, and what the hub has for a device.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use iothub_core::devicebound::Delivery;
use iothub_core::devicebound::feedback::{FeedbackBatch, FeedbackDelivery};
use iothub_core::event::{Event, EventSource};
use iothub_core::fault::message::FaultMessage;
use iothub_core::ids::IdentityId;
use iothub_core::limits;
use iothub_core::method::MethodCall;
use iothub_core::readers::Seat;
use iothub_core::session::{Downlink, DownlinkReceiver, ServiceSession};
use iothub_core::store::{EventLog, LoggedEvent, PartitionState};
use iothub_core::twin::DesiredPatch;
use iothub_wire::json;
use iothub_wire::json::twin::Layout;
use tokio::sync::watch;

use crate::message::{AmqpMessage, field, timestamp};
use crate::value::Value;

/// Something that was awaited has come.
pub(crate) enum Arrived {
    /// For a link: events, or the news that another reader took the place of this one.
    Events { at: Place, reader: Box<EventReader>, events: Result<Batch, Lost> },
    /// For a link: a batch of feedback.
    Feedback { at: Place, delivery: Option<FeedbackDelivery> },
    /// For a device.
    Downlink { id: IdentityId, number: u64, receiver: DownlinkReceiver, downlink: Downlink },
    /// A token may have ended.
    Expiry,
    /// What a message of this device on this channel asked for is due.
    Fault { asked: FaultMessage, id: IdentityId, channel: u16 },
}

/// What is awaited.
pub(crate) type Awaited = Pin<Box<dyn Future<Output = Arrived> + Send>>;

/// A link among those of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) channel: u16,
    pub(crate) handle: u32,
    pub(crate) number: u64,
}

/// Events, and what is known of their partition.
pub(crate) struct Batch {
    pub(crate) events: Vec<LoggedEvent>,
    pub(crate) state: PartitionState,
}

/// Why a reader gets nothing more.
pub(crate) enum Lost {
    /// Another reader took its place.
    Stolen,
    /// The log failed.
    Failed(String),
}

/// A place in a partition.
pub(crate) struct EventReader {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) partition: usize,
    pub(crate) next: u64,
    pub(crate) grown: watch::Receiver<u64>,
    pub(crate) seat: Seat,
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReader").field("next", &self.next).finish_non_exhaustive()
    }
}

impl EventReader {
    /// Up to `max` events, as soon as there are any.
    pub(crate) async fn read(mut self: Box<Self>, max: usize) -> (Box<Self>, Result<Batch, Lost>) {
        let Self { log, partition, next, grown, seat } = &mut *self;
        let reading = async {
            loop {
                grown.borrow_and_update();
                let events = log.read(*partition, *next, max).await;
                let mut events = events.map_err(|why| Lost::Failed(why.to_string()))?;
                cut(&mut events);
                if let Some(last) = events.last() {
                    *next = last.sequence_number + 1;
                    let state = log.state(*partition).await;
                    let state = state.map_err(|why| Lost::Failed(why.to_string()))?;
                    return Ok(Batch { events, state });
                }
                let gone = |_| Lost::Failed("the log is gone".to_owned());
                grown.changed().await.map_err(gone)?;
            }
        };
        let result = tokio::select! {
            () = seat.stolen() => Err(Lost::Stolen),
            batch = reading => batch,
        };
        (self, result)
    }
}

/// Leaves no more than about the largest message's worth of events, and at least one: many large
/// ones for many readers would be too much to hold.
fn cut(events: &mut Vec<LoggedEvent>) {
    let mut bytes = 0;
    let within = |logged: &&LoggedEvent| {
        bytes += logged.event.kept_bytes();
        bytes <= limits::EVENT_BYTES
    };
    let count = events.iter().take_while(within).count();
    events.truncate(count.max(1));
}

/// Waits for the next batch of feedback.
pub(crate) async fn feedback(at: Place, session: ServiceSession) -> Arrived {
    // The right to it was checked when the link came.
    Arrived::Feedback { at, delivery: session.receive_feedback().await.ok() }
}

/// Waits for what the hub has for a device.
pub(crate) async fn downlink(
    id: IdentityId,
    number: u64,
    mut receiver: DownlinkReceiver,
) -> Arrived {
    let downlink = receiver.next().await;
    Arrived::Downlink { id, number, receiver, downlink }
}

/// An event as readers get it.
pub(crate) fn event(logged: &LoggedEvent, state: Option<(&PartitionState, Value)>) -> Bytes {
    let LoggedEvent { sequence_number, offset, event } = logged;
    let mut message =
        AmqpMessage::of(&event.message, annotations(*sequence_number, *offset, event));
    if event.source == EventSource::Telemetry && *message.property(field::TO) == Value::Null {
        message.set_property(
            field::TO,
            Value::string(format!("{}/messages/events", path(&event.sender))),
        );
    }
    if let Some((state, now)) = state {
        message.delivery_annotations = vec![
            ("last_enqueued_sequence_number", long(state.next.saturating_sub(1))),
            ("last_enqueued_offset", Value::string(last_offset(state))),
            ("last_enqueued_time_utc", timestamp(state.last_enqueued)),
            ("runtime_info_retrieval_time_utc", now),
        ];
    }
    message.write()
}

/// The offset of the newest event of a partition, as the service writes it.
pub(crate) fn last_offset(state: &PartitionState) -> String {
    state.last_offset.map_or_else(|| "-1".to_owned(), |offset| offset.to_string())
}

pub(crate) fn long(number: u64) -> Value {
    Value::Long(i64::try_from(number).unwrap_or(i64::MAX))
}

fn path(id: &IdentityId) -> String {
    match &id.module {
        None => format!("/devices/{}", id.device),
        Some(module) => format!("/devices/{}/modules/{}", id.device, module.as_str()),
    }
}

fn annotations(sequence_number: u64, offset: u64, event: &Event) -> Vec<(&'static str, Value)> {
    let mut annotations = vec![
        ("x-opt-sequence-number", long(sequence_number)),
        ("x-opt-offset", Value::string(offset.to_string())),
        ("x-opt-enqueued-time", timestamp(event.enqueued)),
        ("iothub-connection-device-id", Value::string(event.sender.device.as_str())),
    ];
    if let Some(module) = &event.sender.module {
        annotations.push(("iothub-connection-module-id", Value::string(module.as_str())));
    }
    if let Some(method) = event.auth_method_json() {
        annotations.push(("iothub-connection-auth-method", Value::string(method)));
        let generation = event.generation.to_string();
        annotations.push(("iothub-connection-auth-generation-id", Value::string(generation)));
    }
    annotations.push(("iothub-enqueuedtime", timestamp(event.enqueued)));
    annotations.push(("iothub-message-source", Value::string(event.source.as_str())));
    if let Some(model) = &event.model_id {
        annotations.push(("dt-dataschema", Value::string(model.clone())));
    }
    annotations
}

/// A cloud-to-device message as devices get it.
pub(crate) fn devicebound(delivery: &Delivery) -> Bytes {
    let kept = &delivery.message;
    let count = u8::try_from(delivery.delivery_count).unwrap_or(u8::MAX);
    let annotations = vec![
        ("x-opt-lock-token", Value::Uuid(delivery.lock_token.bytes())),
        ("x-opt-sequence-number", Value::Ulong(delivery.sequence_number)),
        ("iothub-enqueuedtime", timestamp(kept.enqueued)),
        ("iothub-deliverycount", Value::Ubyte(count)),
    ];
    let mut message = AmqpMessage::of(&kept.message, annotations);
    if let Some(expiry) = kept.expiry {
        message.set_property(field::EXPIRY, timestamp(expiry));
    }
    if let Some(ack) = kept.ack {
        let pair = (Value::string("iothub-ack"), Value::string(ack.as_str()));
        match &mut message.application {
            Some(Value::Map(pairs)) => pairs.push(pair),
            none => *none = Some(Value::Map(vec![pair])),
        }
    }
    message.write()
}

/// A change of the desired properties.
pub(crate) fn desired_patch(patch: &DesiredPatch) -> Bytes {
    let annotations =
        vec![("resource", Value::string("/properties/desired")), ("version", long(patch.version))];
    let body = json::twin::desired_patch(patch, Layout::Compact);
    let message = AmqpMessage {
        annotations: Some(Value::symbols(annotations)),
        data: vec![body.into()],
        ..AmqpMessage::default()
    };
    message.write()
}

/// A call of a direct method. Its id is a GUID, which some SDKs insist on.
pub(crate) fn method_call(call: &MethodCall) -> Bytes {
    let name = (Value::string("IoThub-methodname"), Value::string(call.name.as_str()));
    let mut message = AmqpMessage {
        application: Some(Value::Map(vec![name])),
        data: vec![call.payload.as_str().to_owned().into()],
        ..AmqpMessage::default()
    };
    let number: u32 = call.id.to_string().parse().unwrap_or_default();
    let id = Value::Uuid(u128::from(number).to_be_bytes());
    message.set_property(field::CORRELATION_ID, id);
    message.write()
}

/// A batch of feedback.
pub(crate) fn feedback_batch(batch: &FeedbackBatch, hub: &str) -> Bytes {
    let annotations = vec![("iothub-enqueuedtime", timestamp(batch.enqueued))];
    let body = json::messages::feedback(batch);
    let mut message = AmqpMessage {
        annotations: Some(Value::symbols(annotations)),
        data: vec![body.into()],
        ..AmqpMessage::default()
    };
    let content_type = "application/vnd.microsoft.iothub.feedback.json";
    message.set_property(field::USER_ID, Value::Binary(hub.to_owned().into()));
    message.set_property(field::CONTENT_TYPE, Value::symbol(content_type));
    message.write()
}
