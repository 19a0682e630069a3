//! A device identity, and what a caller may write of it.

use crate::auth::sas::{InvalidKey, SymmetricKey};
use crate::error::HubError;
use crate::ids::{DeviceId, ETag, GenerationId, ModuleId};
use crate::limits;
use crate::random::Random;
use crate::time::Timestamp;

/// A device in the identity registry.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceIdentity {
    /// Its name.
    pub id: DeviceId,
    /// Tells it from an earlier device of the same name.
    pub generation: GenerationId,
    /// Rises by one with each change; shows as the ETag.
    pub version: u64,
    /// Whether it may connect.
    pub status: Status,
    /// Why it has that status, in the caller's words.
    pub status_reason: Option<String>,
    /// When the status changed last; never, if it has not.
    pub status_updated: Timestamp,
    /// How it authenticates.
    pub authentication: Authentication,
    /// Whether it runs IoT Edge.
    pub iot_edge: bool,
    /// The scope that it defines (edge) or lives in (leaf).
    pub device_scope: Option<String>,
    /// The scopes of its parents.
    pub parent_scopes: Vec<String>,
}

impl DeviceIdentity {
    /// The version as clients see it.
    pub fn etag(&self) -> ETag {
        ETag::of_identity(self.version)
    }
}

/// A module in the identity registry.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleIdentity {
    /// Its name on its device.
    pub id: ModuleId,
    /// Tells it from an earlier module of the same name.
    pub generation: GenerationId,
    /// Rises by one with each change; shows as the ETag.
    pub version: u64,
    /// How it authenticates.
    pub authentication: Authentication,
    /// Who manages it; `iotEdge` for modules of an edge device.
    pub managed_by: Option<String>,
}

impl ModuleIdentity {
    /// The version as clients see it.
    pub fn etag(&self) -> ETag {
        ETag::of_identity(self.version)
    }
}

/// Whether a device may connect.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// It may.
    #[default]
    Enabled,
    /// It may not.
    Disabled,
}

impl Status {
    /// The service's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// How a device authenticates.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// With tokens signed by one of two keys.
    Sas(SymmetricKeys),
    /// With a certificate of a known thumbprint.
    SelfSigned(Thumbprints),
    /// With a certificate that chains to an authority known to the hub.
    CertificateAuthority,
    /// Not by itself.
    None,
}

impl Authentication {
    /// The service's word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sas(_) => "sas",
            Self::SelfSigned(_) => "selfSigned",
            Self::CertificateAuthority => "certificateAuthority",
            Self::None => "none",
        }
    }
}

/// The two keys of a device; either signs.
#[derive(Clone, Debug, PartialEq)]
pub struct SymmetricKeys {
    /// The first.
    pub primary: SymmetricKey,
    /// The other.
    pub secondary: SymmetricKey,
}

/// The thumbprints of a device's certificates, in hex, in the case in which they were given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Thumbprints {
    /// The first.
    pub primary: Option<String>,
    /// The other.
    pub secondary: Option<String>,
}

/// The part of an identity that a caller writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdentityDraft {
    /// Enabled unless said otherwise.
    pub status: Status,
    /// In the caller's words.
    pub status_reason: Option<String>,
    /// None leaves what is there, or makes new keys.
    pub authentication: Option<AuthenticationDraft>,
    /// Whether it runs IoT Edge.
    pub iot_edge: bool,
    /// A leaf device's parent scope.
    pub device_scope: Option<String>,
    /// An edge device's parent scopes.
    pub parent_scopes: Vec<String>,
}

/// The part of a module's identity that a caller writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModuleDraft {
    /// None leaves what is there, or makes new keys.
    pub authentication: Option<AuthenticationDraft>,
    /// Who manages it.
    pub managed_by: Option<String>,
}

/// What a caller says of the authentication; texts as given, empty ones left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthenticationDraft {
    /// None lets the credentials decide.
    pub kind: Option<AuthenticationKind>,
    /// A key in base64.
    pub primary_key: Option<String>,
    /// A key in base64.
    pub secondary_key: Option<String>,
    /// Thumbprints in hex.
    pub thumbprints: Thumbprints,
}

