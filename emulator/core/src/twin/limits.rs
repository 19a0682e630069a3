//! What a twin may hold: keys, values, depth and size.

use serde_json::{Number, Value};

use super::Document;
use crate::error::HubError;
use crate::limits;

/// What of twins depends on the api-version of the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dialect {
    /// Arrays are values since api-version 2019-10-01.
    pub arrays: bool,
}

/// A section and how much it may hold.
pub(super) struct SectionLimit {
    name: &'static str,
    max: usize,
}

pub(super) const TAGS: SectionLimit = SectionLimit { name: "Tags", max: limits::TWIN_TAGS_BYTES };
pub(super) const DESIRED: SectionLimit =
    SectionLimit { name: "Properties.Desired", max: limits::TWIN_PROPERTIES_BYTES };
pub(super) const REPORTED: SectionLimit =
    SectionLimit { name: "Properties.Reported", max: limits::TWIN_PROPERTIES_BYTES };

/// Where a null may stand.
#[derive(Clone, Copy, PartialEq)]
enum Nulls {
    Remove,
    Forbidden,
}

impl SectionLimit {
    /// Fails if a write makes the section grow past its limit. One that is too large already may
    /// shrink.
    pub(super) fn check_growth(&self, before: &Document, after: &Document) -> Result<(), HubError> {
        let size = size_of_object(after);
        // The service's own words are "less than".
        if size < self.max || size <= size_of_object(before) {
            return Ok(());
        }
        Err(HubError::TwinTooLarge { section: self.name, max: self.max })
    }
}

impl Dialect {
    /// What the current api-versions allow.
    pub const CURRENT: Self = Self { arrays: true };

    /// Fails if a patch, where null removes, breaks a rule.
    pub(crate) fn check_patch(self, patch: &Document) -> Result<(), HubError> {
        self.check_object(patch, 0, Nulls::Remove)
    }

    /// Fails if a content, where null has no place, breaks a rule.
    pub(super) fn check_content(self, content: &Document) -> Result<(), HubError> {
        self.check_object(content, 0, Nulls::Forbidden)
    }

    fn check_object(self, object: &Document, depth: usize, nulls: Nulls) -> Result<(), HubError> {
        check_depth(depth)?;
        for (key, value) in object {
            check_key(key)?;
            match value {
                Value::Null if nulls == Nulls::Forbidden => {
                    return invalid("Value of Property or Tag cannot be null");
                }
                Value::Object(object) => self.check_object(object, depth + 1, nulls)?,
                Value::Array(items) => self.check_array(items, depth + 1)?,
                _ => check_scalar(key, value)?,
            }
        }
        Ok(())
    }

    fn check_array(self, items: &[Value], depth: usize) -> Result<(), HubError> {
        if !self.arrays {
            return invalid(
                "Provided json is not a valid 'tags' or 'properties' object: arrays are not supported.",
            );
        }
        check_depth(depth)?;
        for item in items {
            match item {
                Value::Null => return invalid("Arrays cannot contain 'null' as value"),
                Value::Object(object) => self.check_object(object, depth + 1, Nulls::Forbidden)?,
                Value::Array(items) => self.check_array(items, depth + 1)?,
                _ => check_scalar("[]", item)?,
            }
        }
        Ok(())
    }
}

fn check_depth(depth: usize) -> Result<(), HubError> {
    if depth <= limits::TWIN_DEPTH {
        return Ok(());
    }
    invalid(&format!("Nested depth of twin property exceeds {}", limits::TWIN_DEPTH))
}

fn check_key(key: &str) -> Result<(), HubError> {
    if key.len() > limits::TWIN_KEY_BYTES {
        let beginning: String = key.chars().take(10).collect();
        let max = limits::TWIN_KEY_BYTES;
        return invalid(&format!(
            "Length of property name {beginning}.. exceeds maximum length of {max}"
        ));
    }
    let illegal = |c: &char| c.is_control() || c.is_whitespace() || matches!(c, '.' | '$');
    match key.chars().find(illegal) {
        Some(c) => invalid(&format!("Property name {key} contains invalid character '{c}'")),
        None => Ok(()),
    }
}

fn check_scalar(key: &str, value: &Value) -> Result<(), HubError> {
    match value {
        Value::String(text) if text.len() > limits::TWIN_STRING_BYTES => {
            let (length, max) = (text.len(), limits::TWIN_STRING_BYTES);
            invalid(&format!(
                "Value associated with property name {key} has length {length} that exceeds maximum length of {max}"
            ))
        }
        Value::Number(number) if !is_in_range(number) => {
            let (min, max) = (limits::TWIN_INTEGERS.start(), limits::TWIN_INTEGERS.end());
            invalid(&format!(
                "Property {key} has an out of bound value. Valid values are between {min} and {max}"
            ))
        }
        _ => Ok(()),
    }
}

/// Integers are bounded; floats are not.
fn is_in_range(number: &Number) -> bool {
    number.is_f64()
        || number.as_i64().is_some_and(|integer| limits::TWIN_INTEGERS.contains(&integer))
}

fn invalid<T>(message: &str) -> Result<T, HubError> {
    Err(HubError::ArgumentInvalid(message.to_owned()))
}

/// The service's own measure: names and strings by their bytes without control characters, numbers
/// 8, booleans 4.
fn size_of_object(object: &Document) -> usize {
    object.iter().map(|(key, value)| size_of_text(key) + size_of(value)).sum()
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => size_of_text(text),
        Value::Array(items) => items.iter().map(size_of).sum(),
        Value::Object(object) => size_of_object(object),
    }
}

fn size_of_text(text: &str) -> usize {
    text.chars().filter(|c| !c.is_control()).map(char::len_utf8).sum()
}
