//! Where a page begins, and the token that carries it to the client and back.
//!
//! The hub remembers nothing of a query between its pages. A token holds the place, signed together
//! with the query, so that one from another hub or of another query is told from a good one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::sas::SymmetricKey;
use crate::error::HubError;

/// Bytes of a token's signature that are sent: enough, and short.
const SIGNATURE: usize = 16;

/// Behind which row a page begins.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// The rows of earlier pages.
    pub(super) taken: u64,
    /// The key of the last one, if it was a document.
    last: Option<(String, String)>,
}

impl Position {
    /// Whether a document of this key belongs to this page or a later one.
    pub(super) fn is_before(&self, key: (&str, &str)) -> bool {
        self.last.as_ref().is_none_or(|(first, second)| (first.as_str(), second.as_str()) < key)
    }

    /// Behind `count` more documents, the last of which has this key; none if there were none.
    pub(super) fn after_documents(&self, count: usize, last: Option<(&str, &str)>) -> Option<Self> {
        let (first, second) = last?;
        let last = Some((first.to_owned(), second.to_owned()));
        Some(Self { taken: self.taken.saturating_add(count as u64), last })
    }

    /// Behind `count` more groups.
    pub(super) fn after_groups(&self, count: usize) -> Self {
        Self { taken: self.taken.saturating_add(count as u64), last: None }
    }

    /// The token for this place in the answer to `query`.
    pub fn to_token(&self, query: &str, key: &SymmetricKey) -> String {
        let place = self.to_text();
        let mut bytes = signature(&place, query, key);
        bytes.extend_from_slice(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a token names.
    ///
    /// # Errors
    ///
    /// It is no token of this hub for this query.
    pub fn from_token(token: &str, query: &str, key: &SymmetricKey) -> Result<Self, HubError> {
        Self::read_token(token, query, key).ok_or_else(|| {
            HubError::ArgumentInvalid(
                "Continuation token is invalid: it is not one of this query on this hub".to_owned(),
            )
        })
    }

    fn read_token(token: &str, query: &str, key: &SymmetricKey) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, place) = bytes.split_at_checked(SIGNATURE)?;
        let place = std::str::from_utf8(place).ok()?;
        // Nothing secret is behind it: whoever may query may ask for any page.
        (signed == signature(place, query, key)).then(|| Self::from_text(place)).flatten()
    }

    fn to_text(&self) -> String {
        match &self.last {
            None => self.taken.to_string(),
            // Neither ids nor job names have line breaks.
            Some((first, second)) => format!("{}\n{first}\n{second}", self.taken),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '\n');
        let taken = parts.next()?.parse().ok()?;
        let last = parts.next().zip(parts.next());
        Some(Self { taken, last: last.map(|(one, other)| (one.to_owned(), other.to_owned())) })
    }
}

fn signature(place: &str, query: &str, key: &SymmetricKey) -> Vec<u8> {
    let tag = key.sign(&format!("continuation\n{place}\n\n{query}"));
    tag.as_ref().iter().copied().take(SIGNATURE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_good_for_their_query_and_hub_only() {
        let (key, other) = (SymmetricKey::from_bytes([1; 32]), SymmetricKey::from_bytes([2; 32]));
        let places = [
            Position { taken: 3, last: None },
            Position { taken: u64::MAX, last: Some(("dev-1".to_owned(), String::new())) },
            Position { taken: 0, last: Some(("dev".to_owned(), "module".to_owned())) },
        ];
        for place in places {
            let token = place.to_token("q", &key);
            assert_eq!(Position::from_token(&token, "q", &key), Ok(place));
            assert!(Position::from_token(&token, "r", &key).is_err());
            assert!(Position::from_token(&token, "q", &other).is_err());
            assert!(Position::from_token(&token[1..], "q", &key).is_err());
            assert!(Position::from_token(&format!("{token}A"), "q", &key).is_err());
        }
        for token in ["", "x", "é", "+RID:abc#RT:1", &"A".repeat(100)] {
            assert!(Position::from_token(token, "q", &key).is_err(), "{token}");
        }
    }
}
