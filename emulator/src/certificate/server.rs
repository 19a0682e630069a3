//! The server certificate: what the authority issues, and whether an earlier one will do.

use std::time::Duration;

use iothub_core::time::Timestamp;
use rcgen::KeyUsagePurpose;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::names::SubjectNames;
use super::{AuthorityCertificate, DAY, Defect, RENEWAL, key, moment};
use crate::config::KeyAlgorithm;
use crate::pem;

/// Some verifiers refuse a server certificate that is valid for longer than 398 days.
pub(super) const VALIDITY: Duration = Duration::from_secs(396 * DAY.as_secs());

/// The server certificate and its key.
pub(super) struct ServerCertificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl ServerCertificate {
    pub(super) fn parse(pem: &[u8]) -> Result<Self, Defect> {
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| Defect::NoCertificate)?;
        X509Certificate::from_der(&certificate).map_err(|_| Defect::Unreadable)?;
        Ok(Self { chain: vec![certificate], key: key::parse(pem)?.into() })
    }

    /// The certificate and its key in one text, so that one can never be stored without the other.
    pub(super) fn to_pem(&self) -> String {
        let certificates = self.chain.iter().map(|der| pem::block("CERTIFICATE", der));
        certificates.chain([pem::block("PRIVATE KEY", self.key.secret_der())]).collect()
    }

    /// Whether it is this authority's, has all the names, and stays valid for a while.
    pub(super) fn will_do(
        &self,
        authority: &AuthorityCertificate,
        needed: &SubjectNames,
        now: Timestamp,
    ) -> bool {
        let Some(Ok((_, certificate))) =
            self.chain.first().map(|der| X509Certificate::from_der(der))
        else {
            return false;
        };
        let validity = certificate.validity();
        let is_valid = moment(validity.not_before.timestamp()) <= now
            && moment(validity.not_after.timestamp()) >= now.after(RENEWAL);
        let names = SubjectNames::in_certificate(&certificate);
        is_valid && authority.is_issuer_of(&certificate) && names.cover(needed)
    }
}

/// What the key may be used for: RSA keys of old clients' handshakes encrypt, too.
pub(super) fn key_usages(algorithm: KeyAlgorithm) -> Vec<KeyUsagePurpose> {
    match algorithm {
        KeyAlgorithm::Ecdsa => vec![KeyUsagePurpose::DigitalSignature],
        KeyAlgorithm::Rsa => {
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]
        }
    }
}
