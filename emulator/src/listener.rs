//! The accept loop, one for every protocol: permits, back-off, drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::drain::Drain;
use iothub_core::limits;

/// How long the loop waits after a failed accept: at first, and at most. What fails is mostly that
/// all file descriptors are in use, which passes.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A port that is bound but not served yet.
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds an address; port 0 takes a free one.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until it is time to stop, and gives each connection a task of its own.
    pub(crate) async fn serve<F>(
        self,
        permits: Arc<Semaphore>,
        drain: Drain,
        serve: impl Fn(TcpStream, Drain) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let accepting = async {
                // The permit comes first: a connection that cannot be served yet waits in the
                // operating system's queue, which is bounded.
                let permit = permits.clone().acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepting => accepted,
                () = drain.asked() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = FIRST_PAUSE;
                    debug!(%peer, local = %self.address, "accepted");
                    tokio::spawn(serve(stream, drain.with(permit)));
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

/// Does the TLS handshake; none if it fails, which is logged with what users can do about it.
pub(crate) async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    drain: &Drain,
) -> Option<TlsStream<TcpStream>> {
    let peer = stream.peer_addr().ok();
    no_delay(&stream);
    let accepted = tokio::select! {
        accepted = timeout(limits::TLS_HANDSHAKE_TIME, acceptor.accept(stream)) => accepted,
        () = drain.asked() => return None,
    };
    match accepted {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            // Whoever only looks whether the port is open leaves without a word.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                warn!(peer = ?peer, %error, "TLS handshake failed; `iothub-emulator env` makes clients trust the emulator");
            }
            None
        }
        Err(_) => {
            debug!(peer = ?peer, "TLS handshake took too long");
            None
        }
    }
}

/// Answers are small and somebody waits for each.
pub(crate) fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the socket keeps delaying small packets");
    }
}
