//! One connection to a hub over HTTP: telemetry goes out, and messages are asked for. Twins and
//! methods are not to be had this way.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full as FullBody, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request as HttpRequest, StatusCode, header};
use hyper_util::rt::TokioIo;
use iothub_wire::connection_string::encode;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{API_VERSION, CLOSED, CONTENT_ENCODING, CONTENT_TYPE, Full, Incoming, QUEUE, Route};
use crate::error::Error;
use crate::telemetry::Message;

/// How long the hub may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a device asks for messages. Microsoft asks for 25 minutes in the field and lets
/// developers ask more often.
const POLL: Duration = Duration::from_secs(5);
/// The largest message is 64 KB.
const BODY_BYTES: usize = 256 * 1024;
const APPLICATION: &str = "iothub-app-";

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Link {
    telemetry: mpsc::Sender<Message>,
    incoming: mpsc::Receiver<Incoming>,
    worker: JoinHandle<()>,
}

/// The connection, moved by one task.
struct Conversation {
    sender: SendRequest<FullBody<Bytes>>,
    host: String,
    /// The path of the device or module.
    node: String,
    token: Option<String>,
    /// Modules get no messages.
    messages: bool,
    _connection: JoinSet<()>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Route<'_> {
    /// Connects over HTTP, and asks for a message to learn whether the hub knows the device.
    pub(super) async fn connect_http(&self, token: Option<String>) -> Result<Link, Error> {
        let opened = timeout(ANSWER_TIMEOUT, self.open(token));
        let mut conversation = opened
            .await
            .map_err(|_| self.unreachable("no answer to the handshake"))?
            .map_err(|why| self.io_failed(&why))?;
        let (sender, incoming) = mpsc::channel(QUEUE);
        let first = conversation.fetch().await;
        match first.map_err(|reason| self.unreachable(&reason))? {
            Ok(Some(message)) => drop(sender.try_send(message)),
            Ok(None) => {}
            Err(status @ (StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND)) => {
                let (identity, endpoint) = (self.identity.to_string(), self.endpoint());
                let answer = format!("HTTP {}", status.as_u16());
                return Err(Error::NotAuthorized { identity, endpoint, answer });
            }
            Err(status) => return Err(self.unreachable(&format!("the hub answered {status}"))),
        }
        let (telemetry, asked) = mpsc::channel(QUEUE);
        let worker = tokio::spawn(conversation.work(asked, sender));
        Ok(Link { telemetry, incoming, worker })
    }

    async fn open(&self, token: Option<String>) -> std::io::Result<Conversation> {
        let host = self.identity.host().name.clone();
        let socket = TcpStream::connect((host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        let mut connection = JoinSet::new();
        let sender = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await?;
                let (sender, work) =
                    handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
                connection.spawn(async { drop(work.await) });
                sender
            }
            None => {
                let (sender, work) =
                    handshake(TokioIo::new(socket)).await.map_err(std::io::Error::other)?;
                connection.spawn(async { drop(work.await) });
                sender
            }
        };
        let id = self.identity;
        let module = id.module().map(|id| format!("/modules/{}", encode(id.as_str())));
        Ok(Conversation {
            sender,
            host: format!("{host}:{}", self.port),
            node: format!(
                "/devices/{}{}",
                encode(id.device().as_str()),
                module.unwrap_or_default()
            ),
            token,
            messages: id.module().is_none(),
            _connection: connection,
        })
    }
}

impl Link {
    /// What comes next. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> Incoming {
        let closed = || Incoming::Closed { reason: CLOSED.to_owned() };
        self.incoming.recv().await.unwrap_or_else(closed)
    }

    pub(super) fn send(&self, message: &Message) -> Result<(), Full> {
        self.telemetry.try_send(message.clone()).map_err(|_| Full)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Conversation {
    async fn work(mut self, mut asked: mpsc::Receiver<Message>, incoming: mpsc::Sender<Incoming>) {
        let mut packet = 0_u16;
        let mut poll_at = Instant::now() + POLL;
        loop {
            let message = tokio::select! {
                message = asked.recv() => message,
                () = sleep_until(poll_at) => {
                    poll_at = Instant::now() + POLL;
                    let event = match self.fetch().await {
                        Ok(Ok(None)) => continue,
                        // Where one was, another may be.
                        Ok(Ok(Some(message))) => {
                            poll_at = Instant::now();
                            message
                        }
                        Ok(Err(status)) => Incoming::Closed { reason: refusal(status) },
                        Err(reason) => Incoming::Closed { reason },
                    };
                    if incoming.send(event).await.is_err() { return } else { continue }
                }
            };
            let Some(message) = message else { return };
            packet = packet.wrapping_add(1);
            let _ = incoming.send(Incoming::Sent { packet }).await;
            let event = match self.tell(&message).await {
                Ok(status) if status.is_success() => Incoming::Acknowledged { packet },
                Ok(status) => Incoming::Closed { reason: refusal(status) },
                Err(reason) => Incoming::Closed { reason },
            };
            if incoming.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn tell(&mut self, message: &Message) -> Result<StatusCode, String> {
        let mut request = self
            .request(Method::POST, "/messages/events")
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header("iothub-contenttype", CONTENT_TYPE)
            .header("iothub-contentencoding", CONTENT_ENCODING);
        for (name, value) in &message.properties {
            request = request.header(format!("{APPLICATION}{name}"), value);
        }
        let body = serde_json::to_vec(&message.body).unwrap_or_default();
        self.ask(request, body).await.map(|answer| answer.status)
    }

    /// The next message, which the device has from now on.
    async fn fetch(&mut self) -> Result<Result<Option<Incoming>, StatusCode>, String> {
        const NODE: &str = "/messages/deviceBound";

        if !self.messages {
            return Ok(Ok(None));
        }
        let request = self.request(Method::GET, NODE);
        let answer = self.ask(request, Vec::new()).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Ok(Ok(None)),
            status => return Ok(Err(status)),
        }
        let lock = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let lock = lock.ok_or("the hub sent a message without an ETag")?.trim_matches('"');
        let request = self.request(Method::DELETE, &format!("{NODE}/{}", encode(lock)));
        let completed = self.ask(request, Vec::new()).await?;
        Ok(if completed.status.is_success() {
            Ok(Some(answer.into_message()))
        } else {
            Err(completed.status)
        })
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let request = HttpRequest::builder()
            .method(method)
            .uri(format!("{}{path}?api-version={API_VERSION}", self.node))
            .header(header::HOST, &self.host);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, token),
            None => request,
        }
    }

    async fn ask(
        &mut self,
        request: hyper::http::request::Builder,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let request =
            request.body(FullBody::new(Bytes::from(body))).map_err(|why| why.to_string())?;
        let exchange = async {
            self.sender.ready().await.map_err(|_| CLOSED.to_owned())?;
            let answer = self.sender.send_request(request).await.map_err(|why| why.to_string())?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, BODY_BYTES).collect().await;
            let body = body.map_err(|why| why.to_string())?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))?
    }
}

impl Answer {
    fn into_message(self) -> Incoming {
        let text = |value: &hyper::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let properties = self.headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(APPLICATION)?;
            Some((name.to_owned(), Some(text(value))))
        });
        Incoming::Message { properties: properties.collect(), body: self.body.to_vec() }
    }
}

fn refusal(status: StatusCode) -> String {
    format!("the hub answered {status}")
}
