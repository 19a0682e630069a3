//! The certificate authorities whose devices a hub lets in.

use std::fmt;
use std::sync::Arc;

use x509_parser::certificate::X509Certificate;

use super::fault::CertificateFault;
use super::{check_validity, common_name, is_issued_by, may_issue, parse};
use crate::time::Timestamp;

/// A certificate authority that is registered with a hub.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceAuthority {
    name: String,
    /// Parsed once already.
    der: Vec<u8>,
    verified: bool,
}

/// Where a hub's authorities are kept. The hub asks anew for each certificate.
pub trait DeviceAuthorities: fmt::Debug + Send + Sync {
    /// The authorities that are registered now.
    fn current(&self) -> Arc<[DeviceAuthority]>;
}

/// None, for a hub that knows no authority.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAuthorities;

impl DeviceAuthorities for NoAuthorities {
    fn current(&self) -> Arc<[DeviceAuthority]> {
        Arc::default()
    }
}

impl DeviceAuthority {
    /// The authority of this certificate in DER.
    ///
    /// # Errors
    ///
    /// The certificate cannot be read, or is that of no authority.
    pub fn new(
        name: impl Into<String>,
        der: Vec<u8>,
        verified: bool,
    ) -> Result<Self, CertificateFault> {
        let certificate = parse(&der)?;
        if !may_issue(&certificate, 0) {
            return Err(CertificateFault::NoAuthority(certificate.subject().to_string()));
        }
        Ok(Self { name: name.into(), der, verified })
    }

    /// Its name with the hub.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether somebody proved to have its key: nobody may let in another one's devices.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whom its certificate names.
    ///
    /// # Errors
    ///
    /// None in practice: the certificate was read before.
    pub fn subject(&self) -> Result<String, CertificateFault> {
        Ok(self.parsed()?.subject().to_string())
    }

    /// The same authority, verified by a certificate in DER that it issued for `code`: who made
    /// that has its key.
    ///
    /// # Errors
    ///
    /// The certificate is for something else, by somebody else, or not valid now.
    pub fn verified_by(
        &self,
        proof: &[u8],
        code: &str,
        now: Timestamp,
    ) -> Result<Self, CertificateFault> {
        let certificate = parse(proof)?;
        let found = common_name(&certificate);
        if !found.is_some_and(|name| name.eq_ignore_ascii_case(code)) {
            return Err(CertificateFault::CommonName {
                found: found.map(str::to_owned),
                expected: code.to_owned(),
            });
        }
        if !is_issued_by(&certificate, &self.parsed()?) {
            return Err(CertificateFault::OtherIssuer {
                subject: certificate.subject().to_string(),
                authority: self.name.clone(),
            });
        }
        check_validity(&certificate, now)?;
        Ok(Self { verified: true, ..self.clone() })
    }

    pub(super) fn parsed(&self) -> Result<X509Certificate<'_>, CertificateFault> {
        parse(&self.der)
    }
}
