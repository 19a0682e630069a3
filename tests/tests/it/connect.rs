//! CONNECT and its answer: user names, protocol levels, keep-alive, take-over.

use std::time::{Duration, Instant};

use iothub_core::auth::sas;
use iothub_tests::mqtt::{
    ACCEPTED, BAD_VERSION, Connect, NOT_AUTHORIZED, PINGREQ, PINGRESP, UNAVAILABLE, packet,
    publish, publish_with, text,
};
use iothub_tests::{FAR_FUTURE, Hub, key};
use serde_json::json;

use crate::journal::expect;

#[test]
fn the_answer_to_a_first_connect_has_four_bytes() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.connect(&device).expect_alive();
    let mut over_tls = hub.open_tls();
    over_tls.send(&device.connect().bytes());
    over_tls.expect(&[0x20, 0x02, 0x00, 0x00]);
    over_tls.expect_alive();
}

#[test]
fn every_form_of_user_name_is_understood() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let queries = [
        "/?api-version=2021-04-12",
        "/?api-version=2019-10-01&DeviceClientType=azure-iot-device-iothub-py%2F2.14.0%28python%29",
        "/?api-version=2021-04-12&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1&DeviceClientType=x",
        "/?DeviceClientType=x&api-version=2020-09-30",
        "/?api-version=2017-11-08-preview&DeviceClientType=python%2f1.4.6%20iothubclient%2f1.2.12",
        "/?api-version=2021-04-12&unknown=1&api-version=again",
        "/api-version=2016-11-14",
        "/api-version=2016-11-14&DeviceClientType=iothubclient%2F1.0",
        // slashes that are not encoded make six segments of it
        "/api-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003",
        "",
    ];
    for query in queries {
        for host in [hub.host().to_owned(), format!("{}:8883", hub.host())] {
            let user_name = format!("{host}/d1{query}");
            let connect = Connect::new("d1", &user_name, &device.token());
            hub.connect_as(&connect, ACCEPTED).expect_alive();
        }
    }
}

#[test]
fn a_user_name_of_somebody_else_is_not_authorized() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.device("d2");
    hub.device("D1");
    let host = hub.host();
    let table = [
        ("d2", format!("{host}/d1/?api-version=2021-04-12")),
        ("d1", format!("{host}/d2/?api-version=2021-04-12")),
        ("D1", format!("{host}/d1/?api-version=2021-04-12")),
        ("d1", format!("{host}/D1/?api-version=2021-04-12")),
        ("", format!("{host}/d1/?api-version=2021-04-12")),
        ("d1/m1", format!("{host}/d1/?api-version=2021-04-12")),
        ("d1/m1", format!("{host}/d1/m1/?api-version=2021-04-12")),
        ("unknown", format!("{host}/unknown/?api-version=2021-04-12")),
        ("d1", host.to_owned()),
        ("d1", String::new()),
    ];
    for (client_id, user_name) in table {
        let connect = Connect::new(client_id, &user_name, &device.token());
        hub.connect_as(&connect, NOT_AUTHORIZED).expect_closed();
    }
}

#[test]
fn what_is_missing_is_not_authorized() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let complete = device.connect();
    let no_password = Connect { password: None, ..complete.clone() };
    let no_user_name = Connect { user_name: None, password: None, ..complete.clone() };
    let empty_password = Connect { password: Some(String::new()), ..complete };
    for connect in [no_password, no_user_name, empty_password] {
        hub.connect_as(&connect, NOT_AUTHORIZED).expect_closed();
    }
}

#[test]
fn other_protocol_levels_are_refused() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let old = Connect { protocol: "MQIsdp", level: 3, ..device.connect() };
    hub.connect_as(&old, BAD_VERSION).expect_closed();
    let unknown = Connect { level: 6, ..device.connect() };
    hub.connect_as(&unknown, BAD_VERSION).expect_closed();

    // MQTT 5 has properties after the keep-alive, and an answer of its own: 0x84, unsupported
    // protocol version
    let mut body = text("MQTT");
    body.extend([5, 0xC2, 0, 60, 0]);
    body.extend([text("d1"), text(&device.user_name()), text(&device.token())].concat());
    let mut connection = hub.open();
    connection.send(&packet(0x10, &body));
    connection.expect(&[0x20, 3, 0, 0x84, 0]);
    connection.expect_closed();
}

