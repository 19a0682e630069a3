//! Whom a device trusts, and what it shows of itself.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

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

/// What a device proves its identity with: a certificate, those of its issuers, and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// Why a device has no certificate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The text has no certificate.
    #[error("certificate file holds no certificate in PEM form")]
    NoCertificate,
    /// The text has no key.
    #[error("key file holds no private key in PEM form that is not encrypted")]
    NoKey,
    /// They do not belong together, or are of a kind that TLS does not have.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
}

impl ClientCertificate {
    /// Parses the PEM texts of a certificate, followed by those of its issuers, and of its key.
    ///
    /// # Errors
    ///
    /// Says which of them is not what it should be, or that they do not belong together.
    pub fn parse(certificates: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| InvalidCertificate::NoCertificate)?;
        if chain.is_empty() {
            return Err(InvalidCertificate::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidCertificate::NoKey)?;
        let found = Self { chain, key: Arc::new(key) };
        found.certified().map(|_| found)
    }

    /// Made here rather than by rustls's builder, which refuses certificates of version 1; and
    /// those are what `openssl x509 -req` makes of a plain request.
    fn certified(&self) -> Result<SingleCertAndKey, InvalidCertificate> {
        let unusable = |error: rustls::Error| InvalidCertificate::Unusable(error.to_string());
        let key = ring::sign::any_supported_type(&self.key).map_err(unusable)?;
        let certified = CertifiedKey::new(self.chain.clone(), key);
        match certified.keys_match() {
            // What cannot be read here, the hub reads.
            Ok(()) | Err(rustls::Error::InvalidCertificate(_)) => Ok(certified.into()),
            Err(error) => Err(unusable(error)),
        }
    }
}

impl fmt::Debug for ClientCertificate {
    /// Keys do not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

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

    pub(crate) fn client_config(
        &self,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Arc<ClientConfig>, InvalidRoots> {
        let mut store = RootCertStore::empty();
        // A system's store may well hold something that rustls cannot use.
        let (usable, _) = store.add_parsable_certificates(self.0.iter().cloned());
        if usable == 0 {
            return Err(InvalidRoots::None);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidRoots::Setup(error.to_string()))?
            .with_root_certificates(store);
        let setup = |error: InvalidCertificate| InvalidRoots::Setup(error.to_string());
        Ok(Arc::new(match certificate {
            None => config.with_no_client_auth(),
            Some(certificate) => {
                let certified = certificate.certified().map_err(setup)?;
                config.with_client_cert_resolver(Arc::new(certified))
            }
        }))
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
        assert_eq!(Roots::default().client_config(None).map(|_| ()), Err(InvalidRoots::None));
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        let made = || rcgen::generate_simple_self_signed(["d1".to_owned()]).unwrap();
        let (own, other) = (made(), made());
        let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let parse = |certificate: &str, key: &str| {
            ClientCertificate::parse(certificate.as_bytes(), key.as_bytes()).map(drop)
        };
        assert_eq!(parse(&certificate, &key), Ok(()));
        assert_eq!(parse(&key, &key), Err(InvalidCertificate::NoCertificate));
        assert_eq!(parse(&certificate, &certificate), Err(InvalidCertificate::NoKey));
        let stolen = parse(&certificate, &other.signing_key.serialize_pem());
        assert!(matches!(stolen, Err(InvalidCertificate::Unusable(_))), "{stolen:?}");
    }

    #[test]
    fn a_certificate_is_trusted() {
        let certificate = rcgen::generate_simple_self_signed(["hub.test".to_owned()]).unwrap();
        let mut roots = Roots::default();
        roots.add_pem(certificate.cert.pem().as_bytes()).unwrap();
        assert!(roots.client_config(None).is_ok());
    }
}
