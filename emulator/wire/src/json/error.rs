//! The bodies of errors.

use iothub_core::error::{ErrorCode, HubError};
use iothub_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// What the service's support finds a failed request by.
pub fn tracking_id(random: [u8; 16], now: Timestamp) -> String {
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let at = now.date_time();
    format!(
        "{hex}-G:0-TimeStamp:{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
        u8::from(at.month()),
        at.day(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The body of most REST errors.
pub fn classic(code: ErrorCode, message: &str, tracking_id: &str) -> String {
    json!({
        "Message": format!("ErrorCode:{};{message}", code.name),
        "ExceptionMessage": format!("Tracking ID:{tracking_id}"),
    })
    .to_string()
}

/// The body of errors of modules and of newer parts of the service, and of a twin error on its way to a device. Node tells an error by `errorCode` alone.
pub fn flat(error: &HubError, tracking_id: &str, now: Timestamp) -> String {
    json!({
        "errorCode": error.code().number,
        "trackingId": tracking_id,
        "message": error.to_string(),
        "timestampUtc": now.to_string(),
    })
    .to_string()
}

/// The body of errors of direct methods: [`flat`], with what the service adds for some, as a text
/// inside the classic form.
pub fn nested(error: &HubError, tracking_id: &str, now: Timestamp) -> String {
    let mut inner = Map::new();
    inner.insert("errorCode".to_owned(), error.code().number.into());
    inner.insert("trackingId".to_owned(), tracking_id.into());
    inner.insert("message".to_owned(), error.to_string().into());
    if let Some(info) = info(error) {
        inner.insert("info".to_owned(), info);
    }
    inner.insert("timestampUtc".to_owned(), now.to_string().into());
    json!({"Message": Value::Object(inner).to_string(), "ExceptionMessage": ""}).to_string()
}

/// As recorded: the time that a caller waited in vain for a device, otherwise nothing. Errors of
/// the request itself have no such member.
fn info(error: &HubError) -> Option<Value> {
    match error {
        HubError::ArgumentInvalid(_) | HubError::MethodPayloadTooLarge { .. } => None,
        HubError::DeviceNotOnline { waited } => {
            let seconds = waited.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            Some(json!({"timeout": format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)}))
        }
        _ => Some(json!({})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_documented_form() {
        let now = Timestamp::from_unix_seconds(1_478_767_043);
        let id = tracking_id([0xab; 16], now);
        assert_eq!(id, format!("{}-G:0-TimeStamp:11/10/2016 08:37:23", "ab".repeat(16)));
        let error = HubError::ArgumentInvalid("no".to_owned());
        assert_eq!(
            classic(error.code(), "no", &id),
            format!(
                r#"{{"Message":"ErrorCode:ArgumentInvalid;no","ExceptionMessage":"Tracking ID:{id}"}}"#
            )
        );
        assert_eq!(
            flat(&error, &id, now),
            format!(
                r#"{{"errorCode":400004,"trackingId":"{id}","message":"no","timestampUtc":"2016-11-10T08:37:23Z"}}"#
            )
        );
    }

    #[test]
    fn errors_of_methods_are_nested_as_recorded() {
        let now = Timestamp::from_unix_seconds(1_541_582_577);
        let error = HubError::DeviceNotOnline { waited: std::time::Duration::from_secs(60) };
        assert_eq!(
            nested(&error, "T", now),
            r#"{"Message":"{\"errorCode\":404103,\"trackingId\":\"T\",\"message\":\"Timed out waiting for device to connect.\",\"info\":{\"timeout\":\"00:01:00\"},\"timestampUtc\":\"2018-11-07T09:22:57Z\"}","ExceptionMessage":""}"#
        );
        let inner = |error| {
            let outer: Value = serde_json::from_str(&nested(&error, "T", now)).unwrap();
            serde_json::from_str::<Value>(outer["Message"].as_str().unwrap()).unwrap()
        };
        assert_eq!(inner(HubError::MethodTimedOut)["info"], json!({}));
        let error = HubError::ArgumentInvalid("no".to_owned());
        assert_eq!(inner(error).get("info"), None);
    }
}
