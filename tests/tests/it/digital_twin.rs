//! Digital twins: what a Plug and Play device announces, reports and answers, as back ends see it.

use iothub_tests::mqtt::{ACCEPTED, Connection, publish, subscribe};
use iothub_tests::{Device, Hub, subscribe_twin};
use serde_json::{Value, json};

const MODEL: &str = "dtmi:com:example:Thermostat;1";

/// Connects a device that announces [`MODEL`], and subscribes it to everything.
fn connect(hub: &Hub, device: &Device) -> Connection {
    let query = "2021-04-12&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1";
    let mut connection = hub.connect_as(&device.connect_of(query), ACCEPTED);
    subscribe_twin(&mut connection);
    connection.send(&subscribe(3, &[("$iothub/methods/POST/#", 0)]));
    connection.expect(&[0x90, 3, 0, 3, 0]);
    connection
}

fn report(connection: &mut Connection, patch: &Value) {
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    connection.send(&publish(topic, patch.to_string().as_bytes()));
    assert!(connection.read().publish().topic.starts_with("$iothub/twin/res/204/"));
}

#[test]
fn the_model_that_a_device_announces_is_kept() {
    let hub = Hub::start();
    let device = hub.device("d1");
    assert_eq!(hub.twin(&device)["modelId"], "");
    connect(&hub, &device).cut();
    let twin = hub.twin(&device);
    assert_eq!(twin["modelId"], MODEL);
    assert_eq!((&twin["etag"], &twin["version"]), (&json!("AAAAAAAAAAE="), &json!(2)));
    hub.connect(&device);
    assert_eq!(hub.twin(&device)["modelId"], MODEL);
    let digital = hub.rest.get("/digitaltwins/d1").expect(200);
    assert_eq!(digital.header("etag"), Some("\"AAAAAAAAAAE=\""));
    assert_eq!(digital.json(), json!({"$dtId": "d1", "$metadata": {"$model": MODEL}}));
    let query = json!({"query": format!("SELECT deviceId FROM devices WHERE modelId = '{MODEL}'")});
    hub.device("d2");
    let found = hub.rest.send("POST", "/devices/query", &[], Some(&query.to_string())).expect(200);
    assert_eq!(found.json(), json!([{"deviceId": "d1"}]));
    let old = hub.rest.get("/twins/d1?api-version=2020-03-13").expect(200);
    assert_eq!(old.json().get("modelId"), None);
}

#[test]
fn a_patch_is_desired_and_acknowledged() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = connect(&hub, &device);
    report(&mut connection, &json!({"serial": "a", "t1": {"__t": "c", "max": 25.3}}));
    let patch = json!([{"op": "add", "path": "/t1/target", "value": 21.4}]).to_string();
    let answer = hub.rest.patch("/digitaltwins/d1", &patch).expect(202);
    assert_eq!(answer.header("etag"), Some("\"AAAAAAAAAAI=\""));
    assert_eq!(answer.header("location"), Some("/digitaltwins/d1"));
    assert_eq!(answer.body, "");
    let told = connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(told, r#"{"t1":{"__t":"c","target":21.4},"$version":2}"#);
    let acknowledged = json!({"value": 21.4, "ac": 200, "av": 2, "ad": "ok"});
    report(&mut connection, &json!({"t1": {"__t": "c", "target": acknowledged}}));
    let digital = hub.rest.get("/digitaltwins/d1").expect(200).json();
    assert_eq!(digital["serial"], "a");
    assert_eq!(digital["t1"]["target"], 21.4);
    let about = digital["t1"]["$metadata"]["target"].as_object().unwrap();
    let names: Vec<_> = about.keys().collect();
    let expected = [
        "desiredValue",
        "desiredVersion",
        "ackVersion",
        "ackCode",
        "ackDescription",
        "lastUpdateTime",
    ];
    assert_eq!(names, expected);
    assert_eq!((&about["desiredVersion"], &about["ackCode"]), (&json!(2), &json!(200)));
}

#[test]
fn patches_that_are_none_change_nothing() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let path = "/digitaltwins/d1";
    let table = [
        ("", "ArgumentNull"),
        ("{", "ArgumentInvalid"),
        ("{}", "InvalidDigitalTwinPatch"),
        (r#"[{"op":"add","path":"a","value":1}]"#, "InvalidDigitalTwinPatchPath"),
        (r#"[{"op":"add","path":"/a","value":[1]}]"#, "InvalidDigitalTwinPatch"),
    ];
    for (body, name) in table {
        hub.rest.patch(path, body).expect_error(400, name);
    }
    let patch = r#"[{"op":"add","path":"/a","value":1}]"#;
    let stale = hub.rest.send("PATCH", path, &[("If-Match", "\"AAAAAAAAAAk=\"")], Some(patch));
    stale.expect_error(412, "PreconditionFailed");
    assert_eq!(hub.twin(&device)["version"], 2);
    hub.desire(&device, r#"{"list":[1]}"#);
    let told = hub.rest.patch(path, r#"[{"op":"remove","path":"/list"}]"#);
    let told = told.expect_error(400, "ArgumentInvalid");
    assert!(told.starts_with("'list' exists within the device twin"), "{told}");
    hub.rest.get("/digitaltwins/none").expect_error(404, "DeviceNotFound");
    hub.rest.patch("/digitaltwins/none", patch).expect_error(404, "DeviceNotFound");
}

#[test]
fn commands_are_methods() {
    let hub = Hub::start();
    let mut connection = connect(&hub, &hub.device("d1"));
    let table = [
        ("/digitaltwins/d1/commands/reboot", "reboot", Some("5"), "5"),
        ("/DigitalTwins/d1/Components/t1/Commands/getMax", "t1*getMax", None, "null"),
    ];
    for (index, (path, method, body, payload)) in table.into_iter().enumerate() {
        let rid = index + 1;
        let path = format!("{path}?api-version=2020-09-30&responseTimeoutInSeconds=10");
        let answer = std::thread::scope(|scope| {
            let rest = &hub.rest;
            let caller = scope.spawn(move || match body {
                Some(body) => rest.send("POST", &path, &[], Some(body)),
                None => rest.send("POST", &path, &[], Some("")),
            });
            let topic = format!("$iothub/methods/POST/{method}/?$rid={rid}");
            assert_eq!(connection.expect_publish(&topic), payload);
            let topic = format!("$iothub/methods/res/404/?$rid={rid}");
            connection.send(&publish(&topic, b"{\"a\":1}"));
            caller.join().unwrap()
        });
        let answer = answer.expect(200);
        assert_eq!(answer.header("x-ms-command-statuscode"), Some("404"));
        assert_eq!(answer.body, "{\"a\":1}");
    }
    hub.device("d2");
    let offline = hub.rest.send("POST", "/digitaltwins/d2/commands/m", &[], Some("null"));
    let offline = offline.expect(404);
    assert_eq!(offline.header("iothub-errorcode"), Some("DeviceNotOnline"));
    assert!(offline.body.contains(r#"\"errorCode\":404103"#), "{offline:?}");
    let path = "/digitaltwins/d1/commands/m?api-version=2020-09-30&connectTimeoutInSeconds=x";
    hub.rest.send("POST", path, &[], Some("")).expect_error(400, "ArgumentInvalid");
}
