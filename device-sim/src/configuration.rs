//! The tutorial's configuration: which one it is, and how often the device sends.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::document::Properties;
use crate::span::{InvalidSpan, Span};

/// The property that names a configuration.
pub(crate) const CONFIG_ID: &str = "configId";
/// The property that says how often to send.
pub(crate) const SEND_FREQUENCY: &str = "sendFrequency";

/// What a device is configured with.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Which configuration it is.
    pub config_id: ConfigId,
    /// How often the device sends telemetry.
    pub send_frequency: Span,
}

/// The name of a configuration: the tutorial counts, its other editions use a UUID.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ConfigId {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Why a desired configuration cannot be applied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// The id is neither number nor text.
    #[error("configId is {0}, expected an integer or a string")]
    ConfigId(Value),
    /// The frequency is no text.
    #[error("sendFrequency is {0}, expected a string such as \"5m\"")]
    SendFrequency(Value),
    /// The frequency is no length of time.
    #[error("sendFrequency {0}")]
    Span(#[from] InvalidSpan),
}

impl Configuration {
    /// What the tutorial's device starts with: number 1, once a day.
    pub fn initial() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { config_id: ConfigId::Number(1), send_frequency: Span::known("24h", day) }
    }

    /// What `desired` asks for, the rest being as in `applied`; none if it asks for nothing.
    pub(crate) fn desired(
        desired: &Properties,
        applied: &Self,
    ) -> Result<Option<Self>, InvalidConfiguration> {
        let config_id = desired.get(CONFIG_ID).map(ConfigId::parse).transpose()?;
        let send_frequency = desired.get(SEND_FREQUENCY).map(frequency).transpose()?;
        if config_id.is_none() && send_frequency.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            config_id: config_id.unwrap_or_else(|| applied.config_id.clone()),
            send_frequency: send_frequency.unwrap_or_else(|| applied.send_frequency.clone()),
        }))
    }

    /// The configuration that `reported` holds, if it holds a whole one.
    pub(crate) fn reported(reported: &Properties) -> Option<Self> {
        Some(Self {
            config_id: ConfigId::parse(reported.get(CONFIG_ID)?).ok()?,
            send_frequency: frequency(reported.get(SEND_FREQUENCY)?).ok()?,
        })
    }

    /// As properties of a twin.
    pub(crate) fn properties(&self) -> Properties {
        let mut properties = Properties::new();
        properties.insert(CONFIG_ID.to_owned(), json!(self.config_id));
        properties.insert(SEND_FREQUENCY.to_owned(), json!(self.send_frequency));
        properties
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration {} (every {})", self.config_id, self.send_frequency)
    }
}

impl ConfigId {
    pub(crate) fn parse(value: &Value) -> Result<Self, InvalidConfiguration> {
        match value {
            Value::Number(number) => number.as_i64().map(Self::Number),
            Value::String(text) => Some(Self::Text(text.clone())),
            _ => None,
        }
        .ok_or_else(|| InvalidConfiguration::ConfigId(value.clone()))
    }
}

impl fmt::Display for ConfigId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

fn frequency(value: &Value) -> Result<Span, InvalidConfiguration> {
    let text = value.as_str().ok_or_else(|| InvalidConfiguration::SendFrequency(value.clone()))?;
    Ok(Span::parse(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(id: i64, frequency: &str) -> Configuration {
        Configuration {
            config_id: ConfigId::Number(id),
            send_frequency: Span::parse(frequency).unwrap(),
        }
    }

    #[test]
    fn what_is_desired_is_read() {
        use InvalidConfiguration as E;
        let table = [
            (json!({}), Ok(None)),
            (json!({"other": 1}), Ok(None)),
            (json!({"configId": 2, "sendFrequency": "5m"}), Ok(Some(configuration(2, "5m")))),
            (json!({"configId": 2}), Ok(Some(configuration(2, "24h")))),
            (json!({"sendFrequency": "10s"}), Ok(Some(configuration(1, "10s")))),
            (json!({"configId": {}}), Err(E::ConfigId(json!({})))),
            (json!({"configId": 1.5}), Err(E::ConfigId(json!(1.5)))),
            (json!({"sendFrequency": 5}), Err(E::SendFrequency(json!(5)))),
            (json!({"sendFrequency": "soon"}), Err(E::Span(InvalidSpan::Form("soon".to_owned())))),
        ];
        for (desired, expected) in table {
            let read =
                Configuration::desired(desired.as_object().unwrap(), &Configuration::initial());
            assert_eq!(read, expected, "{desired}");
        }
    }

    #[test]
    fn only_a_whole_reported_configuration_counts() {
        let whole = json!({"configId": "a", "sendFrequency": "5m"});
        assert!(Configuration::reported(whole.as_object().unwrap()).is_some());
        for partial in [json!({"configId": 1}), json!({"configId": 1, "sendFrequency": "often"})] {
            assert_eq!(Configuration::reported(partial.as_object().unwrap()), None);
        }
    }

    #[test]
    fn the_initial_configuration_is_the_tutorial_s() {
        let properties = Configuration::initial().properties();
        let text = serde_json::to_string(&properties).unwrap();
        assert_eq!(text, r#"{"configId":1,"sendFrequency":"24h"}"#);
        let read = Configuration::reported(&properties);
        assert_eq!(read, Some(Configuration::initial()));
    }
}
