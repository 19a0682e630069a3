//! What clients send: tokens, questions about event hubs, events, cloud-to-device messages, twin
//! requests, and answers to direct methods.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use iothub_core::devicebound::Outgoing as OutgoingMessage;
use iothub_core::error::HubError;
use iothub_core::event::Message;
use iothub_core::fault::{AnswerFault, Edge};
use iothub_core::ids::IdentityId;
use iothub_core::limits;
use iothub_core::method::CallId;
use iothub_core::session::{Assurance, Channel, DeviceSession};
use iothub_core::throttle::Operation;
use iothub_core::time::Timestamp;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json;
use iothub_wire::json::twin::Layout;

use crate::connection::Conversation;
use crate::error::{ARGUMENT, AmqpError, NOT_ALLOWED, NOT_IMPLEMENTED, UNAUTHORIZED};
use crate::message::{AmqpMessage, BATCH_FORMAT, field, timestamp};
use crate::node::{DeviceNode, Node, ServiceNode, named_identity};
use crate::outgoing::{last_offset, long};
use crate::value::Value;

/// The api-version of clients that do not say one on their twin links.
const DEFAULT_VERSION: &str = "2021-04-12";

impl Conversation {
    /// Carries out what a message asks for; an error is the message's outcome.
    pub(crate) async fn received(
        &mut self,
        channel: u16,
        handle: u32,
        format: u32,
        payload: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), AmqpError> {
        let message = read(payload)?;
        let Some(link) = self.link(channel, handle) else { return Ok(()) };
        let (node, pair) = (link.node.clone(), link.pair.clone());
        let version = link.api_version.clone();
        match node {
            Node::Cbs => self.put_token(channel, &message, out).await,
            Node::Management => self.manage(channel, &message, out).await,
            Node::Service(ServiceNode::Devicebound) => {
                return self.send_devicebound(channel, handle, &message).await;
            }
            Node::Device(id, DeviceNode::Events) => {
                return self.send_events(channel, &id, format, &message).await;
            }
            Node::Device(id, DeviceNode::Twin) => {
                self.twin(&id, pair.as_deref(), version.as_deref(), &message, out).await;
            }
            Node::Device(id, DeviceNode::Methods) => return self.answer_method(&id, &message),
            _ => return Err(AmqpError::new(NOT_ALLOWED, "nothing can be sent to this address")),
        }
        Ok(())
    }

    async fn put_token(&mut self, channel: u16, message: &AmqpMessage, out: &mut BytesMut) {
        let text = |name: &str| message.application(name).and_then(Value::as_str);
        let operation = text("operation").unwrap_or_default();
        // What is no text at all is no token either.
        let body = message.body().unwrap_or_default();
        let token = String::from_utf8_lossy(&body);
        let put = match (operation, text("name")) {
            ("put-token", Some(audience)) => {
                let audience = audience.to_owned();
                let hub = self.hub.clone();
                self.grants.put(&hub, &audience, &token).await
            }
            ("put-token", None) => {
                Err(HubError::ArgumentNull("request has no property \"name\"".to_owned()))
            }
            (other, _) => Err(HubError::ArgumentInvalid(format!(
                "operation is {other:?}, expected \"put-token\""
            ))),
        };
        let (status, description) = match &put {
            Ok(()) => (200, "OK".to_owned()),
            Err(error) => {
                tracing::info!(why = %error, "refused a token");
                self.hub.note_refusal("amqp", None, error);
                token_status(error, &self.host)
            }
        };
        self.await_expiry();
        let properties = vec![
            ("status-code", Value::Int(status)),
            ("status-description", Value::string(description)),
        ];
        self.answer(channel, &Node::Cbs, message, properties, None, out);
    }

