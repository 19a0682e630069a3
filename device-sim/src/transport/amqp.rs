//! One connection to a hub over AMQP 1.0: a link for telemetry, one for messages, and a pair each
//! for the twin and for methods.
//!
//! A task of its own moves what comes and goes, as with MQTT; nothing here waits for its queue.

use std::time::Duration;

use iothub_amqp_client::amqp::link::SendError;
use iothub_amqp_client::amqp::link::delivery::DeliveryFut;
use iothub_amqp_client::amqp::types::definitions::{Fields, SenderSettleMode};
use iothub_amqp_client::amqp::types::messaging::annotations::OwnedKey;
use iothub_amqp_client::amqp::types::messaging::{
    ApplicationProperties, Body, Data, Message as AmqpMessage, MessageAnnotations, MessageId,
    Outcome, Properties as AmqpProperties, Source, Target,
};
use iothub_amqp_client::amqp::types::primitives::{Binary, SimpleValue, Symbol, Uuid, Value};
use iothub_amqp_client::amqp::{Receiver, Sender};
use iothub_amqp_client::{Claims, Connection, Endpoint, Error as AmqpError, Token, Via, bytes};
use iothub_wire::connection_string::encode;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{
    API_VERSION, CLOSED, CONTENT_ENCODING, CONTENT_TYPE, Full, Incoming, QUEUE, Route, io_reason,
};
use crate::document::Properties;
use crate::error::Error;
use crate::methods::{Answer, Call};
use crate::options::Transport;
use crate::telemetry::Message;

/// How long goodbyes may take to get out.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const DESIRED: &str = "/notifications/twin/properties/desired";
/// What the hub's answer to the subscription names.
const SUBSCRIPTION: &str = "desired";

type Received = AmqpMessage<Body<Value>>;

/// A connection that stands, with its links.
#[derive(Debug)]
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
    incoming: mpsc::Receiver<Incoming>,
    worker: JoinHandle<()>,
}

/// What the device asks the connection to do.
#[derive(Debug)]
enum Request {
    Twin(AmqpMessage<Data>),
    Answer(AmqpMessage<Data>),
    Telemetry(AmqpMessage<Data>),
    Disconnect,
}

/// The links, moved by one task.
struct Links {
    connection: Connection,
    claims: Option<Claims>,
    telemetry: Sender,
    /// None for a module.
    messages: Option<Receiver>,
    twin: (Sender, Receiver),
    methods: (Sender, Receiver),
    /// Messages that the hub has yet to settle.
    unsettled: JoinSet<(u16, Result<(), AmqpError>)>,
    last_packet: u16,
}

