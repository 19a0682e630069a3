//! Queries over the service API: what comes back, page by page, and what is refused.

use std::time::Instant;

use iothub_core::auth::sas::{self, SasToken};
use iothub_core::ids::{DeviceId, Precondition};
use iothub_core::registry::identity::IdentityDraft;
use iothub_core::twin::{Dialect, SectionPatch, TwinPatch};
use iothub_tests::rest::{API_VERSION, Answer};
use iothub_tests::{FAR_FUTURE, Hub};
use iothub_wire::connection_string::encode;
use serde_json::{Value, json};

fn ask(hub: &Hub, query: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({ "query": query }).to_string();
    hub.rest.send("POST", "/devices/query", headers, Some(&body))
}

fn rows(hub: &Hub, query: &str) -> Value {
    ask(hub, query, &[]).expect(200).json()
}

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["deviceId"].as_str().unwrap()).collect()
}

/// `count` devices on two floors.
fn building(count: usize) -> Hub {
    let hub = Hub::start();
    for number in 0..count {
        let device = hub.device(&format!("lamp-{number:03}"));
        let patch = json!({ "tags": { "floor": number % 2, "group": { "name": "all" } } });
        hub.rest.patch(&format!("/twins/{}", encode(&device.id)), &patch.to_string()).expect(200);
    }
    hub
}

/// All pages: their rows, and how many rows each had.
fn pages(hub: &Hub, query: &str, size: &str) -> (Vec<Value>, Vec<usize>) {
    let (mut all, mut sizes) = (Vec::new(), Vec::new());
    let mut token: Option<String> = None;
    loop {
        let mut headers = vec![("x-ms-max-item-count", size)];
        if let Some(token) = &token {
            headers.push(("x-ms-continuation", token));
        }
        let answer = ask(hub, query, &headers).expect(200);
        let rows = answer.json();
        sizes.push(rows.as_array().unwrap().len());
        all.extend(rows.as_array().unwrap().iter().cloned());
        match answer.header("x-ms-continuation") {
            Some(next) => token = Some(next.to_owned()),
            None => return (all, sizes),
        }
    }
}

#[test]
fn whole_twins_come_back_as_the_service_shows_them() {
    let hub = building(2);
    let answer = ask(&hub, "SELECT * FROM devices WHERE tags.floor = 1", &[]).expect(200);
    assert_eq!(answer.header("x-ms-item-type"), Some("Twin"));
    assert_eq!(answer.header("x-ms-continuation"), None);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let twin = hub.rest.get("/twins/lamp-001").expect(200).json();
    assert_eq!(answer.json(), json!([twin]));
}

#[test]
fn projections_and_aggregates_are_raw() {
    let hub = building(3);
    let table = [
        (
            "SELECT DeviceId, tags.floor FROM devices WHERE NOT tags.floor = 1",
            json!([{"deviceId": "lamp-000", "floor": 0}, {"deviceId": "lamp-002", "floor": 0}]),
        ),
        ("SELECT COUNT() AS numberOfDevices FROM devices", json!([{"numberOfDevices": 3}])),
        (
            "SELECT tags.floor AS floor, COUNT() AS n FROM devices GROUP BY tags.floor",
            json!([{"floor": 0, "n": 2}, {"floor": 1, "n": 1}]),
        ),
        ("SELECT deviceId FROM devices WHERE deviceId = 'nobody'", json!([])),
    ];
    for (query, expected) in table {
        let answer = ask(&hub, query, &[]).expect(200);
        assert_eq!(answer.header("x-ms-item-type"), Some("Raw"), "{query}");
        assert_eq!(answer.json(), expected, "{query}");
    }
}

