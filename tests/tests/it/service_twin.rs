//! The back end's side of twins: documents, merge, replace, metadata, counters, preconditions.

use iothub_tests::mqtt::publish;
use iothub_tests::{Device, Hub};
use serde_json::{Value, json};

fn patch(hub: &Hub, body: &Value) -> Value {
    hub.rest.patch("/twins/d1", &body.to_string()).expect(200).json()
}

fn report(hub: &Hub, device: &Device, body: &str) {
    let mut connection = hub.connect_twin(device);
    connection.send(&publish("$iothub/twin/PATCH/properties/reported/?$rid=1", body.as_bytes()));
    assert!(connection.read().publish().topic.starts_with("$iothub/twin/res/204/"));
}

/// Etag, version, and the versions of desired and reported.
fn counters(twin: &Value) -> (&str, u64, u64, u64) {
    (
        twin["etag"].as_str().unwrap(),
        twin["version"].as_u64().unwrap(),
        twin["properties"]["desired"]["$version"].as_u64().unwrap(),
        twin["properties"]["reported"]["$version"].as_u64().unwrap(),
    )
}

#[test]
fn a_new_twin_is_shown_as_recorded() {
    let hub = Hub::start();
    hub.device("d1");
    let identity = hub.rest.get("/devices/d1").expect(200).json();
    let answer = hub.rest.get("/twins/d1").expect(200);
    let twin = answer.json();
    let desired = twin["properties"]["desired"]["$metadata"]["$lastUpdated"].as_str().unwrap();
    let reported = twin["properties"]["reported"]["$metadata"]["$lastUpdated"].as_str().unwrap();
    assert!(desired.starts_with("20") && desired.ends_with('Z'), "{desired}");
    let expected = format!(
        concat!(
            r#"{{"deviceId":"d1","etag":"AAAAAAAAAAE=","deviceEtag":"{}","status":"enabled","#,
            r#""statusUpdateTime":"0001-01-01T00:00:00Z","connectionState":"Disconnected","#,
            r#""lastActivityTime":"0001-01-01T00:00:00Z","cloudToDeviceMessageCount":0,"#,
            r#""authenticationType":"sas","#,
            r#""x509Thumbprint":{{"primaryThumbprint":null,"secondaryThumbprint":null}},"#,
            r#""modelId":"","version":2,"#,
            r#""properties":{{"desired":{{"$metadata":{{"$lastUpdated":"{}"}},"$version":1}},"#,
            r#""reported":{{"$metadata":{{"$lastUpdated":"{}"}},"$version":1}}}},"#,
            r#""capabilities":{{"iotEdge":false}}}}"#,
        ),
        identity["etag"].as_str().unwrap(),
        desired,
        reported,
    );
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("etag"), None, "twins have no ETag header");
}