    /// Answers a request over the link on which the client waits for replies.
    fn answer(
        &mut self,
        channel: u16,
        node: &Node,
        request: &AmqpMessage,
        properties: Vec<(&str, Value)>,
        value: Option<Value>,
        out: &mut BytesMut,
    ) {
        let pairs = properties.into_iter().map(|(name, value)| (Value::string(name), value));
        let mut reply = AmqpMessage {
            application: Some(Value::Map(pairs.collect())),
            value: Some(value.unwrap_or(Value::Null)),
            ..AmqpMessage::default()
        };
        reply.set_property(field::CORRELATION_ID, request.property(field::MESSAGE_ID).clone());
        let reply_to = request.property(field::REPLY_TO).as_str();
        let Some(session) = self.sessions.get(&channel) else { return };
        let links = session.links.iter().filter(|(_, link)| link.receives && link.node == *node);
        let mut named = links
            .clone()
            .filter(|(_, link)| reply_to.is_some() && link.reply_to.as_deref() == reply_to);
        let Some(handle) =
            named.next().or_else(|| links.clone().next_back()).map(|(handle, _)| *handle)
        else {
            tracing::debug!(?node, "a request has no link for its answer");
            return;
        };
        self.reply(channel, handle, reply.write(), out);
    }

    async fn manage(&mut self, channel: u16, message: &AmqpMessage, out: &mut BytesMut) {
        let (status, condition, description, value) = match self.managed(message).await {
            Ok(map) => (200, None, "OK".to_owned(), Some(map)),
            Err((status, why)) => (status, Some(why.condition), why.description, None),
        };
        let mut properties = vec![
            ("status-code", Value::Int(status)),
            ("statusCode", Value::Int(status)),
            ("status-description", Value::string(description.clone())),
            // Where Python's client looks for it.
            ("statusDescription", Value::string(description)),
        ];
        properties.extend(condition.map(|condition| ("error-condition", Value::symbol(condition))));
        self.answer(channel, &Node::Management, message, properties, value, out);
    }

    async fn managed(&mut self, message: &AmqpMessage) -> Result<Value, (i32, AmqpError)> {
        let text =
            |name: &str| message.application(name).and_then(Value::to_text).unwrap_or_default();
        let (name, kind) = (text("name"), text("type"));
        if text("operation") != "READ" {
            let why = format!("operation is {:?}, expected \"READ\"", text("operation"));
            return Err((400, AmqpError::new(ARGUMENT, why)));
        }
        let hub = self.hub.event_hub(&name).ok_or_else(|| (404, self.no_event_hub(&name)))?;
        let refused = |why: HubError| (401, AmqpError::new(UNAUTHORIZED, why.to_string()));
        self.grants.reader(&self.hub, &hub.name).map_err(refused)?;
        let mut map =
            vec![("name", Value::string(hub.name.clone())), ("type", Value::string(kind.clone()))];
        match kind.as_str() {
            "com.microsoft:eventhub" => {
                let count = hub.log.partitions();
                let ids = (0..count).map(|id| Value::string(id.to_string())).collect();
                map.push(("created_at", timestamp(hub.created)));
                map.push(("partition_count", Value::Int(i32::try_from(count).unwrap_or(i32::MAX))));
                map.push(("partition_ids", Value::Array(ids)));
            }
            "com.microsoft:partition" => {
                let id = text("partition");
                let missing = || (404, AmqpError::invalid_partition(&id, hub.log.partitions()));
                let number: usize = id.parse().map_err(|_| missing())?;
                let state = hub.log.state(number).await.map_err(|_| missing())?;
                let last = i64::try_from(state.next).unwrap_or(i64::MAX) - 1;
                map.push(("partition", Value::string(id.clone())));
                map.push(("begin_sequence_number", long(state.first)));
                map.push(("last_enqueued_sequence_number", Value::Long(last)));
                map.push(("last_enqueued_offset", Value::string(last_offset(&state))));
                let at = state.last_enqueued.max(Timestamp::from_unix_seconds(0));
                map.push(("last_enqueued_time_utc", timestamp(at)));
                map.push(("is_partition_empty", Value::Bool(state.first == state.next)));
            }
            other => {
                let why = format!(
                    "type is {other:?}, expected com.microsoft:eventhub or com.microsoft:partition"
                );
                return Err((400, AmqpError::new(ARGUMENT, why)));
            }
        }
        let pairs = map.into_iter().map(|(key, value)| (Value::string(key), value));
        Ok(Value::Map(pairs.collect()))
    }

