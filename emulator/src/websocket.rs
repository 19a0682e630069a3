//! WebSockets on the port of HTTPS: MQTT and AMQP where firewalls let nothing else out.
//!
//! | request | answer |
//! |---|---|
//! | `GET /$iothub/websocket`, also with `%24`, and `GET /` with `Upgrade: websocket` | below |
//! | subprotocol `mqtt` in any case | 101, echoing it as it came |
//! | subprotocol `AMQPWSB10`, also at `/$servicebus/websocket` | 101, echoing it as it came |
//! | another, or none | 400 |
//!
//! Extensions are not echoed, which declines them all, compression among them. What follows goes
//! through [`iothub_mqtt::serve`] or [`iothub_amqp::serve`] like any other connection.

mod handshake;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use iothub_core::auth::x509::CertificateChain;
use iothub_core::directory::Directory;
use iothub_core::fault::line::Line;
use tower::{Service, ServiceExt as _};
use tracing::debug;

use self::handshake::{Handshake, Protocol};
use self::stream::MessageStream;
use crate::drain::Drain;

/// What a session needs to know of the connection below it.
#[derive(Clone)]
pub(crate) struct Below {
    pub(crate) directory: Directory,
    /// What the client showed in its TLS handshake.
    pub(crate) shown: Option<CertificateChain>,
    /// What breaks it.
    pub(crate) line: Arc<dyn Line>,
    pub(crate) drain: Drain,
}

/// Puts WebSockets in front of the other operations of a connection.
pub(crate) fn in_front_of<S>(
    service: S,
    below: Below,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    tower::service_fn(move |mut request: Request| {
        let (service, below) = (service.clone(), below.clone());
        async move {
            if handshake::is_for(&request) {
                return Ok(accept(request, below));
            }
            request.extensions_mut().insert(below.line);
            if let Some(shown) = below.shown {
                request.extensions_mut().insert(shown);
            }
            service.oneshot(request).await
        }
    })
}

fn accept(mut request: Request, below: Below) -> Response {
    match Handshake::read(&request) {
        Ok(handshake) => {
            // The task of the HTTP connection ends with the upgrade.
            let Handshake { protocol, no_certificate, .. } = handshake;
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(serve(upgrade, below, protocol, no_certificate));
            handshake.response()
        }
        Err(refusal) => {
            debug!(why = %refusal, "refused a WebSocket");
            refusal.into_response()
        }
    }
}

async fn serve(upgrade: OnUpgrade, below: Below, protocol: Protocol, no_certificate: bool) {
    let Below { directory, shown, line, drain } = below;
    match upgrade.await {
        Ok(upgraded) => {
            let stream = MessageStream::new(TokioIo::new(upgraded)).await;
            let shown = shown.filter(|_| !no_certificate);
            match protocol {
                Protocol::Mqtt => {
                    iothub_mqtt::serve(stream, shown, &directory, line, drain.asked()).await;
                }
                Protocol::Amqp => {
                    iothub_amqp::serve(stream, shown, &directory, line, drain.reason()).await;
                }
            }
        }
        Err(error) => debug!(%error, "a WebSocket was not opened"),
    }
}
