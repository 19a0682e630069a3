//! Identities in bulk: an item of a request or a line of a file, and the result.

use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, ETag, IdentityId, ModuleId};
use iothub_core::registry::bulk::{BulkItem, ImportMode};
use iothub_core::registry::identity::Authentication;
use iothub_core::session::BulkResult;
use iothub_core::store::{ModuleRecord, Record};
use iothub_core::twin::{Document, Twin};
use serde::Serialize;

use super::identity::{AuthenticationDocument, Capabilities, parse_draft};
use super::twin::{Properties, parse_replacement};
use super::{parse_object, text, text_member};

const MODES: [(&str, ImportMode); 9] = [
    ("create", ImportMode::Create),
    ("createOrUpdate", ImportMode::CreateOrUpdate),
    ("createOrUpdateIfMatchETag", ImportMode::CreateOrUpdateIfMatch),
    ("update", ImportMode::Update),
    ("updateIfMatchETag", ImportMode::UpdateIfMatch),
    ("delete", ImportMode::Delete),
    ("deleteIfMatchETag", ImportMode::DeleteIfMatch),
    ("updateTwin", ImportMode::UpdateTwin),
    ("updateTwinIfMatchETag", ImportMode::UpdateTwinIfMatch),
];

/// An item of a bulk request.
///
/// # Errors
///
/// An id is none, the mode is unknown, or a member is not what it should be.
pub fn parse_item(body: Document) -> Result<BulkItem, HubError> {
    let device = text_member(&body, "id")?
        .ok_or_else(|| HubError::ArgumentNull("an item has no id".to_owned()))?;
    let id = IdentityId {
        device: DeviceId::parse(&device)?,
        module: text_member(&body, "moduleId")?.map(|id| ModuleId::parse(&id)).transpose()?,
    };
    let etag = |name| text_member(&body, name).map(|etag| etag.map(ETag::new));
    // The Node SDK sends a device's own document, which spells it in lower case.
    let (etag, twin_etag) = (etag("eTag")?.or(etag("etag")?), etag("twinETag")?);
    let mode = parse_mode(&body)?;
    let managed_by = text_member(&body, "managedBy")?;
    let twin = parse_replacement(body.clone())?;
    Ok(BulkItem {
        mode,
        identity: parse_draft(body, &id.device)?,
        id,
        managed_by,
        etag,
        tags: twin.tags,
        desired: twin.desired,
        twin_etag,
    })
}

/// A line of a file, as an item.
///
/// # Errors
///
/// The line is not JSON, or as [`parse_item`].
pub fn parse_line(line: &[u8]) -> Result<BulkItem, HubError> {
    parse_object(line).and_then(parse_item)
}

/// SDKs spell the modes with different cases.
fn parse_mode(body: &Document) -> Result<ImportMode, HubError> {
    let Some(name) = text_member(body, "importMode")? else { return Ok(ImportMode::default()) };
    let found = MODES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    found.map(|(_, mode)| *mode).ok_or_else(|| {
        HubError::ArgumentInvalid(format!("importMode is {name:?}, expected one of {}", modes()))
    })
}

fn modes() -> String {
    MODES.map(|(name, _)| name).join(", ")
}

/// The result of a bulk request.
pub fn result(result: &BulkResult) -> String {
    let warnings = result.warnings.iter().map(|(id, why)| Warning {
        device_id: id.device.as_str(),
        warning_code: "DeviceRegisteredWithoutTwin",
        warning_status: why.to_string(),
    });
    text(&Outcome {
        is_successful: result.errors.is_empty(),
        errors: result.errors.iter().map(|(id, why)| Trouble::of(id, why)).collect(),
        warnings: warnings.collect(),
    })
}

