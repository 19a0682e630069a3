//! Which twins a configuration is for.

use crate::error::HubError;
use crate::query::twin::TwinDocument;
use crate::query::{Condition, Source};

/// What a target condition says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// Nobody: the condition is empty.
    Nobody,
    /// Everybody: `*`.
    Everybody,
    /// Whoever fulfils it.
    Matching(Condition),
}

impl Target {
    /// Reads the condition of a configuration for twins of `source`.
    pub(super) fn parse(text: &str, source: Source) -> Result<Self, HubError> {
        match text.trim() {
            "" => Ok(Self::Nobody),
            "*" => Ok(Self::Everybody),
            text => {
                // Configurations of modules say so in their condition; one that does not is meant
                // the same way.
                let is_bare = source == Source::Modules && !starts_with_from(text);
                let prefix = if is_bare { "FROM devices.modules WHERE " } else { "" };
                let condition = condition(&format!("{prefix}{text}"))?;
                if condition.source() == source {
                    return Ok(Self::Matching(condition));
                }
                Err(HubError::InvalidTargetCondition(format!(
                    "target condition {text:?} is about other twins than the content is for"
                )))
            }
        }
    }

    /// Reads the condition of a configuration of either kind.
    pub(crate) fn check(text: &str) -> Result<(), HubError> {
        if matches!(text.trim(), "" | "*") {
            return Ok(());
        }
        match condition(text)?.source() {
            Source::Devices | Source::Modules => Ok(()),
            Source::Jobs => Err(HubError::InvalidTargetCondition(
                "target condition is about jobs, expected twins".to_owned(),
            )),
        }
    }

    /// Whether the condition holds for a twin.
    pub(crate) fn holds(&self, twin: &TwinDocument<'_>) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Matching(condition) => condition.holds(twin),
        }
    }
}

/// Whether a condition names its source.
pub(super) fn starts_with_from(text: &str) -> bool {
    let first = text.split_whitespace().next();
    first.is_some_and(|first| first.eq_ignore_ascii_case("FROM"))
}

fn condition(text: &str) -> Result<Condition, HubError> {
    Condition::parse(text).map_err(|why| HubError::InvalidTargetCondition(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_fit_their_content() {
        let table = [
            ("", Source::Devices, true),
            ("*", Source::Modules, true),
            ("tags.floor = 1", Source::Devices, true),
            ("tags.floor = 1", Source::Modules, true),
            ("from devices.modules where moduleId = 'm'", Source::Modules, true),
            ("FROM devices.modules WHERE moduleId = 'm'", Source::Devices, false),
            ("FROM devices.jobs WHERE jobId = 'j'", Source::Devices, false),
            ("tags.floor =", Source::Devices, false),
            ("SELECT * FROM devices", Source::Devices, false),
        ];
        for (text, source, good) in table {
            assert_eq!(Target::parse(text, source).is_ok(), good, "{text} {source:?}");
        }
        assert!(Target::check("FROM devices.jobs WHERE jobId = 'j'").is_err());
    }
}
