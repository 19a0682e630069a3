//! What proves that a message was received and is to be settled by who received it.

use std::fmt;

use crate::random::guid;

/// The name of one delivery: 16 bytes, which HTTPS writes as a GUID and AMQP as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LockToken([u8; 16]);

impl LockToken {
    /// A token of random bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The token as bytes, in the order in which its text shows them.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Parses a GUID with or without its hyphens, in either case; none if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|&c| c != '-')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let mut pairs = digits.chunks_exact(2);
        let bytes: Vec<u8> = pairs
            .by_ref()
            .filter_map(|pair| pair.iter().copied().reduce(|high, low| high << 4 | low))
            .collect();
        let complete = pairs.remainder().is_empty();
        bytes.try_into().ok().filter(|_| complete).map(Self)
    }
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&guid(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_round_trip() {
        let token = LockToken::new(*b"0123456789abcdef");
        assert_eq!(token.to_string(), "30313233-3435-3637-3839-616263646566");
        for text in [token.to_string(), token.to_string().to_uppercase()] {
            assert_eq!(LockToken::parse(&text), Some(token), "{text}");
        }
        assert_eq!(LockToken::parse(&token.to_string().replace('-', "")), Some(token));
    }

    #[test]
    fn what_is_no_guid_is_no_token() {
        let long = "0".repeat(34);
        for text in ["", "x", "3031", "3031323334353637383961626364656", &long, "é"] {
            assert_eq!(LockToken::parse(text), None, "{text}");
        }
    }
}
