//! What a client must not do. The hub closes that connection and serves the others.

use iothub_tests::mqtt::{
    ACCEPTED, Connect, NOT_AUTHORIZED, packet, publish, publish_with, subscribe, text, unsubscribe,
};
use iothub_tests::{Device, Hub};
use serde_json::json;

use crate::journal::expect;

/// Sends these bytes on an open connection of `d1`, which the hub must close without a word, and
/// without harm to another device.
fn closes(hub: &Hub, device: &Device, what: &str, bytes: &[u8]) {
    let mut bystander = hub.connect(&Device { id: "d2".to_owned(), ..device.clone() });
    let mut connection = hub.connect(device);
    connection.send(bytes);
    println!("{what}");
    connection.expect_closed();
    bystander.expect_alive();
}

fn hub() -> (Hub, Device) {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.device("d2");
    (hub, device)
}

#[test]
fn publishes_that_close() {
    let (hub, device) = hub();
    let events = "devices/d1/messages/events/";
    let table = [
        ("qos 2", publish_with(0x34, 1, events, b"x")),
        ("qos 3", publish_with(0x36, 1, events, b"x")),
        ("packet id 0", publish_with(0x32, 0, events, b"x")),
        // [MQTT-3.3.1-2]
        ("DUP at qos 0", packet(0x38, &[text(events), b"x".to_vec()].concat())),
        ("another device", publish("devices/d2/messages/events/", b"x")),
        ("another case", publish("devices/D1/messages/events/", b"x")),
        ("a module", publish("devices/d1/modules/m1/messages/events/", b"x")),
        ("an unknown topic", publish("a/b", b"x")),
        ("an empty topic", publish("", b"x")),
        ("no topic", packet(0x30, &[])),
        ("a wildcard for the device", publish("devices/+/messages/events/", b"x")),
        ("devicebound", publish("devices/d1/messages/devicebound/", b"x")),
        ("unknown below $iothub", publish("$iothub/foo/?$rid=1", b"x")),
        ("an answer", publish("$iothub/twin/res/200/?$rid=1", b"{}")),
        ("a desired change", publish("$iothub/twin/PATCH/properties/desired/?$version=2", b"{}")),
        ("a twin GET without $rid", publish("$iothub/twin/GET/", b"")),
        ("a topic longer than the packet", packet(0x30, &[0xFF, 0xFF, b'a'])),
        ("a topic that is not UTF-8", packet(0x30, &[0, 2, 0xC3, 0x28])),
        ("a topic with a multi-byte first character", publish("ü/x", b"x")),
        ("qos 1 without a packet id", packet(0x32, &text(events))),
    ];
    for (what, bytes) in table {
        closes(&hub, &device, what, &bytes);
    }
}

