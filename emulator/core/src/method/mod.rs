//! Direct methods: a back end calls, a connected device answers.
//!
//! A call lives as long as somebody waits for it: nothing of it is stored. It waits for the device
//! to come if the caller wishes, is handed to the connection that the device has then, and ends
//! with that connection's answer, its end, or a time-out. `broker` keeps the calls in between.

pub(crate) mod broker;
mod invocation;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::HubError;
use crate::limits;
pub(crate) use invocation::invoke;

/// The name of a method. Devices compare it as text; the hub does not know which there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MethodName(Arc<str>);

/// A JSON value that the hub passes on without looking into it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payload(Arc<str>);

/// What a back end asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MethodRequest {
    name: MethodName,
    payload: Payload,
    response_time: Duration,
    connect_time: Duration,
}

/// How long a caller wants to wait, in seconds; the service's own times where it does not say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timeouts {
    /// For the answer, once the device has the call.
    pub response: Option<i64>,
    /// For the device to connect and listen.
    pub connect: Option<i64>,
}

/// A call on its way to a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MethodCall {
    /// Comes back in the answer.
    pub id: CallId,
    /// Which method.
    pub name: MethodName,
    /// What it is given.
    pub payload: Payload,
}

/// Tells the calls of one connection apart: the service counts them from one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct CallId(u32);

/// What a device answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MethodAnswer {
    /// What its handler returned; not an HTTP status.
    pub status: i32,
    /// What its handler gave back.
    pub payload: Payload,
}

impl MethodName {
    /// Takes a name if it is one.
    ///
    /// # Errors
    ///
    /// It is empty, too long, or has a character that a header's token could not have.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let invalid = |why| Err(HubError::ArgumentInvalid(why));
        if text.is_empty() {
            return invalid("methodName is empty".to_owned());
        }
        let characters = text.chars().count();
        if characters > limits::METHOD_NAME_CHARACTERS {
            return invalid(format!(
                "methodName has {characters} characters, expected at most {max}",
                max = limits::METHOD_NAME_CHARACTERS
            ));
        }
        if let Some(character) = text.chars().find(|character| !is_allowed(*character)) {
            return invalid(format!("methodName has the character {character:?}"));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The set that the documentation of direct methods gives.
fn is_allowed(character: char) -> bool {
    character.is_ascii_graphic() && !r#"$()<>@,;:\"/[]?={}"#.contains(character)
}

impl Payload {
    /// Reads a JSON value; nothing at all counts as null.
    ///
    /// # Errors
    ///
    /// It is not JSON; the message says where.
    pub fn parse(bytes: &Bytes) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        Ok(Self(raw.get().into()))
    }

    /// Its JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Payload {
    /// Null.
    fn default() -> Self {
        Self("null".into())
    }
}

impl From<&Value> for Payload {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl MethodRequest {
    /// What is called.
    pub(crate) fn name(&self) -> &MethodName {
        &self.name
    }

    /// A request, if it keeps within what the service allows.
    ///
    /// # Errors
    ///
    /// The name is none, a time is out of its range, or the payload is too large.
    pub fn new(name: &str, payload: Payload, timeouts: Timeouts) -> Result<Self, HubError> {
        let name = MethodName::parse(name)?;
        let response_time = seconds(
            "responseTimeoutInSeconds",
            timeouts.response,
            limits::METHOD_RESPONSE_SECONDS,
            limits::METHOD_RESPONSE_TIME,
        )?;
        let connect_time = seconds(
            "connectTimeoutInSeconds",
            timeouts.connect,
            limits::METHOD_CONNECT_SECONDS,
            Duration::ZERO,
        )?;
        let bytes = payload.as_str().len();
        if bytes > limits::METHOD_PAYLOAD_BYTES {
            return Err(HubError::MethodPayloadTooLarge { bytes });
        }
        Ok(Self { name, payload, response_time, connect_time })
    }
}

fn seconds(
    member: &str,
    asked: Option<i64>,
    range: RangeInclusive<i64>,
    default: Duration,
) -> Result<Duration, HubError> {
    let Some(seconds) = asked else { return Ok(default) };
    u64::try_from(seconds)
        .ok()
        .filter(|_| range.contains(&seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            let (least, most) = range.into_inner();
            HubError::ArgumentInvalid(format!("{member} must be within [{least}; {most}]."))
        })
}

impl MethodAnswer {
    /// The answer of a device.
    ///
    /// # Errors
    ///
    /// Its body is not JSON, or too large.
    pub(crate) fn parse(status: i32, body: &Bytes) -> Result<Self, HubError> {
        if body.len() > limits::METHOD_PAYLOAD_BYTES {
            return Err(HubError::BadDeviceResponse(format!(
                "it has {bytes} bytes, expected at most {max}",
                bytes = body.len(),
                max = limits::METHOD_PAYLOAD_BYTES
            )));
        }
        let payload = Payload::parse(body)
            .map_err(|why| HubError::BadDeviceResponse(format!("it is not JSON: {why}")))?;
        Ok(Self { status, payload })
    }
}

impl CallId {
    /// The id that an answer names; none if it is not in the form in which the hub writes ids.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(text.parse().ok()?);
        (id.to_string() == text).then_some(id)
    }

    fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
