//! Shared access signatures: the token that devices and services authenticate with.
//!
//! ```
//! use iothub_core::auth::sas::{self, SasToken, SymmetricKey};
//!
//! let key = SymmetricKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
//! let text = sas::sign("hub.example.test%2Fdevices%2Fdev1", 1_893_456_000, None, &key);
//! let token = SasToken::parse(&text)?;
//! assert!(token.is_signed_with(&key));
//! assert_eq!(token.resource().segments(), ["hub.example.test", "devices", "dev1"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ring::hmac;

use crate::limits;
use crate::random::Random;
use crate::time::Timestamp;

/// A symmetric key: 16 to 64 bytes, written in base64.
#[derive(Clone, Eq, PartialEq)]
pub struct SymmetricKey {
    text: String,
    bytes: Vec<u8>,
}

/// Why a text is no symmetric key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidKey {
    /// It is not base64.
    #[error("symmetric key is not base64")]
    Encoding,
    /// It has too few or too many bytes.
    #[error("symmetric key has {0} bytes, expected 16 to 64")]
    Length(usize),
}

/// A token as it came: `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SasToken {
    /// Signed as it stands in the token, encoded or not: C, Java and the first Python SDK do not
    /// encode it.
    resource_text: String,
    resource: Resource,
    signature: Vec<u8>,
    expiry_text: String,
    expiry: u64,
    policy: Option<String>,
}

/// What a token is good for: a path of host name and further segments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource(Vec<String>);

/// Why a text is no shared access signature.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidToken {
    /// It does not begin with `SharedAccessSignature`.
    #[error("token does not begin with \"SharedAccessSignature \"")]
    Prefix,
    /// It is longer than any real token.
    #[error("token has {0} bytes, expected at most {max}", max = limits::SAS_TOKEN_BYTES)]
    Length(usize),
    /// A field is not there.
    #[error("token has no field {0:?}")]
    Missing(&'static str),
    /// The expiry is not a number of seconds.
    #[error("token has expiry {0:?}, expected seconds since 1970")]
    Expiry(String),
    /// The signature is not base64.
    #[error("token has a signature that is not base64")]
    Signature,
    /// The resource is not UTF-8 once decoded.
    #[error("token has a resource that is not UTF-8")]
    Resource,
}

/// Makes a token for `resource`, which goes into it as given: encode it first where the reader
/// expects that.
pub fn sign(resource: &str, expiry: u64, policy: Option<&str>, key: &SymmetricKey) -> String {
    let signature = key.sign(&format!("{resource}\n{expiry}"));
    let signature = encode(&STANDARD.encode(signature));
    let mut token = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}");
    if let Some(policy) = policy {
        token.push_str("&skn=");
        token.push_str(policy);
    }
    token
}

impl SymmetricKey {
    /// Parses the base64 text of a key.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text, without showing it.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKey::Encoding)?;
        if !limits::SYMMETRIC_KEY_BYTES.contains(&bytes.len()) {
            return Err(InvalidKey::Length(bytes.len()));
        }
        Ok(Self { text: text.to_owned(), bytes })
    }

    /// A new key of 32 bytes, as the service makes them.
    pub fn generate(random: &Random) -> Self {
        Self::from_bytes(random.bytes::<32>())
    }

    /// The key of these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { text: STANDARD.encode(bytes), bytes: bytes.to_vec() }
    }

    /// The key in base64, as connection strings and registry documents show it.
    pub fn as_base64(&self) -> &str {
        &self.text
    }

    pub(crate) fn sign(&self, message: &str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes), message.as_bytes())
    }
}

impl fmt::Debug for SymmetricKey {
    /// Keys do not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey(..)")
    }
}

