//! Identities: their keys, scopes and fields, and what these mean for who may connect.

use iothub_core::auth::sas;
use iothub_tests::mqtt::{ACCEPTED, Connect, NOT_AUTHORIZED};
use iothub_tests::{Device, FAR_FUTURE, Hub, key};
use serde_json::json;

use crate::registry::put;

#[test]
fn keys_and_thumbprints_exclude_each_other() {
    let hub = Hub::start();
    let thumbprint = "0123456789abcdef0123456789ABCDEF01234567";
    for kind in ["sas", "selfSigned"] {
        let body = json!({ "deviceId": "d", "authentication": {
            "type": kind,
            "symmetricKey": {
                "primaryKey": key(1).as_base64(),
                "secondaryKey": key(2).as_base64(),
            },
            "x509Thumbprint": { "primaryThumbprint": thumbprint },
        }});
        hub.rest.put("/devices/d", &body.to_string()).expect_error(400, "ArgumentInvalid");
    }
}

#[test]
fn an_edge_device_has_a_scope_and_its_children_are_in_it() {
    let hub = Hub::start();
    let edge = json!({ "deviceId": "edge", "capabilities": { "iotEdge": true } });
    let edge = hub.rest.put("/devices/edge", &edge.to_string()).expect(200).json();
    let scope = format!("ms-azure-iot-edge://edge-{}", edge["generationId"].as_str().unwrap());
    assert_eq!(edge["capabilities"]["iotEdge"], true);
    assert_eq!(edge["deviceScope"], scope.as_str());
    let leaf = json!({ "deviceId": "leaf", "deviceScope": scope });
    let leaf = hub.rest.put("/devices/leaf", &leaf.to_string()).expect(200).json();
    assert_eq!(leaf["deviceScope"], scope.as_str());
    assert_eq!(leaf["parentScopes"], json!([scope]));
    let lost = json!({ "deviceId": "lost", "deviceScope": "ms-azure-iot-edge://nobody-1" });
    hub.rest.put("/devices/lost", &lost.to_string()).expect_error(400, "InvalidDeviceScope");
}

#[test]
fn new_keys_let_in_and_old_ones_no_longer() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut identity = hub.rest.get("/devices/d1").expect(200).json();
    identity["authentication"]["symmetricKey"] = json!({
        "primaryKey": key(3).as_base64(),
        "secondaryKey": key(4).as_base64(),
    });
    put(&hub, "d1", "*", &identity).expect(200);
    let token = |fill| sas::sign(&device.resource(), FAR_FUTURE, None, &key(fill));
    for (fill, answer) in [(1, NOT_AUTHORIZED), (2, NOT_AUTHORIZED), (3, ACCEPTED), (4, ACCEPTED)] {
        hub.connect_as(&Connect::new("d1", &device.user_name(), &token(fill)), answer);
    }
}

#[test]
fn a_device_that_authenticates_otherwise_has_no_token() {
    let hub = Hub::start();
    let thumbprint = "0123456789abcdef0123456789ABCDEF01234567";
    let body = json!({ "deviceId": "x", "authentication": { "type": "selfSigned",
        "x509Thumbprint": { "primaryThumbprint": thumbprint } } });
    hub.rest.put("/devices/x", &body.to_string()).expect(200);
    let device = Device { id: "x".to_owned(), host: hub.host().to_owned() };
    hub.connect_as(&device.connect(), NOT_AUTHORIZED).expect_closed();
}

#[test]
fn a_number_of_devices_out_of_range_means_all() {
    let hub = Hub::start();
    for id in ["d1", "d2", "d3"] {
        hub.device(id);
    }
    for (top, expected) in [("1", 1), ("3", 3), ("1000", 3), ("0", 3), ("1001", 3), ("-1", 3)] {
        let path = format!("/devices?top={top}&api-version=2021-04-12");
        let list = hub.rest.get(&path).expect(200).json();
        assert_eq!(list.as_array().unwrap().len(), expected, "top={top}");
    }
    let path = "/devices?top=many&api-version=2021-04-12";
    hub.rest.get(path).expect_error(400, "DeviceInvalidResultCount");
}

#[test]
fn fields_of_the_wrong_kind_are_refused() {
    let hub = Hub::start();
    let bodies = [
        r#"{"deviceId":5}"#,
        r#"{"deviceId":"d","status":1}"#,
        r#"{"deviceId":"d","statusReason":{}}"#,
        r#"{"deviceId":"d","authentication":[]}"#,
        r#"{"deviceId":"d","authentication":{"symmetricKey":{"primaryKey":1,"secondaryKey":2}}}"#,
        r#"{"deviceId":"d","capabilities":true}"#,
        r#"{"deviceId":"d","capabilities":{"iotEdge":"yes"}}"#,
        r#"{"deviceId":"d","parentScopes":"x"}"#,
    ];
    for body in bodies {
        let answer = hub.rest.put("/devices/d", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.header("iothub-errorcode").is_some(), "{body}: {answer:?}");
    }
    hub.rest.get("/devices/d").expect_error(404, "DeviceNotFound");
}
