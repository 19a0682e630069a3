//! Ids, versions and preconditions: small texts and numbers that must not be mixed up.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits;
use crate::time::Timestamp;

/// The id of a device: 1 to 128 legal characters, compared with case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeviceId(Arc<str>);

/// The id of a module: same form as a device's.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModuleId(Arc<str>);

/// The id of whatever has an identity and a twin: a device, or a module on a device.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IdentityId {
    /// The device, or the device that the module runs on.
    pub device: DeviceId,
    /// The module; none for the device itself.
    pub module: Option<ModuleId>,
}

/// Why a text is no id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidId {
    /// It has none or too many characters.
    #[error("id has {0} characters, expected 1 to {max}", max = limits::ID_CHARACTERS)]
    Length(usize),
    /// It has a character that ids may not have.
    #[error("id has the character {0:?}, expected letters, digits or one of -:.+%_#*?!(),=@;$'")]
    Character(char),
}

impl DeviceId {
    /// Checks and takes an id.
    ///
    /// # Errors
    ///
    /// Names the length or the character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        check_id(text).map(|()| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ModuleId {
    /// Checks and takes an id.
    ///
    /// # Errors
    ///
    /// Names the length or the character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        check_id(text).map(|()| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<DeviceId> for IdentityId {
    fn from(device: DeviceId) -> Self {
        Self { device, module: None }
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)?;
        match &self.module {
            Some(module) => write!(f, "/{module}"),
            None => Ok(()),
        }
    }
}

fn check_id(text: &str) -> Result<(), InvalidId> {
    let length = text.chars().count();
    if !(1..=limits::ID_CHARACTERS).contains(&length) {
        return Err(InvalidId::Length(length));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@;$'".contains(c);
    text.chars().find(|&c| !legal(c)).map_or(Ok(()), |c| Err(InvalidId::Character(c)))
}

/// Tells an identity from a later one of the same id: the moment of its creation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct GenerationId(u64);

impl GenerationId {
    /// The generation of an identity created at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(now.ticks())
    }

    /// Reads what [`GenerationId`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Display for GenerationId {
    /// Ticks since year 1, in decimal, as the service writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version tag of a document, without quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ETag(String);

impl ETag {
    /// Takes the text that a client sent.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An identity's: its version in decimal digits, in base64.
    pub fn of_identity(version: u64) -> Self {
        Self(STANDARD.encode(version.to_string()))
    }

    /// A twin's: the count of service-side writes as eight bytes, in base64.
    pub fn of_twin(writes: u64) -> Self {
        Self(STANDARD.encode(writes.to_be_bytes()))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version that a tag of [`ETag::of_identity`] stands for.
    pub fn identity_version(&self) -> Option<u64> {
        let version = String::from_utf8(STANDARD.decode(&self.0).ok()?).ok()?.parse().ok()?;
        (Self::of_identity(version) == *self).then_some(version)
    }

    /// The count that a tag of [`ETag::of_twin`] stands for.
    pub fn twin_writes(&self) -> Option<u64> {
        let bytes = STANDARD.decode(&self.0).ok()?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The version that an identity's tag stands for; the tag itself if it stands for none.
    pub(crate) fn decoded(&self) -> String {
        let bytes = STANDARD.decode(&self.0).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))
            .unwrap_or_else(|| self.0.clone())
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a caller demands of the version that it changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Precondition {
    /// Nothing was said.
    None,
    /// There must be one, whichever its version.
    Exists,
    /// There must be one with this tag.
    Matches(ETag),
}

impl Precondition {
    /// Whether a document with `etag` fulfils the demand.
    pub fn allows(&self, etag: &ETag) -> bool {
        match self {
            Self::None | Self::Exists => true,
            Self::Matches(expected) => expected == etag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        let long = "a".repeat(129);
        let table = [
            ("dev-1", Ok(())),
            ("a:.+%_#*?!(),=@;$'", Ok(())),
            ("", Err(InvalidId::Length(0))),
            (&long, Err(InvalidId::Length(129))),
            ("a b", Err(InvalidId::Character(' '))),
            ("a/b", Err(InvalidId::Character('/'))),
            ("é", Err(InvalidId::Character('é'))),
        ];
        for (text, expected) in table {
            assert_eq!(DeviceId::parse(text).map(drop), expected, "{text}");
            assert_eq!(ModuleId::parse(text).map(drop), expected, "{text}");
        }
    }

    #[test]
    fn etags_have_the_service_s_form() {
        assert_eq!(ETag::of_twin(1).as_str(), "AAAAAAAAAAE=");
        assert_eq!(ETag::of_twin(300).as_str(), "AAAAAAAAASw=");
        assert_eq!(ETag::of_identity(957_482_804).as_str(), "OTU3NDgyODA0");
        assert_eq!(ETag::of_identity(957_482_804).decoded(), "957482804");
        assert_eq!(ETag::new("nonsense").decoded(), "nonsense");
    }

    #[test]
    fn what_etags_and_generations_say_can_be_read_back() {
        for number in [0, 1, 957_482_804, u64::MAX] {
            assert_eq!(ETag::of_identity(number).identity_version(), Some(number));
            assert_eq!(ETag::of_twin(number).twin_writes(), Some(number));
            assert_eq!(GenerationId::parse(&number.to_string()), Some(GenerationId(number)));
        }
        for text in ["", "*", "MDE=", "LTE=", "nonsense"] {
            assert_eq!(ETag::new(text).identity_version(), None, "{text}");
            assert_eq!(ETag::new(text).twin_writes(), None, "{text}");
            assert_eq!(GenerationId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_generation_id_is_written_in_ticks() {
        let at = Timestamp::from_unix_seconds(1_577_836_800);
        assert_eq!(GenerationId::at(at).to_string(), "637134336000000000");
    }
}
