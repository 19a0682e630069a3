//! The only file that names rumqttc: one connection to a hub over MQTT 3.1.1.
//!
//! rumqttc's event loop moves bytes only while it is polled, and its client blocks while the queue
//! to it is full. So a task of its own polls, and nothing here waits for that queue: what does not
//! fit is refused. Each connection gets a new event loop, since the token is part of its options;
//! what has to survive a connection is kept by [`crate::outbox`] and by comparing twins.

use std::time::Duration;

use async_tungstenite::tungstenite::Error as WebSocketError;
use iothub_wire::properties as bag;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions,
    Outgoing, Packet, QoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    TlsError,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::topic::{self, Downlink};
use super::{CLOSED, Full, Incoming, QUEUE, Route, io_reason};
use crate::document::Properties;
use crate::error::Error;
use crate::methods::{Answer, Call};
use crate::options::{Identity, Transport};
use crate::telemetry::Message;

/// As the SDKs use it.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long the hub may take for the TCP and TLS handshakes and CONNACK. It delays the answer by up
/// to a minute when it is throttled, but a device that waits less is let in at the next try.
const CONNECT_SECONDS: u64 = 30;
/// How long the hub may take for SUBACK.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a DISCONNECT may take to get out.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest packet: a message of 256 KB and its topic.
const PACKET_BYTES: usize = 320 * 1024;
/// A connection that stands, with its subscriptions.
#[derive(Debug)]
pub(crate) struct Link {
    client: AsyncClient,
    incoming: mpsc::Receiver<Incoming>,
    poller: JoinHandle<()>,
    session_present: bool,
}

impl Route<'_> {
    /// Connects over MQTT and subscribes.
    pub(super) async fn connect_mqtt(&self, token: Option<String>) -> Result<Link, Error> {
        let (client, mut event_loop) = AsyncClient::new(self.options(token), QUEUE);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECONDS).set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let session_present = match event_loop.poll().await.map_err(|error| self.refusal(error))? {
            Event::Incoming(Packet::ConnAck(answer)) => answer.session_present,
            // The first event of a connection is never another.
            Event::Incoming(_) | Event::Outgoing(_) => false,
        };
        let (sender, incoming) = mpsc::channel(QUEUE);
        let subscribed = self.subscribe(&client, &mut event_loop, &sender);
        timeout(SUBSCRIBE_TIMEOUT, subscribed)
            .await
            .map_err(|_| self.unreachable("no answer to the subscriptions"))??;
        let poller = tokio::spawn(poll(event_loop, sender));
        Ok(Link { client, incoming, poller, session_present })
    }

    fn options(&self, token: Option<String>) -> MqttOptions {
        let host = self.identity.host().name.clone();
        let client_id = topic::client_id(self.identity);
        let web_socket = self.transport == Transport::MqttWs;
        let mut options = if web_socket {
            let scheme = if self.tls.is_some() { "wss" } else { "ws" };
            let url = format!("{scheme}://{host}:{}/$iothub/websocket", self.port);
            MqttOptions::new(client_id, url, self.port)
        } else {
            MqttOptions::new(client_id, host, self.port)
        };
        // An empty password is what the hub takes for none.
        options.set_credentials(topic::user_name(self.identity), token.unwrap_or_default());
        options.set_clean_session(false);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(PACKET_BYTES, PACKET_BYTES);
        let tls = self.tls.clone().map(TlsConfiguration::Rustls);
        options.set_transport(match (web_socket, tls) {
            (false, Some(tls)) => rumqttc::Transport::Tls(tls),
            (false, None) => rumqttc::Transport::Tcp,
            (true, Some(tls)) => rumqttc::Transport::Wss(tls),
            (true, None) => rumqttc::Transport::Ws,
        });
        options
    }

    /// Subscribes even if the hub still has the session: it costs one packet, and a hub that lost
    /// the session would otherwise say nothing for ever.
    async fn subscribe(
        &self,
        client: &AsyncClient,
        event_loop: &mut EventLoop,
        sender: &mpsc::Sender<Incoming>,
    ) -> Result<(), Error> {
        let twin = [topic::TWIN_ANSWERS, topic::DESIRED_CHANGES, topic::METHODS]
            .map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtMostOnce));
        let messages = topic::devicebound(self.identity)
            .map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        let filters = twin.into_iter().chain(messages);
        let refused = || Error::Subscription { endpoint: self.endpoint() };
        client.try_subscribe_many(filters).map_err(|_| refused())?;
        loop {
            let event = event_loop.poll().await.map_err(|error| self.refusal(error))?;
            if let Event::Incoming(Packet::SubAck(answer)) = &event {
                let failed = answer.return_codes.contains(&SubscribeReasonCode::Failure);
                return if failed { Err(refused()) } else { Ok(()) };
            }
            if let Some(incoming) = interpret(event) {
                // A persistent session may begin with messages; more than fit are not for us.
                let _ = sender.try_send(incoming);
            }
        }
    }

    fn refusal(&self, error: ConnectionError) -> Error {
        let endpoint = self.endpoint();
        match error {
            ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable) => {
                Error::Unavailable { endpoint }
            }
            ConnectionError::ConnectionRefused(code) => {
                let identity = self.identity.to_string();
                Error::NotAuthorized {
                    identity,
                    endpoint,
                    answer: format!("CONNACK {}", code as u8),
                }
            }
            ConnectionError::Tls(TlsError::Io(error))
            | ConnectionError::Websocket(WebSocketError::Io(error)) => self.io_failed(&error),
            ConnectionError::NetworkTimeout => {
                self.unreachable(&format!("no answer within {CONNECT_SECONDS} s"))
            }
            other => self.unreachable(&reason(&other)),
        }
    }
}

