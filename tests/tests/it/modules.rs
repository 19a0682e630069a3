//! Modules: their identities and twins, what they connect as, and what becomes of them with their
//! device.

use iothub_core::auth::sas;
use iothub_core::event::SystemProperty;
use iothub_tests::mqtt::{
    ACCEPTED, Connect, Connection, NOT_AUTHORIZED, UNAVAILABLE, publish, publish_with, subscribe,
};
use iothub_tests::rest::Answer;
use iothub_tests::{FAR_FUTURE, Hub, key, subscribe_twin};
use iothub_wire::connection_string::encode;
use serde_json::{Value, json};

const MODULE: &str = "/devices/d1/modules/m1";

fn send(hub: &Hub, method: &str, path: &str, if_match: &str, body: Option<&Value>) -> Answer {
    let body = body.map(ToString::to_string);
    hub.rest.send(method, path, &[("If-Match", if_match)], body.as_deref())
}

fn keys(first: u8, second: u8) -> Value {
    json!({"type": "sas", "symmetricKey": {
        "primaryKey": key(first).as_base64(), "secondaryKey": key(second).as_base64()}})
}

/// A hub with the device `d1`, whose keys are 1 and 2, and its module `m1`, whose keys are 5 and 6.
fn hub() -> Hub {
    let hub = Hub::start();
    hub.device("d1");
    let body = json!({"deviceId": "d1", "moduleId": "m1", "authentication": keys(5, 6)});
    hub.rest.put(MODULE, &body.to_string()).expect(200);
    hub
}

/// CONNECT of a module whose token is signed with the key of this fill.
fn connect(hub: &Hub, device: &str, module: &str, fill: u8) -> Connect {
    let host = hub.host();
    let resource = format!("{host}/devices/{device}/modules/{module}");
    let token = sas::sign(&encode(&resource), FAR_FUTURE, None, &key(fill));
    let user = format!("{host}/{device}/{module}/?api-version=2021-04-12");
    Connect::new(&format!("{device}/{module}"), &user, &token)
}

fn connected(hub: &Hub) -> Connection {
    hub.connect_as(&connect(hub, "d1", "m1", 5), ACCEPTED)
}

#[test]
fn a_new_module_is_shown_as_recorded() {
    let hub = Hub::start();
    hub.device("d1");
    let body = json!({"moduleId": "m1", "deviceId": "d1", "authentication": keys(5, 6)});
    let answer = hub.rest.put(MODULE, &body.to_string()).expect(200);
    assert_eq!(answer.header("etag"), None);
    let module = answer.json();
    let expected = format!(
        concat!(
            r#"{{"moduleId":"m1","managedBy":null,"deviceId":"d1","generationId":{},"etag":{},"#,
            r#""connectionState":"Disconnected","#,
            r#""connectionStateUpdatedTime":"0001-01-01T00:00:00","#,
            r#""lastActivityTime":"0001-01-01T00:00:00","cloudToDeviceMessageCount":0,"#,
            r#""authentication":{{"symmetricKey":{{"primaryKey":"{}","secondaryKey":"{}"}},"#,
            r#""x509Thumbprint":{{"primaryThumbprint":null,"secondaryThumbprint":null}},"type":"sas"}}}}"#,
        ),
        module["generationId"],
        module["etag"],
        key(5).as_base64(),
        key(6).as_base64(),
    );
    assert_eq!(answer.body, expected);
    let answer = hub.rest.get(MODULE).expect(200);
    assert_eq!(answer.header("etag"), None);
    assert_eq!(answer.json()["lastActivityTime"], json!("0001-01-01T00:00:00Z"));
    let list = hub.rest.get("/devices/d1/modules").expect(200).json();
    assert_eq!(list, json!([answer.json()]));
}

#[test]
fn a_module_is_created_once_and_then_updated_by_its_etag() {
    let hub = hub();
    // A create of what exists answers in the newer form of errors.
    let taken = hub.rest.put(MODULE, "{}").expect(409);
    assert_eq!(taken.header("iothub-errorcode"), Some("ModuleAlreadyExistsOnDevice"));
    let error = taken.json();
    assert_eq!(error["errorCode"], json!(409_301));
    assert!(error["message"].as_str().unwrap().contains("already contains Module m1"), "{error}");
    assert!(error["trackingId"].is_string() && error["timestampUtc"].is_string(), "{error}");

    let before = hub.rest.get(MODULE).expect(200).json();
    let etag = format!("\"{}\"", before["etag"].as_str().unwrap());
    let managed = json!({"managedBy": "me"});
    let after = send(&hub, "PUT", MODULE, &etag, Some(&managed)).expect(200).json();
    assert_eq!(after["managedBy"], json!("me"));
    assert_ne!(after["etag"], before["etag"]);
    assert_eq!(after["generationId"], before["generationId"]);
    // What a body leaves out of the authentication stays.
    assert_eq!(after["authentication"], before["authentication"]);
    send(&hub, "PUT", MODULE, &etag, Some(&managed)).expect_error(412, "PreconditionFailed");
    for star in ["*", "\"*\""] {
        send(&hub, "PUT", MODULE, star, Some(&json!({}))).expect(200);
    }
    send(&hub, "PUT", MODULE, "\"\"", Some(&json!({}))).expect(409);
    send(&hub, "DELETE", MODULE, &etag, None).expect_error(412, "PreconditionFailed");
    let etag = hub.rest.get(MODULE).expect(200).json()["etag"].as_str().unwrap().to_owned();
    // Java sends tags without their quotes.
    send(&hub, "DELETE", MODULE, &etag, None).expect(204);
    hub.rest.get(MODULE).expect_error(404, "ModuleNotFound");
}

