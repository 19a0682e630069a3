//! The JSON of IoT Hub.

pub mod bulk;
pub mod configuration;
pub mod error;
pub mod event;
pub mod field;
pub mod identity;
pub mod job;
pub mod keys;
pub mod messages;
pub mod method;
pub mod module;
pub mod query;
pub mod snapshot;
pub mod statistics;
pub mod transfer;
pub mod trial;
pub mod twin;

use iothub_core::error::HubError;
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

/// Reads a JSON object.
///
/// # Errors
///
/// It is not JSON, or something else than an object.
pub fn parse_object(bytes: &[u8]) -> Result<Document, HubError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(unexpected("body", &other, "an object")),
        Err(why) => Err(HubError::ArgumentInvalid(format!("body is not JSON: {why}"))),
    }
}

/// Reads a JSON array of objects, at most `max` of them.
///
/// # Errors
///
/// It is not JSON, something else than an array of objects, or longer: `too_many` names that.
pub fn parse_objects(
    bytes: &[u8],
    max: usize,
    too_many: impl FnOnce(usize) -> HubError,
) -> Result<Vec<Document>, HubError> {
    let items = match serde_json::from_slice(bytes) {
        Ok(Value::Array(items)) => items,
        Ok(other) => return Err(unexpected("body", &other, "an array")),
        Err(why) => return Err(HubError::ArgumentInvalid(format!("body is not JSON: {why}"))),
    };
    if items.len() > max {
        return Err(too_many(items.len()));
    }
    items
        .into_iter()
        .map(|item| match item {
            Value::Object(item) => Ok(item),
            other => Err(unexpected("body[]", &other, "an object")),
        })
        .collect()
}

/// Reads any JSON value.
///
/// # Errors
///
/// It is missing, or not JSON.
pub fn parse_value(bytes: &[u8]) -> Result<Value, HubError> {
    if bytes.is_empty() {
        return Err(HubError::ArgumentNull("body is missing".to_owned()));
    }
    serde_json::from_slice(bytes)
        .map_err(|why| HubError::ArgumentInvalid(format!("body is not JSON: {why}")))
}

/// Writes a document of this crate's: these have text keys and no failing parts, so that it cannot
/// fail.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn unexpected(name: &str, found: &Value, expected: &str) -> HubError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    HubError::ArgumentInvalid(format!("{name} is {found}, expected {expected}"))
}

/// A member that may be missing, null or an object.
fn object_member(object: &mut Document, name: &str) -> Result<Option<Document>, HubError> {
    match object.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(member)) => Ok(Some(member)),
        Some(other) => Err(unexpected(name, &other, "an object")),
    }
}

/// A member that may be missing, null or an array of strings.
fn texts_member(object: &Document, name: &str) -> Result<Option<Vec<String>>, HubError> {
    let items = match object.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(unexpected(name, other, "an array")),
    };
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.clone()),
        other => Err(unexpected(&format!("{name}[]"), other, "a string")),
    };
    items.iter().map(text).collect::<Result<_, _>>().map(Some)
}

/// A member that may be missing, null, true or false.
fn switch_member(object: &Document, name: &str) -> Result<Option<bool>, HubError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(switch)) => Ok(Some(*switch)),
        Some(other) => Err(unexpected(name, other, "a boolean")),
    }
}

/// A member that may be missing, null or a string; an empty one counts as missing.
fn text_member(object: &Document, name: &str) -> Result<Option<String>, HubError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => Err(unexpected(name, other, "a string")),
    }
}
