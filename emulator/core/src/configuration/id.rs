//! The name of a configuration.

use std::fmt;
use std::sync::Arc;

use crate::error::HubError;
use crate::ids::DeviceId;

/// The id of a configuration: as a device's, without capitals.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConfigurationId(Arc<str>);

impl ConfigurationId {
    /// Checks and takes an id.
    ///
    /// # Errors
    ///
    /// Names the length or the character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        DeviceId::parse(text)?;
        match text.chars().find(char::is_ascii_uppercase) {
            None => Ok(Self(text.into())),
            Some(c) => Err(HubError::ArgumentInvalid(format!(
                "id of a configuration has the character {c:?}, expected no capitals"
            ))),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigurationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_no_capitals() {
        for good in ["cfg1", "a-b_c%d", "1$"] {
            assert!(ConfigurationId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Cfg", "a b", "a/b", "a[b]", "a&b", &"a".repeat(129)] {
            assert!(ConfigurationId::parse(bad).is_err(), "{bad}");
        }
    }
}
