//! Serves one HTTP/1.1 connection.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use iothub_core::limits;
use std::convert::Infallible;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service, ServiceExt as _};
use tracing::debug;

use crate::drain::Drain;

/// Answers the requests of a connection until it ends. When it is time to stop, the request that is
/// being answered still is.
pub(crate) async fn serve<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    drain: Drain,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let service = service.map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEAD_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.asked() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "an HTTP connection ended");
    }
}
