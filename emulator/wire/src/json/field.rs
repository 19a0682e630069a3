//! What is wrong with a field of a document that people write: said in one way wherever one is read.

use serde_json::Value;

/// More names than these are a list to look up rather than to read.
const READABLE: usize = 16;

/// Why a field cannot be taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WrongField {
    /// It has another value than was expected.
    Value {
        /// What was.
        expected: String,
    },
    /// There is no such field.
    Unknown {
        /// What [`unknown_field`] says.
        message: String,
    },
}

impl WrongField {
    /// There is no field of this name, but `known` ones.
    pub fn unknown(name: &str, known: &[&str]) -> Self {
        Self::Unknown { message: unknown_field(name, known) }
    }

    /// What to tell whoever wrote it.
    pub fn told(self, name: &str, value: &Value) -> String {
        match self {
            Self::Value { expected } => format!("{name} is {value}, expected {expected}"),
            Self::Unknown { message } => message,
        }
    }
}

impl From<String> for WrongField {
    fn from(expected: String) -> Self {
        Self::Value { expected }
    }
}

impl From<&str> for WrongField {
    fn from(expected: &str) -> Self {
        Self::from(expected.to_owned())
    }
}

/// That a document has no field of this name, and which ones it may have if they are few.
pub fn unknown_field(name: &str, known: &[&str]) -> String {
    let expected = match known {
        [first @ .., last] if !first.is_empty() && known.len() <= READABLE => {
            format!(", expected {} or {last}", first.join(", "))
        }
        [only] => format!(", expected {only}"),
        _ => String::new(),
    };
    format!("there is no field {name:?}{expected}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fields_that_there_are_are_named_if_they_are_few() {
        let table: [(&[&str], &str); 5] = [
            (&[], ""),
            (&["a"], ", expected a"),
            (&["a", "b"], ", expected a or b"),
            (&["a", "b", "c"], ", expected a, b or c"),
            (&["a"; READABLE + 1], ""),
        ];
        for (known, expected) in table {
            let expected = format!("there is no field \"x\\n\"{expected}");
            assert_eq!(unknown_field("x\n", known), expected, "{known:?}");
            assert_eq!(WrongField::unknown("x\n", known).told("x\n", &json!(1)), expected);
        }
        let wrong = WrongField::from("a number");
        assert_eq!(wrong.told("x", &json!("1")), "x is \"1\", expected a number");
    }
}
