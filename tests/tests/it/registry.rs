//! The identity registry over REST: documents, keys, ids, preconditions, statistics.

use iothub_tests::rest::Answer;
use iothub_tests::{Hub, key};
use serde_json::{Value, json};

/// The number inside an identity's etag: base64 of decimal digits.
fn version(etag: &Value) -> u64 {
    let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = etag.as_str().unwrap();
    let mut bits = 0_u32;
    let mut held = 0;
    let mut digits = String::new();
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = table.iter().position(|entry| *entry == byte).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            digits.push(char::from(u8::try_from(bits >> held & 0xFF).unwrap()));
        }
    }
    digits.parse().unwrap_or_else(|_| panic!("etag {text:?} holds {digits:?}, expected digits"))
}

/// PUT with this `If-Match`.
pub(crate) fn put(hub: &Hub, id: &str, if_match: &str, body: &Value) -> Answer {
    let path = format!("/devices/{id}");
    hub.rest.send("PUT", &path, &[("If-Match", if_match)], Some(&body.to_string()))
}

#[test]
fn a_new_device_is_shown_as_recorded() {
    let hub = Hub::start();
    let body = json!({
        "deviceId": "d1",
        "authentication": { "type": "sas", "symmetricKey": {
            "primaryKey": key(1).as_base64(),
            "secondaryKey": key(2).as_base64(),
        }},
    });
    let answer = hub.rest.put("/devices/d1", &body.to_string()).expect(200);
    let device = answer.json();
    let expected = format!(
        concat!(
            r#"{{"deviceId":"d1","generationId":"{}","etag":"{}","#,
            r#""connectionState":"Disconnected","status":"enabled","statusReason":null,"#,
            r#""connectionStateUpdatedTime":"0001-01-01T00:00:00","#,
            r#""statusUpdatedTime":"0001-01-01T00:00:00","#,
            r#""lastActivityTime":"0001-01-01T00:00:00","cloudToDeviceMessageCount":0,"#,
            r#""authentication":{{"symmetricKey":{{"primaryKey":"{}","secondaryKey":"{}"}},"#,
            r#""x509Thumbprint":{{"primaryThumbprint":null,"secondaryThumbprint":null}},"type":"sas"}},"#,
            r#""capabilities":{{"iotEdge":false}},"parentScopes":[]}}"#,
        ),
        device["generationId"].as_str().unwrap(),
        device["etag"].as_str().unwrap(),
        key(1).as_base64(),
        key(2).as_base64(),
    );
    assert_eq!(answer.body, expected);
    assert_eq!(device["generationId"].as_str().unwrap().len(), 18);
    assert!(version(&device["etag"]) > 0);
    let etag = format!("\"{}\"", device["etag"].as_str().unwrap());
    assert_eq!(answer.header("etag"), Some(etag.as_str()));

    // GET prints the default time with a Z
    let answer = hub.rest.get("/devices/d1").expect(200);
    assert_eq!(answer.header("etag"), Some(etag.as_str()));
    for time in ["connectionStateUpdatedTime", "statusUpdatedTime", "lastActivityTime"] {
        assert_eq!(answer.json()[time], "0001-01-01T00:00:00Z", "{time}");
    }
}

