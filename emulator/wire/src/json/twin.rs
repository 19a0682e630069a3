//! Twins: the service's document, the device's document, and the bodies that change them.

use iothub_core::error::HubError;
use iothub_core::ids::ModuleId;
use iothub_core::registry::identity::DeviceIdentity;
use iothub_core::session::TwinView;
use iothub_core::twin::{
    DesiredPatch, Document, Section, SectionPatch, Twin, TwinPatch, TwinReplacement,
};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::identity::Thumbprints;
use super::{object_member, text, unexpected};
use crate::api_version::ApiVersion;

/// The twin as the service shows it to a back end; none if the view's module is gone from its
/// record.
pub fn service_document(view: &TwinView, version: &ApiVersion) -> Option<String> {
    let device = &view.record.identity;
    let (etag, authentication, twin) = match &view.id.module {
        None => (device.etag(), &device.authentication, &view.record.twin),
        Some(module) => {
            let module = view.record.modules.get(module)?;
            (module.identity.etag(), &module.identity.authentication, &module.twin)
        }
    };
    Some(text(&ServiceTwin {
        device_id: view.id.device.as_str(),
        module_id: view.id.module.as_ref().map(ModuleId::as_str),
        etag: twin.etag().as_str(),
        device_etag: etag.as_str(),
        status: device.status.name(),
        status_reason: device.status_reason.as_deref(),
        status_update_time: device.status_updated.to_string(),
        connection_state: view.connection.name(),
        last_activity_time: view.connection.last_activity.to_string(),
        cloud_to_device_message_count: view.waiting,
        authentication_type: authentication.name(),
        x509_thumbprint: Thumbprints::of(authentication),
        model_id: version.has_model_id().then(|| twin.model_id.as_deref().unwrap_or_default()),
        version: twin.version,
        tags: twin.tags.as_ref(),
        properties: Properties::of(twin),
        capabilities: Capabilities { iot_edge: device.iot_edge },
        configurations: twin.configurations.to_json(),
        device_scope: device.device_scope.as_deref(),
        parent_scopes: parent_scopes(device),
    }))
}

fn parent_scopes(identity: &DeviceIdentity) -> Option<&[String]> {
    (!identity.parent_scopes.is_empty()).then_some(identity.parent_scopes.as_slice())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceTwin<'a> {
    device_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module_id: Option<&'a str>,
    etag: &'a str,
    device_etag: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<&'a str>,
    status_update_time: String,
    connection_state: &'static str,
    last_activity_time: String,
    cloud_to_device_message_count: usize,
    authentication_type: &'static str,
    x509_thumbprint: Thumbprints<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    version: u64,
    /// Never null: the C# SDK takes nothing but an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Document>,
    properties: Properties<'a>,
    capabilities: Capabilities,
    #[serde(skip_serializing_if = "Option::is_none")]
    configurations: Option<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_scopes: Option<&'a [String]>,
}

#[derive(Serialize)]
pub(super) struct Properties<'a> {
    desired: SectionWithMetadata<'a>,
    reported: SectionWithMetadata<'a>,
}

impl<'a> Properties<'a> {
    pub(super) fn of(twin: &'a Twin) -> Self {
        Self {
            desired: SectionWithMetadata(&twin.desired),
            reported: SectionWithMetadata(&twin.reported),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities {
    iot_edge: bool,
}

struct SectionWithMetadata<'a>(&'a Section);

impl Serialize for SectionWithMetadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.0.properties {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("$metadata", &self.0.metadata.to_json())?;
        map.serialize_entry("$version", &self.0.version)?;
        map.end()
    }
}

/// The twin as the hub shows it to its device: no tags, no metadata.
pub fn device_document(twin: &Twin, layout: Layout) -> String {
    #[derive(Serialize)]
    struct DeviceTwin<'a> {
        desired: Versioned<'a>,
        reported: Versioned<'a>,
    }
    layout.text(&DeviceTwin {
        desired: Versioned(&twin.desired.properties, twin.desired.version),
        reported: Versioned(&twin.reported.properties, twin.reported.version),
    })
}

/// What a device is told when its desired properties change.
pub fn desired_patch(patch: &DesiredPatch, layout: Layout) -> String {
    layout.text(&Versioned(&patch.patch, patch.version))
}

/// Properties, and the version of their section.
struct Versioned<'a>(&'a Document, u64);

impl Serialize for Versioned<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("$version", &self.1)?;
        map.end()
    }
}

