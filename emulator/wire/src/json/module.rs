//! Module identities: the registry's document, and the body that creates or updates one.

use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, ModuleId};
use iothub_core::registry::identity::ModuleDraft;
use iothub_core::session::ModuleView;
use iothub_core::twin::Document;
use serde::Serialize;

use super::identity::{Answering, AuthenticationDocument, check_named, parse_authentication, time};
use super::{object_member, text, text_member};

/// The document of a module.
pub fn document(view: &ModuleView, answering: Answering) -> String {
    text(&Module::of(view, answering))
}

/// The documents of several modules.
pub fn list(views: &[ModuleView]) -> String {
    let modules: Vec<_> = views.iter().map(|view| Module::of(view, Answering::Other)).collect();
    text(&modules)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Module<'a> {
    module_id: &'a str,
    managed_by: Option<&'a str>,
    device_id: &'a str,
    generation_id: String,
    etag: String,
    connection_state: &'static str,
    connection_state_updated_time: String,
    last_activity_time: String,
    cloud_to_device_message_count: u64,
    authentication: AuthenticationDocument<'a>,
}

impl<'a> Module<'a> {
    fn of(view: &'a ModuleView, answering: Answering) -> Self {
        let identity = &view.record.identity;
        Self {
            module_id: identity.id.as_str(),
            managed_by: identity.managed_by.as_deref(),
            device_id: view.device.as_str(),
            generation_id: identity.generation.to_string(),
            etag: identity.etag().to_string(),
            connection_state: view.connection.name(),
            connection_state_updated_time: time(view.connection.updated, answering),
            last_activity_time: time(view.connection.last_activity, answering),
            // Cloud-to-device messages have no way to a module.
            cloud_to_device_message_count: 0,
            authentication: AuthenticationDocument::of(&identity.authentication),
        }
    }
}

/// The body of a PUT for the module `id` of `device`. What the service writes itself is ignored.
///
/// # Errors
///
/// The body is for another module, or a member is not what it should be.
pub fn parse_draft(
    mut body: Document,
    device: &DeviceId,
    id: &ModuleId,
) -> Result<ModuleDraft, HubError> {
    check_named(&body, "deviceId", device.as_str())?;
    check_named(&body, "moduleId", id.as_str())?;
    Ok(ModuleDraft {
        authentication: object_member(&mut body, "authentication")?
            .map(parse_authentication)
            .transpose()?,
        managed_by: text_member(&body, "managedBy")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_for_the_module_of_the_path() {
        let device = DeviceId::parse("d").unwrap();
        let module = ModuleId::parse("m").unwrap();
        let draft = |body: serde_json::Value| {
            parse_draft(body.as_object().unwrap().clone(), &device, &module)
        };
        let managed = draft(json!({"moduleId": "m", "deviceId": "d", "managedBy": "me"}));
        assert_eq!(managed.unwrap().managed_by.as_deref(), Some("me"));
        assert_eq!(
            draft(json!({"moduleId": "n"})),
            Err(HubError::ArgumentInvalid(
                "moduleId in the body is \"n\", in the path \"m\"".to_owned()
            ))
        );
    }
}
