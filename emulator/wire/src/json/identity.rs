//! Device identities: the registry's document, and the body that creates or updates one.

use iothub_core::error::HubError;
use iothub_core::ids::DeviceId;
use iothub_core::registry::identity::{
    self, Authentication, AuthenticationDraft, AuthenticationKind, IdentityDraft, Status,
};
use iothub_core::session::DeviceView;
use iothub_core::time::Timestamp;
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

use super::{object_member, text, text_member, texts_member, unexpected};
use crate::api_version::ApiVersion;

/// Which request a device document answers: the service writes some things differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answering {
    /// A PUT that made the device.
    Create,
    /// Anything else.
    Other,
}

/// The document of a device, in answer to a request of this api-version.
pub fn document(view: &DeviceView, answering: Answering, version: &ApiVersion) -> String {
    text(&Device::of(view, answering, version))
}

/// The documents of several devices.
pub fn list(views: &[DeviceView], version: &ApiVersion) -> String {
    let devices: Vec<_> =
        views.iter().map(|view| Device::of(view, Answering::Other, version)).collect();
    text(&devices)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Device<'a> {
    device_id: &'a str,
    generation_id: String,
    etag: String,
    connection_state: &'static str,
    status: &'static str,
    status_reason: Option<&'a str>,
    connection_state_updated_time: String,
    status_updated_time: String,
    last_activity_time: String,
    cloud_to_device_message_count: usize,
    authentication: AuthenticationDocument<'a>,
    capabilities: Capabilities,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_scopes: Option<&'a [String]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthenticationDocument<'a> {
    symmetric_key: Keys<'a>,
    x509_thumbprint: Thumbprints<'a>,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Keys<'a> {
    primary_key: Option<&'a str>,
    secondary_key: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thumbprints<'a> {
    primary_thumbprint: Option<&'a str>,
    secondary_thumbprint: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Capabilities {
    pub(super) iot_edge: bool,
}

impl<'a> Device<'a> {
    fn of(view: &'a DeviceView, answering: Answering, version: &ApiVersion) -> Self {
        let identity = &view.record.identity;
        let time = |at| time(at, answering);
        let shows_parents = version.has_parent_scopes() || answering == Answering::Create;
        Self {
            device_id: identity.id.as_str(),
            generation_id: identity.generation.to_string(),
            etag: identity.etag().to_string(),
            connection_state: view.connection.name(),
            status: identity.status.name(),
            status_reason: identity.status_reason.as_deref(),
            connection_state_updated_time: time(view.connection.updated),
            status_updated_time: time(identity.status_updated),
            last_activity_time: time(view.connection.last_activity),
            cloud_to_device_message_count: view.waiting,
            authentication: AuthenticationDocument::of(&identity.authentication),
            capabilities: Capabilities { iot_edge: identity.iot_edge },
            device_scope: identity.device_scope.as_deref(),
            parent_scopes: shows_parents.then_some(identity.parent_scopes.as_slice()),
        }
    }
}

impl<'a> AuthenticationDocument<'a> {
    pub(super) fn of(authentication: &'a Authentication) -> Self {
        Self {
            symmetric_key: Keys::of(authentication),
            x509_thumbprint: Thumbprints::of(authentication),
            r#type: authentication.name(),
        }
    }

    /// The same without what signs.
    pub(super) fn without_keys(self) -> Self {
        Self { symmetric_key: Keys { primary_key: None, secondary_key: None }, ..self }
    }
}

impl<'a> Keys<'a> {
    fn of(authentication: &'a Authentication) -> Self {
        match authentication {
            Authentication::Sas(keys) => Self {
                primary_key: Some(keys.primary.as_base64()),
                secondary_key: Some(keys.secondary.as_base64()),
            },
            _ => Self { primary_key: None, secondary_key: None },
        }
    }
}

impl<'a> Thumbprints<'a> {
    pub(super) fn of(authentication: &'a Authentication) -> Self {
        match authentication {
            Authentication::SelfSigned(thumbprints) => Self {
                primary_thumbprint: thumbprints.primary.as_deref(),
                secondary_thumbprint: thumbprints.secondary.as_deref(),
            },
            _ => Self { primary_thumbprint: None, secondary_thumbprint: None },
        }
    }
}

/// "Never" has no time zone in the answer to a create, and one everywhere else.
pub(super) fn time(at: Timestamp, answering: Answering) -> String {
    let text = at.to_string();
    match (at, answering) {
        (Timestamp::NEVER, Answering::Create) => text.trim_end_matches('Z').to_owned(),
        _ => text,
    }
}

/// The body of a PUT for the device `id`. What the service writes itself is ignored.
///
/// # Errors
///
/// The body is for another device, or a member is not what it should be.
pub fn parse_draft(mut body: Document, id: &DeviceId) -> Result<IdentityDraft, HubError> {
    check_named(&body, "deviceId", id.as_str())?;
    Ok(IdentityDraft {
        status: parse_status(&body)?,
        status_reason: text_member(&body, "statusReason")?,
        authentication: object_member(&mut body, "authentication")?
            .map(parse_authentication)
            .transpose()?,
        iot_edge: parse_iot_edge(&mut body)?,
        device_scope: text_member(&body, "deviceScope")?,
        parent_scopes: parse_scopes(&body)?,
    })
}

/// Clients send back documents that they read; one of another identity is a mistake.
///
/// # Errors
///
/// The member is there and names something else than the path.
pub fn check_named(body: &Document, member: &str, path: &str) -> Result<(), HubError> {
    match text_member(body, member)? {
        Some(named) if named != path => Err(HubError::ArgumentInvalid(format!(
            "{member} in the body is {named:?}, in the path {path:?}"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn parse_iot_edge(body: &mut Document) -> Result<bool, HubError> {
    let capabilities = object_member(body, "capabilities")?.unwrap_or_default();
    match capabilities.get("iotEdge") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(iot_edge)) => Ok(*iot_edge),
        Some(other) => Err(unexpected("capabilities.iotEdge", other, "a boolean")),
    }
}

pub(super) fn parse_status(body: &Document) -> Result<Status, HubError> {
    match text_member(body, "status")?.as_deref() {
        None => Ok(Status::Enabled),
        Some(name) if name.eq_ignore_ascii_case("enabled") => Ok(Status::Enabled),
        Some(name) if name.eq_ignore_ascii_case("disabled") => Ok(Status::Disabled),
        Some(other) => Err(HubError::ArgumentInvalid(format!(
            "status is {other:?}, expected \"enabled\" or \"disabled\""
        ))),
    }
}

pub(super) fn parse_scopes(body: &Document) -> Result<Vec<String>, HubError> {
    Ok(texts_member(body, "parentScopes")?.unwrap_or_default())
}

pub(super) fn parse_authentication(mut body: Document) -> Result<AuthenticationDraft, HubError> {
    let keys = object_member(&mut body, "symmetricKey")?.unwrap_or_default();
    let thumbprints = object_member(&mut body, "x509Thumbprint")?.unwrap_or_default();
    let kind = match text_member(&body, "type")?.as_deref() {
        None => None,
        Some(name) if name.eq_ignore_ascii_case("sas") => Some(AuthenticationKind::Sas),
        Some(name) if name.eq_ignore_ascii_case("selfSigned") => {
            Some(AuthenticationKind::SelfSigned)
        }
        Some(name) if name.eq_ignore_ascii_case("certificateAuthority") => {
            Some(AuthenticationKind::CertificateAuthority)
        }
        Some(name) if name.eq_ignore_ascii_case("none") => Some(AuthenticationKind::None),
        Some(other) => {
            return Err(HubError::ArgumentInvalid(format!(
                "authentication.type is {other:?}, expected sas, selfSigned, certificateAuthority or none"
            )));
        }
    };
    Ok(AuthenticationDraft {
        kind,
        primary_key: text_member(&keys, "primaryKey")?,
        secondary_key: text_member(&keys, "secondaryKey")?,
        thumbprints: identity::Thumbprints {
            primary: text_member(&thumbprints, "primaryThumbprint")?,
            secondary: text_member(&thumbprints, "secondaryThumbprint")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(body: Value) -> Result<IdentityDraft, HubError> {
        parse_draft(body.as_object().unwrap().clone(), &DeviceId::parse("d").unwrap())
    }

    #[test]
    fn bodies_parse_as_the_sdks_write_them() {
        // Node: empty keys mean "make some".
        let node = draft(json!({
            "deviceId": "d", "status": "disabled", "statusReason": null,
            "authentication": {"symmetricKey": {"primaryKey": "", "secondaryKey": ""}},
            "generationId": "1", "etag": "x", "connectionState": "Connected",
        }));
        let expected = IdentityDraft {
            status: Status::Disabled,
            authentication: Some(AuthenticationDraft::default()),
            ..IdentityDraft::default()
        };
        assert_eq!(node, Ok(expected));
        // az: an empty object; C#: thumbprints that are null.
        let az = draft(json!({"authentication": {
            "type": "sas", "symmetricKey": {}, "x509Thumbprint": {"primaryThumbprint": null},
        }}));
        let kind = az.unwrap().authentication.unwrap().kind;
        assert_eq!(kind, Some(AuthenticationKind::Sas));
    }

    #[test]
    fn mistakes_are_named() {
        let message = |body| match draft(body) {
            Err(HubError::ArgumentInvalid(message)) => message,
            other => panic!("{other:?}"),
        };
        let table = [
            (json!({"deviceId": "e"}), "deviceId in the body is \"e\", in the path \"d\""),
            (json!({"status": "on"}), "status is \"on\", expected \"enabled\" or \"disabled\""),
            (json!({"status": 1}), "status is a number, expected a string"),
            (json!({"authentication": []}), "authentication is an array, expected an object"),
            (
                json!({"capabilities": {"iotEdge": "yes"}}),
                "capabilities.iotEdge is a string, expected a boolean",
            ),
            (json!({"parentScopes": [1]}), "parentScopes[] is a number, expected a string"),
        ];
        for (body, expected) in table {
            assert_eq!(message(body), expected);
        }
    }
}