#[test]
fn what_is_missing_is_named() {
    let hub = hub();
    let table = [
        ("GET", "/devices/d1/modules/no", "ModuleNotFound"),
        ("DELETE", "/devices/d1/modules/no", "ModuleNotFound"),
        ("GET", "/twins/d1/modules/no", "ModuleNotFound"),
        ("GET", "/devices/no/modules/m1", "DeviceNotFound"),
        ("GET", "/devices/no/modules", "DeviceNotFound"),
        ("DELETE", "/devices/no/modules/m1", "DeviceNotFound"),
        ("GET", "/twins/no/modules/m1", "DeviceNotFound"),
    ];
    for (method, path, name) in table {
        send(&hub, method, path, "*", None).expect_error(404, name);
    }
    let body = Some(json!({}));
    let put = |path| send(&hub, "PUT", path, "*", body.as_ref());
    put("/devices/d1/modules/no").expect_error(404, "ModuleNotFound");
    hub.rest.put("/devices/no/modules/m1", "{}").expect_error(404, "DeviceNotFound");
    hub.rest.put("/devices/d1/modules/a%20b", "{}").expect_error(400, "ArgumentInvalid");
    let other = json!({"moduleId": "m2"});
    hub.rest.put("/devices/d1/modules/m3", &other.to_string()).expect_error(400, "ArgumentInvalid");
}

#[test]
fn a_device_has_fifty_modules_at_most() {
    let hub = Hub::start();
    hub.device("d1");
    for number in 0..50 {
        hub.rest.put(&format!("/devices/d1/modules/m{number}"), "{}").expect(200);
    }
    hub.rest.put("/devices/d1/modules/x", "{}").expect_error(413, "TooManyModulesOnDevice");
    let list = hub.rest.get("/devices/d1/modules").expect(200).json();
    assert_eq!(list.as_array().unwrap().len(), 50);
    send(&hub, "DELETE", "/devices/d1/modules/m0", "*", None).expect(204);
    hub.rest.put("/devices/d1/modules/x", "{}").expect(200);
}

#[test]
fn names_of_operations_and_legal_characters_are_names() {
    let hub = Hub::start();
    for device in ["keys", "query", "a:b+c%_#*?!(),=@$'"] {
        let id = encode(device);
        hub.rest.put(&format!("/devices/{id}"), "{}").expect(200);
        let path = format!("/devices/{id}/modules/{id}");
        assert_eq!(hub.rest.put(&path, "{}").expect(200).json()["moduleId"], json!(device));
        hub.rest.get(&format!("/twins/{id}/modules/{id}")).expect(200);
        let list = hub.rest.get(&format!("/devices/{id}/modules")).expect(200).json();
        assert_eq!(list[0]["moduleId"], json!(device));
    }
}

#[test]
fn system_modules_are_the_services_own() {
    let hub = Hub::start();
    let edge = json!({"capabilities": {"iotEdge": true}});
    hub.rest.put("/devices/edge", &edge.to_string()).expect(200);
    let list = hub.rest.get("/devices/edge/modules").expect(200).json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|module| &module["moduleId"]).collect();
    assert_eq!(names, ["$edgeAgent", "$edgeHub"]);
    assert_eq!(list[0]["managedBy"], json!("iotEdge"));
    for name in ["$edgeAgent", "%24edgeHub"] {
        let path = format!("/devices/edge/modules/{name}");
        let code = "SystemModuleModifyUnauthorizedAccess";
        hub.rest.put(&path, "{}").expect_error(401, code);
        send(&hub, "PUT", &path, "*", Some(&json!({}))).expect_error(401, code);
        send(&hub, "DELETE", &path, "*", None).expect_error(401, code);
        // Their twins are for the back end to write.
        let twin = json!({"properties": {"desired": {"a": 1}}});
        hub.rest.patch(&format!("/twins/edge/modules/{name}"), &twin.to_string()).expect(200);
    }
    // A device becomes an edge device later, too.
    hub.device("late");
    send(&hub, "PUT", "/devices/late", "*", Some(&edge)).expect(200);
    hub.rest.get("/devices/late/modules/$edgeHub").expect(200);
    send(&hub, "DELETE", "/devices/edge", "*", None).expect(204);
    hub.rest.get("/devices/edge/modules").expect_error(404, "DeviceNotFound");
}