impl Route<'_> {
    /// Connects over AMQP, shows the token and attaches the links.
    pub(super) async fn connect_amqp(&self, token: Option<String>) -> Result<Link, Error> {
        let links = self.attach(token).await.map_err(|why| self.amqp_failed(why))?;
        let (requests, asked) = mpsc::channel(QUEUE);
        let (sender, incoming) = mpsc::channel(QUEUE);
        let worker = tokio::spawn(links.work(asked, sender));
        Ok(Link { requests, incoming, worker })
    }

    async fn attach(&self, token: Option<String>) -> Result<Links, AmqpError> {
        let endpoint = Endpoint {
            host: self.identity.host().name.clone(),
            port: self.port,
            via: if self.transport == Transport::AmqpWs { Via::WebSocket } else { Via::Tcp },
            tls: self.tls.clone(),
            certificate: token.is_none(),
        };
        let mut connection = endpoint.connect().await?;
        let node = self.node();
        let claims = match token {
            Some(signature) => {
                let mut claims = Claims::attach(&mut connection).await?;
                let audience = format!("{}{node}", endpoint.host);
                claims.put(Token { audience, signature }).await?;
                Some(claims)
            }
            None => None,
        };
        let session = connection.session();
        let telemetry =
            Sender::attach(session, "telemetry", format!("{node}/messages/events")).await?;
        let messages = match self.identity.module() {
            None => {
                let address = format!("{node}/messages/devicebound");
                Some(Receiver::attach(session, "messages", address).await?)
            }
            Some(_) => None,
        };
        let mut twin = pair(&mut connection, "twin", format!("{node}/twin")).await?;
        let methods =
            pair(&mut connection, "methods", format!("{node}/methods/devicebound")).await?;
        drop(twin.0.send(twin_request(SUBSCRIPTION, "PUT", Some(DESIRED), b" ")).await?);
        Ok(Links {
            connection,
            claims,
            telemetry,
            messages,
            twin,
            methods,
            unsettled: JoinSet::new(),
            last_packet: 0,
        })
    }

    /// The device's or module's place among the hub's addresses.
    fn node(&self) -> String {
        let device = encode(self.identity.device().as_str());
        let module = self.identity.module().map(|id| format!("/modules/{}", encode(id.as_str())));
        format!("/devices/{device}{}", module.unwrap_or_default())
    }

    fn amqp_failed(&self, why: AmqpError) -> Error {
        const REFUSALS: [&str; 2] = ["amqp:unauthorized-access", "amqp:not-found"];

        let not_authorized = |answer: String| Error::NotAuthorized {
            identity: self.identity.to_string(),
            endpoint: self.endpoint(),
            answer,
        };
        match &why {
            AmqpError::Io(error) => self.io_failed(error),
            AmqpError::Status { status: 401 | 404, .. } => not_authorized(why.to_string()),
            AmqpError::Refused(refused) if REFUSALS.contains(&refused.name.as_str()) => {
                not_authorized(refused.name.clone())
            }
            other => self.unreachable(&other.to_string()),
        }
    }
}

/// A sender and a receiver that the hub takes for one thing.
async fn pair(
    connection: &mut Connection,
    name: &str,
    address: String,
) -> Result<(Sender, Receiver), AmqpError> {
    let mut properties = Fields::new();
    let mut add = |name: &str, value: String| {
        properties.insert(Symbol::from(name), Value::String(value));
    };
    add("com.microsoft:api-version", API_VERSION.to_owned());
    add("com.microsoft:channel-correlation-id", format!("{name}:device-sim"));
    let session = connection.session();
    let sender = Sender::builder()
        .name(format!("{name}-out"))
        .target(address.as_str())
        .sender_settle_mode(SenderSettleMode::Settled)
        .properties(properties.clone())
        .attach(session)
        .await?;
    let receiver = Receiver::builder()
        .name(format!("{name}-in"))
        .source(Source::builder().address(address.as_str()).build())
        .target(Target::builder().address(address.as_str()).build())
        .sender_settle_mode(SenderSettleMode::Settled)
        .properties(properties)
        .attach(session)
        .await?;
    Ok((sender, receiver))
}