impl Link {
    /// Whether the hub still had the session of before.
    pub(crate) fn session_present(&self) -> bool {
        self.session_present
    }

    /// What comes next. Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self) -> Incoming {
        let closed = || Incoming::Closed { reason: "the connection ended".to_owned() };
        self.incoming.recv().await.unwrap_or_else(closed)
    }

    /// Asks for the twin.
    pub(crate) fn get_twin(&self, rid: u64) -> Result<(), Full> {
        self.publish(topic::get_twin(rid), QoS::AtMostOnce, Vec::new())
    }

    /// Reports properties. Twin requests go with QoS 0: their answer is their acknowledgement.
    pub(crate) fn report(&self, rid: u64, patch: &Properties) -> Result<(), Full> {
        let body = serde_json::to_vec(patch).unwrap_or_default();
        self.publish(topic::report(rid), QoS::AtMostOnce, body)
    }

    /// Answers a direct method.
    pub(crate) fn answer(&self, answer: &Answer) -> Result<(), Full> {
        let topic = topic::method_answer(&answer.call.rid, answer.status);
        self.publish(topic, QoS::AtMostOnce, answer.payload.to_string().into_bytes())
    }

    /// Sends telemetry. [`Incoming::Sent`] and [`Incoming::Acknowledged`] follow.
    pub(crate) fn send(&self, identity: &Identity, message: &Message) -> Result<(), Full> {
        let body = serde_json::to_vec(&message.body).unwrap_or_default();
        self.publish(topic::telemetry(identity, &message.properties), QoS::AtLeastOnce, body)
    }

    fn publish(&self, topic: String, qos: QoS, body: Vec<u8>) -> Result<(), Full> {
        self.client.try_publish(topic, qos, false, body).map_err(|_| Full)
    }

    /// Says goodbye and waits until that is out.
    pub(crate) async fn disconnect(mut self) {
        let goodbye = async {
            if self.client.disconnect().await.is_ok() {
                // The poller ends, and with it this stream, once DISCONNECT is written.
                while self.incoming.recv().await.is_some() {}
            }
        };
        if timeout(DISCONNECT_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("DISCONNECT did not get out in time");
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

async fn poll(mut event_loop: EventLoop, sender: mpsc::Sender<Incoming>) {
    loop {
        let incoming = match event_loop.poll().await {
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(event) => interpret(event),
            Err(error) => Some(Incoming::Closed { reason: reason(&error) }),
        };
        let Some(incoming) = incoming else { continue };
        let closed = matches!(incoming, Incoming::Closed { .. });
        if sender.send(incoming).await.is_err() || closed {
            return;
        }
    }
}

fn interpret(event: Event) -> Option<Incoming> {
    match event {
        Event::Incoming(Packet::Publish(publish)) => {
            let body = publish.payload.to_vec();
            Some(match Downlink::parse(&publish.topic) {
                Some(Downlink::TwinAnswer { rid, status, version }) => {
                    Incoming::TwinAnswer { rid: rid.to_owned(), status, version, body }
                }
                Some(Downlink::DesiredChange) => {
                    Incoming::DesiredChange { topic: publish.topic, body }
                }
                Some(Downlink::Message { bag }) => {
                    Incoming::Message { properties: bag::Properties::parse(bag).application, body }
                }
                Some(Downlink::MethodCall { name, rid }) => {
                    let call = Call { rid: rid.to_owned(), name: name.to_owned() };
                    Incoming::MethodCall { call, body }
                }
                None => Incoming::Unknown { topic: publish.topic },
            })
        }
        Event::Incoming(Packet::PubAck(ack)) => Some(Incoming::Acknowledged { packet: ack.pkid }),
        // Packet id 0 is a twin request or the answer to a method, which have none.
        Event::Outgoing(Outgoing::Publish(packet)) if packet != 0 => {
            Some(Incoming::Sent { packet })
        }
        _ => None,
    }
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            io_reason(error)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => CLOSED.to_owned(),
        ConnectionError::MqttState(StateError::Deserialization(error)) => match error {
            rumqttc::Error::Io(error) => io_reason(error),
            other => format!("the hub sent what is no MQTT: {other}"),
        },
        ConnectionError::MqttState(StateError::AwaitPingResp) => "no answer to a ping".to_owned(),
        ConnectionError::FlushTimeout => "nothing could be sent any more".to_owned(),
        other => other.to_string(),
    }
}