#[test]
fn scopes_are_those_of_edge_devices() {
    let hub = Hub::start();
    let edge = json!({"capabilities": {"iotEdge": true}});
    let scope_of = |name: &str, body: &Value| {
        let made = hub.rest.put(&format!("/devices/{name}"), &body.to_string()).expect(200).json();
        made["deviceScope"].as_str().unwrap().to_owned()
    };
    let parent = scope_of("parent", &edge);
    // An edge device below another one has a scope of its own, and the parent's beside it.
    let below = json!({"capabilities": {"iotEdge": true}, "parentScopes": [parent]});
    let child = scope_of("child", &below);
    assert!(child.starts_with("ms-azure-iot-edge://child-"), "{child}");
    let shown = hub.rest.get("/devices/child").expect(200).json();
    assert_eq!(shown["parentScopes"], json!([parent]));
    // A leaf device lives in the scope that it is given, and can move and leave.
    assert_eq!(scope_of("leaf", &json!({"deviceScope": child})), child);
    let moved = send(&hub, "PUT", "/devices/leaf", "*", Some(&json!({"deviceScope": parent})));
    assert_eq!(moved.expect(200).json()["parentScopes"], json!([parent]));
    let left = send(&hub, "PUT", "/devices/leaf", "*", Some(&json!({}))).expect(200).json();
    assert_eq!(left.get("deviceScope"), None);
    // A scope of another generation, of a device that is no edge device, or none at all.
    hub.device("plain");
    let wrong = [
        "ms-azure-iot-edge://parent-1",
        "ms-azure-iot-edge://plain-1",
        "ms-azure-iot-edge://nobody-1",
        "parent",
    ];
    for scope in wrong {
        for body in [json!({"deviceScope": scope}), json!({"parentScopes": [scope]})] {
            let put = hub.rest.put("/devices/lost", &body.to_string());
            put.expect_error(400, "InvalidDeviceScope");
            let put = send(&hub, "PUT", "/devices/leaf", "*", Some(&body));
            put.expect_error(400, "InvalidDeviceScope");
        }
    }
    // An edge device that sends its own scope back keeps it.
    let same = json!({"capabilities": {"iotEdge": true}, "deviceScope": parent});
    let same = send(&hub, "PUT", "/devices/parent", "*", Some(&same)).expect(200).json();
    assert_eq!(same["deviceScope"], json!(parent));
}

