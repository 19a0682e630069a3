//! `configure`: asking, waiting, and the three ways in which it ends.

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, Request};

/// A hub with one device, which reports what is desired after so many looks at its twin.
fn hub(looks_until_done: u32) -> Hub {
    let (mut version, mut etag, mut looks) = (4_u64, 1_u64, 0);
    let mut desired = json!({"$version": 1});
    let mut reported = json!({"configId": 1, "sendFrequency": "24h", "$version": 2});
    Hub::plain(move |request: &Request| {
        if request.line.starts_with("PATCH") {
            // Another back end was faster the first time.
            if etag == 1 {
                etag += 1;
                if request.header("If-Match").is_some() {
                    return Answer::error(412, "PreconditionFailed", "ETag mismatch");
                }
            }
            desired = request.json()["properties"]["desired"].clone();
            version += 1;
        } else if desired.get("configId").is_some() {
            looks += 1;
            if looks == looks_until_done {
                reported = desired.clone();
                version += 1;
            }
        }
        Answer::json(&json!({
            "deviceId": "d", "etag": etag.to_string(), "version": version,
            "connectionState": "Connected",
            "properties": {"desired": desired, "reported": reported},
        }))
    })
}

#[test]
fn a_device_that_agrees_is_a_yes() {
    let hub = hub(3);
    let output = hub.cli().args(["configure", "d", "5m"]).assert().code(0);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for expected in [
        "twin of d before\n{\n",
        "asked for configId 2, sendFrequency \"5m\"; waiting up to 30s\n",
        "  device reports configId 2, sendFrequency \"5m\"\n",
        "agreed after 0.",
        "-       \"configId\": 1,\n",
        "+       \"sendFrequency\": \"5m\"\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains("not connected"), "{text}");
    assert!(!text.contains('\x1b'), "a pipe has no colours: {text:?}");
    // The first attempt was refused, since the twin had changed after it was read.
    let patches: Vec<Request> =
        hub.requests().into_iter().filter(|it| it.line.starts_with("PATCH")).collect();
    let preconditions: Vec<_> = patches.iter().map(|it| it.header("If-Match")).collect();
    assert_eq!(preconditions, [Some("\"1\""), Some("\"2\"")]);
    assert_eq!(
        patches[1].json(),
        json!({"properties": {"desired": {"configId": 2, "sendFrequency": "5m"}}})
    );
}

#[test]
fn a_device_that_is_not_connected_is_said_to_be_so_once() {
    let desired = json!({"configId": 1, "sendFrequency": "5m"});
    let hub = Hub::plain(move |_| {
        Answer::json(&json!({
            "version": 1, "connectionState": "Disconnected", "properties": {"desired": desired},
        }))
    });
    let asked =
        "waiting up to 200ms\n  d is not connected; the desired properties wait for it\nnot";
    let arguments = ["configure", "d", "5m", "--config-id", "1", "--timeout", "200ms"];
    hub.cli().args(arguments).assert().code(1).stdout(contains(asked));
}

#[test]
fn scripts_get_one_document_at_the_end() {
    let hub = hub(1);
    let arguments = ["configure", "d", "5m", "--config-id", "7", "-o", "json"];
    let output = hub.cli().args(arguments).assert().code(0).stderr("");
    let document: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(document["agreed"], true);
    assert_eq!(document["configId"], 7);
    assert_eq!(document["before"]["properties"]["reported"]["configId"], 1);
    assert_eq!(document["after"]["properties"]["reported"]["configId"], 7);
    assert!(document["waitedSeconds"].is_number());
}

#[test]
fn a_device_that_does_not_agree_in_time_is_a_no() {
    let hub = hub(u32::MAX);
    hub.cli()
        .args(["configure", "d", "5m", "--timeout", "200ms"])
        .assert()
        .code(1)
        .stdout(contains("not agreed after ").and(contains(" s; twin of d now\n")));
}

#[test]
fn anything_else_is_an_error() {
    let hub = Hub::plain(|_| Answer::error(404, "DeviceNotFound", "d"));
    hub.cli()
        .args(["configure", "d", "5m"])
        .assert()
        .code(2)
        .stderr("error: DeviceNotFound: d (404001)\n");
    let hub =
        Hub::plain(|_| Answer::json(&json!({"properties": {"desired": {"configId": "seven"}}})));
    hub.cli().args(["configure", "d", "5m"]).assert().code(2).stderr(
        "error: the twin has configId \"seven\", expected a whole number; pass --config-id\n",
    );
}

#[test]
fn a_hub_that_is_busy_is_asked_again_and_said_so_once() {
    let mut looks = 0;
    let hub = Hub::plain(move |request| {
        let asked = json!({"configId": 1, "sendFrequency": "5m"});
        if request.line.starts_with("PATCH") {
            looks = 1;
            return Answer::json(&json!({"version": 3, "properties": {"desired": asked}}));
        }
        looks += i32::from(looks > 0);
        match looks {
            0 => Answer::json(&json!({"version": 2, "etag": "AAE="})),
            1..=4 => Answer::error(429, "ThrottlingException", "wait"),
            _ => Answer::json(&json!({"version": 4, "properties": {"reported": asked}})),
        }
    });
    hub.cli()
        .args(["configure", "d", "5m"])
        .assert()
        .code(0)
        .stderr("ThrottlingException: wait (429001); trying again\n");
}
