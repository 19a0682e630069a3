//! Jobs over REST: documents, twins, methods, time, cancelling.

use std::time::{Duration, Instant};

use iothub_tests::Hub;
use iothub_tests::mqtt::{PATIENCE, publish, subscribe};
use iothub_tests::rest::Answer;
use serde_json::{Value, json};

fn put(hub: &Hub, id: &str, body: &Value) -> Answer {
    hub.rest.put(&format!("/jobs/v2/{id}"), &body.to_string())
}

fn update(condition: &str, floor: i64) -> Value {
    json!({
        "type": "scheduleUpdateTwin", "queryCondition": condition,
        "maxExecutionTimeInSeconds": 3600,
        "updateTwin": {"etag": "*", "tags": {"floor": floor},
            "properties": {"desired": {"floor": floor}}},
    })
}

fn job(hub: &Hub, id: &str) -> Value {
    hub.rest.get(&format!("/jobs/v2/{id}")).expect(200).json()
}

/// Waits until the job has ended, and shows it.
fn ended(hub: &Hub, id: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = job(hub, id);
        if matches!(found["status"].as_str(), Some("completed" | "failed" | "cancelled")) {
            return found;
        }
        assert!(Instant::now() < deadline, "{found}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn rows(hub: &Hub, condition: &str) -> Vec<Value> {
    let body = json!({"query": format!("SELECT * FROM devices.jobs WHERE {condition}")});
    let answer = hub.rest.send("POST", "/devices/query", &[], Some(&body.to_string())).expect(200);
    assert_eq!(answer.header("x-ms-item-type"), Some("DeviceJob"));
    answer.json().as_array().unwrap().clone()
}

#[test]
fn a_job_updates_the_twins_that_match() {
    let hub = Hub::start();
    for id in ["a", "b", "c"] {
        hub.device(id);
    }
    let created = put(&hub, "j", &update("deviceId IN ['a', 'b']", 3)).expect(200).json();
    assert_eq!(created["type"], "scheduleUpdateTwin");
    assert_eq!(created["queryCondition"], "deviceId IN ['a', 'b']");
    assert_eq!(created["updateTwin"], update("", 3)["updateTwin"]);
    let found = ended(&hub, "j");
    assert_eq!(found["status"], "completed");
    let statistics = json!({
        "deviceCount": 2, "failedCount": 0, "succeededCount": 2, "runningCount": 0, "pendingCount": 0,
    });
    assert_eq!(found["deviceJobStatistics"], statistics);
    assert!(found["endTime"].as_str().unwrap() >= found["startTime"].as_str().unwrap());
    for (id, floor) in [("a", json!(3)), ("b", json!(3)), ("c", json!(null))] {
        let twin = hub.rest.get(&format!("/twins/{id}")).expect(200).json();
        assert_eq!(twin["properties"]["desired"]["floor"], floor, "{id}");
        assert_eq!(twin["tags"]["floor"], floor, "{id}");
    }
    let found = rows(&hub, "devices.jobs.jobId = 'j' AND devices.jobs.status = 'completed'");
    assert_eq!(found.len(), 2);
    assert_eq!(
        (&found[0]["deviceId"], &found[0]["jobType"]),
        (&json!("a"), &json!("scheduleUpdateTwin"))
    );
    put(&hub, "j", &update("*", 1)).expect_error(409, "JobAlreadyExists");
    hub.rest.get("/jobs/v2/none").expect_error(404, "JobNotFound");
    let cancel = hub.rest.send("POST", "/jobs/v2/j/cancel", &[], None);
    cancel.expect_error(405, "OperationNotAllowedInCurrentState");
}

#[test]
fn a_job_may_wait_for_its_time_and_be_cancelled() {
    let hub = Hub::start();
    hub.device("a");
    let mut body = update("*", 1);
    body["startTime"] = json!("2999-01-01T00:00:00Z");
    let created = put(&hub, "later", &body).expect(200).json();
    assert_eq!(
        (&created["status"], &created["startTime"]),
        (&json!("scheduled"), &body["startTime"])
    );
    let cancelled = hub.rest.send("POST", "/jobs/v2/later/cancel", &[], Some("{}")).expect(200);
    assert_eq!(cancelled.json()["status"], "cancelled");
    put(&hub, "now", &update("*", 2)).expect(200);
    ended(&hub, "now");
    let query = |parameters: &str, headers: &[(&str, &str)]| {
        let path = format!("/jobs/v2/query?api-version=2021-04-12{parameters}");
        hub.rest.send("GET", &path, headers, None).expect(200)
    };
    let ids = |answer: &Answer| {
        let json = answer.json();
        let ids =
            json.as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let all = query("&jobType=&jobStatus=", &[]);
    assert_eq!(all.header("x-ms-item-type"), Some("JobResponse"));
    assert_eq!(ids(&all), ["later", "now"]);
    assert_eq!(ids(&query("&jobType=ScheduleUpdateTwin&jobStatus=Completed", &[])), ["now"]);
    assert_eq!(ids(&query("&jobType=scheduleDeviceMethod", &[])), [""; 0]);
    let first = query("", &[("x-ms-max-item-count", "1")]);
    let token = first.header("x-ms-continuation").unwrap().to_owned();
    let second = query("", &[("x-ms-max-item-count", "1"), ("x-ms-continuation", &token)]);
    assert_eq!((ids(&first), ids(&second)), (vec!["later".to_owned()], vec!["now".to_owned()]));
    assert_eq!(second.header("x-ms-continuation"), None);
}

#[test]
fn a_job_calls_devices_and_waits_for_those_that_are_away() {
    let hub = Hub::start();
    let (near, away) = (hub.device("near"), hub.device("away"));
    let mut connection = hub.connect(&near);
    let listen = |connection: &mut iothub_tests::mqtt::Connection| {
        connection.send(&subscribe(2, &[("$iothub/methods/POST/#", 0)]));
        connection.expect(&[0x90, 3, 0, 2, 0]);
    };
    listen(&mut connection);
    let body = json!({
        "type": "scheduleDeviceMethod", "queryCondition": "*", "maxExecutionTimeInSeconds": 60,
        "cloudToDeviceMethod": {"methodName": "reboot", "payload": {"in": 5}},
    });
    put(&hub, "j", &body).expect(200);
    let payload = connection.expect_publish("$iothub/methods/POST/reboot/?$rid=1");
    assert_eq!(payload, r#"{"in":5}"#);
    connection.send(&publish("$iothub/methods/res/200/?$rid=1", b"{\"ok\":true}"));
    let mut late = hub.connect(&away);
    listen(&mut late);
    late.expect_publish("$iothub/methods/POST/reboot/?$rid=1");
    late.send(&publish("$iothub/methods/res/501/?$rid=1", b"null"));
    assert_eq!(ended(&hub, "j")["deviceJobStatistics"]["succeededCount"], 2);
    let found = rows(&hub, "devices.jobs.jobId = 'j'");
    let outcome = |row: &Value| row["outcome"]["deviceMethodResponse"].clone();
    assert_eq!(outcome(&found[0]), json!({"status": 501, "payload": null}));
    assert_eq!(outcome(&found[1]), json!({"status": 200, "payload": {"ok": true}}));
}

#[test]
fn devices_that_do_not_come_in_time_have_failed() {
    let hub = Hub::start();
    hub.device("away");
    let body = json!({
        "type": "scheduleDeviceMethod", "queryCondition": "*", "maxExecutionTimeInSeconds": 1,
        "cloudToDeviceMethod": {"methodName": "reboot"},
    });
    put(&hub, "j", &body).expect(200);
    let found = ended(&hub, "j");
    assert_eq!(found["status"], "completed");
    assert_eq!(found["deviceJobStatistics"]["failedCount"], 1);
    let row = &rows(&hub, "jobId = 'j'")[0];
    assert_eq!(
        (&row["status"], &row["error"]["code"]),
        (&json!("failed"), &json!("GenericTimeout"))
    );
}

#[test]
fn a_method_job_stops_at_once_when_it_is_cancelled() {
    let hub = Hub::start();
    hub.device("away");
    let body = json!({
        "type": "scheduleDeviceMethod", "queryCondition": "*",
        "cloudToDeviceMethod": {"methodName": "m", "connectTimeoutInSeconds": 100},
    });
    put(&hub, "j", &body).expect(200);
    while job(&hub, "j")["status"] != "running" {
        std::thread::sleep(Duration::from_millis(5));
    }
    hub.rest.send("POST", "/jobs/v2/j/cancel", &[], None).expect(200);
    assert_eq!(job(&hub, "j")["status"], "cancelled");
    assert_eq!(rows(&hub, "jobId = 'j'")[0]["status"], "canceled");
    // Nothing is called any more when the device comes.
    let mut connection = hub.connect(&hub.device("x"));
    connection.expect_silence(Duration::from_millis(50));
}

#[test]
fn bad_jobs_are_refused() {
    let hub = Hub::start();
    let table = [
        json!({}),
        update("SELECT * FROM devices", 1),
        update("tags.a =", 1),
        json!({"type": "scheduleUpdateTwin", "updateTwin": {"etag": "x"}}),
    ];
    for body in table {
        put(&hub, "j", &body).expect_error(400, "ArgumentInvalid");
    }
    hub.rest.get("/jobs/v2/j").expect_error(404, "JobNotFound");
}