impl Link {
    /// What comes next. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> Incoming {
        let closed = || Incoming::Closed { reason: CLOSED.to_owned() };
        self.incoming.recv().await.unwrap_or_else(closed)
    }

    pub(super) fn get_twin(&self, rid: u64) -> Result<(), Full> {
        self.ask(Request::Twin(twin_request(&rid.to_string(), "GET", None, b" ")))
    }

    pub(super) fn report(&self, rid: u64, patch: &Properties) -> Result<(), Full> {
        let body = serde_json::to_vec(patch).unwrap_or_default();
        let resource = Some("/properties/reported");
        self.ask(Request::Twin(twin_request(&rid.to_string(), "PATCH", resource, &body)))
    }

    pub(super) fn answer(&self, answer: &Answer) -> Result<(), Full> {
        self.ask(Request::Answer(method_answer(answer)))
    }

    pub(super) fn send(&self, message: &Message) -> Result<(), Full> {
        self.ask(Request::Telemetry(telemetry(message)))
    }

    fn ask(&self, request: Request) -> Result<(), Full> {
        self.requests.try_send(request).map_err(|_| Full)
    }

    /// Says goodbye and waits until that is out.
    pub(super) async fn disconnect(mut self) {
        let goodbye = async {
            if self.requests.send(Request::Disconnect).await.is_ok() {
                // The worker ends, and with it this stream, once the connection is closed.
                while self.incoming.recv().await.is_some() {}
            }
        };
        if timeout(DISCONNECT_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("the goodbye did not get out in time");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Links {
    async fn work(mut self, mut asked: mpsc::Receiver<Request>, incoming: mpsc::Sender<Incoming>) {
        loop {
            let moved = tokio::select! {
                request = asked.recv() => match request {
                    Some(Request::Disconnect) => break,
                    Some(request) => self.carry_out(request).await,
                    // Nobody is there any more to hear what comes.
                    None => return,
                },
                message = next(&mut self.messages) => match message {
                    Ok(message) => Ok(Some(devicebound(message))),
                    Err(why) => Err(why),
                },
                answer = receive(&mut self.twin.1) => answer.map(twin_answer),
                call = receive(&mut self.methods.1) => call.map(method_call),
                Some(Ok((packet, outcome))) = self.unsettled.join_next() => {
                    outcome.map(|()| Some(Incoming::Acknowledged { packet }))
                }
            };
            let (event, over) = match moved {
                Ok(Some(event)) => (event, false),
                Ok(None) => continue,
                Err(why) => (Incoming::Closed { reason: reason(&why) }, true),
            };
            if incoming.send(event).await.is_err() || over {
                return;
            }
        }
        drop(self.claims.take());
        self.connection.close().await;
    }

    async fn carry_out(&mut self, request: Request) -> Result<Option<Incoming>, AmqpError> {
        match request {
            Request::Twin(message) => drop(self.twin.0.send(message).await?),
            Request::Answer(message) => drop(self.methods.0.send(message).await?),
            Request::Telemetry(message) => {
                let sent = self.telemetry.send_batchable(message).await?;
                self.last_packet = self.last_packet.wrapping_add(1);
                self.unsettled.spawn(settled(self.last_packet, sent));
                return Ok(Some(Incoming::Sent { packet: self.last_packet }));
            }
            Request::Disconnect => {}
        }
        Ok(None)
    }
}

async fn settled(
    packet: u16,
    sent: DeliveryFut<Result<Outcome, SendError>>,
) -> (u16, Result<(), AmqpError>) {
    let outcome = match sent.await {
        Ok(outcome) => AmqpError::of_outcome(&outcome),
        Err(why) => Err(why.into()),
    };
    (packet, outcome)
}

async fn next(receiver: &mut Option<Receiver>) -> Result<Received, AmqpError> {
    match receiver {
        Some(receiver) => receive(receiver).await,
        None => std::future::pending().await,
    }
}

/// The next message, which the device has from now on.
async fn receive(receiver: &mut Receiver) -> Result<Received, AmqpError> {
    let delivery = receiver.recv().await?;
    receiver
        .accept(&delivery)
        .await
        .map_err(|why| AmqpError::Protocol(format!("cannot settle a message: {why}")))?;
    Ok(delivery.into_message())
}

fn telemetry(message: &Message) -> AmqpMessage<Data> {
    let mut properties = AmqpProperties::builder().build();
    properties.content_type = Some(Symbol::from(CONTENT_TYPE));
    properties.content_encoding = Some(Symbol::from(CONTENT_ENCODING));
    let own =
        message.properties.iter().fold(ApplicationProperties::builder(), |all, (name, value)| {
            all.insert(name.clone(), value.clone())
        });
    AmqpMessage::builder()
        .properties(properties)
        .application_properties(own.build())
        .data(Binary::from(serde_json::to_vec(&message.body).unwrap_or_default()))
        .build()
}

fn twin_request(
    rid: &str,
    operation: &str,
    resource: Option<&str>,
    body: &[u8],
) -> AmqpMessage<Data> {
    let annotations = [("operation", Some(operation)), ("resource", resource)];
    let annotations = annotations
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(MessageAnnotations::builder(), |all, (name, value)| all.insert(name, value));
    AmqpMessage::builder()
        .message_annotations(annotations.build())
        .properties(AmqpProperties::builder().correlation_id(rid.to_owned()).build())
        .data(Binary::from(body.to_vec()))
        .build()
}

fn method_answer(answer: &Answer) -> AmqpMessage<Data> {
    let mut properties = AmqpProperties::builder().build();
    properties.correlation_id = Some(match answer.call.rid.strip_prefix(UUID) {
        Some(hex) => MessageId::Uuid(Uuid::from(
            u128::from_str_radix(hex, 16).unwrap_or_default().to_be_bytes(),
        )),
        None => MessageId::String(answer.call.rid.clone()),
    });
    AmqpMessage::builder()
        .properties(properties)
        .application_properties(
            ApplicationProperties::builder().insert("IoThub-status", answer.status).build(),
        )
        .data(Binary::from(answer.payload.to_string().into_bytes()))
        .build()
}

/// What stands before a UUID in the text of an id, so that the answer has it as a UUID again.
const UUID: &str = "uuid:";

fn id(id: &MessageId) -> String {
    match id {
        MessageId::String(text) => text.clone(),
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => {
            format!("{UUID}{:032x}", u128::from_be_bytes(uuid.clone().into_inner()))
        }
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn annotation<'a>(message: &'a Received, name: &str) -> Option<&'a Value> {
    let all = message.message_annotations.as_ref()?.0.iter();
    let mut named = all.filter(|(key, _)| matches!(key, OwnedKey::Symbol(key) if key.0 == name));
    named.next().map(|(_, value)| value)
}

fn twin_answer(message: Received) -> Option<Incoming> {
    let correlation = message.properties.as_ref().and_then(|all| all.correlation_id.as_ref());
    let Some(correlation) = correlation else {
        let body = bytes(&message.body);
        return Some(Incoming::DesiredChange { topic: "twin".to_owned(), body });
    };
    let rid = id(correlation);
    let status = match annotation(&message, "status") {
        Some(Value::Int(status)) => u16::try_from(*status).unwrap_or(500),
        _ => 500,
    };
    if rid == SUBSCRIPTION {
        let refused = || Incoming::Closed {
            reason: format!("the hub refused to tell desired properties (status {status})"),
        };
        return (status >= 300).then(refused);
    }
    let version = match annotation(&message, "version") {
        Some(Value::Long(version)) => u64::try_from(*version).ok(),
        _ => None,
    };
    Some(Incoming::TwinAnswer { rid, status, version, body: bytes(&message.body) })
}

fn method_call(message: Received) -> Option<Incoming> {
    let rid = id(message.properties.as_ref()?.correlation_id.as_ref()?);
    let name = match message.application_properties.as_ref()?.get("IoThub-methodname")? {
        SimpleValue::String(name) => name.clone(),
        _ => return None,
    };
    Some(Incoming::MethodCall { call: Call { rid, name }, body: bytes(&message.body) })
}

fn devicebound(message: Received) -> Incoming {
    let all = message.application_properties.iter().flat_map(|all| all.0.iter());
    let properties = all.map(|(name, value)| (name.clone(), Some(text(value)))).collect();
    Incoming::Message { properties, body: bytes(&message.body) }
}

fn text(value: &SimpleValue) -> String {
    match value {
        SimpleValue::String(text) => text.clone(),
        SimpleValue::Bool(value) => value.to_string(),
        SimpleValue::Int(number) => number.to_string(),
        SimpleValue::Long(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn reason(why: &AmqpError) -> String {
    match why {
        AmqpError::Io(error) => io_reason(error),
        other => other.to_string(),
    }
}