    async fn send_devicebound(
        &mut self,
        channel: u16,
        handle: u32,
        message: &AmqpMessage,
    ) -> Result<(), AmqpError> {
        let principal = self.link(channel, handle).and_then(|link| link.service.clone());
        let Some(principal) = principal else { return Ok(()) };
        let to = message.property(field::TO).as_str().unwrap_or_default();
        let Some(id) = named_identity(to) else {
            let why = format!("Properties.To is {to:?}; it must contain the device identifier");
            return Err(AmqpError::new(NOT_ALLOWED, why));
        };
        if id.module.is_some() {
            let why =
                HubError::FeatureNotSupported("cloud-to-device messages to modules".to_owned());
            return Err(self.error(&why));
        }
        let session = self.hub.service(principal);
        let (kept, expiry) = (message.to_message()?, message.time(field::EXPIRY));
        let sent = async {
            let outgoing = OutgoingMessage::new(kept, expiry)?;
            let operation = Operation::SendDevicebound;
            let admitted = self.hub.admit_of(operation, None, Edge::Amqp, &*self.line);
            self.answer_fault = admitted.await?;
            session.send_devicebound(&id.device, outgoing).await
        };
        sent.await.map_err(|why| self.error(&why))
    }

    async fn send_events(
        &mut self,
        channel: u16,
        id: &IdentityId,
        format: u32,
        message: &AmqpMessage,
    ) -> Result<(), AmqpError> {
        if format != BATCH_FORMAT {
            return self.send_event(channel, id, message.to_message()?).await;
        }
        if message.data.is_empty() {
            // Whatever else is in it would be lost.
            return Err(AmqpError::new(NOT_IMPLEMENTED, "batch of messages has no data sections"));
        }
        let mut batch = Vec::with_capacity(message.data.len());
        for data in &message.data {
            batch.push(read(data.clone())?.to_message()?);
        }
        let bytes = batch.iter().map(Message::size).sum();
        if bytes > limits::EVENT_BYTES {
            let why = HubError::MessageTooLarge { bytes, max: limits::EVENT_BYTES };
            return Err(self.error(&why));
        }
        for event in batch {
            self.send_event(channel, id, event).await?;
        }
        Ok(())
    }

    async fn send_event(
        &mut self,
        channel: u16,
        id: &IdentityId,
        event: Message,
    ) -> Result<(), AmqpError> {
        if self.is_fault(&event, id, channel) {
            return Ok(());
        }
        let Some(device) = self.devices.get(id) else { return Ok(()) };
        let operation = Operation::SendEvent(event.size());
        let send = async {
            let admitted = self.hub.admit_of(operation, Some(id), Edge::Amqp, &*self.line);
            self.answer_fault = admitted.await?;
            device.session.send_event(event).await
        };
        device.session.noted(operation, send.await).map_err(|why| self.error(&why))
    }

    async fn twin(
        &mut self,
        id: &IdentityId,
        pair: Option<&str>,
        version: Option<&str>,
        message: &AmqpMessage,
        out: &mut BytesMut,
    ) {
        let answered = self.twin_answer(id, version, message).await;
        let (status, version, body) = answered.unwrap_or_else(|error| {
            let now = self.hub.now();
            let tracking_id = json::error::tracking_id(self.hub.random().bytes(), now);
            let status = i32::try_from(error.code().number / 1000).unwrap_or(500);
            (status, None, json::error::flat(&error, &tracking_id, now))
        });
        let fault = self.answer_fault.take();
        let Some(body) = self.hub.faulty_body(body, fault).await else { return };
        let mut annotations = vec![("status", Value::Int(status))];
        annotations.extend(version.map(|version| ("version", long(version))));
        let resource = message.annotation("resource").filter(|resource| **resource != Value::Null);
        annotations.extend(resource.map(|resource| ("resource", resource.clone())));
        let mut reply = AmqpMessage {
            annotations: Some(Value::symbols(annotations)),
            data: vec![body.into()],
            ..AmqpMessage::default()
        };
        reply.set_property(field::CORRELATION_ID, message.property(field::CORRELATION_ID).clone());
        if let Some((channel, handle)) = self.link_of(id, DeviceNode::Twin, pair) {
            self.reply(channel, handle, reply.write(), out);
        }
    }