#[test]
fn a_disabled_device_is_told_that_the_server_is_unavailable() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let disabled = r#"{"deviceId":"d1","status":"disabled"}"#;
    hub.rest.send("PUT", "/devices/d1", &[("If-Match", "*")], Some(disabled)).expect(200);
    hub.connect_as(&device.connect(), UNAVAILABLE).expect_closed();
    // with the wrong key it is a stranger like any other
    let stranger = sas::sign(&device.resource(), FAR_FUTURE, None, &key(9));
    let connect = Connect::new("d1", &device.user_name(), &stranger);
    hub.connect_as(&connect, NOT_AUTHORIZED).expect_closed();
}

#[test]
fn disabling_and_deleting_close_the_connection() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    let disabled = r#"{"deviceId":"d1","status":"disabled"}"#;
    hub.rest.send("PUT", "/devices/d1", &[("If-Match", "*")], Some(disabled)).expect(200);
    connection.expect_closed();

    let device = hub.device("d2");
    let mut connection = hub.connect(&device);
    hub.rest.delete("/devices/d2").expect(204);
    connection.expect_closed();
    hub.connect_as(&device.connect(), NOT_AUTHORIZED).expect_closed();
}

#[test]
fn the_newcomer_takes_the_connection_over() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut first = hub.connect(&device);
    let mut bystander = hub.connect(&hub.device("d2"));
    let mut second = hub.connect(&device);
    first.expect_closed();
    second.expect_alive();
    bystander.expect_alive();
    assert_eq!(hub.twin(&device)["connectionState"], "Connected");
    // a refused CONNECT takes nothing over
    let stranger = Connect { password: Some("rubbish".to_owned()), ..device.connect() };
    hub.connect_as(&stranger, NOT_AUTHORIZED).expect_closed();
    second.expect_alive();
}

#[test]
fn silence_for_one_and_a_half_keep_alives_closes() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let start = Instant::now();
    let mut connection = hub.connect_as(&device.connect().keep_alive(1), ACCEPTED);
    connection.expect_closed();
    let silence = start.elapsed();
    assert!(silence >= Duration::from_millis(1_500), "closed after {silence:?}");
    // Not how late it was, which is the machine's affair, but how long the hub meant to wait.
    let entry = expect(&hub, &json!({"kind": "disconnected", "deviceId": "d1"}));
    assert_eq!(entry["reason"], "nothing came for 1.5s");
    assert_eq!(hub.twin(&device)["connectionState"], "Disconnected");
}

#[test]
fn any_packet_keeps_the_connection_alive() {
    let hub = Hub::start();
    let device = hub.device("d1");
    // Nine seconds of silence are allowed: much longer than one turn, even on a slow machine, and
    // shorter than all of them.
    let mut connection = hub.connect_as(&device.connect().keep_alive(6), ACCEPTED);
    for turn in 0..5_u16 {
        std::thread::sleep(Duration::from_secs(2));
        if turn % 2 == 0 {
            connection.send(PINGREQ);
            connection.expect(PINGRESP);
        } else {
            connection.send(&publish_with(0x32, turn, "devices/d1/messages/events/", b"x"));
            connection.expect(&[0x40, 2, 0, u8::try_from(turn).unwrap()]);
        }
    }
}

#[test]
fn half_a_packet_does_not_keep_the_connection_alive() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_as(&device.connect().keep_alive(1), ACCEPTED);
    let whole = publish("devices/d1/messages/events/", &[b'x'; 1000]);
    let ended = whole.iter().take(200).any(|byte| {
        connection.send(&[*byte]);
        connection.ends_within(Duration::from_millis(300))
    });
    assert!(ended, "the connection lives");
}

#[test]
fn keep_alive_off_and_the_longest_are_accepted() {
    let hub = Hub::start();
    let device = hub.device("d1");
    for seconds in [0, 1_177, 1_767, 65_535] {
        hub.connect_as(&device.connect().keep_alive(seconds), ACCEPTED).expect_alive();
    }
}

#[test]
fn disconnect_ends_the_connection() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    connection.send(iothub_tests::mqtt::DISCONNECT);
    connection.expect_closed();
    assert_eq!(hub.twin(&device)["connectionState"], "Disconnected");
}
