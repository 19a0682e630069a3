//! Bulk operations on the registry, and new keys for many.

use iothub_tests::Hub;
use iothub_tests::rest::Answer;
use serde_json::{Value, json};

fn bulk(hub: &Hub, items: &Value) -> Answer {
    hub.rest.send("POST", "/devices", &[], Some(&items.to_string()))
}

fn done(hub: &Hub, items: &Value) {
    let answer = bulk(hub, items).expect(200);
    assert_eq!(answer.body, r#"{"isSuccessful":true,"errors":[],"warnings":[]}"#);
}

/// The names of the errors of a bulk operation that failed as a whole or in part.
fn failed(answer: Answer) -> Vec<String> {
    let answer = answer.expect(400);
    // The C# SDK reads the body of a 400 only with this header.
    assert_eq!(answer.header("IotHubErrorCode"), Some("BulkRegistryOperationFailure"));
    assert_eq!(answer.header("iothub-errorcode"), Some("BulkRegistryOperationFailure"));
    let result = answer.json();
    assert_eq!(result["isSuccessful"], json!(false));
    let errors = result["errors"].as_array().unwrap();
    errors.iter().map(|error| error["errorCode"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn devices_and_modules_come_and_go() {
    let hub = Hub::start();
    done(
        &hub,
        &json!([
            {"id": "a", "importMode": "create", "status": "disabled", "statusReason": "new"},
            {"id": "b", "importMode": "Create", "capabilities": {"iotEdge": true}},
            {"id": "a", "moduleId": "m", "importMode": "CREATE"},
        ]),
    );
    let device = hub.rest.get("/devices/a").expect(200).json();
    assert_eq!((&device["status"], &device["statusReason"]), (&json!("disabled"), &json!("new")));
    assert!(device["authentication"]["symmetricKey"]["primaryKey"].is_string());
    hub.rest.get("/devices/a/modules/m").expect(200);
    hub.rest.get("/devices/b/modules/$edgeAgent").expect(200);

    let stale = json!([{"id": "a", "importMode": "UpdateIfMatchETag", "eTag": "stale"}]);
    assert_eq!(failed(bulk(&hub, &stale)), ["PreconditionFailed"]);
    let right = json!([{"id": "a", "importMode": "updateIfMatchETag", "eTag": device["etag"]}]);
    done(&hub, &right);
    assert_eq!(hub.rest.get("/devices/a").expect(200).json()["status"], json!("enabled"));

    done(
        &hub,
        &json!([{"id": "a", "importMode": "Delete"}, {"id": "b", "importMode": "deleteIfMatchETag"}]),
    );
    hub.rest.get("/devices/a").expect_error(404, "DeviceNotFound");
    hub.rest.get("/devices/b").expect_error(404, "DeviceNotFound");
}

#[test]
fn items_succeed_and_fail_independently() {
    let hub = Hub::start();
    hub.device("old");
    let items = json!([
        {"id": "old", "importMode": "create"},
        {"id": "new", "importMode": "create"},
        {"id": "gone", "importMode": "update"},
        {"id": "keys", "importMode": "create", "authentication": {"symmetricKey": {"primaryKey": "x"}}},
        {"id": "leaf", "importMode": "create", "deviceScope": "ms-azure-iot-edge://no-1"},
        {"id": "old", "moduleId": "$edgeAgent", "importMode": "create"},
        {"id": "none", "moduleId": "m", "importMode": "create"},
    ]);
    let answer = bulk(&hub, &items);
    let first = answer.json()["errors"][0].clone();
    assert_eq!(
        first,
        json!({"deviceId": "old", "moduleId": null, "errorCode": "DeviceAlreadyExists",
               "errorStatus": "A device with ID 'old' is already registered.", "operation": null})
    );
    assert_eq!(
        failed(answer),
        [
            "DeviceAlreadyExists",
            "DeviceNotFound",
            "ArgumentInvalid",
            "InvalidDeviceScope",
            "SystemModuleModifyUnauthorizedAccess",
            "DeviceNotFound",
        ]
    );
    hub.rest.get("/devices/new").expect(200);
}

#[test]
fn twins_come_with_their_devices_and_change_in_bulk() {
    let hub = Hub::start();
    done(
        &hub,
        &json!([{"id": "t", "importMode": "create", "tags": {"site": "a"},
                 "properties": {"desired": {"rate": 5}}}]),
    );
    let twin = hub.rest.get("/twins/t").expect(200).json();
    assert_eq!((&twin["etag"], &twin["version"]), (&json!("AAAAAAAAAAE="), &json!(2)));
    assert_eq!(twin["tags"], json!({"site": "a"}));
    let desired = &twin["properties"]["desired"];
    assert_eq!((&desired["rate"], &desired["$version"]), (&json!(5), &json!(1)));
    assert_eq!(desired["$metadata"]["$lastUpdated"], json!("0001-01-01T00:00:00Z"));
    assert_eq!(desired["$metadata"]["$lastUpdatedVersion"], json!(1));

    let change = |mode: &str, etag: &str| {
        json!([{"id": "t", "importMode": mode, "twinETag": etag,
                "properties": {"desired": {"rate": null, "unit": "s"}}}])
    };
    assert_eq!(failed(bulk(&hub, &change("UpdateTwinIfMatchETag", "x"))), ["PreconditionFailed"]);
    done(&hub, &change("updateTwin", "x"));
    let twin = hub.rest.get("/twins/t").expect(200).json();
    assert_eq!(twin["properties"]["desired"]["unit"], json!("s"));
    assert_eq!(twin["properties"]["desired"].get("rate"), None);

    // An identity whose twin cannot be made comes without it.
    let large = json!([{"id": "u", "importMode": "create", "tags": {"a": "x".repeat(5000)}}]);
    let warned = bulk(&hub, &large).expect(200).json();
    assert_eq!(warned["isSuccessful"], json!(true));
    assert_eq!(warned["warnings"][0]["warningCode"], json!("DeviceRegisteredWithoutTwin"));
    assert_eq!(hub.rest.get("/twins/u").expect(200).json().get("tags"), None);
}

#[test]
fn a_request_that_is_wrong_as_a_whole_changes_nothing() {
    let hub = Hub::start();
    let many: Vec<_> =
        (0..101).map(|n| json!({"id": format!("d{n}"), "importMode": "create"})).collect();
    bulk(&hub, &json!(many)).expect_error(413, "TooManyDevices");
    bulk(&hub, &json!(many[..100])).expect(200);
    let total =
        || hub.rest.get("/statistics/devices").expect(200).json()["totalDeviceCount"].clone();
    assert_eq!(total(), json!(100));

    let create = |id: &str| json!({"id": id, "importMode": "create"});
    let twice = json!([create("x"), create("y"), create("x")]);
    bulk(&hub, &twice).expect_error(400, "DeviceDefinedMultipleTimes");
    for wrong in [json!({}), json!([create("x"), 1]), json!([create("x"), create("a b")])] {
        bulk(&hub, &wrong).expect_error(400, "ArgumentInvalid");
    }
    let unknown = json!([create("x"), {"id": "y", "importMode": "replace"}]);
    bulk(&hub, &unknown).expect_error(400, "ArgumentInvalid");
    hub.rest.send("POST", "/devices", &[], Some("[")).expect_error(400, "ArgumentInvalid");
    assert_eq!(total(), json!(100));
}

#[test]
fn who_is_connected_learns_of_it() {
    let hub = Hub::start();
    let device = hub.device("d");
    let mut connection = hub.connect_twin(&device);
    done(
        &hub,
        &json!([{"id": "d", "importMode": "updateTwin", "properties": {"desired": {"a": 1}}}]),
    );
    let told = connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(told, r#"{"a":1,"$version":2}"#);
    done(&hub, &json!([{"id": "d", "importMode": "update", "status": "disabled"}]));
    connection.expect_closed();
}

#[test]
fn keys_are_renewed_for_many() {
    let hub = Hub::start();
    let device = hub.device("d");
    hub.rest.put("/devices/d/modules/m", "{}").expect(200);
    let x509 = json!({"authentication": {"type": "certificateAuthority"}});
    hub.rest.put("/devices/x", &x509.to_string()).expect(200);
    let before = hub.rest.get("/devices/d").expect(200).json();
    let renew = |body: &Value| {
        let path = "/devices/keys/regenerate?api-version=2024-03-31";
        hub.rest.send("POST", path, &[], Some(&body.to_string()))
    };
    let body = json!({"policyKey": "primaryKey", "devices": [
        {"id": "d"}, {"id": "d", "moduleId": "m"}, {"id": "d", "moduleId": "n"}, {"id": "e"}, {"id": "x"},
    ]});
    let result = renew(&body).expect(200).json();
    assert_eq!(result["policyKey"], json!("primaryKey"));
    let renewed = result["rotatedKeys"].as_array().unwrap();
    assert_eq!(renewed.len(), 2);
    let after = hub.rest.get("/devices/d").expect(200).json();
    let keys = |device: &Value| device["authentication"]["symmetricKey"].clone();
    assert_eq!(renewed[0]["primaryKey"], keys(&after)["primaryKey"]);
    assert_ne!(keys(&after)["primaryKey"], keys(&before)["primaryKey"]);
    assert_eq!(keys(&after)["secondaryKey"], keys(&before)["secondaryKey"]);
    assert_eq!(renewed[1]["moduleId"], json!("m"));
    let errors: Vec<_> = result["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["errorCode"].as_str().unwrap())
        .collect();
    assert_eq!(errors, ["ModuleNotFound", "DeviceNotFound", "ArgumentInvalid"]);

    // The old key lets nobody in any more.
    let mut connection = hub.open();
    connection.send(&device.connect().bytes());
    connection.expect(&[0x20, 2, 0, 5]);

    renew(&json!({"policyKey": "third", "devices": []})).expect_error(400, "InvalidPolicyKey");
    let many = vec![json!({"id": "d"}); 101];
    let many = json!({"policyKey": "primaryKey", "devices": many});
    renew(&many).expect_error(413, "TooManyDevices");
}

#[test]
fn configurations_have_their_say_in_what_comes_in_bulk() {
    let hub = Hub::start();
    let configuration = json!({
        "id": "warm", "targetCondition": "tags.warm = true", "priority": 1,
        "content": {"deviceContent": {"properties.desired.water": {"temperature": 40}}},
    });
    hub.rest.put("/configurations/warm", &configuration.to_string()).expect(200);
    done(&hub, &json!([{"id": "d1", "importMode": "create", "tags": {"warm": true}}]));
    let twin = hub.rest.get("/twins/d1").expect(200).json();
    assert_eq!(twin["properties"]["desired"]["water"]["temperature"], 40);
}
