//! `module` and `twin --module`: what goes over the wire, and what is printed.

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, KEY, Request};

fn module() -> Value {
    json!({
        "moduleId": "m", "managedBy": "me", "deviceId": "d", "generationId": "1", "etag": "MQ==",
        "connectionState": "Disconnected", "lastActivityTime": "0001-01-01T00:00:00Z",
        "authentication": {"type": "sas", "symmetricKey": {
            "primaryKey": "p", "secondaryKey": "s"}},
    })
}

fn hub() -> Hub {
    Hub::plain(|request: &Request| match request.line.as_str() {
        line if line.contains("/modules?") => Answer::json(&json!([module()])),
        line if line.contains("/twins/") => Answer::json(&json!({
            "deviceId": "d", "moduleId": "m", "etag": "AAAAAAAAAAE=", "version": 2,
            "properties": {"desired": {"a": 1}, "reported": {}},
        })),
        _ => Answer::json(&module()),
    })
}

/// The method and the path of the last request.
fn last(hub: &Hub) -> (String, Request) {
    let request = hub.requests().last().unwrap().clone();
    let line = request.line.split('?').next().unwrap().to_owned();
    (line, request)
}

#[test]
fn a_module_is_created_changed_and_deleted() {
    let hub = hub();
    hub.cli().args(["module", "create", "d", "m", "--managed-by", "me"]).assert().code(0);
    let (line, request) = last(&hub);
    assert_eq!(line, "PUT /devices/d/modules/m");
    assert_eq!(request.header("if-match"), None);
    let expected = json!({"deviceId": "d", "moduleId": "m", "managedBy": "me",
                          "authentication": {"type": "sas"}});
    assert_eq!(request.json(), expected);

    let update = ["module", "update", "d", "m", "--managed-by", "", "--primary-key", KEY];
    hub.cli().args(update).assert().code(0);
    let (line, request) = last(&hub);
    assert_eq!(line, "PUT /devices/d/modules/m");
    assert_eq!(request.header("if-match"), Some("\"MQ==\""));
    assert_eq!(request.json()["managedBy"], Value::Null);
    let keys = &request.json()["authentication"]["symmetricKey"];
    assert_eq!(keys, &json!({"primaryKey": KEY, "secondaryKey": "s"}));

    let delete = hub.cli().args(["module", "delete", "d", "$m"]).assert().code(0);
    delete.stdout("deleted d/$m\n");
    assert_eq!(last(&hub).0, "DELETE /devices/d/modules/%24m");
}

#[test]
fn modules_are_shown() {
    let hub = hub();
    let shown = hub.cli().args(["module", "show", "d", "m"]).assert().code(0);
    shown.stdout(contains("managed by")).stdout(contains("primary key"));
    let listed = hub.cli().args(["module", "list", "d", "-o", "json"]).assert().code(0);
    let printed: Value = serde_json::from_slice(&listed.get_output().stdout).unwrap();
    assert_eq!(printed, json!([module()]));
    let listed = hub.cli().args(["module", "list", "d"]).assert().code(0);
    listed.stdout(contains("m       me"));
    let text = hub.cli().args(["module", "connection-string", "d", "m"]).assert().code(0);
    text.stdout(contains(";DeviceId=d;ModuleId=m;SharedAccessKey=p"));
}

#[test]
fn the_twin_of_a_module_is_another_one() {
    let hub = hub();
    let shown = hub.cli().args(["twin", "show", "d", "--module", "m"]).assert().code(0);
    shown.stdout(contains("module"));
    assert_eq!(last(&hub).0, "GET /twins/d/modules/m");
    let update = ["twin", "update", "d", "--module", "m", "--desired", "{\"a\":1}"];
    hub.cli().args(update).assert().code(0);
    assert_eq!(last(&hub).0, "PATCH /twins/d/modules/m");
    let replace = ["twin", "replace", "d", "--module", "m", "--tags", "{}"];
    hub.cli().args(replace).assert().code(0);
    assert_eq!(last(&hub).0, "PUT /twins/d/modules/m");
}

#[test]
fn no_such_module_is_an_answer_and_nothing_to_do_an_error() {
    let hub = Hub::plain(|_| Answer::error(404, "ModuleNotFound", "d/m"));
    hub.cli().args(["module", "show", "d", "m"]).assert().code(1);
    hub.cli().args(["module", "connection-string", "d", "m"]).assert().code(1);
    hub.cli().args(["twin", "show", "d", "--module", "m"]).assert().code(1);
    hub.cli().args(["module", "update", "d", "m", "--managed-by", "x"]).assert().code(2);
    let nothing = hub.cli().args(["module", "update", "d", "m"]).assert().code(2);
    nothing.stderr(contains("nothing to change"));
    let one = hub.cli().args(["module", "create", "d", "m", "--primary-key", KEY]).assert().code(2);
    one.stderr(contains("both keys"));
}
