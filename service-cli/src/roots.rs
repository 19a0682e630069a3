//! Which certificate authorities are trusted: the system's, and those that were given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts};

/// Certificates to trust.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// Why certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// The file cannot be read.
    #[error("cannot read {path:?}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The text is not PEM.
    #[error("{source_name} is not PEM: {why}")]
    Pem {
        /// The file, or what stands for it.
        source_name: String,
        /// What is wrong with it.
        why: pem::Error,
    },
    /// The PEM has other things in it, or none.
    #[error("{source_name} has no certificate in it, expected PEM with BEGIN CERTIFICATE")]
    None {
        /// The file, or what stands for it.
        source_name: String,
    },
}

impl Roots {
    /// Trusts nobody yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts the authorities that the system trusts. Where the system's store cannot be read
    /// this adds nothing: the certificate of the peer is then refused, which says enough.
    #[must_use]
    pub fn and_system(mut self) -> Self {
        self.0.extend(rustls_native_certs::load_native_certs().certs);
        self
    }

    /// Trusts the certificates in a PEM file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not PEM, or has no certificate in it.
    pub fn and_pem_file(self, path: &Path) -> Result<Self, InvalidRoots> {
        let bytes = std::fs::read(path)
            .map_err(|why| InvalidRoots::Unreadable { path: path.to_owned(), why })?;
        self.and_named_pem(&bytes, &format!("{path:?}"))
    }

    /// Trusts the certificates in a PEM text.
    ///
    /// # Errors
    ///
    /// The text is not PEM, or has no certificate in it.
    pub fn and_pem(self, text: &[u8]) -> Result<Self, InvalidRoots> {
        self.and_named_pem(text, "the text")
    }

    fn and_named_pem(mut self, text: &[u8], source_name: &str) -> Result<Self, InvalidRoots> {
        let before = self.0.len();
        for certificate in CertificateDer::pem_slice_iter(text) {
            self.0.push(
                certificate.map_err(|why| InvalidRoots::Pem {
                    source_name: source_name.to_owned(),
                    why,
                })?,
            );
        }
        if self.0.len() == before {
            return Err(InvalidRoots::None { source_name: source_name.to_owned() });
        }
        Ok(self)
    }

    /// How TLS of a client that shows no certificate is made.
    ///
    /// # Errors
    ///
    /// None of the certificates is of use.
    pub fn for_tls(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.0.iter().cloned());
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// The same for the HTTP client.
    pub fn for_http(&self) -> RootCerts {
        RootCerts::from(self.0.iter().map(|der| Certificate::from_der(der).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refusal = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Roots::none().and_pem_file(&path).unwrap_err().to_string()
        };
        assert!(
            refusal("").ends_with("has no certificate in it, expected PEM with BEGIN CERTIFICATE")
        );
        let broken = refusal("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
        assert!(broken.contains("ca.pem\" is not PEM"), "{broken}");
        let missing = Roots::none().and_pem_file(&folder.path().join("none")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read "), "{missing}");
    }

    #[test]
    fn certificates_add_up() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = key.cert.pem();
        let roots = Roots::none().and_pem(pem.as_bytes()).unwrap();
        let roots = roots.and_pem(format!("{pem}{pem}").as_bytes()).unwrap();
        assert_eq!(roots.0.len(), 3);
    }
}
