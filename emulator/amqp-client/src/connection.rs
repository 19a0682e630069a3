//! The socket, TLS, WebSockets and SASL under a connection, and its one session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest as _;
use async_tungstenite::tungstenite::http::HeaderValue;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use ws_stream_tungstenite::WsStream;

use crate::error::Error;

/// How long the peer may take until a connection stands, and until it is closed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// What the SDKs for .NET and Java announce: an empty frame at least every two minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(240);
/// As Azure's services have it.
const FRAME_BYTES: u32 = 64 * 1024;

/// What AMQP goes over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Via {
    /// TCP.
    Tcp,
    /// WebSockets.
    WebSocket,
}

/// Where a hub is, and how to get there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What AMQP goes over.
    pub via: Via,
    /// None for no TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether a certificate is what proves who connects; else tokens do, afterwards. Then there is
    /// no SASL, as with the SDKs for C and Node.
    pub certificate: bool,
}

/// A connection that stands, with a session.
pub struct Connection {
    handle: ConnectionHandle<()>,
    pub(crate) session: SessionHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin> Stream for T {}

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody is there, the certificate does not satisfy, or the hub refuses.
    pub async fn connect(&self) -> Result<Connection, Error> {
        timeout(CONNECT_TIMEOUT, self.connect_unbounded())
            .await
            .map_err(|_| Error::TimedOut { what: "the connection", after: CONNECT_TIMEOUT })?
    }

    async fn connect_unbounded(&self) -> Result<Connection, Error> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())
                    .map_err(|_| Error::HostName(self.host.clone()))?;
                Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, socket).await?)
            }
            None => Box::new(socket),
        };
        match self.via {
            Via::Tcp => self.open(stream).await,
            Via::WebSocket => self.open(self.upgrade(stream).await?).await,
        }
    }

    async fn upgrade(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Error> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let host = match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        let url = format!("{scheme}://{host}:{}/$iothub/websocket", self.port);
        let mut request = url.into_client_request().map_err(Error::upgrade)?;
        let protocol = HeaderValue::from_static("AMQPWSB10");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let (socket, _) = async_tungstenite::tokio::client_async(request, stream)
            .await
            .map_err(Error::upgrade)?;
        Ok(Box::new(WsStream::new(socket)))
    }

    async fn open(&self, stream: Box<dyn Stream>) -> Result<Connection, Error> {
        let mut builder = fe2o3_amqp::Connection::builder()
            .container_id(format!("iothub-{}", std::process::id()))
            .hostname(self.host.as_str())
            // TLS is under the stream already, and the library's own is not built in.
            .scheme("amqp")
            .max_frame_size(FRAME_BYTES)
            .idle_time_out(u32::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX));
        if !self.certificate {
            builder = builder.sasl_profile(SaslProfile::Anonymous);
        }
        let mut handle = builder.open_with_stream(stream).await?;
        let session = fe2o3_amqp::Session::begin(&mut handle).await.map_err(Error::session)?;
        Ok(Connection { handle, session })
    }
}

impl Connection {
    /// The session, to attach links on.
    pub fn session(&mut self) -> &mut SessionHandle<()> {
        &mut self.session
    }

    /// Ends session and connection, and waits a little for the peer to agree.
    pub async fn close(mut self) {
        let goodbye = async {
            // What cannot be said to a peer that is gone need not be said.
            drop(self.session.end().await);
            drop(self.handle.close().await);
        };
        drop(timeout(CLOSE_TIMEOUT, goodbye).await);
    }
}
