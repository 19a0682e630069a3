//! Configurations over REST: documents, preconditions, twins that follow, metrics, deployments.

use std::time::{Duration, Instant};

use iothub_tests::Hub;
use iothub_tests::mqtt::PATIENCE;
use iothub_tests::rest::Answer;
use serde_json::{Value, json};

fn put(hub: &Hub, id: &str, if_match: &str, body: &Value) -> Answer {
    let path = format!("/configurations/{id}");
    hub.rest.send("PUT", &path, &[("If-Match", if_match)], Some(&body.to_string()))
}

fn water(id: &str, condition: &str, priority: i64, temperature: i64) -> Value {
    json!({
        "id": id, "schemaVersion": null, "labels": {"a": "b"}, "etag": "*", "priority": priority,
        "content": {"deviceContent": {"properties.desired.water": {"temperature": temperature}}},
        "targetCondition": condition,
        "metrics": {"results": {}, "queries": {
            "warm": "SELECT deviceId FROM devices WHERE properties.desired.water.temperature > 30",
        }},
    })
}

/// Waits until what is read there is as expected.
fn eventually(hub: &Hub, path: &str, pointer: &str, expected: &Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = hub.rest.get(path).expect(200).json();
        let found = found.pointer(pointer).cloned().unwrap_or_default();
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{path} {pointer}: {found}, expected {expected}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_configuration_looks_as_recorded() {
    let hub = Hub::start();
    hub.device("d");
    let body = water("cfg1", "tags.environment='prod'", 10, 38);
    let answer = put(&hub, "cfg1", "", &body).expect(200);
    assert_eq!(answer.header("etag"), Some("\"MQ==\""));
    let found = answer.json();
    let created = found["createdTimeUtc"].as_str().unwrap();
    let warm = &body["metrics"]["queries"]["warm"];
    let expected = json!({
        "id": "cfg1", "schemaVersion": null, "labels": {"a": "b"}, "content": body["content"],
        "targetCondition": "tags.environment='prod'", "createdTimeUtc": created,
        "lastUpdatedTimeUtc": created, "priority": 10,
        "systemMetrics": {
            "results": {"targetedCount": 0, "appliedCount": 0},
            "queries": {
                "targetedCount": "select deviceId from devices where tags.environment='prod'",
                "appliedCount":
                    "select deviceId from devices where configurations.[[cfg1]].status = 'Applied'",
            },
        },
        "metrics": {"results": {"warm": 0}, "queries": {"warm": warm}},
        "etag": "MQ==",
    });
    assert_eq!(found, expected);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(&expected));
    assert_eq!(hub.rest.get("/configurations/cfg1").expect(200).json(), expected);
    assert_eq!(hub.rest.get("/configurations").expect(200).json(), json!([expected]));
}

#[test]
fn preconditions_and_limits_hold() {
    let hub = Hub::start();
    let body = water("c", "*", 1, 1);
    let missing = hub.rest.get("/configurations/c");
    assert_eq!(missing.expect_error(404, "ConfigurationNotFound"), "c");
    put(&hub, "c", "\"*\"", &body).expect_error(404, "ConfigurationNotFound");
    put(&hub, "c", "", &body).expect(200);
    put(&hub, "c", "", &body).expect_error(409, "ConfigurationAlreadyExists");
    put(&hub, "c", "\"MQ==\"", &body).expect(200);
    put(&hub, "c", "\"MQ==\"", &body).expect_error(412, "PreconditionFailed");
    put(&hub, "c", "\"*\"", &water("c", "*", 1, 2))
        .expect_error(400, "CannotModifyImmutableConfigurationContent");
    let delete = |etag| hub.rest.send("DELETE", "/configurations/c", &[("If-Match", etag)], None);
    delete("\"MQ==\"").expect_error(412, "PreconditionFailed");
    assert_eq!(delete("\"*\"").expect(204).body, "");
    delete("\"*\"").expect_error(404, "ConfigurationNotFound");

    for number in 0..100 {
        let id = format!("c{number}");
        put(
            &hub,
            &id,
            "",
            &json!({
                "content": {"deviceContent": {"properties.desired.a": number}},
            }),
        )
        .expect(200);
    }
    put(&hub, "more", "", &water("more", "*", 1, 1))
        .expect_error(413, "ConfigurationCountLimitExceeded");
    let count = |top| {
        let path = format!("/configurations?top={top}&api-version=2021-04-12");
        hub.rest.get(&path).expect(200).json().as_array().unwrap().len()
    };
    assert_eq!((count(5), count(100)), (5, 100));
}

