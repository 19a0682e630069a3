//! Lengths of time as people write them: `250ms`, `10s`, `5m`, `24h`, `1d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A length of time that remembers how it was written, since a back end compares the text that it
/// asked for with the text that is reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    text: String,
    length: Duration,
}

/// Why a text is no length of time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSpan {
    /// It is not a number and a unit.
    #[error("{0:?} is no duration, expected a number and a unit such as 250ms, 10s, 5m, 24h or 1d")]
    Form(String),
    /// It is nothing at all.
    #[error("{0:?} is no duration, expected more than zero")]
    Zero(String),
    /// It does not fit.
    #[error("{0:?} is no duration, it is too long")]
    Long(String),
}

impl Span {
    /// Parses a number and a unit.
    ///
    /// # Errors
    ///
    /// Says what was found and what is expected.
    pub fn parse(text: &str) -> Result<Self, InvalidSpan> {
        let form = || InvalidSpan::Form(text.to_owned());
        let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
        let (count, unit) = text.split_at_checked(unit).ok_or_else(form)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(form()),
        };
        if count.is_empty() {
            return Err(form());
        }
        let length = count
            .parse()
            .ok()
            .and_then(|count: u64| count.checked_mul(milliseconds))
            .ok_or_else(|| InvalidSpan::Long(text.to_owned()))?;
        if length == 0 {
            return Err(InvalidSpan::Zero(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), length: Duration::from_millis(length) })
    }

    /// A length of time that the program itself writes, text and value side by side.
    pub(crate) fn known(text: &str, length: Duration) -> Self {
        Self { text: text.to_owned(), length }
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        Self::parse(text)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_parse() {
        let form = |text: &str| Err(InvalidSpan::Form(text.to_owned()));
        let table = [
            ("250ms", Ok(250)),
            ("10s", Ok(10_000)),
            ("5m", Ok(300_000)),
            ("24h", Ok(86_400_000)),
            ("1d", Ok(86_400_000)),
            ("0s", Err(InvalidSpan::Zero("0s".to_owned()))),
            ("99999999999999999999d", Err(InvalidSpan::Long("99999999999999999999d".to_owned()))),
            ("soon", form("soon")),
            ("", form("")),
            ("5", form("5")),
            ("m", form("m")),
            ("-5m", form("-5m")),
            ("1.5h", form("1.5h")),
            ("5 m", form("5 m")),
            ("5é", form("5é")),
        ];
        for (text, expected) in table {
            let span = Span::parse(text).map(|span| span.length().as_millis());
            assert_eq!(span, expected, "{text:?}");
        }
    }

    #[test]
    fn a_span_is_shown_as_it_was_written() {
        assert_eq!(Span::parse("90s").unwrap().to_string(), "90s");
    }
}