/// What could not be done, as a line of the log of an import.
pub fn error_line(id: Option<&IdentityId>, why: &HubError) -> String {
    match id {
        Some(id) => text(&Trouble::of(id, why)),
        None => text(&Trouble::new(why)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    is_successful: bool,
    errors: Vec<Trouble<'a>>,
    warnings: Vec<Warning<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trouble<'a> {
    device_id: Option<&'a str>,
    module_id: Option<&'a str>,
    error_code: &'static str,
    error_status: String,
    operation: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Warning<'a> {
    device_id: &'a str,
    warning_code: &'static str,
    warning_status: String,
}

impl<'a> Trouble<'a> {
    fn new(why: &HubError) -> Self {
        let error_code = why.code().name;
        let error_status = why.to_string();
        Self { device_id: None, module_id: None, error_code, error_status, operation: None }
    }

    fn of(id: &'a IdentityId, why: &HubError) -> Self {
        Self {
            device_id: Some(id.device.as_str()),
            module_id: id.module.as_ref().map(ModuleId::as_str),
            ..Self::new(why)
        }
    }
}

/// Whether an export shows what signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keys {
    /// It does.
    Shown,
    /// It does not.
    Hidden,
}

/// A device and its modules as an export writes them: a line each.
pub fn export_lines(record: &Record, keys: Keys) -> Vec<String> {
    let mut lines = vec![text(&Exported::device(record, keys))];
    lines.extend(
        record
            .modules
            .values()
            .map(|module| text(&Exported::module(record.identity.id.as_str(), module, keys))),
    );
    lines
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module_id: Option<&'a str>,
    e_tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_by: Option<&'a str>,
    authentication: AuthenticationDocument<'a>,
    #[serde(rename = "twinETag")]
    twin_etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Document>,
    properties: Properties<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    parent_scopes: &'a [String],
}

impl<'a> Exported<'a> {
    fn device(record: &'a Record, keys: Keys) -> Self {
        let identity = &record.identity;
        Self {
            status: Some(identity.status.name()),
            status_reason: identity.status_reason.as_deref(),
            capabilities: Some(Capabilities { iot_edge: identity.iot_edge }),
            device_scope: identity.device_scope.as_deref(),
            parent_scopes: &identity.parent_scopes,
            ..Self::of(
                identity.id.as_str(),
                identity.etag(),
                authentication(&identity.authentication, keys),
                &record.twin,
            )
        }
    }

    fn module(device: &'a str, module: &'a ModuleRecord, keys: Keys) -> Self {
        let identity = &module.identity;
        Self {
            module_id: Some(identity.id.as_str()),
            managed_by: identity.managed_by.as_deref(),
            ..Self::of(
                device,
                identity.etag(),
                authentication(&identity.authentication, keys),
                &module.twin,
            )
        }
    }

    fn of(
        id: &'a str,
        etag: ETag,
        authentication: AuthenticationDocument<'a>,
        twin: &'a Twin,
    ) -> Self {
        Self {
            id,
            module_id: None,
            e_tag: etag.to_string(),
            status: None,
            status_reason: None,
            managed_by: None,
            authentication,
            twin_etag: twin.etag().to_string(),
            tags: twin.tags.as_ref(),
            properties: Properties::of(twin),
            capabilities: None,
            device_scope: None,
            parent_scopes: &[],
        }
    }
}

fn authentication(authentication: &Authentication, keys: Keys) -> AuthenticationDocument<'_> {
    let document = AuthenticationDocument::of(authentication);
    match keys {
        Keys::Shown => document,
        Keys::Hidden => document.without_keys(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn item(body: Value) -> Result<BulkItem, HubError> {
        parse_item(body.as_object().unwrap().clone())
    }

    #[test]
    fn modes_are_read_without_case() {
        for (name, mode) in MODES {
            for name in [name.to_owned(), name.to_uppercase(), name.to_lowercase()] {
                let body = json!({"id": "d", "importMode": name});
                assert_eq!(item(body).unwrap().mode, mode, "{name}");
            }
        }
        assert_eq!(item(json!({"id": "d"})).unwrap().mode, ImportMode::CreateOrUpdate);
    }

    #[test]
    fn items_come_as_the_sdks_write_them() {
        // C#: what an export wrote, with the service's own members.
        let body = json!({
            "id": "d", "moduleId": "m", "eTag": "MQ==", "importMode": "updateTwinIfMatchETag",
            "status": "disabled", "twinETag": "AAAAAAAAAAI=", "tags": {"site": "a"},
            "properties": {"desired": {"rate": 5, "$metadata": {}, "$version": 2},
                           "reported": {"rate": 4}},
        });
        let item = item(body).unwrap();
        assert_eq!(item.id.to_string(), "d/m");
        assert_eq!(item.etag, Some(ETag::new("MQ==")));
        assert_eq!(item.twin_etag, Some(ETag::new("AAAAAAAAAAI=")));
        assert_eq!(Value::Object(item.desired.unwrap()), json!({"rate": 5}));
        assert_eq!(Value::Object(item.tags.unwrap()), json!({"site": "a"}));
        // Node: a device's document, with its id under another name.
        let node = parse_item(json!({"id": "d", "etag": "MQ=="}).as_object().unwrap().clone());
        assert_eq!(node.unwrap().etag, Some(ETag::new("MQ==")));
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            (json!({}), "ArgumentNull"),
            (json!({"id": 1}), "ArgumentInvalid"),
            (json!({"id": "a b"}), "ArgumentInvalid"),
            (json!({"id": "d", "moduleId": "a/b"}), "ArgumentInvalid"),
            (json!({"id": "d", "importMode": "replace"}), "ArgumentInvalid"),
            (json!({"id": "d", "tags": []}), "ArgumentInvalid"),
            (json!({"id": "d", "properties": {"desired": 1}}), "ArgumentInvalid"),
        ];
        for (body, expected) in table {
            assert_eq!(item(body.clone()).unwrap_err().code().name, expected, "{body}");
        }
    }

    #[test]
    fn results_have_the_recorded_form() {
        assert_eq!(
            result(&BulkResult::default()),
            r#"{"isSuccessful":true,"errors":[],"warnings":[]}"#
        );
        let device = DeviceId::parse("d1").unwrap();
        let failed = BulkResult {
            errors: vec![(device.clone().into(), HubError::DeviceAlreadyExists(device))],
            warnings: Vec::new(),
        };
        assert_eq!(
            result(&failed),
            concat!(
                r#"{"isSuccessful":false,"errors":[{"deviceId":"d1","moduleId":null,"#,
                r#""errorCode":"DeviceAlreadyExists","#,
                r#""errorStatus":"A device with ID 'd1' is already registered.","#,
                r#""operation":null}],"warnings":[]}"#
            )
        );
    }
}
