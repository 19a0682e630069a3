//! A name or address by which clients reach the emulator.

use std::fmt;
use std::net::IpAddr;

/// The longest DNS name, in characters.
const NAME_CHARACTERS: usize = 253;
/// The longest label of a DNS name, in characters.
const LABEL_CHARACTERS: usize = 63;

/// A DNS name in lower case, or an IP address; never with a port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum HostName {
    /// An IP address.
    Address(IpAddr),
    /// A DNS name.
    Name(DnsName),
}

/// The text of a DNS name; only [`HostName::parse`] makes one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DnsName(String);

impl HostName {
    /// The name that every machine has for itself.
    pub fn localhost() -> Self {
        Self::Name(DnsName("localhost".to_owned()))
    }

    /// Takes a name or an address; none if `text` is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let labels_are_legal = text.split('.').all(is_label);
        // A last label of digits only belongs to an address, here a mistyped one.
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = labels_are_legal && !is_number && text.len() <= NAME_CHARACTERS;
        is_name.then(|| Self::Name(DnsName(text.to_ascii_lowercase())))
    }
}

fn is_label(label: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LABEL_CHARACTERS).contains(&label.len())
        && label.bytes().all(legal)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl DnsName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(&name.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart_and_checked() {
        let long = format!("{}.test", "a".repeat(64));
        let table = [
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("Hub.Example.Test", Some("hub.example.test")),
            ("localhost", Some("localhost")),
            ("my_hub", Some("my_hub")),
            ("", None),
            ("a..b", None),
            ("a.", None),
            ("-a", None),
            ("127.0.0.256", None),
            ("hub:8443", None),
            ("*.hub.test", None),
            ("hub test", None),
            (&long, None),
        ];
        for (text, expected) in table {
            let parsed = HostName::parse(text).map(|name| name.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text:?}");
        }
    }
}