/// The names of the ways to authenticate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthenticationKind {
    /// `sas`
    Sas,
    /// `selfSigned`
    SelfSigned,
    /// `certificateAuthority`
    CertificateAuthority,
    /// `none`
    None,
}

impl AuthenticationDraft {
    /// Checks the draft and fills in the keys that it leaves out.
    pub(crate) fn settle(&self, random: &Random) -> Result<Authentication, HubError> {
        let has_keys = self.primary_key.is_some() || self.secondary_key.is_some();
        let has_thumbprints = self.thumbprints != Thumbprints::default();
        if has_keys && has_thumbprints {
            return Err(invalid("authentication has both symmetric keys and thumbprints"));
        }
        let kind = self.kind.unwrap_or(if has_thumbprints {
            AuthenticationKind::SelfSigned
        } else {
            AuthenticationKind::Sas
        });
        match kind {
            AuthenticationKind::Sas if has_thumbprints => {
                Err(invalid("authentication of type sas has thumbprints"))
            }
            AuthenticationKind::Sas => self.keys(random).map(Authentication::Sas),
            AuthenticationKind::SelfSigned => self.settle_thumbprints(),
            _ if has_keys || has_thumbprints => {
                Err(invalid("authentication of this type has neither keys nor thumbprints"))
            }
            AuthenticationKind::CertificateAuthority => Ok(Authentication::CertificateAuthority),
            AuthenticationKind::None => Ok(Authentication::None),
        }
    }

    fn keys(&self, random: &Random) -> Result<SymmetricKeys, HubError> {
        match (&self.primary_key, &self.secondary_key) {
            (None, None) => Ok(SymmetricKeys {
                primary: SymmetricKey::generate(random),
                secondary: SymmetricKey::generate(random),
            }),
            (Some(primary), Some(secondary)) => Ok(SymmetricKeys {
                primary: parse_key("primaryKey", primary)?,
                secondary: parse_key("secondaryKey", secondary)?,
            }),
            _ => Err(invalid("authentication has one symmetric key, expected both or none")),
        }
    }

    fn settle_thumbprints(&self) -> Result<Authentication, HubError> {
        // Tools show thumbprints with a colon behind each byte.
        let plain = |text: &Option<String>| text.as_ref().map(|text| text.replace(':', ""));
        let thumbprints = Thumbprints {
            primary: plain(&self.thumbprints.primary),
            secondary: plain(&self.thumbprints.secondary),
        };
        let Thumbprints { primary, secondary } = &thumbprints;
        let Some(first) = primary.as_ref().or(secondary.as_ref()) else {
            return Err(invalid("authentication of type selfSigned has no thumbprint"));
        };
        for thumbprint in [primary, secondary].into_iter().flatten() {
            let is_hex = thumbprint.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !is_hex || !matches!(thumbprint.len(), 40 | 64) {
                return Err(invalid("thumbprint is not 40 or 64 hexadecimal digits"));
            }
            if thumbprint.len() != first.len() {
                return Err(invalid("thumbprints have different lengths"));
            }
        }
        Ok(Authentication::SelfSigned(thumbprints))
    }
}

fn parse_key(name: &str, text: &str) -> Result<SymmetricKey, HubError> {
    SymmetricKey::parse(text)
        .map_err(|why: InvalidKey| HubError::ArgumentInvalid(format!("{name}: {why}")))
}

pub(crate) fn check_status_reason(draft: &IdentityDraft) -> Result<(), HubError> {
    let length = draft.status_reason.as_ref().map_or(0, |reason| reason.chars().count());
    if length <= limits::STATUS_REASON_CHARACTERS {
        return Ok(());
    }
    let max = limits::STATUS_REASON_CHARACTERS;
    Err(HubError::ArgumentInvalid(format!(
        "statusReason has {length} characters, expected at most {max}"
    )))
}

fn invalid(message: &str) -> HubError {
    HubError::ArgumentInvalid(message.to_owned())
}
