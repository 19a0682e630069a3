//! The device's side of its twin, byte for byte.

use iothub_tests::mqtt::{ACCEPTED, Connect, Connection, publish, publish_with, subscribe};
use iothub_tests::{Hub, subscribe_twin};
use serde_json::Value;

const REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";

/// Sends GET and gives the twin's text.
fn get(connection: &mut Connection) -> String {
    connection.send(&publish("$iothub/twin/GET/?$rid=get", b""));
    connection.expect_publish("$iothub/twin/res/200/?$rid=get")
}

/// Reports a patch that must succeed and give the section this version.
fn report(connection: &mut Connection, patch: &str, version: u64) {
    connection.send(&publish(&format!("{REPORT}patch"), patch.as_bytes()));
    let topic = format!("$iothub/twin/res/204/?$rid=patch&$version={version}");
    assert_eq!(connection.expect_publish(&topic), "");
}

/// Reports a patch that must be refused with this error code; the connection lives on.
fn refused(connection: &mut Connection, patch: &[u8], code: u64) -> Value {
    connection.send(&publish(&format!("{REPORT}bad"), patch));
    let topic = format!("$iothub/twin/res/{}/?$rid=bad", code / 1000);
    let body = connection.expect_publish(&topic);
    let error: Value = serde_json::from_str(&body).unwrap_or_else(|why| panic!("{why}: {body}"));
    assert_eq!(error["errorCode"], code, "{body}");
    assert_ne!(error["message"].as_str().unwrap(), "", "{body}");
    assert_error_stamps(&error);
    error
}