#[test]
fn other_packets_that_close() {
    let (hub, device) = hub();
    let second = device.connect().bytes();
    let table = [
        ("a second CONNECT", second),
        ("CONNACK", vec![0x20, 2, 0, 0]),
        ("PUBREC", vec![0x50, 2, 0, 1]),
        ("PUBREL", vec![0x62, 2, 0, 1]),
        ("PUBCOMP", vec![0x70, 2, 0, 1]),
        ("SUBACK", vec![0x90, 3, 0, 1, 0]),
        ("UNSUBACK", vec![0xB0, 2, 0, 1]),
        ("PINGRESP", vec![0xD0, 0]),
        ("type 0", vec![0x00, 0]),
        ("type 15", vec![0xF0, 0]),
        ("a length of five bytes", vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ("garbage", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a short PUBACK", vec![0x40, 1, 0]),
        ("PINGREQ with flags", vec![0xC1, 0]),
        (
            "SUBSCRIBE with flags 0",
            packet(0x80, &[&[0, 1][..], &text("$iothub/twin/res/#"), &[0]].concat()),
        ),
    ];
    for (what, bytes) in table {
        closes(&hub, &device, what, &bytes);
    }
}

#[test]
fn subscriptions_that_close() {
    let (hub, device) = hub();
    let filters = [
        "#",
        "+",
        "a/b",
        "devices/#",
        "devices/d1/#",
        "devices/d2/messages/devicebound/#",
        "devices/d1/messages/events/#",
        "$iothub/#",
        "$iothub/foo/#",
        "$iothub/twin/res/200/#",
        "$iothub/twin/#",
        "",
        "$iothub/twin/res/#/more",
    ];
    for filter in filters {
        closes(&hub, &device, filter, &subscribe(1, &[(filter, 0)]));
    }
    let table = [
        ("one good and one bad filter", subscribe(1, &[("$iothub/twin/res/#", 0), ("a/b", 0)])),
        ("no filter", subscribe(1, &[])),
        ("packet id 0", subscribe(0, &[("$iothub/twin/res/#", 0)])),
        ("qos 3", subscribe(1, &[("$iothub/twin/res/#", 3)])),
        ("UNSUBSCRIBE without a filter", unsubscribe(1, &[])),
    ];
    for (what, bytes) in table {
        closes(&hub, &device, what, &bytes);
    }
}

#[test]
fn subscriptions_that_are_granted() {
    let (hub, device) = hub();
    let mut connection = hub.connect(&device);
    let two = [("$iothub/twin/res/#", 0), ("$iothub/methods/POST/#", 0)];
    connection.send(&subscribe(2, &two));
    connection.expect(&[0x90, 0x04, 0x00, 0x02, 0x00, 0x00]);
    connection.send(&subscribe(1, &[("devices/d1/messages/devicebound/#", 2)]));
    connection.expect(&[0x90, 0x03, 0x00, 0x01, 0x01]);
    let filters = [
        "devices/d1/messages/devicebound/#",
        "devices/+/messages/devicebound/#",
        "$iothub/methods/POST/#",
        "$iothub/twin/res/#",
        "$iothub/twin/PATCH/properties/desired/#",
    ];
    for filter in filters {
        for qos in [0, 1] {
            connection.send(&subscribe(9, &[(filter, qos)]));
            connection.expect(&[0x90, 3, 0, 9, qos]);
        }
    }
    let all: Vec<_> = filters.iter().map(|filter| (*filter, 1)).collect();
    connection.send(&subscribe(3, &all));
    connection.expect(&[0x90, 7, 0, 3, 1, 1, 1, 1, 1]);
    connection.send(&unsubscribe(4, &filters));
    connection.expect(&[0xB0, 2, 0, 4]);
    // what was never subscribed to can be unsubscribed from
    connection.send(&unsubscribe(5, &filters));
    connection.expect(&[0xB0, 2, 0, 5]);
}

#[test]
fn first_packets_that_close_without_a_word() {
    let (hub, device) = hub();
    let good = device.connect().bytes();
    let with_flags = |flags: u8| {
        let mut bytes = good.clone();
        // fixed header of 3 bytes, "MQTT" of 6, the level
        bytes[10] = flags;
        bytes
    };
    assert_eq!(good[9..11], [4, 0xC2], "level and flags are where they are looked for");
    let table = [
        ("PINGREQ", vec![0xC0, 0]),
        ("PUBLISH", publish("devices/d1/messages/events/", b"x")),
        ("SUBSCRIBE", subscribe(1, &[("$iothub/twin/res/#", 0)])),
        ("an empty CONNECT", vec![0x10, 0]),
        ("a CONNECT that is cut short", packet(0x10, &good[3..20])),
        ("a reserved flag", with_flags(0xC3)),
        ("a will of quality of service 3", with_flags(0xDE)),
        ("a password without a user name", with_flags(0x42)),
        ("another protocol name", Connect { protocol: "MQTX", ..device.connect() }.bytes()),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("type 0", vec![0, 0]),
        ("a huge announcement", vec![0x10, 0xFF, 0xFF, 0xFF, 0x7F]),
    ];
    for (what, bytes) in table {
        println!("{what}");
        let mut connection = hub.open();
        connection.send(&bytes);
        connection.expect_closed();
    }
    hub.connect(&device).expect_alive();
}

#[test]
fn a_huge_announcement_is_refused_before_it_arrives() {
    let (hub, device) = hub();
    let mut connection = hub.connect(&device);
    // 256 MB are announced; the hub must not wait for them
    connection.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    connection.expect_closed();
    let entry = expect(&hub, &json!({"kind": "disconnected", "deviceId": "d1"}));
    let expected = "packet has 268435455 bytes, expected at most 327683";
    assert_eq!(entry["reason"], expected);
}

#[test]
fn a_will_on_another_topic_is_refused() {
    let (hub, device) = hub();
    let with_will = |topic: &str, qos| {
        let will = Some((topic.to_owned(), b"gone".to_vec(), qos));
        Connect { will, ..device.connect() }
    };
    for topic in ["devices/d1/messages/events/", "devices/d1/messages/events/a=b"] {
        hub.connect_as(&with_will(topic, 1), ACCEPTED).expect_alive();
    }
    for topic in ["a/b", "devices/d2/messages/events/", "$iothub/twin/GET/?$rid=1"] {
        hub.connect_as(&with_will(topic, 0), NOT_AUTHORIZED).expect_closed();
    }
}

#[test]
fn many_packets_in_one_write_and_one_packet_in_many() {
    let (hub, device) = hub();
    let mut connection = hub.connect(&device);
    let mut bytes = subscribe(1, &[("$iothub/twin/res/#", 0)]);
    bytes.extend(publish("$iothub/twin/GET/?$rid=1", b""));
    bytes.extend([0xC0, 0]);
    for byte in bytes.clone() {
        connection.send(&[byte]);
    }
    connection.send(&bytes);
    for _ in 0..2 {
        connection.expect(&[0x90, 3, 0, 1, 0]);
        connection.expect_publish("$iothub/twin/res/200/?$rid=1");
        connection.expect(&[0xD0, 0]);
    }
}
