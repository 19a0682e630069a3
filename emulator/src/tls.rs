//! What the TLS listeners of a hub show, which a test may change while they serve.

use std::sync::{Arc, PoisonError, RwLock};

use iothub_admin::CertificateKind;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// The configuration for the next handshake.
///
/// A std lock, since it is held for a clone and nothing awaits meanwhile.
pub(crate) struct Tls(RwLock<(CertificateKind, TlsAcceptor)>);

impl Tls {
    /// Shows a certificate with which nothing is wrong.
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self(RwLock::new((CertificateKind::Good, config.into())))
    }

    /// Shows another certificate from the next handshake on.
    pub(crate) fn show(&self, kind: CertificateKind, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (kind, config.into());
    }

    /// What is shown.
    pub(crate) fn kind(&self) -> CertificateKind {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.kind()).finish()
    }
}