/// `trackingId` and `timestampUtc` have the service's shape.
fn assert_error_stamps(error: &Value) {
    let tracking = error["trackingId"].as_str().unwrap();
    let (id, rest) = tracking.split_at(32);
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{tracking}");
    assert!(rest.contains("-TimeStamp:"), "{tracking}");
    let time = error["timestampUtc"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
}

#[test]
fn a_new_twin_has_two_versions_and_nothing_else() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    assert_eq!(get(&mut connection), r#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
    // current SDKs send one blank
    connection.send(&publish("$iothub/twin/GET/?$rid=1", b" "));
    connection.expect_publish("$iothub/twin/res/200/?$rid=1");
}

#[test]
fn the_answer_to_a_report_is_a_topic_without_payload() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    connection.send(&publish(&format!("{REPORT}4"), br#"{"a":1}"#));
    let topic = b"$iothub/twin/res/204/?$rid=4&$version=2";
    let mut expected = vec![0x30, 2 + 39, 0, 39];
    expected.extend(topic);
    connection.expect(&expected);
}

#[test]
fn a_report_merges_and_null_deletes() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    report(&mut connection, r#"{"a":{"b":1,"c":[1,{"d":2}]},"e":"x"}"#, 2);
    report(&mut connection, r#"{"a":{"b":null},"e":null,"f":true}"#, 3);
    report(&mut connection, r#"{"a":"scalar"}"#, 4);
    report(&mut connection, r#"{"a":{"object":{}}}"#, 5);
    let expected =
        r#"{"desired":{"$version":1},"reported":{"a":{"object":{}},"f":true,"$version":5}}"#;
    assert_eq!(get(&mut connection), expected);
}

#[test]
fn a_report_that_changes_nothing_is_a_change_too() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    report(&mut connection, r#"{"a":1}"#, 2);
    report(&mut connection, r#"{"a":1}"#, 3);
    assert_eq!(hub.twin(&device)["version"], 4);
}

#[test]
fn the_request_id_comes_back_as_it_was() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    let ids = [
        "1",
        "65535",
        "getTwin",
        "c2f1fc64-9f3c-4a4b-a9b4-7d1e9c1fa6dc",
        "a%20b%2Fc",
        "ünïcode",
        "a b",
        "00ff",
    ];
    for id in ids {
        connection.send(&publish(&format!("$iothub/twin/GET/?$rid={id}"), b""));
        connection.expect_publish(&format!("$iothub/twin/res/200/?$rid={id}"));
        connection.send(&publish(&format!("{REPORT}{id}"), b"["));
        connection.expect_publish(&format!("$iothub/twin/res/400/?$rid={id}"));
    }
}

#[test]
fn a_request_at_qos_1_is_acknowledged_and_answered() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    connection.send(&publish_with(0x32, 5, "$iothub/twin/GET/?$rid=1", b" "));
    let mut seen = [connection.read().bytes, connection.read().bytes];
    seen.sort();
    assert_eq!(seen[1], [0x40, 2, 0, 5]);
    assert_eq!(seen[0][0], 0x30, "answers come at quality of service 0");
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    let mut burst = Vec::new();
    for number in 0..50 {
        let patch = format!(r#"{{"n":{number}}}"#);
        burst.extend(publish(&format!("{REPORT}p{number}"), patch.as_bytes()));
        burst.extend(publish(&format!("$iothub/twin/GET/?$rid=g{number}"), b""));
    }
    connection.send(&burst);
    for number in 0..50 {
        let version = number + 2;
        let topic = format!("$iothub/twin/res/204/?$rid=p{number}&$version={version}");
        connection.expect_publish(&topic);
        let twin = connection.expect_publish(&format!("$iothub/twin/res/200/?$rid=g{number}"));
        assert!(
            twin.contains(&format!(r#""reported":{{"n":{number},"$version":{version}}}"#)),
            "{twin}"
        );
    }
}

#[test]
fn a_report_may_name_the_version_it_expects() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    connection.send(&publish(&format!("{REPORT}1&$version=1"), br#"{"a":1}"#));
    connection.expect_publish("$iothub/twin/res/204/?$rid=1&$version=2");
    connection.send(&publish(&format!("{REPORT}2&$version=1"), br#"{"a":2}"#));
    let body = connection.expect_publish("$iothub/twin/res/412/?$rid=2");
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(error["errorCode"].as_u64().unwrap() / 1000, 412, "{body}");
    assert_error_stamps(&error);
    let expected = r#"{"desired":{"$version":1},"reported":{"a":1,"$version":2}}"#;
    assert_eq!(get(&mut connection), expected);
}

#[test]
fn bad_reports_are_answered_and_the_connection_lives_on() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    let table: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"null",
        b"1",
        br#""text""#,
        b"[]",
        br#"{"configId"::,"sendFrequency":"rs"}"#,
        br#"{"a":1}x"#,
        br#"{"a":"\ud800"}"#,
        b"{\"a\":\"\xff\"}",
        br#"{"$version":3}"#,
        br#"{"$metadata":{}}"#,
        br#"{"a.b":1}"#,
        br#"{"a b":1}"#,
        br#"{"a":{"$b":1}}"#,
        b"{\"a\\u0001\":1}",
        br#"{"a":[null]}"#,
        br#"{"a":[{"b":null}]}"#,
        br#"{"a":4503599627370496}"#,
        br#"{"a":-4503599627370497}"#,
    ];
    for patch in table {
        refused(&mut connection, patch, 400_004);
    }
    assert_eq!(get(&mut connection), r#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
    assert_eq!(hub.twin(&device)["version"], 2);
}

#[test]
fn limits_are_where_they_are_documented() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    let nested = |depth: usize| {
        let inner = format!("{}{{}}{}", r#"{"l":"#.repeat(depth - 1), "}".repeat(depth - 1));
        format!(r#"{{"l":{inner}}}"#)
    };
    report(&mut connection, &nested(10), 2);
    refused(&mut connection, nested(11).as_bytes(), 400_004);
    refused(&mut connection, nested(20_000).as_bytes(), 400_004);
    report(&mut connection, &format!(r#"{{"{}":1}}"#, "k".repeat(1024)), 3);
    refused(&mut connection, format!(r#"{{"{}":1}}"#, "k".repeat(1025)).as_bytes(), 400_004);
    report(&mut connection, &format!(r#"{{"s":"{}"}}"#, "v".repeat(4096)), 4);
    refused(&mut connection, format!(r#"{{"s":"{}"}}"#, "v".repeat(4097)).as_bytes(), 400_004);
    // bytes count, not characters
    refused(&mut connection, format!(r#"{{"s":"{}"}}"#, "ü".repeat(2049)).as_bytes(), 400_004);
    report(&mut connection, r#"{"n":4503599627370495,"m":-4503599627370496,"f":1.5e300}"#, 5);
}

#[test]
fn a_section_that_grows_too_large_is_forbidden() {
    let hub = Hub::start();
    let mut connection = hub.connect_twin(&hub.device("d1"));
    // Seven properties of 4096 bytes and one of 4095 are 32,767: the hub says "less than 32768".
    for number in 1..=8_u64 {
        let length = if number < 8 { 4092 } else { 4091 };
        let patch = format!(r#"{{"key{number}":"{}"}}"#, "v".repeat(length));
        report(&mut connection, &patch, number + 1);
    }
    let error = refused(&mut connection, br#"{"k":1}"#, 403_100);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("32768"), "{message}");
    // what does not grow it is allowed
    report(&mut connection, r#"{"key1":null}"#, 10);
}

#[test]
fn without_a_subscription_the_report_is_done_and_nothing_said() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    connection.send(&publish(&format!("{REPORT}1"), br#"{"a":1}"#));
    connection.send(&publish("$iothub/twin/GET/?$rid=2", b""));
    connection.expect_alive();
    assert_eq!(hub.twin(&device)["properties"]["reported"]["a"], 1);
}

#[test]
fn a_client_without_api_version_cannot_report() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let user_name = format!("{}/d1", hub.host());
    let connect = Connect::new("d1", &user_name, &device.token());
    let mut connection = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut connection);
    connection.send(&publish(&format!("{REPORT}1"), br#"{"a":1}"#));
    connection.expect_publish("$iothub/twin/res/400/?$rid=1");
    assert_eq!(hub.twin(&device)["version"], 2);
}

#[test]
fn a_desired_change_arrives_as_it_was_sent() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    let table = [
        (
            r#"{"configId":3,"sendFrequency":"5m"}"#,
            r#"{"configId":3,"sendFrequency":"5m","$version":2}"#,
        ),
        // nulls are told, too
        (
            r#"{"configId":null,"a":{"b":{"c":null}}}"#,
            r#"{"configId":null,"a":{"b":{"c":null}},"$version":3}"#,
        ),
        // a change to what is there already is a change
        (r#"{"sendFrequency":"5m"}"#, r#"{"sendFrequency":"5m","$version":4}"#),
    ];
    for (version, (patch, expected)) in (2..).zip(table) {
        hub.desire(&device, patch);
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        assert_eq!(connection.expect_publish(&topic), expected);
    }
    // tags are none of the device's business
    hub.rest.patch("/twins/d1", r#"{"tags":{"a":1}}"#).expect(200);
    connection.expect_alive();
}

#[test]
fn a_replacement_tells_what_vanished() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.desire(&device, r#"{"a":1,"b":{"c":1}}"#);
    let mut connection = hub.connect_twin(&device);
    hub.rest.put("/twins/d1", r#"{"properties":{"desired":{"a":1,"c":100}}}"#).expect(200);
    let body = connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=3");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told, serde_json::json!({ "a": 1, "b": null, "c": 100, "$version": 3 }));
    let twin = r#"{"desired":{"a":1,"c":100,"$version":3},"reported":{"$version":1}}"#;
    assert_eq!(get(&mut connection), twin);
}

#[test]
fn changes_arrive_once_and_in_order() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    connection.send(&subscribe(1, &[("$iothub/twin/PATCH/properties/desired/#", 1)]));
    connection.expect(&[0x90, 3, 0, 1, 1]);
    for number in 0..100 {
        hub.desire(&device, &format!(r#"{{"n":{number}}}"#));
    }
    for number in 0..100 {
        let version = number + 2;
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        let expected = format!(r#"{{"n":{number},"$version":{version}}}"#);
        assert_eq!(connection.expect_publish(&topic), expected);
    }
    connection.expect_alive();
}

#[test]
fn two_devices_do_not_hear_each_other() {
    let hub = Hub::start();
    let (one, two) = (hub.device("d1"), hub.device("d2"));
    let mut first = hub.connect_twin(&one);
    let mut second = hub.connect_twin(&two);
    hub.desire(&one, r#"{"n":1}"#);
    report(&mut second, r#"{"n":2}"#, 2);
    first.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    first.expect_alive();
    second.expect_alive();
    assert_eq!(hub.twin(&one)["properties"]["reported"].get("n"), None);
}

#[test]
fn arrays_came_with_an_api_version() {
    let hub = Hub::start();
    let device = hub.device("d1");
    for (version, fine) in [("2018-06-30", false), ("2019-10-01", true), ("2021-04-12", true)] {
        let mut connection = hub.connect_as(&device.connect_of(version), ACCEPTED);
        subscribe_twin(&mut connection);
        if fine {
            connection.send(&publish(&format!("{REPORT}1"), br#"{"a":[1,{"b":2}]}"#));
            let answer = connection.read().publish().topic;
            assert!(answer.starts_with("$iothub/twin/res/204/"), "{version}: {answer}");
        } else {
            refused(&mut connection, br#"{"a":[1]}"#, 400_004);
        }
    }
}

#[test]
fn a_disabled_device_that_comes_back_finds_its_twin() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    report(&mut connection, r#"{"a":1}"#, 2);
    let put = |status: &str| {
        let body = format!(r#"{{"deviceId":"d1","status":"{status}"}}"#);
        hub.rest.send("PUT", "/devices/d1", &[("If-Match", "*")], Some(&body)).expect(200);
    };
    put("disabled");
    connection.expect_closed();
    // the back end goes on
    hub.desire(&device, r#"{"b":2}"#);
    put("enabled");
    let mut connection = hub.connect_twin(&device);
    let expected = r#"{"desired":{"b":2,"$version":2},"reported":{"a":1,"$version":2}}"#;
    assert_eq!(get(&mut connection), expected);
}
