//! Which twins a configuration is for.

use crate::error::HubError;
use crate::session::TwinView;

/// What a target condition says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// Nobody: the condition is empty.
    Nobody,
    /// Everybody: `*`.
    Everybody,
}

impl Target {
    pub(super) fn parse(text: &str, _is_module: bool) -> Result<Self, HubError> {
        match text.trim() {
            "" => Ok(Self::Nobody),
            "*" => Ok(Self::Everybody),
            _ => Err(HubError::InvalidTargetCondition("not yet".to_owned())),
        }
    }

    /// Whether the condition holds for a twin.
    pub(crate) fn holds(&self, _twin: &TwinView) -> bool {
        *self == Self::Everybody
    }
}
