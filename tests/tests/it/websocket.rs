//! MQTT over WebSockets, on the port of HTTPS.

use std::time::Duration;

use iothub_tests::Hub;
use iothub_tests::mqtt::{ACCEPTED, Connection, NOT_AUTHORIZED, PINGREQ, PINGRESP, publish_with};
use iothub_tests::websocket::frame;

const PATH: &str = "/$iothub/websocket";

#[test]
fn a_device_works_as_over_tcp() {
    let hub = Hub::start();
    let device = hub.device("d1");
    for path in [PATH, "/%24iothub/websocket", "/$iothub/websocket?iothub-no-client-cert=true", "/"]
    {
        let mut connection = hub.open_https().over_websocket(path);
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        iothub_tests::subscribe_twin(&mut connection);
        hub.desire(&device, r#"{"n":null}"#);
        let version = hub.twin(&device)["properties"]["desired"]["$version"].as_u64().unwrap();
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        connection.expect_publish(&topic);
        let topic = "devices/d1/messages/events/";
        connection.send(&publish_with(0x32, 5, topic, &[b'x'; 200 * 1024]));
        connection.expect(&[0x40, 2, 0, 5]);
        connection.expect_alive();
    }
    assert_eq!(hub.events().len(), 4);
}

#[test]
fn a_wrong_password_is_refused_and_the_websocket_closed() {
    let hub = Hub::start();
    let mut device = hub.device("d1");
    let token = device.token();
    device.id = "d2".to_owned();
    let connect = iothub_tests::mqtt::Connect { password: Some(token), ..device.connect() };
    let mut connection = hub.open_https().over_websocket(PATH);
    connection.send(&connect.bytes());
    connection.expect(NOT_AUTHORIZED);
    connection.expect_closed();
}

#[test]
fn the_answer_names_the_subprotocol_as_it_came_and_no_extension() {
    let hub = Hub::start();
    for name in ["mqtt", "MQTT", "AMQPWSB10, Mqtt"] {
        let headers = format!(
            "Sec-WebSocket-Protocol: {name}\r\nSec-WebSocket-Extensions: permessage-deflate"
        );
        let head = hub.open_https().ask_for_websocket(PATH, &headers).to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(!head.contains("extensions"), "{head}");
    }
    let head = hub.open_https().ask_for_websocket(PATH, "Sec-WebSocket-Protocol: MQTT");
    assert!(head.contains(": MQTT\r\n"), "{head}");
}

#[test]
fn what_is_neither_mqtt_nor_amqp_is_refused() {
    let hub = Hub::start();
    let table = [
        ("Sec-WebSocket-Protocol: AMQPWSB100", "400"),
        ("Sec-WebSocket-Protocol: chat", "400"),
        ("X: no subprotocol", "400"),
    ];
    for (header, status) in table {
        let mut connection = hub.open_https();
        let head = connection.ask_for_websocket(PATH, header);
        assert_eq!(head.split(' ').nth(1), Some(status), "{header}");
    }
    assert_eq!(hub.rest.get("/$iothub/websocket").status, 426);
    assert_eq!(hub.rest.get("/").status, 404);
}

/// What comes after the WebSocket was opened, frame by frame, with this device connected.
fn raw(hub: &Hub) -> Connection {
    let device = hub.device("d1");
    let mut connection = hub.open_https();
    let head = connection.ask_for_websocket(PATH, "Sec-WebSocket-Protocol: mqtt");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    connection.send(&frame(0x82, &device.connect().bytes()));
    // a binary message of 4 bytes
    expect_bytes(&mut connection, &[&[0x82, 4], ACCEPTED].concat());
    connection
}

/// Frames have the form of MQTT packets as long as they are short.
fn expect_bytes(connection: &mut Connection, bytes: &[u8]) {
    connection.expect(bytes);
}

#[test]
fn packets_are_cut_anywhere_and_pings_answered() {
    let hub = Hub::start();
    let mut connection = raw(&hub);
    // one packet in two messages, the second of which comes in two frames around a ping
    connection.send(&frame(0x82, &PINGREQ[..1]));
    connection.send(&frame(0x02, &[]));
    connection.send(&frame(0x89, b"?"));
    expect_bytes(&mut connection, &[0x8A, 1, b'?']);
    connection.send(&frame(0x80, &PINGREQ[1..]));
    expect_bytes(&mut connection, &[&[0x82, 2], PINGRESP].concat());
    // two packets in one message
    connection.send(&frame(0x82, &[PINGREQ, PINGREQ].concat()));
    expect_bytes(&mut connection, &[&[0x82, 4], PINGRESP, PINGRESP].concat());
    // goodbye is answered
    connection.send(&frame(0x88, &[0x03, 0xE8]));
    expect_bytes(&mut connection, &[0x88, 2, 0x03, 0xE8]);
    connection.expect_closed();
}

#[test]
fn frames_against_the_rules_end_the_connection() {
    let hub = Hub::start();
    let mut huge = vec![0x82, 0xFF];
    huge.extend(u64::MAX.to_be_bytes());
    huge.extend([0; 4]);
    let cases: [(&str, Vec<u8>); 5] = [
        ("text", frame(0x81, b"hello")),
        ("compressed", frame(0xC2, PINGREQ)),
        ("unmasked", [&[0x82, 2], PINGREQ].concat()),
        ("an unknown opcode", frame(0x83, b"")),
        ("longer than memory", huge),
    ];
    for (what, bytes) in cases {
        println!("{what}");
        let mut connection = raw(&hub);
        connection.send(&bytes);
        // a close frame may come first
        assert!(connection.read_all().first().is_none_or(|first| *first == 0x88), "{what}");
        connection.expect_closed();
        assert_eq!(hub.rest.delete("/devices/d1").status, 204);
    }
}

#[test]
fn a_stop_ends_these_sessions_too() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.open_https().over_websocket(PATH);
    connection.send(&device.connect().bytes());
    connection.expect(ACCEPTED);
    let mut silent = hub.open_https().over_websocket(PATH);
    let stopping = std::thread::spawn(move || hub.stop());
    connection.expect_closed();
    silent.expect_closed();
    stopping.join().unwrap();
}

#[test]
fn an_open_websocket_counts_as_a_connection() {
    let hub = Hub::start_with(|config| config.max_connections = 1);
    let first = hub.open_https().over_websocket(PATH);
    let asked = std::thread::spawn({
        let (address, name, config) =
            (hub.emulator.https_addr(), hub.host().to_owned(), hub.tls_config());
        move || {
            let _second = Connection::tls(address, &name, config).over_websocket(PATH);
        }
    });
    // It waits until there is a place.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!asked.is_finished());
    first.cut();
    asked.join().unwrap();
}