impl SasToken {
    /// Parses a token; its fields may come in any order.
    ///
    /// # Errors
    ///
    /// Names the field that is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        if text.len() > limits::SAS_TOKEN_BYTES {
            return Err(InvalidToken::Length(text.len()));
        }
        let fields = text.strip_prefix("SharedAccessSignature ").ok_or(InvalidToken::Prefix)?;
        let field = |name: &'static str| {
            fields
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let resource_text = field("sr").ok_or(InvalidToken::Missing("sr"))?;
        let signature = field("sig").ok_or(InvalidToken::Missing("sig"))?;
        let expiry_text = field("se").ok_or(InvalidToken::Missing("se"))?;
        let signature = decode(signature).ok_or(InvalidToken::Signature)?;
        Ok(Self {
            resource: Resource::parse(resource_text).ok_or(InvalidToken::Resource)?,
            resource_text: resource_text.to_owned(),
            signature: STANDARD.decode(signature).map_err(|_| InvalidToken::Signature)?,
            expiry: expiry_text
                .parse()
                .map_err(|_| InvalidToken::Expiry(expiry_text.to_owned()))?,
            expiry_text: expiry_text.to_owned(),
            // The first Python SDK sends an empty policy name with a device's token.
            policy: field("skn").filter(|policy| !policy.is_empty()).and_then(decode),
        })
    }

    /// Whether `key` made the signature. Takes the same time whatever the answer.
    pub fn is_signed_with(&self, key: &SymmetricKey) -> bool {
        self.is_signed_with_bytes(&key.bytes)
    }

    /// Whether the text of `key` made the signature, as with tokens of Event Hubs.
    pub fn is_signed_with_text_of(&self, key: &SymmetricKey) -> bool {
        self.is_signed_with_bytes(key.text.as_bytes())
    }

    fn is_signed_with_bytes(&self, key: &[u8]) -> bool {
        let verifies = |resource: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            let message = format!("{resource}\n{}", self.expiry_text);
            hmac::verify(&key, message.as_bytes(), &self.signature).is_ok()
        };
        // Python's AMQP library signs the resource of a policy's token before it encodes it.
        let signed_decoded = || {
            self.policy.is_some() && decode(&self.resource_text).is_some_and(|text| verifies(&text))
        };
        verifies(&self.resource_text) || signed_decoded()
    }

    /// What the token is good for.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The shared access policy that signed it; none means a device's or module's own key.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// When it ends.
    pub fn expiry(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.expiry)
    }
}

impl Resource {
    fn parse(text: &str) -> Option<Self> {
        let decoded = decode(text)?;
        // Event Hubs clients write a URI.
        let path = decoded.split_once("://").map_or(decoded.as_str(), |(_, path)| path);
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        Some(Self(segments.map(str::to_owned).collect()))
    }

    /// The segments of the path, host name first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The host name, without a port.
    pub fn host(&self) -> &str {
        let first = self.0.first().map_or("", String::as_str);
        first.split(':').next().unwrap_or_default()
    }

    /// Whether this resource, host name aside, contains `path`: `/a/b` covers `/a/b/c` but not
    /// `/a/bc`. Literal names compare without case, ids (every second segment) with it.
    pub fn covers(&self, path: &[&str]) -> bool {
        let own = self.0.get(1..).unwrap_or_default();
        own.len() <= path.len() && segments_agree(own, path)
    }

