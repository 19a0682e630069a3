//! `stats`: how many devices there are, and how many are connected.

use serde_json::{Map, Value};

use crate::args::Format;
use crate::commands::{Failure, Session, Verdict};
use crate::output;

pub(crate) fn run(session: &mut Session<'_>) -> Result<Verdict, Failure> {
    let devices = session.client.device_statistics()?;
    let service = session.client.service_statistics()?;
    match session.out.format() {
        Format::Json => session.out.document(&merged(devices, service))?,
        Format::Text => session.out.write(&table(&devices, &service))?,
    }
    Ok(Verdict::Yes)
}

/// The two answers as one document; their fields have different names.
fn merged(devices: Value, service: Value) -> Value {
    let mut fields = Map::new();
    for part in [devices, service] {
        if let Value::Object(part) = part {
            fields.extend(part);
        }
    }
    Value::Object(fields)
}

fn table(devices: &Value, service: &Value) -> String {
    output::pairs(&[
        ("devices", output::cell(devices.get("totalDeviceCount"))),
        ("enabled", output::cell(devices.get("enabledDeviceCount"))),
        ("disabled", output::cell(devices.get("disabledDeviceCount"))),
        ("connected", output::cell(service.get("connectedDeviceCount"))),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_answers_are_one_document_and_one_table() {
        let devices =
            json!({"totalDeviceCount": 12, "enabledDeviceCount": 11, "disabledDeviceCount": 1});
        let service = json!({"connectedDeviceCount": 3});
        assert_eq!(
            table(&devices, &service),
            "devices    12\nenabled    11\ndisabled   1\nconnected  3\n"
        );
        assert_eq!(
            merged(devices, service).to_string(),
            r#"{"totalDeviceCount":12,"enabledDeviceCount":11,"disabledDeviceCount":1,"connectedDeviceCount":3}"#
        );
    }
}
