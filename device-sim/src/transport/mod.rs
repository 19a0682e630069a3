//! The wire: a [`Link`] to a hub over one of the protocols that it speaks, and TLS below it.

mod amqp;
mod http;
mod mqtt;
pub(crate) mod tls;
mod topic;

use std::io::ErrorKind;
use std::sync::Arc;

use tokio_rustls::rustls::{self, CertificateError, ClientConfig};

use crate::document::Properties;
use crate::error::Error;
use crate::methods::{Answer, Call};
use crate::options::{Identity, Transport};
use crate::telemetry::Message;

/// The version of the service that is spoken; the one that Microsoft's own clients ask for.
const API_VERSION: &str = "2021-04-12";
/// The type and the encoding of every message's body.
const CONTENT_TYPE: &str = "application/json";
const CONTENT_ENCODING: &str = "utf-8";
/// How many requests wait to be written, and how many events to be read. A device that behaves has
/// no more than [`crate::outbox::LIMIT`] messages and one twin request under way.
const QUEUE: usize = 128;

/// What comes from a hub.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// An answer to a twin request.
    TwinAnswer { rid: String, status: u16, version: Option<u64>, body: Vec<u8> },
    /// A change of desired properties.
    DesiredChange { topic: String, body: Vec<u8> },
    /// A cloud-to-device message.
    Message { properties: Vec<(String, Option<String>)>, body: Vec<u8> },
    /// A call of a direct method.
    MethodCall { call: Call, body: Vec<u8> },
    /// A message on a topic that the device knows nothing of.
    Unknown { topic: String },
    /// The next telemetry message went out under this packet id.
    Sent { packet: u16 },
    /// The hub acknowledged the message with this packet id.
    Acknowledged { packet: u16 },
    /// The connection is over.
    Closed { reason: String },
}

/// The queue to the connection is full.
#[derive(Debug)]
pub(crate) struct Full;

/// How to get to a hub.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    /// None for no TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection that stands, with its subscriptions.
#[derive(Debug)]
pub(crate) enum Link {
    Mqtt(mqtt::Link),
    Amqp(amqp::Link),
    Http(http::Link),
}

impl Route<'_> {
    /// Connects and subscribes.
    pub(crate) async fn connect(&self, token: Option<String>) -> Result<Link, Error> {
        match self.transport {
            Transport::Mqtt | Transport::MqttWs => self.connect_mqtt(token).await.map(Link::Mqtt),
            Transport::Amqp | Transport::AmqpWs => self.connect_amqp(token).await.map(Link::Amqp),
            Transport::Http => self.connect_http(token).await.map(Link::Http),
        }
    }

    fn io_failed(&self, error: &std::io::Error) -> Error {
        match certificate_error(error) {
            Some(problem) => Error::Certificate {
                endpoint: self.endpoint(),
                reason: tls::describe(problem),
                unknown_issuer: tls::is_unknown_issuer(problem),
            },
            None => self.unreachable(&io_reason(error)),
        }
    }

    fn unreachable(&self, reason: &str) -> Error {
        Error::Unreachable { endpoint: self.endpoint(), reason: reason.to_owned() }
    }

    fn endpoint(&self) -> String {
        format!("{}:{}", self.identity.host().name, self.port)
    }
}

impl Link {
    /// Whether the hub still had the session of before.
    pub(crate) fn session_present(&self) -> bool {
        match self {
            Self::Mqtt(link) => link.session_present(),
            Self::Amqp(_) | Self::Http(_) => false,
        }
    }

    /// Whether twins and methods can be had.
    pub(crate) fn has_twin(&self) -> bool {
        !matches!(self, Self::Http(_))
    }

    /// What comes next. Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self) -> Incoming {
        match self {
            Self::Mqtt(link) => link.receive().await,
            Self::Amqp(link) => link.receive().await,
            Self::Http(link) => link.receive().await,
        }
    }

    /// Asks for the twin.
    pub(crate) fn get_twin(&self, rid: u64) -> Result<(), Full> {
        match self {
            Self::Mqtt(link) => link.get_twin(rid),
            Self::Amqp(link) => link.get_twin(rid),
            Self::Http(_) => Err(Full),
        }
    }

    /// Reports properties.
    pub(crate) fn report(&self, rid: u64, patch: &Properties) -> Result<(), Full> {
        match self {
            Self::Mqtt(link) => link.report(rid, patch),
            Self::Amqp(link) => link.report(rid, patch),
            Self::Http(_) => Err(Full),
        }
    }

    /// Answers a direct method.
    pub(crate) fn answer(&self, answer: &Answer) -> Result<(), Full> {
        match self {
            Self::Mqtt(link) => link.answer(answer),
            Self::Amqp(link) => link.answer(answer),
            Self::Http(_) => Err(Full),
        }
    }

    /// Sends telemetry. [`Incoming::Sent`] and [`Incoming::Acknowledged`] follow.
    pub(crate) fn send(&self, identity: &Identity, message: &Message) -> Result<(), Full> {
        match self {
            Self::Mqtt(link) => link.send(identity, message),
            Self::Amqp(link) => link.send(message),
            Self::Http(link) => link.send(message),
        }
    }

    /// Says goodbye and waits until that is out.
    pub(crate) async fn disconnect(self) {
        match self {
            Self::Mqtt(link) => link.disconnect().await,
            Self::Amqp(link) => link.disconnect().await,
            // A connection of HTTP just ends.
            Self::Http(_) => {}
        }
    }
}

const CLOSED: &str = "the hub closed the connection";

fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// What TLS says if it is about the server's certificate.
fn certificate_error(error: &std::io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(problem) => Some(problem),
        _ => None,
    }
}