    async fn twin_answer(
        &mut self,
        id: &IdentityId,
        version: Option<&str>,
        message: &AmqpMessage,
    ) -> Result<(i32, Option<u64>, String), HubError> {
        let Some(device) = self.devices.get(id) else {
            return Err(HubError::not_found(id));
        };
        let text =
            |name: &str| message.annotation(name).and_then(Value::to_text).unwrap_or_default();
        let (operation, resource) = (text("operation"), text("resource"));
        match (operation.as_str(), resource.as_str()) {
            ("GET", _) => {
                let read = async {
                    let admitted =
                        self.hub.admit_of(Operation::ReadTwin, Some(id), Edge::Amqp, &*self.line);
                    self.answer_fault = admitted.await?;
                    device.session.twin().await
                };
                let twin = device.session.noted(Operation::ReadTwin, read.await)?;
                Ok((200, None, json::twin::device_document(&twin, Layout::Compact)))
            }
            ("PATCH", "/properties/reported") => {
                let admitted =
                    self.hub.admit_of(Operation::UpdateTwin, Some(id), Edge::Amqp, &*self.line);
                let patched = patch_reported(admitted, &device.session, version, message).await;
                let patched = device.session.noted(Operation::UpdateTwin, patched)?;
                let (version, fault) = patched;
                self.answer_fault = fault;
                Ok((204, Some(version), String::new()))
            }
            ("PUT", "/notifications/twin/properties/desired") => {
                device.session.subscribe(Channel::DesiredProperties, Assurance::AtMostOnce);
                Ok((200, None, String::new()))
            }
            ("DELETE", "/notifications/twin/properties/desired") => {
                device.session.unsubscribe(Channel::DesiredProperties);
                Ok((200, None, String::new()))
            }
            _ => Err(HubError::ArgumentInvalid(format!(
                "operation is {operation:?} on {resource:?}, expected GET, PATCH of \
                 /properties/reported, or PUT or DELETE of /notifications/twin/properties/desired"
            ))),
        }
    }

    /// An id that the hub did not give is nobody's, as one that came too late.
    fn answer_method(&self, id: &IdentityId, message: &AmqpMessage) -> Result<(), AmqpError> {
        let Some(device) = self.devices.get(id) else { return Ok(()) };
        device.session.heard();
        let number = match message.property(field::CORRELATION_ID) {
            Value::Uuid(bytes) => Some(u128::from_be_bytes(*bytes)),
            other => other
                .as_str()
                .and_then(|text| u128::from_str_radix(&text.replace('-', ""), 16).ok()),
        };
        let call = number.and_then(|number| CallId::parse(&number.to_string()));
        let status = message.application("IoThub-status").and_then(Value::as_i64);
        let status = status.and_then(|status| i32::try_from(status).ok());
        if let (Some(call), Some(status)) = (call, status) {
            device.session.answer_method(call, status, message.body()?);
        }
        Ok(())
    }
}

fn read(payload: Bytes) -> Result<AmqpMessage, AmqpError> {
    AmqpMessage::read(payload).map_err(|why| AmqpError::new("amqp:decode-error", why.to_string()))
}

/// What `$cbs` says of a token that is refused.
fn token_status(error: &HubError, host: &str) -> (i32, String) {
    use iothub_core::auth::Refusal;
    match error {
        HubError::Unauthorized(Refusal::UnknownIdentity(id)) => {
            (404, format!("Device {id} at IotHub {host} not registered."))
        }
        HubError::Unauthorized(why) => (401, why.to_string()),
        other => (i32::try_from(other.code().number / 1000).unwrap_or(500), other.to_string()),
    }
}

async fn patch_reported(
    admitted: impl Future<Output = Result<Option<AnswerFault>, HubError>>,
    session: &DeviceSession,
    version: Option<&str>,
    message: &AmqpMessage,
) -> Result<(u64, Option<AnswerFault>), HubError> {
    let version = version.unwrap_or(DEFAULT_VERSION);
    let version = ApiVersion::parse(version)
        .ok_or_else(|| HubError::InvalidProtocolVersion(version.to_owned()))?;
    let body = message.body().map_err(|why| HubError::ArgumentInvalid(why.to_string()))?;
    let patch = json::parse_object(&body)?;
    let fault = admitted.await?;
    let expected = message.annotation("version").and_then(Value::as_i64);
    let expected = expected.and_then(|version| u64::try_from(version).ok());
    let version = session.patch_reported(&patch, expected, version.twin_dialect()).await?;
    Ok((version, fault))
}
