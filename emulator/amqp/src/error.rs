//! What goes wrong, in AMQP's terms: the one place that gives an error of the hub its condition.

use iothub_core::error::HubError;
use iothub_core::hub::Hub;
use iothub_wire::json;

use crate::message::NoBytes;
use crate::value::Value;

/// An error as a detach, a close or a rejection carries it.
#[derive(Clone, Debug)]
pub(crate) struct AmqpError {
    pub(crate) condition: &'static str,
    pub(crate) description: String,
    pub(crate) info: Vec<(&'static str, Value)>,
    /// What is wrong in plain words, if the description has them inside a document.
    pub(crate) plain: Option<String>,
}

pub(crate) const UNAUTHORIZED: &str = "amqp:unauthorized-access";
pub(crate) const NOT_FOUND: &str = "amqp:not-found";
pub(crate) const NOT_ALLOWED: &str = "amqp:not-allowed";
pub(crate) const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
pub(crate) const RESOURCE_LIMIT: &str = "amqp:resource-limit-exceeded";
pub(crate) const TOO_LARGE: &str = "amqp:link:message-size-exceeded";
pub(crate) const STOLEN: &str = "amqp:link:stolen";
pub(crate) const DETACHED: &str = "amqp:link:detach-forced";
pub(crate) const FORCED: &str = "amqp:connection:forced";
pub(crate) const REDIRECT: &str = "amqp:link:redirect";
pub(crate) const FRAMING: &str = "amqp:connection:framing-error";
pub(crate) const ARGUMENT: &str = "com.microsoft:argument-error";
pub(crate) const OUT_OF_RANGE: &str = "com.microsoft:argument-out-of-range";

impl AmqpError {
    pub(crate) fn new(condition: &'static str, description: impl Into<String>) -> Self {
        Self { condition, description: description.into(), info: Vec::new(), plain: None }
    }

    /// What is wrong, in plain words and the same each time: for the journal.
    pub(crate) fn reason(&self) -> &str {
        self.plain.as_deref().unwrap_or(&self.description)
    }

    /// An error of the hub, described by the same JSON as elsewhere.
    pub(crate) fn of(error: &HubError, hub: &Hub) -> Self {
        let now = hub.now();
        let tracking_id = json::error::tracking_id(hub.random().bytes(), now);
        Self {
            condition: condition(error.code().number),
            description: json::error::flat(error, &tracking_id, now),
            info: vec![
                ("com.microsoft:tracking-id", Value::string(tracking_id)),
                ("com.microsoft:is-filtered", Value::Bool(true)),
            ],
            plain: Some(error.to_string()),
        }
    }

    /// Something of an event hub that is not there. Clients of Event Hubs know it by these words.
    pub(crate) fn missing_entity(host: &str, path: &str, why: &str) -> Self {
        let what = format!("The messaging entity 'sb://{host}/{path}' could not be found. {why}");
        Self::new(NOT_FOUND, what)
    }

    /// A partition that an event hub with so many does not have.
    pub(crate) fn invalid_partition(given: &str, count: usize) -> Self {
        let what = format!(
            "The specified partition is invalid for an EventHub partition sender or receiver. \
             It should be between 0 and {}. It is {given:?}.",
            count.saturating_sub(1)
        );
        Self::new(OUT_OF_RANGE, what)
    }

    /// The error as a value: a list of full length.
    pub(crate) fn to_value(&self) -> Value {
        let fields = vec![
            Value::symbol(self.condition),
            Value::string(self.description.clone()),
            Value::symbols(self.info.clone()),
        ];
        Value::described(0x1d, Value::List(fields))
    }
}

impl From<NoBytes> for AmqpError {
    fn from(why: NoBytes) -> Self {
        Self::new(NOT_IMPLEMENTED, why.to_string())
    }
}

fn condition(code: u32) -> &'static str {
    match (code / 1000, code) {
        (401, _) => UNAUTHORIZED,
        (404, _) => NOT_FOUND,
        (_, 403_002..=403_005) => RESOURCE_LIMIT,
        (_, 400_003) | (403 | 405, _) => NOT_ALLOWED,
        (413, _) => TOO_LARGE,
        (_, 412_002) => "com.microsoft:message-lock-lost",
        (412, _) => "amqp:precondition-failed",
        (429, _) => "com.microsoft:device-container-throttled",
        (400, _) => ARGUMENT,
        (409, _) => "amqp:resource-locked",
        _ => "amqp:internal-error",
    }
}
