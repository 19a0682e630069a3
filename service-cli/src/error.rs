//! Why a call to the hub failed: the service refused, or there was no answer to be had.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::codes;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service answered and refused.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service refused in words of AMQP.
    #[error("{hub} refuses: {why}")]
    Refusal {
        /// Who refused.
        hub: String,
        /// The condition and its sentence.
        why: String,
    },
    /// The peer's certificate does not satisfy.
    #[error("the certificate of {hub} is not trusted: {why}")]
    Untrusted {
        /// Whose certificate.
        hub: String,
        /// What is wrong with it.
        why: String,
        /// Whether trusting one more authority could help; it does not help an expired
        /// certificate.
        authority: bool,
    },
    /// Nobody listens there.
    #[error("nothing answers at {hub}: connection refused")]
    Refused {
        /// Where nobody listens.
        hub: String,
    },
    /// The connection could not be made, or broke.
    #[error("cannot reach {hub}: {why}")]
    Unreachable {
        /// Who was to be reached.
        hub: String,
        /// What the network said.
        why: String,
    },
    /// The answer did not come in time.
    #[error("{hub} did not answer within {} s", after.as_secs_f64())]
    TimedOut {
        /// Who did not answer.
        hub: String,
        /// How long it was given.
        after: Duration,
    },
    /// What answers does not speak the service's language.
    #[error("{hub} answered with {what}")]
    Answer {
        /// Who answered.
        hub: String,
        /// What it answered, and what was expected.
        what: String,
    },
    /// No new configuration id follows from the twin.
    #[error("the twin has configId {0}, expected a whole number")]
    ConfigId(String),
}

impl Error {
    /// Whether the service said that there is no such device.
    pub fn is_device_not_found(&self) -> bool {
        matches!(self, Self::Service(error) if error.is_device_not_found())
    }

    /// Whether the service said that there is no such device, module, job or configuration.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Service(error) if error.is_not_found())
    }

    /// Whether the service said that the document is no longer the one that was read.
    pub fn is_precondition_failed(&self) -> bool {
        matches!(self, Self::Service(error) if error.status == 412)
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Service(error) => error.status == 429 || error.status >= 500,
            Self::Refused { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Untrusted { .. }
            | Self::Answer { .. }
            | Self::ConfigId(_)
            | Self::Refusal { .. } => false,
        }
    }
}

/// What the service says when it refuses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// The symbolic name of the error, such as `DeviceNotFound`.
    pub name: Option<String>,
    /// The number of the error, such as 404001.
    pub number: Option<u32>,
    /// The sentence for humans; may be empty.
    pub message: String,
    /// What the operators of the service find the request by.
    pub tracking_id: Option<String>,
}

impl ServiceError {
    /// Reads an answer that is no success: its status, its header `iothub-errorcode` and its body,
    /// which has one of three forms or is none of the service's at all.
    pub fn parse(status: u16, header: Option<&str>, body: &str) -> Self {
        let mut error = match serde_json::from_str::<Value>(body) {
            Ok(Value::Object(fields)) => Self::from_json(status, &Value::Object(fields)),
            _ => Self::bare(status, excerpt(body)),
        };
        error.name = error.name.or_else(|| header.map(str::to_owned));
        error.number = error.number.or_else(|| codes::number(error.name.as_deref()?));
        error.name = error.name.or_else(|| codes::name(error.number?).map(str::to_owned));
        error
    }

    /// Whether this says that there is no such device.
    pub fn is_device_not_found(&self) -> bool {
        self.status == 404 && self.name.as_deref() == Some("DeviceNotFound")
    }

    /// Whether this says that there is no such device, module, job or configuration.
    pub fn is_not_found(&self) -> bool {
        const NAMES: [&str; 4] =
            ["DeviceNotFound", "ModuleNotFound", "JobNotFound", "ConfigurationNotFound"];
        self.status == 404 && self.name.as_deref().is_some_and(|name| NAMES.contains(&name))
    }

    fn bare(status: u16, message: String) -> Self {
        Self { status, name: None, number: None, message, tracking_id: None }
    }

    /// `{"Message":…,"ExceptionMessage":…}`, or the flat `{"errorCode":…,"message":…}`.
    fn from_json(status: u16, body: &Value) -> Self {
        let Some(message) = text(body, &["Message", "message"]) else {
            return Self::bare(status, excerpt(&body.to_string()));
        };
        // Methods and newer parts of the service put a whole document into the text.
        if let Ok(inner @ Value::Object(_)) = serde_json::from_str::<Value>(message) {
            return Self::from_json(status, &inner);
        }
        let (name, message) = split_name(message);
        Self {
            status,
            name: name.map(str::to_owned),
            number: body.get("errorCode").and_then(Value::as_u64).and_then(|n| n.try_into().ok()),
            message: excerpt(message),
            tracking_id: text(body, &["trackingId"])
                .or_else(|| tracking_id(text(body, &["ExceptionMessage"])?))
                .map(str::to_owned),
        }
    }
}

