//! The certificate authority of an installation.

use std::fmt::Write as _;
use std::time::Duration;

use iothub_core::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use super::names::SubjectNames;
use super::server::{self, ServerCertificate};
use super::{CertificateError, DAY, Defect, beginning, date, key, moment};
use crate::config::KeyAlgorithm;

/// Ten years: it is trusted by hand, so nobody wants to do that often.
const VALIDITY: Duration = Duration::from_secs(3650 * DAY.as_secs());

/// The certificate of the authority: what clients trust.
#[derive(Clone, Debug)]
pub struct AuthorityCertificate {
    der: CertificateDer<'static>,
    pem: String,
    facts: Facts,
}

/// What is read out of the certificate once.
#[derive(Clone, Debug)]
struct Facts {
    subject: String,
    /// The subject as it is encoded, since issuers compare by that.
    subject_der: Vec<u8>,
    key_identifier: Vec<u8>,
    public_key: Vec<u8>,
    algorithm: KeyAlgorithm,
    begins: Timestamp,
    expires: Timestamp,
}

/// The authority with its key: what issues.
pub(super) struct Authority {
    pub(super) certificate: AuthorityCertificate,
    key: KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is nobody's business.
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl AuthorityCertificate {
    pub(super) fn parse(pem: &[u8]) -> Result<Self, Defect> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| Defect::NoCertificate)?;
        let pem = String::from_utf8(pem.to_vec()).map_err(|_| Defect::NoCertificate)?;
        Ok(Self { facts: Facts::read(&der)?, der, pem })
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its name.
    pub fn subject(&self) -> &str {
        &self.facts.subject
    }

    /// The kind of its key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.facts.algorithm
    }

    /// From when on it is valid.
    pub fn begins(&self) -> Timestamp {
        self.facts.begins
    }

    /// Until when it is valid.
    pub fn expires(&self) -> Timestamp {
        self.facts.expires
    }

    /// The SHA-256 of the certificate, as browsers and `openssl` show it.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.der);
        let pairs: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// Whether a certificate names this authority as its issuer.
    pub(super) fn is_issuer_of(&self, certificate: &X509Certificate<'_>) -> bool {
        let same_name = certificate.issuer().as_raw() == self.facts.subject_der;
        same_name
            && authority_key_identifier(certificate) == Some(self.facts.key_identifier.as_slice())
    }
}

impl Facts {
    fn read(der: &[u8]) -> Result<Self, Defect> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Defect::Unreadable)?;
        if !certificate.is_ca() {
            return Err(Defect::NoAuthority);
        }
        let key_identifier = subject_key_identifier(&certificate).ok_or(Defect::NoAuthority)?;
        Ok(Self {
            subject: certificate.subject().to_string(),
            subject_der: certificate.subject().as_raw().to_vec(),
            key_identifier: key_identifier.to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
            algorithm: key_algorithm(&certificate)?,
            begins: moment(certificate.validity().not_before.timestamp()),
            expires: moment(certificate.validity().not_after.timestamp()),
        })
    }
}

impl Authority {
    pub(super) fn make(algorithm: KeyAlgorithm, now: Timestamp) -> Result<Self, CertificateError> {
        let key = key::generate(algorithm)?;
        let certificate = params(&key, now).self_signed(&key)?;
        let certificate = AuthorityCertificate::parse(certificate.pem().as_bytes())
            .map_err(|defect| CertificateError::Key(defect.to_string()))?;
        Ok(Self { certificate, key })
    }

    pub(super) fn parse(certificate: AuthorityCertificate, key: &[u8]) -> Result<Self, Defect> {
        let key = key::key_pair(&key::parse(key)?, certificate.algorithm())?;
        if key.subject_public_key_info() != certificate.facts.public_key {
            return Err(Defect::Mismatch);
        }
        Ok(Self { certificate, key })
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Issues a server certificate with a key of its own.
    pub(super) fn issue(
        &self,
        names: &SubjectNames,
        now: Timestamp,
    ) -> Result<ServerCertificate, CertificateError> {
        let until = now.after(server::VALIDITY).min(self.certificate.expires());
        self.issue_for(names, beginning(now), date(until))
    }

    /// The same for another time.
    pub(super) fn issue_for(
        &self,
        names: &SubjectNames,
        from: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<ServerCertificate, CertificateError> {
        let algorithm = self.certificate.algorithm();
        let key = key::generate(algorithm)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate.der, &self.key)?;
        let params = server::params(names, algorithm, from, until)?;
        Ok(ServerCertificate::new(&params.signed_by(&key, &issuer)?, &key))
    }
}

fn params(key: &KeyPair, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = beginning(now);
    params.not_after = date(now.after(VALIDITY));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name(key));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Different in every installation, so that a list of trusted authorities tells them apart.
fn name(key: &KeyPair) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let mut name = "IoT Hub emulator CA ".to_owned();
    for byte in digest.as_ref().iter().take(4) {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> Result<KeyAlgorithm, Defect> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(_)) => Ok(KeyAlgorithm::Rsa),
        Ok(PublicKey::EC(point)) if point.key_size() == 256 => Ok(KeyAlgorithm::Ecdsa),
        _ => Err(Defect::KeyKind),
    }
}

fn subject_key_identifier<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    })
}

fn authority_key_identifier<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|identifier| identifier.0)
        }
        _ => None,
    })
}
