//! Bodies that are JSON, and how a message says so.

use std::borrow::Cow;

use serde_json::Value;

use super::{Message, SystemProperty};

/// What twins and digital twins tell of their changes is JSON under either name.
const JSON: [&str; 2] = ["application/json", "application/json-patch+json"];

/// Why the body of a message is no JSON.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpaqueBody {
    /// It does not say that it is JSON.
    #[error("content type is {0:?}, expected \"application/json\"")]
    ContentType(String),
    /// It is not said to be in an encoding that the service reads.
    #[error("content encoding is {0:?}, expected \"utf-8\", \"utf-16\" or \"utf-32\"")]
    ContentEncoding(String),
    /// It is not in the encoding that it says.
    #[error("body is no {0} text")]
    Encoding(&'static str),
    /// It is no JSON.
    #[error("body is no JSON: {0}")]
    NoJson(String),
}

impl Message {
    /// The body, if the message says that it is JSON, in an encoding that the service reads: the one
    /// rule for what conditions look into and what storage shows as it is.
    ///
    /// # Errors
    ///
    /// It does not say so, or the body is something else.
    pub fn json(&self) -> Result<Value, OpaqueBody> {
        let content_type = self.system(SystemProperty::ContentType).unwrap_or_default();
        // Parameters are not the type: `application/json; charset=utf-8`.
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !JSON.iter().any(|json| essence.eq_ignore_ascii_case(json)) {
            return Err(OpaqueBody::ContentType(content_type.to_owned()));
        }
        let encoding = self.system(SystemProperty::ContentEncoding).unwrap_or_default();
        let text = text(&self.body, encoding)?;
        serde_json::from_str(&text).map_err(|error| OpaqueBody::NoJson(error.to_string()))
    }
}

fn text<'b>(body: &'b [u8], encoding: &str) -> Result<Cow<'b, str>, OpaqueBody> {
    match encoding.to_ascii_lowercase().as_str() {
        "utf-8" => std::str::from_utf8(body)
            .map(|text| Cow::Borrowed(text.trim_start_matches('\u{feff}')))
            .map_err(|_| OpaqueBody::Encoding("UTF-8")),
        "utf-16" => utf16(body).map(Cow::Owned).ok_or(OpaqueBody::Encoding("UTF-16")),
        "utf-32" => utf32(body).map(Cow::Owned).ok_or(OpaqueBody::Encoding("UTF-32")),
        _ => Err(OpaqueBody::ContentEncoding(encoding.to_owned())),
    }
}

/// Little-endian, as the .NET SDK writes it, unless a byte order mark says otherwise.
fn utf16(bytes: &[u8]) -> Option<String> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let (bytes, read): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        rest => (rest, u16::from_le_bytes),
    };
    let (units, _) = bytes.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|unit| read(*unit))).collect::<Result<_, _>>().ok()
}

fn utf32(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let big = units.first() == Some(&[0, 0, 0xfe, 0xff]);
    let read =
        |unit: &[u8; 4]| if big { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) };
    let text: Option<String> = units.iter().map(|unit| char::from_u32(read(unit))).collect();
    text.map(|text| text.trim_start_matches('\u{feff}').to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json_of(kind: &str, encoding: &str, body: impl Into<Vec<u8>>) -> Result<Value, OpaqueBody> {
        let system = vec![
            (SystemProperty::ContentType, kind.to_owned()),
            (SystemProperty::ContentEncoding, encoding.to_owned()),
        ];
        Message { system, body: body.into().into(), ..Message::default() }.json()
    }

    #[test]
    fn a_body_is_json_where_it_says_so_in_an_encoding_of_unicode() {
        const TEXT: &str = r#"{"a":1}"#;
        let utf16: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> =
            format!("\u{feff}{TEXT}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        let utf32: Vec<u8> = TEXT.chars().flat_map(|char| u32::from(char).to_le_bytes()).collect();
        for (kind, encoding, body) in [
            ("application/json", "utf-8", TEXT.into()),
            ("Application/JSON; charset=utf-8", "UTF-8", TEXT.into()),
            ("application/json-patch+json", "utf-8", TEXT.into()),
            ("application/json", "utf-8", format!("\u{feff}{TEXT}").into_bytes()),
            ("application/json", "utf-16", utf16),
            ("application/json", "UTF-16", big),
            ("application/json", "utf-32", utf32),
        ] {
            assert_eq!(json_of(kind, encoding, body), Ok(json!({"a": 1})), "{kind} {encoding}");
        }
    }

    #[test]
    fn what_is_no_json_says_why() {
        for (kind, encoding, body, why) in [
            (
                "text/plain",
                "utf-8",
                "{}".as_bytes(),
                "content type is \"text/plain\", expected \"application/json\"",
            ),
            (
                "application/jsonl",
                "utf-8",
                b"{}",
                "content type is \"application/jsonl\", expected \"application/json\"",
            ),
            (
                "application/json",
                "",
                b"{}",
                "content encoding is \"\", expected \"utf-8\", \"utf-16\" or \"utf-32\"",
            ),
            ("application/json", "utf-8", b"\xff", "body is no UTF-8 text"),
            ("application/json", "utf-16", b"{}\0", "body is no UTF-16 text"),
            ("application/json", "utf-32", b"{\0\0", "body is no UTF-32 text"),
            (
                "application/json",
                "utf-8",
                b"{",
                "body is no JSON: EOF while parsing an object at line 1 column 1",
            ),
        ] {
            assert_eq!(json_of(kind, encoding, body).unwrap_err().to_string(), why);
        }
    }
}