/// How the text of a twin document on its way to a device is laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layout {
    /// Without blanks.
    Compact,
    /// Two blanks per level, a blank behind each colon, lines ended by CRLF.
    Indented,
}

impl Layout {
    /// The layout that a client of this api-version gets.
    pub fn of(version: Option<&ApiVersion>) -> Self {
        if version.is_some_and(ApiVersion::indents_twins) { Self::Indented } else { Self::Compact }
    }

    fn text(self, value: &impl Serialize) -> String {
        match self {
            Self::Compact => text(value),
            // Inside strings JSON escapes line ends, so that these are all between tokens.
            Self::Indented => {
                serde_json::to_string_pretty(value).unwrap_or_default().replace('\n', "\r\n")
            }
        }
    }
}

/// The body of a PATCH.
///
/// # Errors
///
/// A section is something else than an object or null.
pub fn parse_patch(mut body: Document) -> Result<TwinPatch, HubError> {
    let mut properties = object_member(&mut body, "properties")?.unwrap_or_default();
    Ok(TwinPatch {
        tags: section_patch(&mut body, "tags")?,
        desired: section_patch(&mut properties, "desired")?,
    })
}

/// The body of a PUT.
///
/// # Errors
///
/// A section is something else than an object or null.
pub fn parse_replacement(mut body: Document) -> Result<TwinReplacement, HubError> {
    let mut properties = object_member(&mut body, "properties")?.unwrap_or_default();
    Ok(TwinReplacement {
        tags: object_member(&mut body, "tags")?.map(without_service_members),
        desired: object_member(&mut properties, "desired")?.map(without_service_members),
    })
}

fn section_patch(body: &mut Document, name: &str) -> Result<Option<SectionPatch>, HubError> {
    match body.shift_remove(name) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(SectionPatch::Clear)),
        Some(Value::Object(patch)) => Ok(Some(SectionPatch::Merge(without_service_members(patch)))),
        Some(other) => Err(unexpected(name, &other, "an object")),
    }
}

/// Clients send back what they read, and that has the service's own members.
fn without_service_members(mut section: Document) -> Document {
    section.shift_remove("$metadata");
    section.shift_remove("$version");
    section
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Document {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_untouched_twin_looks_as_documented() {
        let twin = Twin::new(iothub_core::time::Timestamp::NEVER);
        assert_eq!(
            device_document(&twin, Layout::Compact),
            r#"{"desired":{"$version":1},"reported":{"$version":1}}"#
        );
    }

    /// The tutorial's script cuts values out of the text at these offsets.
    #[test]
    fn old_clients_get_the_layout_that_their_scripts_expect() {
        let patch = object(json!({"configId": 3, "sendFrequency": "5m"}));
        let text = desired_patch(&DesiredPatch { patch, version: 4 }, Layout::Indented);
        assert_eq!(
            text,
            "{\r\n  \"configId\": 3,\r\n  \"sendFrequency\": \"5m\",\r\n  \"$version\": 4\r\n}"
        );
        let cut = |name: &str, from: usize, to: usize| {
            let at = text.find(name).unwrap();
            &text[at + from..at + to]
        };
        assert_eq!(cut("configId", 11, 12), "3");
        assert_eq!(cut("sendFrequency", 17, 19), "5m");
    }

    #[test]
    fn patches_parse_and_ignore_what_is_not_the_caller_s() {
        let body = json!({
            "deviceId": "d", "etag": "x", "tags": {"a": 1, "$version": 3},
            "properties": {
                "desired": {"b": null, "$metadata": {"x": 1}, "$version": 9},
                "reported": {"c": 1},
            },
        });
        assert_eq!(
            parse_patch(object(body)),
            Ok(TwinPatch {
                tags: Some(SectionPatch::Merge(object(json!({"a": 1})))),
                desired: Some(SectionPatch::Merge(object(json!({"b": null})))),
            })
        );
        assert_eq!(parse_patch(Document::new()), Ok(TwinPatch::default()));
        assert_eq!(
            parse_patch(object(json!({"tags": null, "properties": {"desired": null}}))),
            Ok(TwinPatch { tags: Some(SectionPatch::Clear), desired: Some(SectionPatch::Clear) })
        );
        assert_eq!(
            parse_patch(object(json!({"tags": 1}))),
            Err(HubError::ArgumentInvalid("tags is a number, expected an object".to_owned()))
        );
        assert!(parse_patch(object(json!({"properties": []}))).is_err());
    }
}
