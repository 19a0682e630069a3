//! The keys of certificates.

use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rsa::PrivateKey;
use rsa::pkcs8::EncodePrivateKey as _;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::{CertificateError, Defect};
use crate::config::KeyAlgorithm;

const RSA_BITS: usize = 2048;

pub(super) fn generate(algorithm: KeyAlgorithm) -> Result<KeyPair, CertificateError> {
    match algorithm {
        KeyAlgorithm::Ecdsa => Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?),
        KeyAlgorithm::Rsa => generate_rsa(),
    }
}

/// ring signs with RSA keys but makes none, hence the detour.
fn generate_rsa() -> Result<KeyPair, CertificateError> {
    let failed = |error: &dyn std::fmt::Display| CertificateError::Key(error.to_string());
    let mut random = StdRng::try_from_rng(&mut SysRng).map_err(|error| failed(&error))?;
    let key = PrivateKey::new(&mut random, RSA_BITS).map_err(|error| failed(&error))?;
    let der = key.to_pkcs8_der().map_err(|error| failed(&error))?;
    let der = PrivatePkcs8KeyDer::from(der.as_bytes());
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256)?)
}

/// Reads the private key in a PEM file.
pub(super) fn parse(pem: &[u8]) -> Result<PrivatePkcs8KeyDer<'static>, Defect> {
    PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| Defect::NoKey)
}

pub(super) fn key_pair(
    der: &PrivatePkcs8KeyDer<'_>,
    algorithm: KeyAlgorithm,
) -> Result<KeyPair, Defect> {
    let algorithm = match algorithm {
        KeyAlgorithm::Ecdsa => &PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::Rsa => &PKCS_RSA_SHA256,
    };
    KeyPair::from_pkcs8_der_and_sign_algo(der, algorithm).map_err(|_| Defect::Mismatch)
}
