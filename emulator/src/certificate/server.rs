//! The server certificate: what the authority issues, and whether an earlier one will do.

use std::time::Duration;

use iothub_core::time::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
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
    pub(super) fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

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

/// What stands in a server certificate.
pub(super) fn params(
    names: &SubjectNames,
    algorithm: KeyAlgorithm,
    from: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.not_before = from;
    params.not_after = until;
    params.subject_alt_names = names.to_extension()?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "IoT Hub emulator");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = key_usages(algorithm);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Strict verifiers (OpenSSL's, and Python's since 3.13) insist on it.
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What the key may be used for: RSA keys of old clients' handshakes encrypt, too.
fn key_usages(algorithm: KeyAlgorithm) -> Vec<KeyUsagePurpose> {
    match algorithm {
        KeyAlgorithm::Ecdsa => vec![KeyUsagePurpose::DigitalSignature],
        KeyAlgorithm::Rsa => {
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]
        }
    }
}