    /// Whether this resource, host name aside, lies at or below `path`.
    pub fn is_within(&self, path: &[&str]) -> bool {
        let own = self.0.get(1..).unwrap_or_default();
        own.len() >= path.len() && segments_agree(own, path)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

fn segments_agree(own: &[String], path: &[&str]) -> bool {
    own.iter().zip(path).enumerate().all(|(index, (own, other))| {
        if index % 2 == 0 { own.eq_ignore_ascii_case(other) } else { own == other }
    })
}

/// Percent-decodes once; none if the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// Percent-encodes the three characters of base64 that a query string gives a meaning to.
fn encode(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed outside, with Python's hmac.
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const VECTORS: [(&str, &str, Option<&str>); 6] = [
        (
            "hub.example.test%2Fdevices%2Fdev1",
            "gbYCjfUcPVZ2PefzEryu9KAsLg9ZQx28MqYtYDDtPUE%3D",
            None,
        ),
        (
            "hub.example.test%2fdevices%2fdev1",
            "B48978ialUjJpR3Bn3DGBkZAvllmu62bhJ4Vtd9gXac%3D",
            None,
        ),
        ("hub.example.test/devices/dev1", "Zu7VS4rb61PoIJ7AyZ1Tjz0QRsAHVX0pCyeEIT2j7sA%3D", None),
        (
            "hub.example.test%2Fdevices%2Fdev1%2Fmodules%2Fm1",
            "dB2xXMgmc0Wln%2FEXWdj9ExyRRCdaBAo5iSXQ1CtZtsA%3D",
            None,
        ),
        (
            "hub.example.test",
            "0%2Ft01ElhqSm2PPk3xJBl5jkYc7lxw%2Bg2aPw5WOzWb%2BQ%3D",
            Some("iothubowner"),
        ),
        (
            "0ne00000000%2Fregistrations%2Freg-1",
            "6JpK7RQ5NB1SBh34haoau7sE5JF%2F4WZRRZ2WBQG0C6s%3D",
            Some("registration"),
        ),
    ];

    fn key() -> SymmetricKey {
        SymmetricKey::parse(KEY).unwrap()
    }

    #[test]
    fn signing_gives_the_vectors() {
        for (resource, signature, policy) in VECTORS {
            let policy_field = policy.map(|name| format!("&skn={name}")).unwrap_or_default();
            let expected = format!(
                "SharedAccessSignature sr={resource}&sig={signature}&se=1893456000{policy_field}"
            );
            assert_eq!(sign(resource, 1_893_456_000, policy, &key()), expected);
        }
    }

    #[test]
    fn each_vector_verifies_and_none_with_the_signature_of_another() {
        for (row, (resource, _, _)) in VECTORS.iter().enumerate() {
            for (column, (_, signature, _)) in VECTORS.iter().enumerate() {
                let text =
                    format!("SharedAccessSignature sr={resource}&sig={signature}&se=1893456000");
                let token = SasToken::parse(&text).unwrap();
                assert_eq!(token.is_signed_with(&key()), row == column, "{text}");
            }
        }
    }

    #[test]
    fn fields_come_in_any_order_and_unknown_ones_are_ignored() {
        let token = SasToken::parse(
            "SharedAccessSignature se=1893456000&x=1&skn=&sig=gbYCjfUcPVZ2PefzEryu9KAsLg9ZQx28MqYtYDDtPUE%3D&sr=hub.example.test%2Fdevices%2Fdev1",
        )
        .unwrap();
        assert!(token.is_signed_with(&key()));
        assert_eq!(token.policy(), None);
        assert_eq!(token.expiry().unix_seconds(), 1_893_456_000);
    }

    #[test]
    fn malformed_tokens_are_named() {
        let table = [
            ("", InvalidToken::Prefix),
            ("sharedaccesssignature sr=a&sig=b&se=1", InvalidToken::Prefix),
            ("SharedAccessSignature sig=AA==&se=1", InvalidToken::Missing("sr")),
            ("SharedAccessSignature sr=a&se=1", InvalidToken::Missing("sig")),
            ("SharedAccessSignature sr=a&sig=AA==", InvalidToken::Missing("se")),
            ("SharedAccessSignature sr=a&sig=AA==&se=-1", InvalidToken::Expiry("-1".to_owned())),
            ("SharedAccessSignature sr=a&sig=?&se=1", InvalidToken::Signature),
            ("SharedAccessSignature sr=%ff&sig=AA==&se=1", InvalidToken::Resource),
        ];
        for (text, expected) in table {
            assert_eq!(SasToken::parse(text), Err(expected), "{text}");
        }
        let long = format!("SharedAccessSignature sr={}", "a".repeat(limits::SAS_TOKEN_BYTES));
        assert_eq!(SasToken::parse(&long), Err(InvalidToken::Length(long.len())));
    }

    #[test]
    fn a_resource_covers_whole_segments_only() {
        let resource = |text| Resource::parse(text).unwrap();
        let device = ["devices", "Dev1"];
        let table = [
            ("h", true),
            ("h/devices", true),
            ("h/Devices/Dev1", true),
            ("h/devices/Dev", false),
            ("h/devices/dev1", false),
            ("h/devices/Dev1/messages", false),
        ];
        for (text, expected) in table {
            assert_eq!(resource(text).covers(&device), expected, "{text}");
        }
        assert!(resource("h/devices/Dev1/api-version=2016-11-14").is_within(&device));
        assert!(!resource("h/devices/Dev12").is_within(&device));
        assert_eq!(resource("Hub.Test:8443/devices").host(), "Hub.Test");
    }

    #[test]
    fn keys_have_16_to_64_bytes() {
        assert_eq!(SymmetricKey::parse("AAECAw=="), Err(InvalidKey::Length(4)));
        assert_eq!(SymmetricKey::parse("not base64"), Err(InvalidKey::Encoding));
        assert_eq!(
            SymmetricKey::parse(KEY).map(|key| key.as_base64().to_owned()),
            Ok(KEY.to_owned())
        );
        assert_eq!(format!("{:?}", key()), "SymmetricKey(..)");
    }
}
