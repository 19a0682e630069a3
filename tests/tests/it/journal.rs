//! The journal: what arrived and what was decided, and waiting for it.

use std::io::BufRead as _;
use std::thread;

use iothub_tests::Hub;
use iothub_tests::mqtt::{NOT_AUTHORIZED, PATIENCE, publish, publish_with};
use serde_json::{Value, json};

use crate::harness::{admin, follow};

/// The first entry like this, which must come.
pub(crate) fn expect(hub: &Hub, pattern: &Value) -> Value {
    let body = json!({ "match": pattern, "timeout": PATIENCE.as_secs() }).to_string();
    let (status, entry) = admin(hub, "POST /hubs/emulator/journal/expect", &body);
    assert_eq!(status, 200, "{entry}");
    entry
}

#[test]
fn what_devices_and_back_ends_do_is_in_the_journal() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    let properties = "%24.mid=m1&%24.ct=text%2Fplain&color=red";
    let topic = format!("devices/d1/messages/events/{properties}");
    connection.send(&publish_with(0x32, 1, &topic, b"{\"t\": 31}"));
    connection.expect(&[0x40, 2, 0, 1]);
    connection
        .send(&publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b"{\"fan\":\"on\"}"));
    connection.read();
    connection.send(&publish("$iothub/twin/PATCH/properties/reported/?$rid=2", b"[]"));
    connection.read();
    hub.rest.patch("/twins/d1", r#"{"properties": {"desired": {"configId": 7}}}"#).expect(200);
    connection.read();
    hub.rest.get("/devices/none?api-version=2021-04-12&sig=secret").expect(404);
    connection.send(&[0xe0, 0]);
    connection.expect_closed();

    let table = [
        json!({"kind": "created", "deviceId": "d1"}),
        json!({"kind": "connected", "protocol": "mqtt", "resumed": false}),
        json!({
            "kind": "event", "messageId": "m1", "contentType": "text/plain", "body": {"t": 31},
            "properties": {"color": "red"}, "endpoints": ["events"], "source": "Telemetry",
        }),
        json!({"kind": "reported", "version": 2, "patch": {"fan": "on"}}),
        json!({"kind": "failed", "operation": "updateTwin", "reason": "*"}),
        json!({"kind": "desired", "version": 2, "patch": {"configId": 7}}),
        json!({"kind": "request", "method": "PATCH", "path": "/twins/d1", "status": 200}),
        json!({"kind": "request", "path": "/devices/none", "status": 404, "reason": "*"}),
        json!({"kind": "disconnected", "deviceId": "d1", "reason": "client disconnected"}),
    ];
    let mut last = 0;
    for pattern in table {
        let number = expect(&hub, &pattern)["number"].as_u64().unwrap();
        assert!(number > last, "{pattern} is entry {number}, after {last}");
        last = number;
    }
    let (status, all) = admin(&hub, "GET /hubs/emulator/journal", "");
    assert_eq!((status, &all["more"]), (200, &json!(false)));
    let text = all.to_string();
    assert!(!text.contains("secret") && !text.contains("SharedAccessSignature"), "{text}");
    let last = &all["last"];
    let (_, rest) = admin(&hub, &format!("GET /hubs/emulator/journal?after={last}"), "");
    assert_eq!(rest, json!({"entries": [], "last": last, "more": false}));
}

#[test]
fn entries_of_one_kind_are_shown_alone() {
    let hub = Hub::start();
    for id in ["d1", "d2"] {
        hub.device(id);
    }
    hub.rest.delete("/devices/d1").expect(204);
    let shown = |kind: &str, after: u64| {
        let request = format!("GET /hubs/emulator/journal?kind={kind}&after={after}");
        let (status, page) = admin(&hub, &request, "");
        assert_eq!((status, &page["more"]), (200, &json!(false)), "{page}");
        let entries = page["entries"].as_array().unwrap().clone();
        (entries, page["last"].as_u64().unwrap())
    };
    let (created, last) = shown("created", 0);
    let devices: Vec<_> = created.iter().map(|entry| entry["deviceId"].clone()).collect();
    assert_eq!(devices, ["d1", "d2"]);
    assert!(shown("created", last).0.is_empty());
    assert_eq!(shown("de*", 0).0[0]["kind"], "deleted");
}

#[test]
fn the_journal_says_why_somebody_is_not_let_in() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connect = device.connect();
    connect.password = Some(device.token().replace("sig=", "sig=AAAA"));
    hub.connect_as(&connect, NOT_AUTHORIZED);
    let entry = expect(&hub, &json!({"kind": "refused", "protocol": "mqtt", "deviceId": "d1"}));
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.contains("signature"), "{reason}");
    assert!(!reason.contains("AAAA"), "{reason}");
    hub.rest.signed_with("SharedAccessSignature sr=x&sig=y&se=1").get("/devices/d1").expect(401);
    let entry = expect(&hub, &json!({"kind": "request", "status": 401}));
    assert_ne!(entry["reason"], json!("Unauthorized"));
}