#[test]
fn twins_come_and_go_with_the_condition() {
    let hub = Hub::start();
    let device = hub.device("d");
    let mut connection = hub.connect_twin(&device);
    put(&hub, "low", "", &water("low", "tags.floor >= 1", 1, 20)).expect(200);
    put(&hub, "high", "", &water("high", "tags.floor >= 2", 2, 40)).expect(200);
    let tag = |floor: i64| {
        let body = json!({"tags": {"floor": floor}}).to_string();
        hub.rest.patch("/twins/d", &body).expect(200).json()
    };
    // What a write brings about is part of it.
    let twin = tag(1);
    assert_eq!(twin["properties"]["desired"]["water"], json!({"temperature": 20}));
    assert_eq!(twin["configurations"], json!({"low": {"status": "Applied"}}));
    let told = connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(told, r#"{"water":{"temperature":20},"$version":2}"#);

    let twin = tag(2);
    assert_eq!(twin["properties"]["desired"]["water"], json!({"temperature": 40}));
    let found = hub.rest.get("/configurations/high").expect(200).json();
    assert_eq!(found["systemMetrics"]["results"], json!({"targetedCount": 1, "appliedCount": 1}));
    assert_eq!(found["metrics"]["results"], json!({"warm": 1}));

    hub.rest.delete("/configurations/high").expect(204);
    eventually(&hub, "/twins/d", "/properties/desired/water", &json!({"temperature": 20}));
    let twin = tag(0);
    assert_eq!(twin["properties"]["desired"].get("water"), None);
    assert_eq!(twin.get("configurations"), None);
}

#[test]
fn a_change_of_a_configuration_reaches_twins_that_are_there() {
    let hub = Hub::start();
    hub.device("d");
    put(&hub, "c", "", &water("c", "", 1, 20)).expect(200);
    put(&hub, "c", "*", &water("c", "deviceId = 'd'", 1, 20)).expect(200);
    eventually(&hub, "/twins/d", "/configurations", &json!({"c": {"status": "Applied"}}));
    hub.device("e");
    put(&hub, "c", "*", &water("c", "STARTSWITH(deviceId, 'e')", 1, 20)).expect(200);
    eventually(&hub, "/twins/d", "/configurations", &Value::Null);
    eventually(&hub, "/twins/e", "/properties/desired/water", &json!({"temperature": 20}));
}

#[test]
fn modules_have_configurations_of_their_own() {
    let hub = Hub::start();
    hub.device("d");
    hub.rest.put("/devices/d/modules/m", r#"{"moduleId":"m","deviceId":"d"}"#).expect(200);
    let body = json!({
        "content": {"moduleContent": {"properties.desired.a": 1}},
        "targetCondition": "FROM devices.modules WHERE moduleId = 'm'",
    });
    put(&hub, "c", "", &body).expect(200);
    eventually(&hub, "/twins/d/modules/m", "/properties/desired/a", &json!(1));
    let results = json!({"targetedCount": 1, "appliedCount": 1});
    eventually(&hub, "/configurations/c", "/systemMetrics/results", &results);
}

#[test]
fn edge_devices_get_deployments_and_contents() {
    let hub = Hub::start();
    let edge = json!({"deviceId": "e", "capabilities": {"iotEdge": true}});
    hub.rest.put("/devices/e", &edge.to_string()).expect(200);
    hub.device("leaf");
    let content = |interval: i64| {
        json!({"modulesContent": {
            "$edgeAgent": {"properties.desired": {"modules": {"sensor": {"type": "docker"}}}},
            "$edgeHub": {"properties.desired": {"routes": {}}},
            "sensor": {"properties.desired": {"interval": interval}},
        }})
    };
    let apply = |device: &str, content: &Value| {
        let path = format!("/devices/{device}/applyConfigurationContent");
        hub.rest.send("POST", &path, &[], Some(&content.to_string()))
    };
    apply("leaf", &content(1)).expect_error(400, "InvalidConfigurationContent");
    apply("e", &json!({})).expect_error(400, "InvalidConfigurationContent");
    apply("none", &content(1)).expect_error(404, "DeviceNotFound");
    assert_eq!(apply("e", &content(1)).expect(204).body, "");
    let modules = hub.rest.get("/devices/e/modules").expect(200).json();
    assert_eq!(modules.as_array().unwrap().len(), 3);
    eventually(&hub, "/twins/e/modules/sensor", "/properties/desired/interval", &json!(1));

    put(&hub, "base", "", &json!({"content": content(2), "targetCondition": "*"})).expect(200);
    eventually(&hub, "/twins/e/modules/sensor", "/properties/desired/interval", &json!(2));
    let applied = json!({"base": {"status": "Applied"}});
    eventually(&hub, "/twins/e/modules/$edgeAgent", "/configurations", &applied);
    let results = json!({
        "targetedCount": 1, "appliedCount": 1, "reportedSuccessfulCount": 0, "reportedFailedCount": 0,
    });
    eventually(&hub, "/configurations/base", "/systemMetrics/results", &results);
}

#[test]
fn bad_configurations_are_refused_and_leave_nothing() {
    let hub = Hub::start();
    let with = |name: &str, value: Value| {
        let mut body = water("c", "*", 1, 1);
        body[name] = value;
        body
    };
    let table = [
        (with("targetCondition", json!("tags.a =")), "InvalidConfigurationTargetCondition"),
        (with("targetCondition", json!("(".repeat(8000))), "InvalidConfigurationTargetCondition"),
        (with("content", json!({})), "InvalidConfigurationContent"),
        (with("content", json!({"deviceContent": {"tags.a": 1}})), "InvalidConfigurationContent"),
        (
            with("metrics", json!({"queries": {"m": "SELECT"}})),
            "InvalidConfigurationCustomMetricsQuery",
        ),
        (with("priority", json!(-1)), "ArgumentInvalid"),
        (with("id", json!("other")), "ArgumentInvalid"),
    ];
    for (body, name) in table {
        put(&hub, "c", "", &body).expect_error(400, name);
    }
    put(&hub, "Capital", "", &water("Capital", "*", 1, 1)).expect_error(400, "ArgumentInvalid");
    assert_eq!(hub.rest.get("/configurations").expect(200).json(), json!([]));
}

#[test]
fn queries_are_tested() {
    let hub = Hub::start();
    let body = json!({
        "targetCondition": "tags.a =",
        "customMetricQueries": {"good": "SELECT * FROM devices", "bad": "SELECT"},
    });
    let test = |body: &Value| {
        let body = body.to_string();
        hub.rest.send("POST", "/configurations/testQueries", &[], Some(&body)).expect(200).json()
    };
    let found = test(&body);
    assert!(found["targetConditionError"].as_str().unwrap().contains("SQL query parse failed"));
    let errors = found["customMetricQueryErrors"].as_object().unwrap();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["bad"]);
    let good = test(&json!({"targetCondition": "*", "customMetricQueries": {}}));
    assert_eq!(good, json!({"targetConditionError": null, "customMetricQueryErrors": {}}));
}
