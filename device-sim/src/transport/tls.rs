//! Whom a device trusts.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{CertificateError, ClientConfig, RootCertStore};

/// Whether and how a connection is secured.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS, with a server certificate that one of these roots has signed.
    Tls(Roots),
    /// None: for a hub that serves plain MQTT, which only an emulator does.
    Plain,
}

/// The certificate authorities that a device trusts.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// Why there is nobody to trust.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidRoots {
    /// The text has no certificate.
    #[error("holds no certificate in PEM form")]
    Empty,
    /// The text is damaged.
    #[error("is no PEM file: {0}")]
    Pem(String),
    /// Not one certificate can be used.
    #[error("no certificate authority to trust was found, on the system or elsewhere")]
    None,
    /// The TLS library cannot be set up.
    #[error("tls cannot be set up: {0}")]
    Setup(String),
}

impl Roots {
    /// The roots of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`. What cannot be read is
    /// left out: a connection that needs it fails and says so.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a root certificate cannot be read");
        }
        Self(found.certs)
    }

    /// Adds the certificates of a PEM text.
    ///
    /// # Errors
    ///
    /// The text is damaged or holds none.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), InvalidRoots> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| InvalidRoots::Pem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(InvalidRoots::Empty);
        }
        self.0.extend(certificates);
        Ok(())
    }

    /// Adds a certificate in DER form.
    pub fn add_der(&mut self, der: Vec<u8>) {
        self.0.push(der.into());
    }

    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, InvalidRoots> {
        let mut store = RootCertStore::empty();
        // A system's store may well hold something that rustls cannot use.
        let (usable, _) = store.add_parsable_certificates(self.0.iter().cloned());
        if usable == 0 {
            return Err(InvalidRoots::None);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidRoots::Setup(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Whether trusting another authority would help. A bad signature is that case too: an authority of
/// the same name but another key, such as that of an emulator installed anew.
pub(super) fn is_unknown_issuer(problem: &CertificateError) -> bool {
    matches!(problem, CertificateError::UnknownIssuer | CertificateError::BadSignature)
}

/// A problem in words; rustls gives most of them by their name only.
pub(super) fn describe(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => "its issuer is not known here".to_owned(),
        CertificateError::BadSignature => {
            "its issuer has the name of a trusted one but another key".to_owned()
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::NotValidYet => "it is not valid yet".to_owned(),
        CertificateError::NotValidForName => "it was made for another host name".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_named() {
        let table: [(&[u8], InvalidRoots); 2] =
            [(b"", InvalidRoots::Empty), (b"hello", InvalidRoots::Empty)];
        for (pem, expected) in table {
            assert_eq!(Roots::default().add_pem(pem), Err(expected));
        }
        let damaged = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(matches!(Roots::default().add_pem(damaged), Err(InvalidRoots::Pem(_))));
        assert_eq!(Roots::default().client_config().map(|_| ()), Err(InvalidRoots::None));
    }

    #[test]
    fn a_certificate_is_trusted() {
        let certificate = rcgen::generate_simple_self_signed(["hub.test".to_owned()]).unwrap();
        let mut roots = Roots::default();
        roots.add_pem(certificate.cert.pem().as_bytes()).unwrap();
        assert!(roots.client_config().is_ok());
    }
}
