//! The tutorial's own device script with the first Python SDK, replayed byte for byte.
//!
//! The script does not parse JSON: it finds `configId` and `sendFrequency` in the text and takes
//! the characters at fixed offsets behind them. That works only with the layout which clients of
//! 2018 were sent, one blank after each colon. In the first full twin there is nothing to find, and
//! so it first reports rubbish that is not JSON; the hub must refuse that and keep the connection.

use iothub_core::auth::sas;
use iothub_tests::mqtt::{ACCEPTED, Connect, Connection, publish, subscribe};
use iothub_tests::{Device, FAR_FUTURE, Hub, key};

const API_VERSION: &str = "2017-11-08-preview";

/// `payload[payload.find(name) + from : payload.find(name) + to]`, where `find` gives -1 for what
/// is not there and a slice beyond the end is empty.
fn slice(payload: &str, name: &str, from: i64, to: i64) -> String {
    let found = payload.find(name).map_or(-1, |index| i64::try_from(index).unwrap());
    let length = i64::try_from(payload.len()).unwrap();
    let clamp = |index: i64| usize::try_from(index.min(length)).unwrap();
    payload[clamp(found + from)..clamp(found + to)].to_owned()
}

/// What the script makes of a payload.
fn report_for(payload: &str) -> String {
    let config_id = slice(payload, "configId", 11, 12);
    let send_frequency = slice(payload, "sendFrequency", 17, 19);
    format!(r#"{{"configId":{config_id},"sendFrequency":"{send_frequency}"}}"#)
}

/// CONNECT as that SDK sends it: old api-version, `sr` not encoded, session kept, 240 seconds.
fn connect(device: &Device) -> Connect {
    let client_type =
        "DeviceClientType=python%2f1.4.6%20iothubclient%2f1.2.12%20(native%3b%20Linux%3b%20x86_64)";
    let user_name = format!("{}&{client_type}", device.user_name_of(API_VERSION));
    let token = sas::sign(&device.resource(), FAR_FUTURE, None, &key(1));
    Connect::new(&device.id, &user_name, &token).persistent().keep_alive(240)
}

fn report(connection: &mut Connection, request: u16, patch: &str) {
    let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={request}");
    connection.send(&publish(&topic, patch.as_bytes()));
}

#[test]
fn the_script_reports_what_the_back_end_asked_for() {
    let hub = Hub::start();
    let device = hub.device("MyDevice");
    let mut connection = hub.connect_as(&connect(&device), ACCEPTED);
    let filters = [("$iothub/twin/res/#", 0), ("$iothub/methods/POST/#", 0)];
    connection.send(&subscribe(2, &filters));
    connection.expect(&[0x90, 4, 0, 2, 0, 0]);

    // the first full twin, and what the script cuts out of it
    connection.send(&publish("$iothub/twin/GET/?$rid=3", b""));
    let twin = connection.expect_publish("$iothub/twin/res/200/?$rid=3");
    let rubbish = report_for(&twin);
    assert!(serde_json::from_str::<serde_json::Value>(&rubbish).is_err(), "{rubbish}");
    report(&mut connection, 4, r#"{"configId"::,"sendFrequency":"rs"}"#);
    let refusal = connection.expect_publish("$iothub/twin/res/400/?$rid=4");
    assert!(refusal.contains("errorCode"), "{refusal}");
    connection.send(&subscribe(6, &[("$iothub/twin/PATCH/properties/desired/#", 0)]));
    connection.expect(&[0x90, 3, 0, 6, 0]);

    // SetDesiredAndQuery.py
    let desired = r#"{"properties":{"desired":{"configId":3, "sendFrequency":"5m"}}}"#;
    let path = format!("/twins/MyDevice?api-version={API_VERSION}");
    hub.rest.send("PATCH", &path, &[], Some(desired)).expect(200);
    let change = connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    let answer = report_for(&change);
    assert_eq!(answer, r#"{"configId":3,"sendFrequency":"5m"}"#);
    report(&mut connection, 7, &answer);
    connection.expect_publish("$iothub/twin/res/204/?$rid=7&$version=2");

    let twin = hub.twin(&device);
    assert_eq!(twin["properties"]["reported"]["configId"], 3);
    assert_eq!(twin["properties"]["reported"]["sendFrequency"], "5m");
    // the script ends with Ctrl-C: the socket closes, no DISCONNECT
    connection.cut();
}

#[test]
fn the_back_end_of_the_other_pair_finds_its_words_in_the_text() {
    // AddTagsAndQuery.py searches the text of the twin, which therefore is compact.
    let hub = Hub::start();
    let device = hub.device("MyDevice");
    let mut connection = hub.connect_as(&connect(&device), ACCEPTED);
    connection.send(&subscribe(2, &[("$iothub/twin/res/#", 0), ("$iothub/methods/POST/#", 0)]));
    connection.expect(&[0x90, 4, 0, 2, 0, 0]);
    report(&mut connection, 3, r#"{"connectivity": "cellular"}"#);
    connection.expect_publish("$iothub/twin/res/204/?$rid=3&$version=2");
    let version = format!("?api-version={API_VERSION}");
    let tags = r#"{"tags":{"location":"Redmond"}}"#;
    hub.rest.send("PATCH", &format!("/twins/MyDevice{version}"), &[], Some(tags)).expect(200);
    let total = hub.rest.get(&format!("/statistics/devices{version}")).expect(200).json();
    assert_eq!(total["totalDeviceCount"], 1);
    let list = hub.rest.get(&format!("/devices/?top=1&api-version={API_VERSION}")).expect(200);
    assert_eq!(list.json()[0]["deviceId"], "MyDevice");
    let twin = hub.rest.get(&format!("/twins/MyDevice{version}")).expect(200).body;
    for words in [r#""location":"Redmond""#, r#""connectivity":"cellular""#] {
        assert!(twin.contains(words), "{words} is not in {twin}");
    }
}

#[test]
fn old_clients_get_indented_texts() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.desire(&device, r#"{"configId":3,"a":{"b":[1,{}],"c":{}}}"#);
    for old in ["2016-11-14", "2017-06-30", API_VERSION, "2018-06-30"] {
        let mut connection = hub.connect_as(&device.connect_of(old), ACCEPTED);
        iothub_tests::subscribe_twin(&mut connection);
        connection.send(&publish("$iothub/twin/GET/?$rid=1", b""));
        let text = connection.expect_publish("$iothub/twin/res/200/?$rid=1");
        let expected = [
            "{",
            r#"  "desired": {"#,
            r#"    "configId": 3,"#,
            r#"    "a": {"#,
            r#"      "b": ["#,
            "        1,",
            "        {}",
            "      ],",
            r#"      "c": {}"#,
            "    },",
            r#"    "$version": 2"#,
            "  },",
            r#"  "reported": {"#,
            r#"    "$version": 1"#,
            "  }",
            "}",
        ];
        assert_eq!(text, expected.join("\r\n"), "{old}");
    }
    let mut connection = hub.connect_as(&device.connect_of(API_VERSION), ACCEPTED);
    iothub_tests::subscribe_twin(&mut connection);
    hub.desire(&device, r#"{"configId":4}"#);
    let change = connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=3");
    assert_eq!(change, "{\r\n  \"configId\": 4,\r\n  \"$version\": 3\r\n}");
}

#[test]
fn newer_clients_get_compact_texts() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.desire(&device, r#"{"configId": 3}"#);
    for new in ["2019-03-30", "2019-10-01", "2020-05-31-preview", "2021-04-12"] {
        let mut connection = hub.connect_as(&device.connect_of(new), ACCEPTED);
        iothub_tests::subscribe_twin(&mut connection);
        connection.send(&publish("$iothub/twin/GET/?$rid=1", b""));
        let text = connection.expect_publish("$iothub/twin/res/200/?$rid=1");
        let expected = r#"{"desired":{"configId":3,"$version":2},"reported":{"$version":1}}"#;
        assert_eq!(text, expected, "{new}");
    }
}
