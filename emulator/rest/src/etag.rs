//! `If-Match`, in all the forms that SDKs send it.

use axum::http::{HeaderMap, header::IF_MATCH};
use iothub_core::error::HubError;
use iothub_core::ids::{ETag, Precondition};

/// What the header demands.
///
/// # Errors
///
/// The header is not text.
pub(crate) fn precondition(headers: &HeaderMap) -> Result<Precondition, HubError> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(Precondition::None) };
    let text = value
        .to_str()
        .map_err(|_| HubError::ArgumentInvalid("If-Match is not ASCII text".to_owned()))?;
    Ok(parse(text))
}

/// A star may come with or without quotes, a tag too; quotes around nothing mean no header.
fn parse(text: &str) -> Precondition {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match unquoted {
        "" => Precondition::None,
        "*" => Precondition::Exists,
        tag => Precondition::Matches(ETag::new(tag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_parses() {
        let tag = || Precondition::Matches(ETag::new("AAAAAAAAAAE="));
        let table = [
            ("*", Precondition::Exists),
            ("\"*\"", Precondition::Exists),
            ("\"AAAAAAAAAAE=\"", tag()),
            ("AAAAAAAAAAE=", tag()),
            ("W/\"AAAAAAAAAAE=\"", tag()),
            (" \"AAAAAAAAAAE=\" ", tag()),
            ("\"\"", Precondition::None),
            ("", Precondition::None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
