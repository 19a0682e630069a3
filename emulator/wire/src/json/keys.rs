//! Renewing keys of several identities: the request and its result.

use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use iothub_core::limits;
use iothub_core::registry::keys::WhichKey;
use iothub_core::session::RenewedKeys;
use iothub_core::twin::Document;
use serde::Serialize;
use serde_json::Value;

use super::{text, text_member, unexpected};

/// The body of a request: which key, and whose.
///
/// # Errors
///
/// It names no key, an id is none, or there are too many.
pub fn parse_renewal(body: &Document) -> Result<(WhichKey, Vec<IdentityId>), HubError> {
    let policy_key = text_member(body, "policyKey")?.unwrap_or_default();
    let which = [WhichKey::Primary, WhichKey::Secondary]
        .into_iter()
        .find(|which| name(*which).eq_ignore_ascii_case(&policy_key))
        .ok_or(HubError::InvalidPolicyKey(policy_key))?;
    let devices = match body.get("devices") {
        Some(Value::Array(devices)) if devices.len() > limits::BULK_ITEMS => {
            return Err(HubError::TooManyDevices(devices.len()));
        }
        Some(Value::Array(devices)) => devices,
        None | Some(Value::Null) => {
            return Err(HubError::ArgumentNull("devices is missing".to_owned()));
        }
        Some(other) => return Err(unexpected("devices", other, "an array")),
    };
    let ids = devices.iter().map(parse_id).collect::<Result<Vec<_>, _>>()?;
    Ok((which, ids))
}

fn parse_id(item: &Value) -> Result<IdentityId, HubError> {
    let Value::Object(item) = item else {
        return Err(unexpected("devices[]", item, "an object"));
    };
    Ok(IdentityId {
        device: DeviceId::parse(&text_member(item, "id")?.unwrap_or_default())?,
        module: text_member(item, "moduleId")?.map(|id| ModuleId::parse(&id)).transpose()?,
    })
}

/// The result of a request.
pub fn renewed(which: WhichKey, result: &RenewedKeys) -> String {
    let rotated = result.renewed.iter().map(|(id, keys)| Renewed {
        id: id.device.as_str(),
        module_id: id.module.as_ref().map(ModuleId::as_str),
        primary_key: keys.primary.as_base64(),
        secondary_key: keys.secondary.as_base64(),
    });
    let errors = result.errors.iter().map(|(id, why)| Trouble {
        id: id.device.as_str(),
        module_id: id.module.as_ref().map(ModuleId::as_str),
        error_code: why.code().name,
        error_status: why.to_string(),
    });
    text(&Renewal {
        policy_key: name(which),
        rotated_keys: rotated.collect(),
        errors: errors.collect(),
    })
}

fn name(which: WhichKey) -> &'static str {
    match which {
        WhichKey::Primary => "primaryKey",
        WhichKey::Secondary => "secondaryKey",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Renewal<'a> {
    policy_key: &'static str,
    rotated_keys: Vec<Renewed<'a>>,
    errors: Vec<Trouble<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Renewed<'a> {
    id: &'a str,
    module_id: Option<&'a str>,
    primary_key: &'a str,
    secondary_key: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trouble<'a> {
    id: &'a str,
    module_id: Option<&'a str>,
    error_code: &'static str,
    error_status: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<(WhichKey, Vec<IdentityId>), HubError> {
        parse_renewal(body.as_object().unwrap())
    }

    #[test]
    fn requests_are_read() {
        let body = json!({"policyKey": "SecondaryKey", "devices": [{"id": "d", "moduleId": "m"}]});
        let (which, ids) = parse(body).unwrap();
        assert_eq!((which, ids[0].to_string().as_str()), (WhichKey::Secondary, "d/m"));
    }

    #[test]
    fn mistakes_are_named() {
        let many = vec![json!({"id": "d"}); 101];
        let table = [
            (json!({"devices": []}), "InvalidPolicyKey"),
            (json!({"policyKey": "third", "devices": []}), "InvalidPolicyKey"),
            (json!({"policyKey": "primaryKey"}), "ArgumentNull"),
            (json!({"policyKey": "primaryKey", "devices": {}}), "ArgumentInvalid"),
            (json!({"policyKey": "primaryKey", "devices": [1]}), "ArgumentInvalid"),
            (json!({"policyKey": "primaryKey", "devices": [{}]}), "ArgumentInvalid"),
            (json!({"policyKey": "primaryKey", "devices": many}), "TooManyDevices"),
        ];
        for (body, expected) in table {
            assert_eq!(parse(body.clone()).unwrap_err().code().name, expected, "{body}");
        }
    }
}