#[test]
fn a_query_sees_what_was_written_and_who_is_connected() {
    let hub = building(2);
    let device = hub.device("thermostat");
    let connected = "SELECT deviceId FROM devices WHERE connectionState = 'Connected'";
    assert_eq!(rows(&hub, connected), json!([]));
    let mut connection = hub.connect_twin(&device);
    assert_eq!(names(&rows(&hub, connected)), ["thermostat"]);
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    connection.send(&iothub_tests::mqtt::publish(topic, br#"{"lamp":{"on":true}}"#));
    connection.expect_publish("$iothub/twin/res/204/?$rid=1&$version=2");
    let reported = "SELECT deviceId FROM devices WHERE properties.reported.lamp.on";
    assert_eq!(names(&rows(&hub, reported)), ["thermostat"]);
    hub.rest.delete("/devices/thermostat").expect(204);
    assert_eq!(rows(&hub, reported), json!([]));
}

#[test]
fn modules_are_a_source_of_their_own() {
    let hub = building(1);
    for module in ["lens", "bulb"] {
        let path = format!("/devices/lamp-000/modules/{module}");
        let body = json!({ "deviceId": "lamp-000", "moduleId": module }).to_string();
        let status = hub.rest.put(&path, &body).status;
        assert!(matches!(status, 200 | 201));
    }
    let answer = ask(&hub, "SELECT * FROM devices.modules", &[]).expect(200);
    assert_eq!(answer.header("x-ms-item-type"), Some("Twin"));
    let found = answer.json();
    assert_eq!((&found[0]["moduleId"], &found[1]["moduleId"]), (&json!("bulb"), &json!("lens")));
    let query = "SELECT moduleId FROM devices.modules WHERE devices.modules.moduleId = 'lens'";
    assert_eq!(rows(&hub, query), json!([{"moduleId": "lens"}]));
    assert_eq!(rows(&hub, "SELECT COUNT() AS n FROM devices"), json!([{"n": 1}]));
}

#[test]
fn jobs_are_a_source_too() {
    let hub = Hub::start();
    let answer = ask(&hub, "SELECT * FROM devices.jobs WHERE jobId = 'none'", &[]).expect(200);
    assert_eq!(answer.header("x-ms-item-type"), Some("DeviceJob"));
    assert_eq!(answer.body, "[]");
}

#[test]
fn pages_bring_everything_once() {
    let hub = building(7);
    let all: Vec<Value> = (0..7).map(|n| json!({"deviceId": format!("lamp-{n:03}")})).collect();
    for (size, expected) in [("3", vec![3, 3, 1]), ("7", vec![7]), ("6", vec![6, 1])] {
        let found = pages(&hub, "SELECT deviceId FROM devices", size);
        assert_eq!(found, (all.clone(), expected), "pages of {size}");
    }
    let (found, sizes) = pages(&hub, "SELECT TOP 5 deviceId FROM devices", "2");
    assert_eq!((found.as_slice(), sizes), (&all[..5], vec![2, 2, 1]));
    let (_, sizes) = pages(&hub, "SELECT tags.floor FROM devices GROUP BY tags.floor", "1");
    assert_eq!(sizes, [1, 1]);
}

#[test]
fn a_page_has_a_hundred_rows_at_most() {
    let hub = building(103);
    let (found, sizes) = pages(&hub, "SELECT deviceId FROM devices", "1000000000000000000000");
    assert_eq!((found.len(), sizes), (103, vec![100, 3]));
    assert_eq!(rows(&hub, "SELECT * FROM devices").as_array().unwrap().len(), 100);
}

#[test]
fn tokens_from_elsewhere_are_refused() {
    let (hub, other) = (building(3), building(3));
    let query = "SELECT deviceId FROM devices";
    let token = |hub: &Hub| {
        let answer = ask(hub, query, &[("x-ms-max-item-count", "1")]).expect(200);
        answer.header("x-ms-continuation").unwrap().to_owned()
    };
    let (own, foreign) = (token(&hub), token(&other));
    let bad = [
        ("another hub's", query, foreign.as_str()),
        ("another query's", "SELECT status FROM devices", own.as_str()),
        ("cut", query, &own[..own.len() - 1]),
        ("invented", query, "+RID:~x#RT:1#TRC:1"),
        ("invented", query, "AAAA"),
    ];
    for (whose, query, token) in bad {
        let answer = ask(&hub, query, &[("x-ms-continuation", token)]);
        assert_eq!(answer.status, 400, "{whose}");
        let message = answer.expect_error(400, "ArgumentInvalid");
        assert!(message.starts_with("Continuation token is invalid"), "{whose}: {message}");
    }
    // An empty header asks for the first page, and the good token still works.
    let first = ask(&hub, query, &[("x-ms-continuation", "")]).expect(200).json();
    assert_eq!(names(&first).len(), 3);
    let second = ask(&hub, query, &[("x-ms-continuation", &own)]).expect(200).json();
    assert_eq!(names(&second), ["lamp-001", "lamp-002"]);
}

#[test]
fn mistakes_are_answered_as_the_service_words_them() {
    let hub = Hub::start();
    let parse_error = |query: &str, place: &str, problem: &str| {
        let message = ask(&hub, query, &[]).expect_error(400, "ArgumentInvalid");
        let expected =
            format!("SQL query parse failed due to following errors: \n\tLine {place} {problem}");
        assert!(message.starts_with(&expected), "{message}");
    };
    parse_error("SELECT", "1:7", "Unexpected end of query");
    parse_error(
        "SELECT * FROM devices WHERE SELECT",
        "1:29",
        "Unexpected character at input 'SELECT'",
    );
    parse_error(
        "SELECT * FROM devices WHERE tags.group = 1",
        "1:34",
        "Unexpected character at input 'group'",
    );
    parse_error("SELECT * FROM devices WHERE deviceId = 'x", "1:40", "String has no closing quote");
    let deep = format!("SELECT * FROM devices WHERE {}", "(".repeat(4000));
    parse_error(&deep, "1:94", "Query is nested deeper than 64 levels");
    for long in [format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000)), "'".repeat(1 << 20)] {
        let message = ask(&hub, &long, &[]).expect_error(400, "ArgumentInvalid");
        assert_eq!(message, format!("query has {} characters, expected at most 8192", long.len()));
    }
    let send = |body: &str, headers: &[(&str, &str)]| {
        hub.rest.send("POST", "/devices/query", headers, Some(body))
    };
    for body in ["{}", r#"{"query":null}"#] {
        assert_eq!(send(body, &[]).expect_error(400, "ArgumentNull"), "BadRequest");
    }
    send(r#"{"query":[]}"#, &[]).expect_error(400, "ArgumentInvalid");
    send("SELECT", &[]).expect_error(400, "ArgumentInvalid");
    for size in ["0", "-1", "many", "1.5"] {
        let body = r#"{"query":"SELECT * FROM devices"}"#;
        send(body, &[("x-ms-max-item-count", size)]).expect_error(400, "ArgumentInvalid");
    }
    let path = format!("/devices%2Fquery?api-version={API_VERSION}");
    let body = r#"{"query":"SELECT * FROM devices"}"#;
    hub.rest.send("POST", &path, &[], Some(body)).expect(200);
    hub.rest
        .send("POST", "/devices/query?x=y", &[], Some(body))
        .expect_error(400, "InvalidProtocolVersion");
}

#[test]
fn reading_the_registry_or_connecting_as_a_service_suffices() {
    let mut hub = Hub::start();
    let table = [
        ("iothubowner", true),
        ("service", true),
        ("device", false),
        ("registryRead", true),
        ("registryReadWrite", true),
    ];
    for (policy, allowed) in table {
        let policies = hub.emulator.hub();
        let found = policies.policies().iter().find(|own| own.name == policy).unwrap();
        let token = sas::sign(hub.host(), FAR_FUTURE, Some(policy), &found.primary);
        hub.rest.authorization = Some(token);
        let answer = ask(&hub, "SELECT * FROM devices", &[]);
        match allowed {
            true => drop(answer.expect(200)),
            false => drop(answer.expect_error(401, "IotHubUnauthorized")),
        }
    }
}

/// What a back end waits for on a large hub, over HTTPS.
///
/// `cargo test --release -p iothub-tests --test it query_of_a_large_hub -- --ignored --nocapture`
#[test]
#[ignore = "measures; run it alone and in release"]
fn query_of_a_large_hub() {
    const DEVICES: usize = 100_000;

    let hub = Hub::start();
    fill(&hub, DEVICES);
    let table = [
        "SELECT * FROM devices WHERE tags.location.floor = 42",
        "SELECT * FROM devices WHERE tags.location.site = 'none'",
        "SELECT * FROM devices",
        "SELECT COUNT() AS n FROM devices WHERE tags.location.floor < 50",
        "SELECT tags.location.floor, COUNT() AS n FROM devices GROUP BY tags.location.floor",
        "SELECT deviceId FROM devices WHERE connectionState = 'Connected'",
    ];
    for query in table {
        let once = || {
            let start = Instant::now();
            let answer = ask(&hub, query, &[]).expect(200);
            (start.elapsed(), answer.json().as_array().unwrap().len())
        };
        let mut times: Vec<_> = (0..11).map(|_| once()).collect();
        times.sort_unstable();
        let (median, rows) = times[5];
        println!("{median:>10.2?} for {rows:>3} rows of {DEVICES} devices: {query}");
    }
}

/// Puts devices into the hub without the detour over HTTPS.
fn fill(hub: &Hub, devices: usize) {
    let core = hub.emulator.hub();
    let token = sas::sign(hub.host(), FAR_FUTURE, Some("iothubowner"), &core.policies()[0].primary);
    let token = SasToken::parse(&token).unwrap();
    let session = core.service(core.authenticate_service(&[], &token).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in 0..devices {
            let id = DeviceId::parse(&format!("device-{number:06}")).unwrap();
            let draft = IdentityDraft::default();
            session.put_device(&id, &draft, &Precondition::None).await.unwrap();
            let tags = json!({ "location": { "site": "main", "floor": number % 100 }, "x": "y" });
            let patch = TwinPatch {
                tags: Some(SectionPatch::Merge(tags.as_object().unwrap().clone())),
                desired: None,
            };
            let dialect = Dialect { arrays: true };
            session.patch_twin(&id.into(), &patch, dialect, &Precondition::None).await.unwrap();
        }
    });
}
