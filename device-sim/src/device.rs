//! A device: connects, and connects again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::ClientConfig;

use crate::backoff::Backoff;
use crate::behavior::Behavior;
use crate::error::Error;
use crate::event::Event;
use crate::methods::Methods;
use crate::options::Options;
use crate::outbox::Outbox;
use crate::requests::Requests;
use crate::session::{End, Mind, Session};
use crate::telemetry::Telemetry;
use crate::transport::tls::Security;
use crate::transport::{Link, Route};

/// The longest time before its end that a token is renewed; the SDK for Python does the same.
const RENEWAL_MARGIN: Duration = Duration::from_secs(120);

/// The shortest life of a token. Below it a device would do nothing but reconnect.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// A simulated device that is not running yet.
#[derive(Debug)]
pub struct Device {
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    mind: Mind,
    backoff: Backoff,
    /// Whether a connection ever came about.
    known: bool,
}

impl Device {
    /// Makes a device.
    ///
    /// # Errors
    ///
    /// There is nobody to trust.
    pub fn new(options: Options) -> Result<Self, Error> {
        let tls = match &options.security {
            Security::Tls(roots) => Some(roots.client_config(options.identity.certificate())?),
            Security::Plain => None,
        };
        let mind = Mind {
            behavior: Behavior::new(&options.script, options.apply_delay),
            telemetry: Telemetry::new(&options.script.telemetry, options.clock.now()),
            outbox: Outbox::default(),
        };
        let backoff = Backoff::new(Arc::clone(&options.random));
        Ok(Self { options, tls, mind, backoff, known: false })
    }

    /// Runs until `shutdown` is ready, then disconnects cleanly. What happens goes to `observer`,
    /// which must not block. A lost connection is made again, however often it takes.
    ///
    /// # Errors
    ///
    /// The hub refuses the device, or has a certificate that is not trusted, before the device was
    /// ever connected. Afterwards it goes on trying: keys and certificates get exchanged in a life.
    pub async fn run(
        mut self,
        mut observer: impl FnMut(Event) + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let reason = match self.connection(&mut observer, shutdown.as_mut()).await {
                Ok(End::Asked) => break,
                Ok(End::Expiring) => {
                    observer(Event::TokenExpiring);
                    continue;
                }
                Ok(End::Lost(reason)) => reason,
                Err(error) if error.is_lasting() => {
                    observer(Event::Refused { reason: error.to_string() });
                    if !self.known {
                        return Err(error);
                    }
                    error.to_string()
                }
                Err(error) => error.to_string(),
            };
            let pause = self.backoff.pause();
            observer(Event::Disconnected { reason, retry_in: Some(pause) });
            tokio::select! {
                () = shutdown.as_mut() => break,
                () = sleep(pause) => {}
            }
        }
        observer(Event::Stopped);
        Ok(())
    }

    /// One connection, from before the first byte to after the last.
    async fn connection(
        &mut self,
        observer: &mut (dyn FnMut(Event) + Send),
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<End, Error> {
        let endpoint = self.options.endpoint();
        observer(Event::Connecting { endpoint: endpoint.clone() });
        let expiry = self.options.clock.now().after(self.token_ttl());
        let token = self.options.identity.token(expiry.unix_seconds());
        let route = self.route();
        let mut link = tokio::select! {
            () = shutdown.as_mut() => return Ok(End::Asked),
            link = route.connect(token) => link?,
        };
        self.known = true;
        let session_present = link.session_present();
        observer(Event::Connected { endpoint, session_present });
        let started = Instant::now();
        let end = self.session(&mut link, observer, shutdown).await;
        self.backoff.lasted(started.elapsed());
        if !matches!(end, End::Lost(_)) {
            link.disconnect().await;
        }
        Ok(end)
    }

    async fn session(
        &mut self,
        link: &mut Link,
        observer: &mut (dyn FnMut(Event) + Send),
        shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> End {
        let ttl = self.token_ttl();
        // A certificate is not renewed by connecting again.
        let has_token = self.options.identity.certificate().is_none();
        let renew_at =
            has_token.then(|| self.options.clock.now().after(ttl - RENEWAL_MARGIN.min(ttl / 5)));
        let mut session = Session {
            mind: &mut self.mind,
            link,
            identity: &self.options.identity,
            clock: self.options.clock.as_ref(),
            observer,
            requests: Requests::new(),
            methods: Methods::new(&self.options.script.methods),
        };
        session.run(renew_at, shutdown).await
    }

    fn token_ttl(&self) -> Duration {
        self.options.token_ttl.max(SHORTEST_TTL)
    }

    fn route(&self) -> Route<'_> {
        Route {
            identity: &self.options.identity,
            transport: self.options.transport,
            port: self.options.port,
            tls: self.tls.clone(),
        }
    }
}
