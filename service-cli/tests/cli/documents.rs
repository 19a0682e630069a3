//! `job` and `configuration`: what goes over the wire, and what is printed.

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub};

fn job() -> Value {
    json!({
        "jobId": "j", "type": "scheduleDeviceMethod", "status": "running", "queryCondition": "*",
        "deviceJobStatistics": {
            "deviceCount": 3, "succeededCount": 1, "failedCount": 0, "pendingCount": 2,
        },
    })
}

#[test]
fn a_job_is_created_shown_and_cancelled() {
    let hub = Hub::plain(|_| Answer::json(&job()));
    hub.cli()
        .args(["job", "create", "j", "--method", "reboot", "--payload", "1"])
        .args(["--condition", "tags.a = 1", "--start", "2027-01-01T00:00:00Z"])
        .assert()
        .code(0)
        .stdout(contains("1 of 3 succeeded, 0 failed, 2 pending"));
    hub.cli().args(["job", "show", "j", "-o", "json"]).assert().code(0);
    hub.cli().args(["job", "cancel", "j"]).assert().code(0);
    let [create, show, cancel] = hub.requests().try_into().unwrap();
    assert_eq!(create.line, "PUT /jobs/v2/j?api-version=2021-04-12 HTTP/1.1");
    let body = json!({
        "jobId": "j", "queryCondition": "tags.a = 1", "startTime": "2027-01-01T00:00:00Z",
        "maxExecutionTimeInSeconds": 3600, "type": "scheduleDeviceMethod",
        "cloudToDeviceMethod": {"methodName": "reboot", "payload": 1},
    });
    assert_eq!(create.json(), body);
    assert!(show.line.starts_with("GET /jobs/v2/j?"), "{}", show.line);
    assert!(cancel.line.starts_with("POST /jobs/v2/j/cancel?"), "{}", cancel.line);
}

#[test]
fn jobs_are_listed_page_by_page() {
    let hub = Hub::plain(|request| {
        let mut answer = Answer::json(&json!([job()]));
        if request.header("x-ms-continuation").is_none() {
            answer.headers.push(("x-ms-continuation", "next".to_owned()));
        }
        answer
    });
    let output = hub.cli().args(["job", "list", "--status", "running", "-o", "json"]).assert();
    let printed: Value = serde_json::from_slice(&output.code(0).get_output().stdout).unwrap();
    assert_eq!(printed, json!([job(), job()]));
    let line = hub.requests()[0].line.clone();
    assert!(line.contains("&jobType=&jobStatus=running"), "{line}");
}

#[test]
fn what_is_not_there_is_no() {
    let hub = Hub::plain(|request| {
        let name =
            if request.line.contains("jobs") { "JobNotFound" } else { "ConfigurationNotFound" };
        Answer::error(404, name, "x")
    });
    hub.cli().args(["job", "show", "j"]).assert().code(1);
    hub.cli().args(["configuration", "show", "c"]).assert().code(1);
    hub.cli().args(["job", "cancel", "j"]).assert().code(2);
}

#[test]
fn a_configuration_is_changed_only_as_it_was_read() {
    let document = json!({
        "id": "c", "priority": 1, "targetCondition": "*", "etag": "MQ==",
        "content": {"deviceContent": {"properties.desired.a": 1}},
        "systemMetrics": {"results": {"targetedCount": 5}, "queries": {}},
    });
    let answer = document.clone();
    let hub = Hub::plain(move |request| {
        let is_list = request.line.starts_with("GET /configurations?");
        Answer::json(&if is_list { json!([answer]) } else { answer.clone() })
    });
    hub.cli()
        .args(["configuration", "update", "c", "--priority", "7"])
        .assert()
        .code(0)
        .stdout(contains("targetedCount"));
    hub.cli().args(["configuration", "list"]).assert().code(0).stdout(contains("targeted"));
    hub.cli().args(["configuration", "delete", "c"]).assert().code(0).stdout("deleted c\n");
    let [_, update, list, delete] = hub.requests().try_into().unwrap();
    assert_eq!(update.header("if-match"), Some("\"MQ==\""));
    let mut expected = document;
    expected["priority"] = json!(7);
    assert_eq!(update.json(), expected);
    assert!(list.line.contains("&top=100"), "{}", list.line);
    assert_eq!(delete.header("if-match"), Some("\"*\""));
}
