//! What is wrong with a certificate.

use std::fmt;

use crate::registry::identity::Thumbprints;
use crate::time::Timestamp;

/// Why a certificate is not that of a device, or not that of an authority.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateFault {
    /// It is no X.509 certificate.
    #[error("certificate cannot be read")]
    Unreadable,
    /// It is another one than the identity has. In the words of the service.
    #[error(
        "Thumbprint does not match configuration: Thumbprint: SHA1Hash={sha1}, SHA2Hash={sha256}; Configuration: PrimaryThumbprint={}, SecondaryThumbprint={}",
        known.primary.as_deref().unwrap_or_default(),
        known.secondary.as_deref().unwrap_or_default()
    )]
    Thumbprint {
        /// Of the certificate that was shown.
        sha1: Hex,
        /// Of the certificate that was shown.
        sha256: Hex,
        /// Those of the identity.
        known: Thumbprints,
    },
    /// It has ended.
    #[error("certificate {subject:?} expired at {ended}")]
    Expired {
        /// Whose it is.
        subject: String,
        /// When it ended.
        ended: Timestamp,
    },
    /// It has not begun.
    #[error("certificate {subject:?} is not valid before {begins}")]
    NotYetValid {
        /// Whose it is.
        subject: String,
        /// When it begins.
        begins: Timestamp,
    },
    /// It is that of somebody else.
    #[error(
        "certificate has {}, expected {expected:?}",
        found.as_ref().map_or_else(|| "no common name".to_owned(), |name| format!("the common name {name:?}"))
    )]
    CommonName {
        /// The name in it, if there is one.
        found: Option<String>,
        /// The name of the device or module.
        expected: String,
    },
    /// Nobody that the hub knows has issued it.
    #[error("certificate {subject:?} was issued by {issuer:?}, which is no authority of the hub")]
    UnknownIssuer {
        /// Whose it is: the last of the chain that could be followed.
        subject: String,
        /// Who issued it.
        issuer: String,
    },
    /// Who issued it is registered with the hub, but nobody has proved to have its key.
    #[error("authority {0:?} is registered with the hub but not verified")]
    Unverified(String),
    /// It issued others, or is to, and may not.
    #[error("certificate {0:?} is no authority that may issue others here")]
    NoAuthority(String),
    /// More come with it than any real chain has.
    #[error("certificate comes with {0} issuers, expected at most {max}", max = crate::limits::CERTIFICATE_CHAIN)]
    Long(usize),
    /// It was not issued by the authority that is to be verified.
    #[error("certificate {subject:?} was not issued by {authority:?}")]
    OtherIssuer {
        /// Whose it is.
        subject: String,
        /// The authority's name.
        authority: String,
    },
}

/// A thumbprint; shows in hexadecimal, in capitals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hex(pub(super) Vec<u8>);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}
