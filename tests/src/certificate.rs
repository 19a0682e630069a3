//! X.509 certificates for devices, and the authorities that issue them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Somebody who has a certificate and its key.
#[derive(Debug)]
pub struct Party {
    params: CertificateParams,
    key: KeyPair,
    /// The certificate, in DER.
    pub der: Vec<u8>,
    /// Those of its issuers that it sends.
    issuers: Vec<Vec<u8>>,
}

/// A certificate to be, valid from 2020 to 2100.
pub fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

/// A certificate to be that has ended.
pub fn expired(common_name: &str) -> CertificateParams {
    let mut params = params(common_name);
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

/// An authority's certificate to be.
pub fn authority(common_name: &str) -> CertificateParams {
    let mut params = params(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Party {
    /// Somebody who issued the certificate to himself.
    pub fn self_signed(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der, issuers: Vec::new() }
    }

    /// Issues a certificate; whoever has it sends this one's along.
    pub fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        let issuers = [std::slice::from_ref(&self.der), &self.issuers].concat();
        Self { params, key, der, issuers }
    }

    /// The same certificate with the key of another: a thief's.
    pub fn with_key_of(self, other: Self) -> Self {
        Self { key: other.key, ..self }
    }

    /// The certificate with its issuers', and its key, in PEM files of a directory.
    pub fn files(&self, directory: &Path) -> [PathBuf; 2] {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.join(name));
        let all = std::iter::once(&self.der).chain(&self.issuers);
        let pem: String = all.map(|der| block(der)).collect();
        fs::write(&certificate, pem).unwrap();
        fs::write(&key, self.key.serialize_pem()).unwrap();
        [certificate, key]
    }

    /// What it shows to a server, which asks for nothing: that key and certificate fit is not
    /// looked at, so that a thief can try.
    pub(crate) fn credential(&self) -> Arc<dyn ResolvesClientCert> {
        let all = std::iter::once(&self.der).chain(&self.issuers);
        let chain = all.map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der()).into();
        let key = ring::sign::any_supported_type(&key).unwrap();
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))
    }
}

fn block(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
