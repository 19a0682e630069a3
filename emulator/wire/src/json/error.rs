//! The bodies of errors.

use iothub_core::error::{ErrorCode, HubError};
use iothub_core::time::Timestamp;
use serde_json::json;

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
}
