//! The user name of an MQTT CONNECT: `{host}/{device}[/{module}]/?api-version=…`.
//!
//! The grammar is that of Microsoft's own parser (IoT Edge hub, `MqttUsernameParser`), with the
//! forms that older clients send.

use iothub_core::ids::{DeviceId, IdentityId, InvalidId, ModuleId};
use percent_encoding::percent_decode_str;

use crate::api_version::ApiVersion;

/// Who a client says that it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserName {
    /// The hub, as the client names it.
    pub host: String,
    /// The device or module.
    pub id: IdentityId,
    /// None if it is missing or no date; such a client may connect, but not report.
    pub api_version: Option<ApiVersion>,
    /// The IoT Plug and Play model.
    pub model_id: Option<String>,
    /// The SDK, as it describes itself.
    pub client_type: Option<String>,
}

/// Why a text is no user name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidUserName {
    /// It has too few or too many parts.
    #[error("user name has {0} parts before its query, expected host/device or host/device/module")]
    Parts(usize),
    /// An id in it is none.
    #[error("user name: {0}")]
    Id(#[from] InvalidId),
}

impl UserName {
    /// Parses a user name.
    ///
    /// # Errors
    ///
    /// Names the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidUserName> {
        let (path, query) = split(text);
        let (host, device, module) = match path.as_slice() {
            [host, device] => (*host, *device, None),
            [host, device, module] => (*host, *device, Some(*module)),
            other => return Err(InvalidUserName::Parts(other.len())),
        };
        let field = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let decoded = |name: &str| {
            field(name).map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        // One old client separates its fields by a slash.
        let api_version = field("api-version").and_then(|value| value.split('/').next());
        Ok(Self {
            host: host.to_owned(),
            id: IdentityId {
                device: DeviceId::parse(device)?,
                module: module.map(ModuleId::parse).transpose()?,
            },
            api_version: api_version.and_then(ApiVersion::parse),
            model_id: decoded("model-id").filter(|model| !model.is_empty()),
            client_type: decoded("DeviceClientType"),
        })
    }
}

/// The client id that belongs to an identity: `{device}` or `{device}/{module}`.
pub fn is_client_id_of(client_id: &str, id: &IdentityId) -> bool {
    match (&id.module, client_id.split_once('/')) {
        (None, _) => client_id == id.device.as_str(),
        (Some(module), Some((device, name))) => {
            device == id.device.as_str() && name == module.as_str()
        }
        (Some(_), None) => false,
    }
}

/// The path before the query, and the query without its question mark.
fn split(text: &str) -> (Vec<&str>, &str) {
    let mut path: Vec<&str> = text.split('/').collect();
    if let Some(query) = path.last().and_then(|last| last.strip_prefix('?')) {
        path.pop();
        return (path, query);
    }
    // Forms without a question mark, or with slashes in the query.
    let mut start = 0;
    for (index, segment) in text.split('/').enumerate() {
        let query = segment.strip_prefix('?').unwrap_or(segment);
        if index >= 2 && query.starts_with("api-version=") {
            path.truncate(index);
            let query = text.get(start..).unwrap_or_default();
            return (path, query.strip_prefix('?').unwrap_or(query));
        }
        start += segment.len() + 1;
    }
    if path.last() == Some(&"") {
        path.pop();
    }
    (path, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> (String, String, Option<String>) {
        let name = UserName::parse(text).unwrap();
        (name.host, name.id.to_string(), name.api_version.map(|version| version.to_string()))
    }

    #[test]
    fn every_known_form_parses() {
        let table = [
            ("hub/dev/?api-version=2021-04-12", "dev", Some("2021-04-12")),
            (
                "hub/dev/mod/?api-version=2021-04-12&DeviceClientType=x",
                "dev/mod",
                Some("2021-04-12"),
            ),
            ("hub/dev/?DeviceClientType=x&api-version=2020-09-30", "dev", Some("2020-09-30")),
            ("hub/dev/?api-version=2020-09-30&DeviceClientType=a/b/c", "dev", Some("2020-09-30")),
            ("hub/dev/api-version=2016-11-14", "dev", Some("2016-11-14")),
            ("hub/dev/api-version=2016-11-14&DeviceClientType=x", "dev", Some("2016-11-14")),
            (
                "hub/dev/api-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003",
                "dev",
                Some("2017-06-30"),
            ),
            ("hub/dev", "dev", None),
            ("hub/dev/", "dev", None),
            ("hub/dev/mod", "dev/mod", None),
            ("hub/dev/?api-version=yes", "dev", None),
            ("hub/?a#b+%25/?api-version=2021-04-12", "?a#b+%25", Some("2021-04-12")),
            ("hub/dev/?api-version=2021-04-12&api-version=2020-09-30", "dev", Some("2021-04-12")),
        ];
        for (text, id, version) in table {
            let expected = ("hub".to_owned(), id.to_owned(), version.map(str::to_owned));
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn further_fields_are_decoded() {
        let name = UserName::parse(
            "localhost:8884/d/?api-version=2021-04-12&model-id=dtmi%3Acom%3Aexample%3B1&DeviceClientType=a%2F1%20b",
        )
        .unwrap();
        assert_eq!(name.host, "localhost:8884");
        assert_eq!(name.model_id.as_deref(), Some("dtmi:com:example;1"));
        assert_eq!(name.client_type.as_deref(), Some("a/1 b"));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let table = [
            ("", InvalidUserName::Parts(0)),
            ("hub", InvalidUserName::Parts(1)),
            ("hub/?api-version=2021-04-12", InvalidUserName::Parts(1)),
            ("a/b/c/d/?api-version=2021-04-12", InvalidUserName::Parts(4)),
            ("hub/a b/?api-version=2021-04-12", InvalidId::Character(' ').into()),
        ];
        for (text, expected) in table {
            assert_eq!(UserName::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn client_ids_belong_to_identities() {
        let id = |text: &str| UserName::parse(text).unwrap().id;
        assert!(is_client_id_of("dev", &id("hub/dev")));
        assert!(!is_client_id_of("Dev", &id("hub/dev")));
        assert!(is_client_id_of("dev/mod", &id("hub/dev/mod")));
        assert!(!is_client_id_of("dev", &id("hub/dev/mod")));
        assert!(!is_client_id_of("dev/mod", &id("hub/dev")));
    }
}
