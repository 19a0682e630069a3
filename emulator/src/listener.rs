//! The accept loop, one for every protocol: permits, back-off, drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::drain::Drain;
use crate::line::Tcp;
use crate::tls::Tls;
use iothub_core::fault::Edge;
use iothub_core::fault::line::Loss;
use iothub_core::hub::Hub;
use iothub_core::limits;

/// How long the loop waits after a failed accept: at first, and at most. What fails is mostly that
/// all file descriptors are in use, which passes.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A port that is bound. It stays so until the last clone is dropped, whoever serves it.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    listener: Arc<TcpListener>,
    address: SocketAddr,
}

impl Port {
    /// Binds an address; port 0 takes a free one. Inside a runtime, which watches the socket.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Else the connections of an emulator that has just ended would keep the port. On Windows
        // it would let two programs share one.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(limits::LISTEN_BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener: Arc::new(listener), address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until it is time to stop, and gives each connection a task of its own.
    pub(crate) async fn serve<F>(
        self,
        permits: Arc<Semaphore>,
        drain: Drain,
        serve: impl Fn(Tcp, Drain) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let accepting = async {
                let accepted = self.listener.accept().await?;
                // The permit comes second, since a port that waits for its next client must not
                // hold one that another port could use. While this one waits for a permit, further
                // clients wait in the operating system's queue, which is bounded.
                Ok::<_, io::Error>((permits.clone().acquire_owned().await, accepted))
            };
            let accepted = tokio::select! {
                // First, so that whoever serves the port from now on gets all further clients.
                biased;
                () = drain.asked() => return,
                accepted = accepting => accepted,
            };
            match accepted {
                Ok((permit, (stream, peer))) => {
                    pause = FIRST_PAUSE;
                    debug!(%peer, local = %self.address, "accepted");
                    tokio::spawn(serve(Tcp::new(stream), drain.with(permit)));
                }
                Err(error) => {
                    warn!(local = %self.address, %error, "accept failed");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Whether a client that was accepted gets further; a fault may break its connection at once, or
/// leave it hanging until the client goes.
pub(crate) async fn is_let_in(stream: &Tcp, edge: Edge, hub: &Hub, drain: &Drain) -> bool {
    let Some(loss) = hub.admit_client(edge).await else { return true };
    stream.line().lose(loss);
    if loss == Loss::Silence {
        tokio::select! {
            () = stream.gone() => {}
            () = drain.asked() => {}
        }
    }
    false
}

/// Does the TLS handshake; none if it fails, which is logged with what users can do about it.
pub(crate) async fn handshake(
    tls: &Tls,
    stream: Tcp,
    drain: &Drain,
    hub: &Hub,
) -> Option<Box<TlsStream<Tcp>>> {
    let peer =
        stream.stream().peer_addr().map_or_else(|_| "gone".to_owned(), |peer| peer.to_string());
    no_delay(&stream);
    let accepted = tokio::select! {
        accepted = timeout(limits::TLS_HANDSHAKE_TIME, tls.acceptor().accept(stream)) => accepted,
        () = drain.asked() => return None,
    };
    match accepted {
        // On the heap: each future that it passes through would be larger by a kilobyte.
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            // Whoever only looks whether the port is open leaves without a word.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                hub.note_refusal("tls", None, &error);
                warn!(peer, %error, "TLS handshake failed; `iothub-emulator env` makes clients trust the emulator");
            }
            None
        }
        Err(_) => {
            debug!(peer, "TLS handshake took too long");
            None
        }
    }
}

/// Answers are small and somebody waits for each.
pub(crate) fn no_delay(stream: &Tcp) {
    if let Err(error) = stream.stream().set_nodelay(true) {
        debug!(%error, "the socket keeps delaying small packets");
    }
}
