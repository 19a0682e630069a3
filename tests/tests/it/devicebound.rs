//! Cloud-to-device messages over MQTT, and what back ends see of them.

use std::time::Duration;

use iothub_core::error::HubError;
use iothub_core::event::{Message, SystemProperty};
use iothub_core::limits;
use iothub_core::time::Timestamp;
use iothub_tests::mqtt::{
    ACCEPTED, Connection, DISCONNECT, Publish, RESUMED, publish_with, subscribe, unsubscribe,
};
use iothub_tests::{Device, Hub};
use iothub_wire::connection_string::encode;
use serde_json::json;

const QUIET: Duration = Duration::from_millis(200);

fn filter(device: &Device) -> String {
    format!("devices/{}/messages/devicebound/#", device.id)
}

/// Subscribes, and expects what was asked for to be granted, as far as there is such a thing.
fn listen(connection: &mut Connection, device: &Device, qos: u8) {
    connection.send(&subscribe(9, &[(&filter(device), qos)]));
    connection.expect(&[0x90, 3, 0, 9, qos.min(1)]);
}

fn puback(packet_id: u16) -> Vec<u8> {
    [&[0x40, 2], &packet_id.to_be_bytes()[..]].concat()
}

/// Reads a message at QoS 1 and gives its first byte, its packet id and its text.
fn read(connection: &mut Connection) -> (u8, u16, String) {
    let Publish { first, packet_id, payload, .. } = connection.read().publish();
    (first, packet_id.unwrap(), payload)
}

fn waiting(hub: &Hub, device: &Device) -> u64 {
    let device = hub.rest.get(&format!("/devices/{}", encode(&device.id))).expect(200).json();
    device["cloudToDeviceMessageCount"].as_u64().unwrap()
}

#[test]
fn a_message_arrives_with_its_properties() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    listen(&mut connection, &device, 1);
    let expiry = Timestamp::from_ticks(hub.emulator.hub().now().ticks() / 10_000_000 * 10_000_000)
        .after(Duration::from_secs(600));
    let property = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let message = Message {
        system: vec![
            (SystemProperty::ContentType, "application/json".to_owned()),
            (SystemProperty::MessageId, "m/1".to_owned()),
            (SystemProperty::To, "/devices/d1/messages/deviceBound".to_owned()),
        ],
        application: vec![
            property("color", "dark red"),
            ("nothing".to_owned(), None),
            property("iothub-ack", "none"),
        ],
        body: "{}".into(),
    };
    hub.send(&device, message, Some(expiry)).unwrap();
    let came = connection.read().publish();
    let expiry = expiry.to_string().replace('Z', ".0000000Z").replace(':', "%3A");
    let topic = format!(
        "devices/d1/messages/devicebound/%24.exp={expiry}&%24.mid=m%2F1\
         &%24.to=%2Fdevices%2Fd1%2Fmessages%2FdeviceBound&%24.ct=application%2Fjson\
         &iothub-ack=none&color=dark%20red"
    );
    let expected = Publish { first: 0x32, topic, packet_id: Some(2), payload: "{}".to_owned() };
    assert_eq!(came, expected);
    connection.send(&puback(2));
    connection.expect_alive();
    assert_eq!(waiting(&hub, &device), 0);
}

#[test]
fn messages_come_in_order_and_many_may_be_unacknowledged() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    listen(&mut connection, &device, 1);
    let ids: Vec<u16> = (0..limits::DEVICEBOUND_QUEUE)
        .map(|number| {
            hub.send_text(&device, &number.to_string());
            let (first, id, text) = read(&mut connection);
            assert_eq!((first, text), (0x32, number.to_string()));
            id
        })
        .collect();
    let full = hub.send(&device, Message::default(), None).unwrap_err();
    assert!(matches!(full, HubError::DeviceMaximumQueueDepthExceeded(_)), "{full:?}");
    assert_eq!(full.code().number, 403_004);
    assert_eq!(waiting(&hub, &device), limits::DEVICEBOUND_QUEUE as u64);
    for id in ids.iter().rev() {
        connection.send(&puback(*id));
    }
    connection.expect_alive();
    assert_eq!(waiting(&hub, &device), 0);
    hub.send_text(&device, "room again");
    assert_eq!(read(&mut connection).2, "room again");
}

#[test]
fn what_is_not_acknowledged_comes_again_after_a_reconnect() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    listen(&mut first, &device, 1);
    for text in ["a", "b", "c"] {
        hub.send_text(&device, text);
    }
    let came: Vec<_> = (0..3).map(|_| read(&mut first)).collect();
    first.send(&puback(came[1].1));
    first.expect_alive();
    first.cut();

    // Right after CONNACK, without a SUBSCRIBE, under the same packet ids.
    let mut second = hub.connect_as(&connect, RESUMED);
    for (_, id, text) in [&came[0], &came[2]] {
        assert_eq!(read(&mut second), (0x3A, *id, text.clone()));
        second.send(&puback(*id));
    }
    // Sent while the device was away, not a duplicate.
    second.send(DISCONNECT);
    second.expect_closed();
    hub.send_text(&device, "d");
    let mut third = hub.connect_as(&connect, RESUMED);
    assert_eq!(read(&mut third), (0x32, 5, "d".to_owned()));
}

#[test]
fn a_connection_that_takes_over_gets_what_the_other_did_not_acknowledge() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    listen(&mut first, &device, 1);
    hub.send_text(&device, "a");
    assert_eq!(read(&mut first).0, 0x32);
    let mut second = hub.connect_as(&connect, RESUMED);
    assert_eq!(read(&mut second), (0x3A, 2, "a".to_owned()));
    first.send(&puback(2));
    first.expect_closed();
    assert_eq!(waiting(&hub, &device), 1);
    second.send(&puback(2));
    second.expect_alive();
    assert_eq!(waiting(&hub, &device), 0);
}

