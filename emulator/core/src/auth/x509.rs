//! X.509: whether a client's certificate is that of a device.
//!
//! TLS has proved that the client holds the key of its certificate, and nothing more: whom the
//! certificate belongs to is decided here. The path from a certificate to an authority is followed
//! by hand, since the libraries for it refuse certificates of version 1, which is what `openssl
//! x509 -req` makes of a request without extensions, and what the service takes.

mod authority;
mod fault;

use std::sync::Arc;

use ring::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::KeyUsage;
use x509_parser::prelude::FromDer as _;

pub use authority::{DeviceAuthorities, DeviceAuthority, NoAuthorities};
pub use fault::{CertificateFault, Hex};

use super::{AuthMethod, Credentials, DevicePrincipal, Refusal};
use crate::ids::IdentityId;
use crate::limits;
use crate::registry::identity::{Authentication, Status, Thumbprints};
use crate::time::Timestamp;

/// What a client showed in its TLS handshake, in DER: its own certificate, whose key it proved to
/// have, and those of its issuers as far as it sent them. Clones share it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateChain {
    leaf: Arc<[u8]>,
    issuers: Arc<[Vec<u8>]>,
}

impl CertificateChain {
    /// The chain of a client that proved to have the key of `leaf`.
    pub fn new(leaf: &[u8], issuers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { leaf: leaf.into(), issuers: issuers.into_iter().collect() }
    }
}

/// Checks the certificate of a device or module against its identity and the hub's authorities.
pub(crate) fn device(
    chain: &CertificateChain,
    id: &IdentityId,
    identity: Option<Credentials<'_>>,
    authorities: &dyn DeviceAuthorities,
    now: Timestamp,
) -> Result<DevicePrincipal, Refusal> {
    let identity = identity.ok_or_else(|| Refusal::UnknownIdentity(id.clone()))?;
    match identity.authentication {
        Authentication::SelfSigned(thumbprints) => {
            check_thumbprint(chain, thumbprints)?;
            check_validity(&parse(&chain.leaf)?, now)?;
        }
        Authentication::CertificateAuthority => {
            check_chain(chain, id, &authorities.current(), now)?;
        }
        Authentication::Sas(_) | Authentication::None => {
            return Err(Refusal::NoCertificateDevice(id.clone()));
        }
    }
    if identity.status == Status::Disabled {
        return Err(Refusal::Disabled(id.clone()));
    }
    Ok(DevicePrincipal {
        id: id.clone(),
        generation: identity.generation,
        method: AuthMethod::Certificate,
        // The service does not look at a certificate again once the connection stands.
        connection_ends: None,
    })
}

fn check_thumbprint(chain: &CertificateChain, known: &Thumbprints) -> Result<(), CertificateFault> {
    let sha1 = hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, &chain.leaf);
    let sha256 = hash(&digest::SHA256, &chain.leaf);
    let is_shown = |known: &String| {
        let digits: String = known.chars().filter(|&c| c != ':').collect();
        [&sha1, &sha256].iter().any(|shown| shown.to_string().eq_ignore_ascii_case(&digits))
    };
    if [&known.primary, &known.secondary].into_iter().flatten().any(is_shown) {
        return Ok(());
    }
    Err(CertificateFault::Thumbprint { sha1, sha256, known: known.clone() })
}

/// The SHA-256 thumbprint of a certificate in DER.
pub fn thumbprint(der: &[u8]) -> Hex {
    hash(&digest::SHA256, der)
}

fn hash(algorithm: &'static digest::Algorithm, der: &[u8]) -> Hex {
    Hex(digest::digest(algorithm, der).as_ref().to_vec())
}

fn check_chain(
    chain: &CertificateChain,
    id: &IdentityId,
    authorities: &[DeviceAuthority],
    now: Timestamp,
) -> Result<(), CertificateFault> {
    let leaf = parse(&chain.leaf)?;
    let expected = id.to_string();
    let found = common_name(&leaf);
    if found != Some(expected.as_str()) {
        return Err(CertificateFault::CommonName { found: found.map(str::to_owned), expected });
    }
    if chain.issuers.len() > limits::CERTIFICATE_CHAIN {
        return Err(CertificateFault::Long(chain.issuers.len()));
    }
    let issuers = chain.issuers.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    follow(leaf, &issuers, authorities, now)
}

/// Goes from issuer to issuer until one is an authority of the hub.
fn follow<'a>(
    leaf: X509Certificate<'a>,
    issuers: &[X509Certificate<'a>],
    authorities: &[DeviceAuthority],
    now: Timestamp,
) -> Result<(), CertificateFault> {
    let mut current = leaf;
    for below in 0..=limits::CERTIFICATE_CHAIN {
        check_validity(&current, now)?;
        let mut unverified = None;
        for authority in authorities {
            let anchor = authority.parsed()?;
            if !is_issued_by(&current, &anchor) {
                continue;
            }
            if authority.is_verified() {
                return check_validity(&anchor, now);
            }
            unverified = Some(CertificateFault::Unverified(authority.name().to_owned()));
        }
        // An authority in the chain may stand there beside its own issuer.
        let next =
            issuers.iter().find(|issuer| **issuer != current && is_issued_by(&current, issuer));
        let Some(next) = next else {
            return Err(unverified.unwrap_or_else(|| CertificateFault::UnknownIssuer {
                subject: current.subject().to_string(),
                issuer: current.issuer().to_string(),
            }));
        };
        if !may_issue(next, below) {
            return Err(CertificateFault::NoAuthority(next.subject().to_string()));
        }
        current = next.clone();
    }
    Err(CertificateFault::Long(issuers.len()))
}

fn is_issued_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Whether a certificate is an authority's that may have so many others between itself and a
/// device's.
fn may_issue(certificate: &X509Certificate<'_>, below: usize) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten().map(|found| found.value);
    let is_authority = constraints.is_some_and(|found| {
        found.ca
            && found
                .path_len_constraint
                .is_none_or(|most| usize::try_from(most).is_ok_and(|most| most >= below))
    });
    let usage = certificate.key_usage().ok().flatten().map(|found| found.value);
    is_authority && usage.is_none_or(KeyUsage::key_cert_sign)
}

fn check_validity(
    certificate: &X509Certificate<'_>,
    now: Timestamp,
) -> Result<(), CertificateFault> {
    let moment = |seconds: i64| Timestamp::from_unix_seconds(u64::try_from(seconds).unwrap_or(0));
    let validity = certificate.validity();
    let (begins, ends) =
        (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
    let subject = || certificate.subject().to_string();
    if now < begins {
        return Err(CertificateFault::NotYetValid { subject: subject(), begins });
    }
    if now > ends {
        return Err(CertificateFault::Expired { subject: subject(), ended: ends });
    }
    Ok(())
}

fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateFault> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateFault::Unreadable),
    }
}

#[cfg(test)]
mod tests;