#[test]
fn keys_are_generated_where_none_are_given() {
    let hub = Hub::start();
    let bodies = [
        json!({ "deviceId": "d" }),
        json!({ "deviceId": "d", "authentication": { "type": "sas" } }),
        json!({ "deviceId": "d", "authentication": { "symmetricKey": {} } }),
        json!({ "deviceId": "d", "authentication": { "type": "sas", "symmetricKey": null } }),
        json!({ "deviceId": "d", "authentication": { "type": "sas", "symmetricKey": {
            "primaryKey": "", "secondaryKey": "" } } }),
        json!({ "deviceId": "d", "authentication": { "type": "sas",
            "symmetricKey": { "primaryKey": null, "secondaryKey": null }, "x509Thumbprint": {} } }),
    ];
    for (number, mut body) in bodies.into_iter().enumerate() {
        let id = format!("d{number}");
        body["deviceId"] = json!(id);
        let device = hub.rest.put(&format!("/devices/{id}"), &body.to_string()).expect(200).json();
        let keys = &device["authentication"]["symmetricKey"];
        // 32 bytes in base64
        assert_eq!(keys["primaryKey"].as_str().unwrap().len(), 44, "{body}");
        assert_eq!(keys["secondaryKey"].as_str().unwrap().len(), 44, "{body}");
        assert_ne!(keys["primaryKey"], keys["secondaryKey"], "{body}");
    }
}

#[test]
fn other_kinds_of_authentication_are_kept() {
    let hub = Hub::start();
    let thumbprint = "0123456789abcdef0123456789ABCDEF01234567";
    let body = json!({ "deviceId": "x", "authentication": { "type": "selfSigned",
        "x509Thumbprint": { "primaryThumbprint": thumbprint, "secondaryThumbprint": thumbprint } } });
    let device = hub.rest.put("/devices/x", &body.to_string()).expect(200).json();
    let expected = json!({
        "symmetricKey": { "primaryKey": null, "secondaryKey": null },
        "x509Thumbprint": { "primaryThumbprint": thumbprint, "secondaryThumbprint": thumbprint },
        "type": "selfSigned",
    });
    assert_eq!(device["authentication"], expected);
    let body = json!({ "deviceId": "ca", "authentication": { "type": "certificateAuthority" } });
    let device = hub.rest.put("/devices/ca", &body.to_string()).expect(200).json();
    assert_eq!(device["authentication"]["type"], "certificateAuthority");
    assert_eq!(device["authentication"]["symmetricKey"]["primaryKey"], Value::Null);
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let hub = Hub::start();
    let with_keys = |primary: &str, secondary: &str| {
        json!({ "deviceId": "d", "authentication": { "type": "sas", "symmetricKey": {
            "primaryKey": primary, "secondaryKey": secondary } } })
    };
    let good = key(1).as_base64().to_owned();
    let table = [
        with_keys("no base64!", &good),
        with_keys("AAAA", &good),
        with_keys(&good, ""),
        with_keys("", &good),
        with_keys(&"A".repeat(88), &good),
        json!({ "deviceId": "other" }),
        json!({ "deviceId": "D" }),
        json!({ "deviceId": "d", "status": "sleeping" }),
        json!({ "deviceId": "d", "statusReason": "x".repeat(129) }),
        json!({ "deviceId": "d", "authentication": { "type": "magic" } }),
        json!({ "deviceId": "d", "authentication": { "type": "selfSigned" } }),
        json!({ "deviceId": "d", "authentication": { "type": "selfSigned",
            "x509Thumbprint": { "primaryThumbprint": "12" } } }),
    ];
    for body in table {
        let text =
            hub.rest.put("/devices/d", &body.to_string()).expect_error(400, "ArgumentInvalid");
        assert_ne!(text, "", "{body}");
    }
    hub.rest.get("/devices/d").expect_error(404, "DeviceNotFound");
}