#[test]
fn the_counters_go_as_in_the_worked_example() {
    let hub = Hub::start();
    let device = hub.device("d1");
    assert_eq!(counters(&hub.twin(&device)), ("AAAAAAAAAAE=", 2, 1, 1));
    let twin = patch(&hub, &json!({ "tags": { "a": 1 } }));
    assert_eq!(counters(&twin), ("AAAAAAAAAAI=", 3, 1, 1));
    report(&hub, &device, r#"{"fw":"1"}"#);
    assert_eq!(counters(&hub.twin(&device)), ("AAAAAAAAAAI=", 4, 1, 2));
    let twin = patch(&hub, &json!({ "properties": { "desired": { "x": { "y": 1 } } } }));
    assert_eq!(counters(&twin), ("AAAAAAAAAAM=", 5, 2, 2));
    let twin = patch(&hub, &json!({ "tags": { "a": 2 }, "properties": { "desired": { "z": 1 } } }));
    assert_eq!(counters(&twin), ("AAAAAAAAAAQ=", 6, 3, 2));
    let body = json!({ "tags": {}, "properties": { "desired": { "q": 1 } } });
    let twin = hub.rest.put("/twins/d1", &body.to_string()).expect(200).json();
    assert_eq!(counters(&twin), ("AAAAAAAAAAU=", 7, 4, 2));
}

#[test]
fn metadata_follows_the_change_up_to_the_root() {
    let hub = Hub::start();
    let device = hub.device("d1");
    patch(&hub, &json!({ "properties": { "desired": { "x": { "y": 1 }, "other": 1 } } }));
    let twin = patch(&hub, &json!({ "properties": { "desired": { "x": { "y": null, "z": 2 } } } }));
    let desired = &twin["properties"]["desired"];
    let metadata = &desired["$metadata"];
    for node in [metadata, &metadata["x"], &metadata["x"]["z"]] {
        assert_eq!(node["$lastUpdatedVersion"], 3, "{metadata}");
        assert_eq!(node["$lastUpdated"], metadata["$lastUpdated"], "{metadata}");
    }
    assert_eq!(metadata["other"]["$lastUpdatedVersion"], 2, "{metadata}");
    assert_eq!(metadata["x"].get("y"), None, "{metadata}");
    assert_eq!(desired["x"], json!({ "z": 2 }));

    report(&hub, &device, r#"{"a":{"b":[{"c":1}]}}"#);
    let reported = hub.twin(&device)["properties"]["reported"].clone();
    let metadata = &reported["$metadata"];
    for node in [metadata, &metadata["a"], &metadata["a"]["b"]] {
        assert!(node["$lastUpdated"].as_str().unwrap().ends_with('Z'), "{metadata}");
        assert_eq!(node.get("$lastUpdatedVersion"), None, "{metadata}");
    }
}

#[test]
fn properties_come_before_their_metadata() {
    let hub = Hub::start();
    hub.device("d1");
    hub.rest
        .patch("/twins/d1", r#"{"tags":{"t":1},"properties":{"desired":{"b":1,"a":2}}}"#)
        .expect(200);
    let text = hub.rest.get("/twins/d1").expect(200).body;
    assert!(text.contains(r#""desired":{"b":1,"a":2,"$metadata":{"$lastUpdated":""#), "{text}");
    // `tags` sits before `properties`; the tutorial's scripts search this text
    assert!(text.contains(r#""tags":{"t":1},"properties":{"#), "{text}");
    assert!(!text.contains(": ") && !text.contains('\n'), "{text}");
}

#[test]
fn tags_are_absent_until_they_are_set() {
    let hub = Hub::start();
    let device = hub.device("d1");
    assert_eq!(hub.twin(&device).get("tags"), None);
    let twin =
        patch(&hub, &json!({ "tags": { "location": { "region": "US", "plant": "Redmond43" } } }));
    assert_eq!(twin["tags"], json!({ "location": { "region": "US", "plant": "Redmond43" } }));
    let twin = patch(&hub, &json!({ "tags": { "location": { "region": null } } }));
    assert_eq!(twin["tags"], json!({ "location": { "plant": "Redmond43" } }));
    let twin = patch(&hub, &json!({ "tags": null }));
    assert!(twin.get("tags").is_none_or(|tags| *tags == json!({})), "never null: {twin}");
}

#[test]
fn a_patch_of_nothing_leaves_the_sections_alone() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.desire(&device, r#"{"a":1}"#);
    for body in ["{}", r#"{"properties":{}}"#, r#"{"tags":{"t":1}}"#] {
        let twin = hub.rest.patch("/twins/d1", body).expect(200).json();
        assert_eq!(twin["properties"]["desired"]["$version"], 2, "{body}");
        assert_eq!(twin["properties"]["desired"]["a"], 1, "{body}");
    }
}

#[test]
fn what_a_client_sends_back_from_a_get_is_ignored() {
    let hub = Hub::start();
    let device = hub.device("d1");
    report(&hub, &device, r#"{"fw":"1"}"#);
    hub.desire(&device, r#"{"a":1}"#);
    let mut twin = hub.twin(&device);
    twin["properties"]["reported"]["fw"] = json!("2");
    twin["properties"]["desired"]["b"] = json!(2);
    twin["version"] = json!(100);
    twin["status"] = json!("disabled");
    twin["etag"] = json!("AAAAAAAAAGQ=");
    twin["unknown"] = json!(true);
    for method in ["PATCH", "PUT"] {
        let answer = hub.rest.send(method, "/twins/d1", &[], Some(&twin.to_string())).expect(200);
        let after = answer.json();
        assert_eq!(after["properties"]["reported"]["fw"], "1", "{method}");
        assert_eq!(after["properties"]["desired"]["b"], 2, "{method}");
        assert_eq!(after["status"], "enabled", "{method}");
        assert!(after["version"].as_u64().unwrap() < 10, "{method}");
    }
}

#[test]
fn java_sends_post_and_means_patch() {
    let hub = Hub::start();
    hub.device("d1");
    let header = [("X-HTTP-Method-Override", "PATCH")];
    let body = r#"{"properties":{"desired":{"a":1}}}"#;
    let twin = hub.rest.send("POST", "/twins/d1", &header, Some(body)).expect(200).json();
    assert_eq!(twin["properties"]["desired"]["a"], 1);
    let answer = hub.rest.send("POST", "/twins/d1", &[], Some(body));
    assert!(matches!(answer.status, 404 | 405), "{answer:?}");
}

#[test]
fn replace_replaces_both_sections() {
    let hub = Hub::start();
    hub.device("d1");
    patch(&hub, &json!({ "tags": { "a": 1 }, "properties": { "desired": { "b": 1 } } }));
    let twin = hub.rest.put("/twins/d1", r#"{"tags":{"c":1}}"#).expect(200).json();
    assert_eq!(twin["tags"], json!({ "c": 1 }));
    assert_eq!(twin["properties"]["desired"].get("b"), None);
    assert_eq!(twin["properties"]["desired"]["$metadata"].get("b"), None);
}

#[test]
fn preconditions_compare_with_the_twin_s_etag() {
    let hub = Hub::start();
    hub.device("d1");
    let identity = hub.rest.get("/devices/d1").expect(200).json();
    let of_identity = format!("\"{}\"", identity["etag"].as_str().unwrap());
    for method in ["PATCH", "PUT"] {
        for stale in ["\"AAAAAAAAAGQ=\"", "nonsense", of_identity.as_str()] {
            let answer = hub.rest.send(method, "/twins/d1", &[("If-Match", stale)], Some("{}"));
            let text = answer.expect_error(412, "PreconditionFailed");
            assert_eq!(text, "ETag mismatch for device ID 'd1'");
        }
        for fresh in ["*", "\"*\"", "\"\""] {
            let headers = [("If-Match", fresh)];
            hub.rest.send(method, "/twins/d1", &headers, Some(r#"{"tags":{"a":1}}"#)).expect(200);
        }
        let forms: [fn(&str) -> String; 3] =
            [|etag| format!("\"{etag}\""), str::to_owned, |etag| format!("W/\"{etag}\"")];
        for form in forms {
            let twin = hub.rest.get("/twins/d1").expect(200).json();
            let etag = form(twin["etag"].as_str().unwrap());
            let headers = [("If-Match", etag.as_str())];
            let answer = hub.rest.send(method, "/twins/d1", &headers, Some(r#"{"tags":{"a":1}}"#));
            assert_ne!(answer.expect(200).json()["etag"], twin["etag"]);
        }
    }
}

#[test]
fn bad_documents_are_refused_with_a_reason() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let desired = |inner: &str| format!(r#"{{"properties":{{"desired":{inner}}}}}"#);
    let long = format!(r#"{{"s":"{}"}}"#, "v".repeat(4097));
    let key = format!(r#"{{"{}":1}}"#, "k".repeat(1025));
    let deep = format!("{}{{}}{}", r#"{"l":"#.repeat(11), "}".repeat(11));
    let bodies = [
        String::new(),
        "[]".to_owned(),
        "1".to_owned(),
        "{".to_owned(),
        r#"{"tags":1}"#.to_owned(),
        r#"{"properties":[]}"#.to_owned(),
        r#"{"tags":{"a.b":1}}"#.to_owned(),
        desired("1"),
        desired(r#"{"a b":1}"#),
        desired(r#"{"$a":1}"#),
        desired(r#"{"a":[null]}"#),
        desired(r#"{"a":4503599627370496}"#),
        desired(&long),
        desired(&key),
        desired(&deep),
    ];
    for body in bodies {
        for method in ["PATCH", "PUT"] {
            let answer = hub.rest.send(method, "/twins/d1", &[], Some(&body));
            assert_eq!(answer.status, 400, "{method} {body:.80}: {answer:?}");
            assert!(answer.header("iothub-errorcode").is_some(), "{answer:?}");
        }
    }
    assert_eq!(hub.twin(&device)["version"], 2);
}

#[test]
fn sections_have_their_limits() {
    let hub = Hub::start();
    hub.device("d1");
    let (full, last) = ("v".repeat(4092), "v".repeat(4091));
    let too_large = "DeviceModelMaxPropertiesExceeded";
    for number in 1..=8 {
        let text = if number < 8 { &full } else { &last };
        patch(&hub, &json!({ "properties": { "desired": { (format!("key{number}")): text } } }));
    }
    let more = r#"{"properties":{"desired":{"k":1}}}"#;
    let text = hub.rest.patch("/twins/d1", more).expect_error(403, too_large);
    assert_eq!(text, "'Properties.Desired' size should be less than 32768 bytes.");
    patch(&hub, &json!({ "tags": { "key1": full, "key2": last } }));
    hub.rest.patch("/twins/d1", r#"{"tags":{"k":1}}"#).expect_error(403, too_large);
    // what makes it smaller is allowed
    patch(&hub, &json!({ "tags": { "key1": null } }));
}

#[test]
fn concurrent_patches_all_count() {
    let hub = Hub::start();
    let device = hub.device("d1");
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let hub = &hub;
            scope.spawn(move || {
                for number in 0..10 {
                    let desired = json!({ (format!("w{worker}n{number}")): true });
                    patch(hub, &json!({ "properties": { "desired": desired } }));
                }
            });
        }
    });
    let twin = hub.twin(&device);
    assert_eq!(counters(&twin).1, 82);
    assert_eq!(counters(&twin).2, 81);
}

#[test]
fn arrays_came_with_an_api_version() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let body = r#"{"properties":{"desired":{"a":[1,2]}}}"#;
    for old in ["2016-11-14", "2017-11-08-preview", "2018-06-30", "2019-03-30"] {
        let path = format!("/twins/d1?api-version={old}");
        let answer = hub.rest.send("PATCH", &path, &[], Some(body));
        let text = answer.expect_error(400, "ArgumentInvalid");
        assert!(text.contains("arrays are not supported"), "{old}: {text}");
    }
    for new in ["2019-10-01", "2020-05-31-preview", "2021-04-12"] {
        let path = format!("/twins/d1?api-version={new}");
        hub.rest.send("PATCH", &path, &[], Some(body)).expect(200);
    }
    assert_eq!(hub.twin(&device)["properties"]["desired"]["a"], json!([1, 2]));
}

#[test]
fn the_identity_shows_in_the_twin() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let body = r#"{"deviceId":"d1","status":"disabled","statusReason":"broken"}"#;
    let answer = hub.rest.send("PUT", "/devices/d1", &[("If-Match", "*")], Some(body)).expect(200);
    let identity = answer.json();
    let twin = hub.twin(&device);
    assert_eq!(twin["status"], "disabled");
    assert_eq!(twin["statusReason"], "broken");
    assert_eq!(twin["deviceEtag"], identity["etag"]);
    // the two documents spell it differently
    assert_eq!(twin["statusUpdateTime"], identity["statusUpdatedTime"]);
    assert_eq!(twin["etag"], "AAAAAAAAAAE=", "the identity's writes are none of the twin");
    assert_eq!(twin["version"], 2);
}

#[test]
fn a_null_in_a_replacement_is_refused() {
    let hub = Hub::start();
    hub.device("d1");
    for body in [r#"{"properties":{"desired":{"a":null}}}"#, r#"{"tags":{"a":{"b":null}}}"#] {
        let text = hub.rest.put("/twins/d1", body).expect_error(400, "ArgumentInvalid");
        assert!(text.contains("cannot be null"), "{text}");
    }
}

#[test]
fn a_section_of_null_is_cleared() {
    let hub = Hub::start();
    let device = hub.device("d1");
    patch(&hub, &json!({ "tags": { "a": 1 }, "properties": { "desired": { "b": { "c": 1 } } } }));
    let twin = patch(&hub, &json!({ "properties": { "desired": null } }));
    assert_eq!(twin["properties"]["desired"].get("b"), None, "{twin}");
    assert_eq!(twin["properties"]["desired"]["$metadata"].get("b"), None, "{twin}");
    assert_eq!(twin["tags"], json!({ "a": 1 }));
    patch(&hub, &json!({ "tags": null }));
    let twin = hub.twin(&device);
    assert!(twin.get("tags").is_none_or(|tags| *tags == json!({})), "{twin}");
}