#[test]
fn who_waits_in_vain_sees_what_came_instead() {
    let hub = Hub::start();
    hub.device("d1");
    let body = r#"{"match": {"kind": "event"}, "timeout": 0.2}"#;
    let (status, answer) = admin(&hub, "POST /hubs/emulator/journal/expect", body);
    assert_eq!((status, &answer["error"]), (417, &json!("ExpectationFailed")));
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with(r#"nothing like {"kind":"event"} came in time ("#), "{message}");
    assert!(message.contains(r#""kind":"created","deviceId":"d1""#), "{message}");
    // One entry is enough to go on, however late.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| expect(&hub, &json!({"kind": "event", "deviceId": "d2"})));
        let mut connection = hub.connect(&hub.device("d2"));
        connection.send(&publish("devices/d2/messages/events/", b"late"));
        assert_eq!(waiting.join().unwrap()["body"], json!("late"));
    });
}

#[test]
fn the_journal_is_followed_until_its_hub_ends() {
    let hub = Hub::start();
    let (_, made) = admin(&hub, "POST /hubs", "{}");
    let name = made["name"].as_str().unwrap();
    let (head, mut ended) = follow(&hub, &format!("GET /hubs/{name}/journal/events"));
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert_eq!(admin(&hub, &format!("POST /hubs/{name}/reset"), "").0, 200);
    let mut rest = String::new();
    ended.read_line(&mut rest).unwrap();
    assert_eq!(rest, "0\r\n", "the last chunk");

    let (_, mut reader) = follow(&hub, "GET /hubs/emulator/journal/events?after=0");
    hub.device("d1");
    let mut line = String::new();
    while !line.contains("\"created\"") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
    }
    let entry: Value = serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(entry["deviceId"], "d1");
    // A follower does not keep the emulator from ending.
    hub.stop();
}

#[test]
fn who_was_ahead_of_a_reset_gets_all_of_the_new_journal() {
    let hub = Hub::start();
    hub.device("d1");
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    hub.device("d2");
    for after in ["1000", &u64::MAX.to_string()] {
        let (status, page) = admin(&hub, &format!("GET /hubs/emulator/journal?after={after}"), "");
        assert_eq!((status, &page["entries"][0]["deviceId"]), (200, &json!("d2")), "{page}");
        let body = format!(r#"{{"match": {{"kind": "created"}}, "after": {after}}}"#);
        assert_eq!(admin(&hub, "POST /hubs/emulator/journal/expect", &body).1["deviceId"], "d2");
    }
}

#[test]
fn followers_leave_room_for_others() {
    let hub = Hub::start();
    let request = "GET /hubs/emulator/journal/events";
    let followers: Vec<_> = (0..140).map(|_| follow(&hub, request)).collect();
    let refused = followers.iter().filter(|(head, _)| head.starts_with("HTTP/1.1 429"));
    assert_eq!(refused.count(), 12);
    assert_eq!(admin(&hub, "GET /ready", "").0, 200);
    drop(followers);
    hub.device("d1");
    expect(&hub, &json!({"kind": "created", "deviceId": "d1"}));
}

#[test]
fn messages_expire_when_the_clock_is_turned_though_nobody_looks() {
    let hub = Hub::start();
    hub.device("d1");
    let message = r#"{"messageId": "m1", "body": "x"}"#;
    assert_eq!(admin(&hub, "POST /hubs/emulator/devicebound/d1", message).0, 202);
    assert_eq!(admin(&hub, "POST /hubs/emulator/clock", r#"{"advance": 7200}"#).0, 200);
    let body = json!({"match": {"kind": "devicebound", "step": "Expired"}, "timeout": 0});
    let (status, entry) = admin(&hub, "POST /hubs/emulator/journal/expect", &body.to_string());
    assert_eq!((status, &entry["messageId"]), (200, &json!("m1")), "{entry}");
}

#[test]
fn mistakes_are_told() {
    let hub = Hub::start();
    let table = [
        ("GET /hubs/none/journal", "", 404, "there is no hub \"none\""),
        (
            "GET /hubs/emulator/journal?after=x",
            "",
            400,
            "after is \"x\", expected the number of an entry",
        ),
        (
            "GET /hubs/emulator/journal?kind=evnet",
            "",
            400,
            "kind is \"evnet\", expected one of connected,",
        ),
        ("GET /hubs/emulator/journal/events?since=1", "", 400, "since is \"1\", expected no such"),
        (
            "POST /hubs/emulator/journal/expect",
            r#"{"match": {"kind": "evnet"}}"#,
            400,
            "match.kind is \"evnet\", expected one of connected,",
        ),
        ("POST /hubs/emulator/journal/expect", "{}", 400, "there is no match"),
    ];
    for (request, body, status, message) in table {
        let (answered, answer) = admin(&hub, request, body);
        assert_eq!(answered, status, "{answer}");
        assert!(answer["message"].as_str().unwrap().starts_with(message), "{answer}");
    }
}