#[test]
fn a_module_has_a_twin_on_both_sides() {
    let hub = hub();
    let mut module = connected(&hub);
    subscribe_twin(&mut module);
    module.send(&publish("$iothub/twin/GET/?$rid=1", b""));
    let twin = module.expect_publish("$iothub/twin/res/200/?$rid=1");
    assert_eq!(twin, r#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
    let report = publish("$iothub/twin/PATCH/properties/reported/?$rid=2", b"{\"r\":1}");
    module.send(&report);
    module.expect_publish("$iothub/twin/res/204/?$rid=2&$version=2");
    let path = "/twins/d1/modules/m1";
    let patch = json!({"tags": {"t": 1}, "properties": {"desired": {"k": 2}}});
    let shown = hub.rest.patch(path, &patch.to_string()).expect(200);
    assert_eq!(shown.header("etag"), None);
    let shown = shown.json();
    assert_eq!((&shown["deviceId"], &shown["moduleId"]), (&json!("d1"), &json!("m1")));
    assert_eq!(shown["properties"]["reported"]["r"], json!(1));
    assert_eq!(shown["connectionState"], json!("Connected"));
    let told = module.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(told, r#"{"k":2,"$version":2}"#);
    send(&hub, "PATCH", path, "\"AAAAAAAAAAE=\"", Some(&patch))
        .expect_error(412, "PreconditionFailed");
    let whole = json!({"properties": {"desired": {"n": 3}}});
    hub.rest.put(path, &whole.to_string()).expect(200);
    let told = module.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=3");
    assert_eq!(told, r#"{"k":null,"n":3,"$version":3}"#);
    // The device's own twin is another one.
    let device = hub.rest.get("/twins/d1").expect(200).json();
    assert_eq!((device.get("moduleId"), device.get("tags")), (None, None));
    assert_eq!(device["connectionState"], json!("Disconnected"));
}

#[test]
fn every_filter_that_an_sdk_subscribes_to_is_granted() {
    let hub = hub();
    let mut module = connected(&hub);
    let filters = [
        ("devices/d1/modules/m1/inputs/#", 1, 1),
        ("devices/d1/modules/m1/#", 0, 0),
        ("devices/d1/modules/m1/#", 1, 1),
        ("$iothub/twin/res/#", 0, 0),
        ("$iothub/twin/PATCH/properties/desired/#", 0, 0),
        ("$iothub/methods/POST/#", 0, 0),
        ("devices/d1/modules/m1/inputs/#", 2, 1),
    ];
    for (filter, asked, granted) in filters {
        module.send(&subscribe(7, &[(filter, asked)]));
        let answer = module.read();
        assert_eq!(answer.body(), [0, 7, granted], "{filter}");
    }
    module.expect_alive();
}

#[test]
fn an_output_of_a_module_is_an_event() {
    let hub = hub();
    let mut module = connected(&hub);
    let topic = "devices/d1/modules/m1/messages/events/%24.on=alerts&%24.mid=1&level=high";
    module.send(&publish_with(0x32, 3, topic, b"hot"));
    module.expect(&[0x40, 2, 0, 3]);
    let events = hub.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.sender.to_string(), "d1/m1");
    assert_eq!(&event.message.body[..], b"hot");
    let system = |wanted| {
        let mut properties = event.message.system.iter();
        properties.find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
    };
    assert_eq!(system(SystemProperty::OutputName), Some("alerts"));
    assert_eq!(system(SystemProperty::MessageId), Some("1"));
    assert_eq!(event.message.application, [("level".to_owned(), Some("high".to_owned()))]);
    // In another's name it sends nothing: neither in its device's nor in another module's.
    for foreign in ["devices/d1/messages/events/", "devices/d1/modules/m2/messages/events/"] {
        let mut module = connected(&hub);
        module.send(&publish_with(0x32, 4, foreign, b"x"));
        module.expect_closed();
    }
    assert_eq!(hub.events().len(), 1);
}

#[test]
fn a_module_connects_with_its_own_keys() {
    let hub = hub();
    for (fill, answer) in [(5, ACCEPTED), (6, ACCEPTED), (1, NOT_AUTHORIZED), (7, NOT_AUTHORIZED)] {
        hub.connect_as(&connect(&hub, "d1", "m1", fill), answer);
    }
    hub.connect_as(&connect(&hub, "d1", "no", 5), NOT_AUTHORIZED);
    hub.connect_as(&connect(&hub, "no", "m1", 5), NOT_AUTHORIZED);
    // A module's token opens nothing but the module: not its device.
    let host = hub.host();
    let token =
        sas::sign(&encode(&format!("{host}/devices/d1/modules/m1")), FAR_FUTURE, None, &key(5));
    let user = format!("{host}/d1/?api-version=2021-04-12");
    hub.connect_as(&Connect::new("d1", &user, &token), NOT_AUTHORIZED);
    // Device and module are connected side by side.
    let device = iothub_tests::Device { id: "d1".to_owned(), host: host.to_owned() };
    let mut device = hub.connect(&device);
    let mut module = connected(&hub);
    device.expect_alive();
    module.expect_alive();
    let mut again = connected(&hub);
    module.expect_closed();
    device.expect_alive();
    again.expect_alive();
}

#[test]
fn a_disabled_device_locks_its_modules_out() {
    let hub = hub();
    let mut module = connected(&hub);
    let disabled = json!({"status": "disabled"});
    send(&hub, "PUT", "/devices/d1", "*", Some(&disabled)).expect(200);
    module.expect_closed();
    hub.connect_as(&connect(&hub, "d1", "m1", 5), UNAVAILABLE);
    let enabled = json!({"status": "enabled"});
    send(&hub, "PUT", "/devices/d1", "*", Some(&enabled)).expect(200);
    connected(&hub).expect_alive();
}

#[test]
fn what_is_deleted_is_disconnected() {
    let hub = hub();
    let mut module = connected(&hub);
    send(&hub, "DELETE", MODULE, "*", None).expect(204);
    module.expect_closed();
    hub.connect_as(&connect(&hub, "d1", "m1", 5), NOT_AUTHORIZED);

    let body = json!({"authentication": keys(5, 6)});
    hub.rest.put(MODULE, &body.to_string()).expect(200);
    let mut module = connected(&hub);
    send(&hub, "DELETE", "/devices/d1", "*", None).expect(204);
    module.expect_closed();
    hub.rest.get(MODULE).expect_error(404, "DeviceNotFound");
    // A device of the same name comes without the modules of the old one.
    hub.device("d1");
    hub.rest.get(MODULE).expect_error(404, "ModuleNotFound");
    hub.connect_as(&connect(&hub, "d1", "m1", 5), NOT_AUTHORIZED);
}
