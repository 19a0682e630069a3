//! Device-to-cloud messages: accepted topics, acknowledgements and their order.

use iothub_tests::Hub;
use iothub_tests::mqtt::{publish, publish_with};

const EVENTS: &str = "devices/d1/messages/events/";

#[test]
fn a_message_at_qos_1_is_acknowledged() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    connection.send(&publish_with(0x32, 5, EVENTS, b"hello"));
    connection.expect(&[0x40, 2, 0, 5]);
    connection.send(&publish_with(0x32, 0xFFFF, EVENTS, b""));
    connection.expect(&[0x40, 2, 0xFF, 0xFF]);
    // a second time, with DUP: acknowledged again
    connection.send(&publish_with(0x3A, 5, EVENTS, b"hello"));
    connection.expect(&[0x40, 2, 0, 5]);
    // RETAIN is a property of the message, nothing is kept
    connection.send(&publish_with(0x33, 6, EVENTS, b"hello"));
    connection.expect(&[0x40, 2, 0, 6]);
}

#[test]
fn a_message_at_qos_0_is_not() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    connection.send(&publish(EVENTS, b"hello"));
    connection.expect_alive();
}

#[test]
fn acknowledgements_come_in_the_order_of_the_messages() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    let ids: Vec<u16> = (1..=500).map(|number| number * 131).collect();
    let burst: Vec<u8> = ids
        .iter()
        .flat_map(|id| publish_with(0x32, *id, EVENTS, format!("message {id}").as_bytes()))
        .collect();
    connection.send(&burst);
    for id in ids {
        let [high, low] = id.to_be_bytes();
        connection.expect(&[0x40, 2, high, low]);
    }
}

#[test]
fn every_form_of_topic_is_understood() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    let topics = [
        "devices/d1/messages/events",
        "devices/d1/messages/events/",
        "devices/d1/messages/events/a=b",
        "devices/d1/messages/events/a=b/",
        "devices/d1/messages/events/?a=b",
        "devices/d1/messages/events/%24.mid=1&%24.cid=2&%24.ct=application%2Fjson&%24.ce=utf-8&alert=yes%20%26%20no",
        "devices/d1/messages/events/$.mid=1&$.to=%2Fdevices&$.exp=2030-01-01T00%3A00%3A00.000Z",
        // the C SDK: own properties first, nothing encoded
        "devices/d1/messages/events/alert=yes&odd=a b&path=a/b:c&%24.cid=2&%24.mid=1",
        "devices/d1/messages/events/name&empty=&=value",
        "devices/d1/messages/events/gr%C3%B6%C3%9Fe=%25%26%3D",
    ];
    for (id, topic) in (1..).zip(topics) {
        connection.send(&publish_with(0x32, id, topic, b"{}"));
        connection.expect(&[0x40, 2, 0, u8::try_from(id).unwrap()]);
    }
}

#[test]
fn the_largest_message_has_256_kilobytes() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    connection.send(&publish_with(0x32, 1, EVENTS, &vec![b'x'; 256 * 1024]));
    connection.expect(&[0x40, 2, 0, 1]);
    connection.send(&publish_with(0x32, 2, EVENTS, &vec![b'x'; 256 * 1024 + 1]));
    connection.expect_closed();
}

#[test]
fn properties_count_for_the_size() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    let topic = format!("{EVENTS}name=value");
    connection.send(&publish_with(0x32, 1, &topic, &vec![b'x'; 256 * 1024 - 9]));
    connection.expect(&[0x40, 2, 0, 1]);
    connection.send(&publish_with(0x32, 2, &topic, &vec![b'x'; 256 * 1024 - 8]));
    connection.expect_closed();
}