impl fmt::Display for ServiceError {
    /// `DeviceNotFound: dev-1 (404001)`, with the HTTP status for what has no name or number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name)?,
            None => f.write_str("refused")?,
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        match self.number {
            Some(number) => write!(f, " ({number})"),
            None => write!(f, " (HTTP {})", self.status),
        }
    }
}

fn text<'a>(body: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| body.get(name)?.as_str())
}

/// Splits `ErrorCode:DeviceNotFound;dev-1` into name and sentence.
fn split_name(message: &str) -> (Option<&str>, &str) {
    let Some(rest) = message.trim_start().strip_prefix("ErrorCode:") else {
        return (None, message);
    };
    let (name, sentence) = rest.split_once(';').unwrap_or((rest, ""));
    (Some(name.trim()).filter(|name| !name.is_empty()), sentence)
}

/// The hexadecimal digits in `Tracking ID:0145…-G:0-TimeStamp:…`.
fn tracking_id(exception: &str) -> Option<&str> {
    let rest = exception.trim_start().strip_prefix("Tracking ID:")?;
    rest.split('-').next().map(str::trim).filter(|id| !id.is_empty())
}

/// One line of at most this many characters is shown of what a peer says.
const EXCERPT: usize = 300;

/// Text of a peer as one short line: line breaks and what a terminal may obey become blanks.
fn excerpt(text: &str) -> String {
    let calm: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut words = calm.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(EXCERPT) {
        words.truncate(end);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_s_three_forms_are_read() {
        let table = [
            (
                404,
                Some("DeviceNotFound"),
                r#"{"Message":"ErrorCode:DeviceNotFound;dev-1","ExceptionMessage":"Tracking ID:0145380c335046479275c10be0eb278f-G:0-TimeStamp:11/10/2016 08:37:23"}"#,
                "DeviceNotFound: dev-1 (404001)",
                Some("0145380c335046479275c10be0eb278f"),
            ),
            (
                409,
                None,
                r#"{"errorCode":409301,"message":"Device d1 already contains Module m1.","trackingId":"ab"}"#,
                "ModuleAlreadyExistsOnDevice: Device d1 already contains Module m1. (409301)",
                Some("ab"),
            ),
            (
                404,
                None,
                r#"{"Message":"{\"errorCode\":404103,\"trackingId\":\"cd\",\"message\":\"Timed out.\",\"info\":null}","ExceptionMessage":""}"#,
                "DeviceNotOnline: Timed out. (404103)",
                Some("cd"),
            ),
            (
                401,
                None,
                r#"{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized"}"#,
                "IotHubUnauthorizedAccess: Unauthorized (401002)",
                None,
            ),
            (
                403,
                None,
                "{\"Message\":\"ErrorCode:JobQuotaExceeded;one\\r\\ntwo\"}",
                "JobQuotaExceeded: one two (HTTP 403)",
                None,
            ),
            (412, Some("PreconditionFailed"), "", "PreconditionFailed (412001)", None),
        ];
        for (status, header, body, expected, tracking) in table {
            let error = ServiceError::parse(status, header, body);
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.tracking_id.as_deref(), tracking, "{body}");
        }
    }

    #[test]
    fn what_is_none_of_the_service_s_forms_is_shown_in_one_calm_line() {
        let table = [
            ("", "refused (HTTP 502)"),
            (
                "<html>\n<b>Bad\x1b[31m Gateway</b>",
                "refused: <html> <b>Bad [31m Gateway</b> (HTTP 502)",
            ),
            ("{\"a\":1}", "refused: {\"a\":1} (HTTP 502)"),
            ("[1]", "refused: [1] (HTTP 502)"),
        ];
        for (body, expected) in table {
            assert_eq!(ServiceError::parse(502, None, body).to_string(), expected);
        }
        let long = ServiceError::parse(502, None, &"ä".repeat(1000));
        assert_eq!(long.message.chars().count(), EXCERPT + 1);
    }

    #[test]
    fn only_the_service_s_own_word_means_that_a_device_is_not_there() {
        let table = [
            (404, Some("DeviceNotFound"), true),
            (404, Some("GenericNotFound"), false),
            (404, None, false),
            (500, Some("DeviceNotFound"), false),
        ];
        for (status, header, expected) in table {
            let error = Error::from(ServiceError::parse(status, header, ""));
            assert_eq!(error.is_device_not_found(), expected, "{status} {header:?}");
        }
    }

    #[test]
    fn a_message_nested_deeply_does_not_overflow_the_stack() {
        let body = (0..12).fold("{\"Message\":\"x\"}".to_owned(), |inner, _| {
            serde_json::json!({ "Message": inner }).to_string()
        });
        assert_eq!(ServiceError::parse(400, None, &body).message, "x");
    }
}