#[test]
fn ids_have_up_to_128_of_the_allowed_characters() {
    let hub = Hub::start();
    let longest = "a".repeat(128);
    let strange = "Az09-:.+%25_%23*%3F!(),=@;$'".to_owned();
    for id in [&longest, &strange] {
        let plain = id.replace("%25", "%").replace("%23", "#").replace("%3F", "?");
        let body = json!({ "deviceId": plain }).to_string();
        hub.rest.put(&format!("/devices/{id}"), &body).expect(200);
        assert_eq!(hub.rest.get(&format!("/devices/{id}")).expect(200).json()["deviceId"], plain);
    }
    for id in [
        "a".repeat(129),
        "a%20b".to_owned(),
        "%C3%BC".to_owned(),
        "a%2Fb".to_owned(),
        "a&b".to_owned(),
    ] {
        let plain = id.replace("%20", " ").replace("%C3%BC", "ü").replace("%2F", "/");
        let body = json!({ "deviceId": plain }).to_string();
        let answer = hub.rest.put(&format!("/devices/{id}"), &body);
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    // ids are told apart by case, the rest of the path is not
    hub.device("CASE");
    hub.rest.get("/devices/case").expect_error(404, "DeviceNotFound");
    hub.rest.get("/DEVICES/CASE").expect(200);
}

#[test]
fn create_and_update_differ_by_if_match() {
    let hub = Hub::start();
    let body = json!({ "deviceId": "d1" });
    put(&hub, "d1", "*", &body).expect_error(404, "DeviceNotFound");
    // an empty tag is none
    let first = put(&hub, "d1", "\"\"", &body).expect(200).json();
    let text =
        hub.rest.put("/devices/d1", &body.to_string()).expect_error(409, "DeviceAlreadyExists");
    assert_eq!(text, "A device with ID 'd1' is already registered.");
    let mut etag = first["etag"].as_str().unwrap().to_owned();
    let mut expected = version(&first["etag"]);
    let forms: [fn(&str) -> String; 5] = [
        |_| "*".to_owned(),
        |_| "\"*\"".to_owned(),
        |etag| format!("\"{etag}\""),
        str::to_owned,
        |etag| format!("W/\"{etag}\""),
    ];
    for form in forms {
        let answer = put(&hub, "d1", &form(&etag), &body).expect(200);
        expected += 1;
        let device = answer.json();
        assert_eq!(version(&device["etag"]), expected, "each update adds one");
        etag = device["etag"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("etag"), Some(format!("\"{etag}\"").as_str()));
    }
    let stale = format!("\"{}\"", first["etag"].as_str().unwrap());
    put(&hub, "d1", &stale, &body).expect_error(412, "PreconditionFailed");
    let answer = hub.rest.send("DELETE", "/devices/d1", &[("If-Match", &stale)], None);
    answer.expect_error(412, "PreconditionFailed");
    let fresh = format!("\"{etag}\"");
    let answer = hub.rest.send("DELETE", "/devices/d1", &[("If-Match", &fresh)], None).expect(204);
    assert_eq!(answer.body, "");
    hub.rest.get("/devices/d1").expect_error(404, "DeviceNotFound");
    hub.rest.get("/twins/d1").expect_error(404, "DeviceNotFound");
    let answer = hub.rest.send("DELETE", "/devices/d1", &[("If-Match", "*")], None);
    answer.expect_error(404, "DeviceNotFound");
}

#[test]
fn an_update_replaces_what_may_be_written_and_no_more() {
    let hub = Hub::start();
    hub.device("d1");
    let mut device = hub.rest.get("/devices/d1").expect(200).json();
    let created = device.clone();
    device["status"] = json!("disabled");
    device["statusReason"] = json!("broken");
    device["generationId"] = json!("1");
    device["connectionState"] = json!("Connected");
    device["cloudToDeviceMessageCount"] = json!(7);
    device["unknown"] = json!("field");
    let updated = put(&hub, "d1", "*", &device).expect(200).json();
    assert_eq!(updated["status"], "disabled");
    assert_eq!(updated["statusReason"], "broken");
    assert_ne!(updated["statusUpdatedTime"], "0001-01-01T00:00:00Z");
    for kept in ["generationId", "connectionState", "cloudToDeviceMessageCount", "authentication"] {
        assert_eq!(updated[kept], created[kept], "{kept}");
    }
    assert_eq!(updated.get("unknown"), None);
    // what is not said is the default again, but keys stay
    let again = put(&hub, "d1", "*", &json!({ "deviceId": "d1" })).expect(200).json();
    assert_eq!(again["status"], "enabled");
    assert_eq!(again["statusReason"], Value::Null);
    assert_eq!(again["authentication"], created["authentication"]);
}

#[test]
fn a_status_that_stays_keeps_its_time() {
    let hub = Hub::start();
    hub.device("d1");
    let disabled = json!({ "deviceId": "d1", "status": "disabled" });
    let first = put(&hub, "d1", "*", &disabled).expect(200).json();
    let second = put(&hub, "d1", "*", &disabled).expect(200).json();
    assert_eq!(first["statusUpdatedTime"], second["statusUpdatedTime"]);
}

#[test]
fn connections_show_in_the_identity() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connection = hub.connect(&device);
    let shown = hub.rest.get("/devices/d1").expect(200).json();
    assert_eq!(shown["connectionState"], "Connected");
    for time in ["connectionStateUpdatedTime", "lastActivityTime"] {
        let time = shown[time].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    // the etag is the document's, and connecting does not write it
    connection.cut();
    let after = hub.rest.get("/devices/d1").expect(200).json();
    assert_eq!(after["etag"], shown["etag"]);
}

#[test]
fn lists_hold_whole_devices() {
    let hub = Hub::start();
    assert_eq!(hub.rest.get("/devices").expect(200).body, "[]");
    for id in ["d1", "d2", "d3"] {
        hub.device(id);
    }
    for path in ["/devices", "/devices/", "/devices?api-version=2021-04-12&top=1000"] {
        let list = hub.rest.get(path).expect(200).json();
        let mut ids: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|device| device["deviceId"].as_str().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, ["d1", "d2", "d3"], "{path}");
    }
    let path = "/devices/?top=2&api-version=2021-04-12";
    let list = hub.rest.get(path).expect(200).json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let alone = hub.rest.get("/devices/d1").expect(200).json();
    let all = hub.rest.get("/devices").expect(200).json();
    assert!(all.as_array().unwrap().contains(&alone), "{alone} is not in {all}");
}