#[test]
fn an_acknowledgement_of_nothing_does_nothing() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    listen(&mut connection, &device, 1);
    hub.send_text(&device, "a");
    let (_, id, _) = read(&mut connection);
    connection.send(&puback(id + 1));
    connection.expect_alive();
    assert_eq!(waiting(&hub, &device), 1);
    connection.send(&puback(id));
    connection.send(&puback(id));
    connection.expect_alive();
    assert_eq!(waiting(&hub, &device), 0);
}

#[test]
fn at_most_once_is_settled_as_it_is_sent_and_never_sent_again() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    listen(&mut first, &device, 1);
    hub.send_text(&device, "maybe seen");
    read(&mut first);
    listen(&mut first, &device, 0);
    hub.send_text(&device, "once");
    let came = first.read().publish();
    assert_eq!((came.first, came.packet_id, came.payload.as_str()), (0x30, None, "once"));
    assert_eq!(waiting(&hub, &device), 1);
    first.cut();
    let mut second = hub.connect_as(&connect, RESUMED);
    hub.await_waiting(&device, 0);
    second.expect_alive();
    second.expect_silence(QUIET);
}

#[test]
fn what_was_sent_before_the_subscription_is_not_delivered() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.send_text(&device, "early");
    let mut connection = hub.connect(&device);
    connection.expect_alive();
    assert_eq!(waiting(&hub, &device), 1);
    listen(&mut connection, &device, 1);
    hub.await_waiting(&device, 0);
    connection.expect_alive();
    hub.send_text(&device, "in time");
    assert_eq!(read(&mut connection).2, "in time");
}

#[test]
fn a_subscription_that_is_repeated_keeps_its_age_and_one_that_is_cancelled_does_not() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    listen(&mut first, &device, 1);
    first.cut();
    hub.send_text(&device, "away");
    let mut second = hub.connect_as(&connect, RESUMED);
    let (_, id, text) = read(&mut second);
    assert_eq!(text, "away");
    listen(&mut second, &device, 1);
    second.expect_alive();
    second.cut();
    let mut third = hub.connect_as(&connect, RESUMED);
    assert_eq!(read(&mut third), (0x3A, id, "away".to_owned()));
    third.send(&unsubscribe(7, &[&filter(&device)]));
    third.expect(&[0xB0, 2, 0, 7]);
    hub.send_text(&device, "unheard");
    third.expect_silence(QUIET);
    assert_eq!(waiting(&hub, &device), 2);
}

#[test]
fn a_module_gets_none() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.send_text(&device, "for the device");
    hub.rest.put("/devices/d1/modules/m1", r#"{"deviceId":"d1","moduleId":"m1"}"#).expect(200);
    let twin = hub.rest.get("/twins/d1/modules/m1").expect(200).json();
    assert_eq!(twin["cloudToDeviceMessageCount"], 0);
    assert_eq!(hub.rest.get("/twins/d1").expect(200).json()["cloudToDeviceMessageCount"], 1);
}

#[test]
fn a_purge_empties_the_queue() {
    let hub = Hub::start();
    let device = hub.device("d 1".replace(' ', "-").as_str());
    for text in ["a", "b"] {
        hub.send_text(&device, text);
    }
    let purged = hub.rest.delete("/devices/d-1/commands").expect(200).json();
    let expected = json!({ "totalMessagesPurged": 2, "deviceId": "d-1", "moduleId": null });
    assert_eq!(purged, expected);
    assert_eq!(waiting(&hub, &device), 0);
    let again = hub.rest.delete("/devices/d-1/commands").expect(200).json();
    assert_eq!(again["totalMessagesPurged"], 0);
    hub.rest.delete("/devices/nobody/commands").expect_error(404, "DeviceNotFound");
}

#[test]
fn a_queue_ends_with_its_device() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.send_text(&device, "a");
    hub.rest.delete("/devices/d1").expect(204);
    let gone = hub.send(&device, Message::default(), None);
    assert!(matches!(gone, Err(HubError::DeviceNotFound(_))), "{gone:?}");
    hub.device("d1");
    assert_eq!(waiting(&hub, &device), 0);
}

#[test]
fn a_message_that_fits_no_topic_is_rejected_and_the_next_arrives() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    listen(&mut connection, &device, 1);
    let application = vec![("blanks".to_owned(), Some(" ".repeat(40_000)))];
    hub.send(&device, Message { application, ..Message::default() }, None).unwrap();
    hub.send_text(&device, "next");
    assert_eq!(read(&mut connection).2, "next");
    assert_eq!(waiting(&hub, &device), 1);
}

#[test]
fn the_largest_message_arrives() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    listen(&mut connection, &device, 1);
    let body = "x".repeat(limits::DEVICEBOUND_BYTES);
    hub.send(&device, Message { body: body.clone().into(), ..Message::default() }, None).unwrap();
    assert_eq!(read(&mut connection).2, body);
    let too_large = Message { body: format!("{body}x").into(), ..Message::default() };
    let refused = hub.send(&device, too_large, None).unwrap_err();
    assert_eq!(refused.code().number, 413_001);
}

#[test]
fn a_publish_to_the_own_queue_closes_the_connection() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    connection.send(&publish_with(0x32, 1, "devices/d1/messages/devicebound/", b"x"));
    connection.expect_closed();
}
