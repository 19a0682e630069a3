//! What an expression can be for one document: a JSON value that is borrowed where it can be, or
//! nothing at all.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// Integers of this size and below are the same as floating-point numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value while a query looks at it.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'a> {
    /// There is none: what a path that leads nowhere has, and what an operation on the wrong types
    /// gives.
    Undefined,
    /// A null that somebody wrote.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// An array or an object.
    Composite(Cow<'a, Value>),
}

impl<'a> Datum<'a> {
    /// A borrowed text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value of a JSON document.
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(value.clone()),
            Value::String(text) => Self::text(text),
            composite => Self::Composite(Cow::Borrowed(composite)),
        }
    }

    /// What lies below `value` at the end of `path`.
    pub fn below(value: &'a Value, path: &[String]) -> Self {
        let mut value = value;
        for name in path {
            match value.get(name) {
                Some(member) => value = member,
                None => return Self::Undefined,
            }
        }
        Self::of(value)
    }

    /// What lies in `object` at the end of `path`; all of it, if there is no path.
    pub fn member(object: &'a Map<String, Value>, path: &[String]) -> Self {
        match path.split_first() {
            None => Self::Composite(Cow::Owned(Value::Object(object.clone()))),
            Some((name, path)) => {
                object.get(name).map_or(Self::Undefined, |member| Self::below(member, path))
            }
        }
    }

    /// A value of its own.
    pub fn from_json(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(value) => Self::Number(value),
            Value::String(text) => text.into(),
            composite => Self::Composite(Cow::Owned(composite)),
        }
    }

    /// What lies below this value at the end of `path`.
    pub fn into_below(self, path: &[String]) -> Self {
        match self {
            Self::Composite(Cow::Borrowed(value)) => Self::below(value, path),
            Self::Composite(Cow::Owned(value)) => {
                Datum::below(&value, path).into_json().map_or(Self::Undefined, Self::from_json)
            }
            _ => Self::Undefined,
        }
    }

    /// As JSON; none if there is nothing.
    pub fn into_json(self) -> Option<Value> {
        Some(match self {
            Self::Undefined => return None,
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(value) => Value::Number(value),
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Composite(value) => value.into_owned(),
        })
    }

    /// The number, if it is one.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// How two values of one primitive type compare; none for others.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, Self::Null) => Some(Ordering::Equal),
            (Self::Bool(one), Self::Bool(other)) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }

    /// Whether two values are equal; none where that cannot be asked. Anything that is there can be
    /// compared with null.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Undefined, _) | (_, Self::Undefined) => None,
            (Self::Null, other) | (other, Self::Null) => Some(*other == Self::Null),
            _ => self.compare(other).map(|ordering| ordering == Ordering::Equal),
        }
    }
}

impl From<bool> for Datum<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Option<bool>> for Datum<'_> {
    fn from(value: Option<bool>) -> Self {
        value.map_or(Self::Undefined, Self::Bool)
    }
}

impl From<Option<f64>> for Datum<'_> {
    /// What is not finite is nothing: JSON has no such numbers.
    fn from(value: Option<f64>) -> Self {
        value.and_then(number).map_or(Self::Undefined, Self::Number)
    }
}

impl From<String> for Datum<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// A number as JSON writes it: an integer without a fraction. None if it is not finite.
pub(super) fn number(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() <= EXACT {
        // Exact, by the line above.
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// The one form of all values that are equal: numbers by value, members by name. Two documents that
/// are grouped together look the same, whichever comes first.
pub(super) fn canonical(value: Value) -> Value {
    match value {
        Value::Number(found) => Value::Number(found.as_f64().and_then(number).unwrap_or(found)),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(name, value)| (name, canonical(value))).collect();
            members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_one_type_compare() {
        let table = [
            (json!(1), json!(1.0), Some(true)),
            (json!(1), json!(2), Some(false)),
            (json!("a"), json!("a"), Some(true)),
            (json!("a"), json!("A"), Some(false)),
            (json!(true), json!(true), Some(true)),
            (json!(null), json!(null), Some(true)),
            (json!("a"), json!(null), Some(false)),
            (json!({}), json!(null), Some(false)),
            (json!(1), json!("1"), None),
            (json!([1]), json!([1]), None),
            (json!({}), json!({}), None),
        ];
        for (one, other, expected) in table {
            assert_eq!(Datum::of(&one).equals(&Datum::of(&other)), expected, "{one} {other}");
            assert_eq!(Datum::of(&other).equals(&Datum::of(&one)), expected, "{other} {one}");
            assert_eq!(Datum::Undefined.equals(&Datum::of(&one)), None);
        }
    }

    #[test]
    fn numbers_are_written_as_integers_where_they_are() {
        let table = [(3.0, "3"), (-0.0, "0"), (1.5, "1.5"), (1e300, "1e+300")];
        for (value, expected) in table {
            assert_eq!(number(value).unwrap().to_string(), expected);
        }
        assert_eq!(number(f64::INFINITY), None);
        assert_eq!(number(f64::NAN), None);
    }

    #[test]
    fn equal_values_have_one_form() {
        let one = canonical(json!({"b": [1.0], "a": 2}));
        let other = canonical(json!({"a": 2.0, "b": [1]}));
        assert_eq!(one.to_string(), other.to_string());
    }
}