#[test]
fn statistics_count() {
    let hub = Hub::start();
    let none = r#"{"totalDeviceCount":0,"enabledDeviceCount":0,"disabledDeviceCount":0}"#;
    assert_eq!(hub.rest.get("/statistics/devices").expect(200).body, none);
    let device = hub.device("d1");
    hub.device("d2");
    hub.rest.put("/devices/d3", r#"{"deviceId":"d3","status":"disabled"}"#).expect(200);
    let three = r#"{"totalDeviceCount":3,"enabledDeviceCount":2,"disabledDeviceCount":1}"#;
    assert_eq!(hub.rest.get("/statistics/devices").expect(200).body, three);
    let service = || hub.rest.get("/statistics/service").expect(200).body;
    assert_eq!(service(), r#"{"connectedDeviceCount":0}"#);
    let mut connection = hub.connect(&device);
    assert_eq!(service(), r#"{"connectedDeviceCount":1}"#);
    connection.send(iothub_tests::mqtt::DISCONNECT);
    connection.expect_closed();
    assert_eq!(service(), r#"{"connectedDeviceCount":0}"#);
}

#[test]
fn of_two_creations_at_once_one_wins() {
    let hub = Hub::start();
    let body = json!({ "deviceId": "d1" }).to_string();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tasks: Vec<_> =
            (0..8).map(|_| scope.spawn(|| hub.rest.put("/devices/d1", &body).status)).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[test]
fn a_device_may_have_the_name_of_an_operation() {
    let hub = Hub::start();
    for name in ["query", "keys", "modules", "create", "v2", ".."] {
        hub.device(name);
        let path = format!("/devices/{name}");
        assert_eq!(hub.rest.get(&path).expect(200).json()["deviceId"], name);
        hub.rest.get(&format!("/twins/{name}")).expect(200);
        hub.rest.delete(&path).expect(204);
    }
}
