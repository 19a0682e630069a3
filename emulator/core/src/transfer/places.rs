//! Where the files of a job are: a container of a storage account, and a blob in it.

use std::fmt;

/// The name of a container: 3 to 63 lower case letters, digits and hyphens, so that it is also the
/// name of a folder and nothing more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container(String);

/// The name of a blob: segments between slashes, none of which leads up or is empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlobName(String);

/// A blob in a container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlobPlace {
    /// The container.
    pub container: Container,
    /// The blob.
    pub name: BlobName,
}

/// Why a text names no container or blob.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPlace {
    /// It is no URI with a path.
    #[error("text is no URI such as \"https://account.blob.core.windows.net/container\"")]
    Uri,
    /// Its last segment is no name of a container.
    #[error("container is {0:?}, expected 3 to 63 lower case letters, digits and hyphens")]
    Container(String),
    /// It is no name of a blob.
    #[error("blob is {0:?}, expected a name such as \"devices.txt\"")]
    Blob(String),
}

impl Container {
    /// The container that a URI names by the last segment of its path; the account and the
    /// signature behind the question mark do not count.
    ///
    /// # Errors
    ///
    /// The text is no URI, or its last segment is no name of a container.
    pub fn of_uri(uri: &str) -> Result<Self, InvalidPlace> {
        let (_scheme, rest) = uri.split_once("://").ok_or(InvalidPlace::Uri)?;
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let (_authority, path) = path.split_once('/').ok_or(InvalidPlace::Uri)?;
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (3..=63).contains(&name.len()) && name.bytes().all(legal) {
            return Ok(Self(name.to_owned()));
        }
        Err(InvalidPlace::Container(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BlobName {
    /// Checks and takes a name. What a file system could take for something else than a name
    /// (a drive, a parent, an end of text) is refused.
    ///
    /// # Errors
    ///
    /// It is empty or too long, or has a segment or a character that is refused.
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        let legal = |c: char| !c.is_control() && !"\\:*?\"<>|".contains(c);
        let segment = |segment: &str| {
            !segment.trim_matches(['.', ' ']).is_empty() && segment.chars().all(legal)
        };
        if text.len() <= 1024 && text.split('/').all(segment) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidPlace::Blob(text.to_owned()))
    }

    /// The names of the folders and of the file.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for BlobPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container.0, self.name.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_its_container() {
        let table = [
            ("https://a.blob.core.windows.net/hub-1?sv=2020&sig=a%2Fb", Some("hub-1")),
            ("https://a.blob.core.windows.net/hub-1/", Some("hub-1")),
            ("http://127.0.0.1:10000/devstoreaccount1/hub?x=/y/zzz", Some("hub")),
            ("https://a.blob.core.windows.net", None),
            ("https://a.blob.core.windows.net/", None),
            ("https://a/..", None),
            ("https://a/b/../../...", None),
            ("https://a/%2e%2e", None),
            ("https://a/Hub", None),
            ("https://a/hu", None),
            ("https://a/c:\\x", None),
            ("hub-1", None),
            ("", None),
        ];
        for (uri, expected) in table {
            let container = Container::of_uri(uri).ok();
            assert_eq!(container.as_ref().map(Container::as_str), expected, "{uri}");
        }
    }

    #[test]
    fn a_blob_stays_in_its_container() {
        let long = "x".repeat(1025);
        let table = [
            ("devices.txt", true),
            ("a/b/devices.txt", true),
            ("..devices", true),
            ("", false),
            ("/etc/passwd", false),
            ("../devices.txt", false),
            ("a/../b", false),
            ("a/..", false),
            ("a//b", false),
            ("a/", false),
            (".", false),
            ("...", false),
            (".. ", false),
            ("a\\..\\b", false),
            ("c:x", false),
            ("a\0b", false),
            (&long, false),
        ];
        for (name, expected) in table {
            assert_eq!(BlobName::parse(name).is_ok(), expected, "{name:?}");
        }
    }
}
