//! Messages that ask for faults, as Microsoft's end-to-end tests of its SDKs send them.

use std::time::{Duration, Instant};

use iothub_tests::mqtt::{ACCEPTED, Connection, NOT_AUTHORIZED, UNAVAILABLE, publish_with};
use iothub_tests::{Device, Hub};
use serde_json::json;

use crate::amqp::{
    Client, attach, data, described, map, open_for_devices, performative, transfer, uint,
};
use crate::harness::admin;

const TYPE: &str = "AzIoTHub_FaultOperationType";
const CLOSE_REASON: &str = "AzIoTHub_FaultOperationCloseReason";
const DELAY: &str = "AzIoTHub_FaultOperationDelayInSecs";
const DURATION: &str = "AzIoTHub_FaultOperationDurationInSecs";

fn start() -> (Hub, Device) {
    let hub = Hub::start_with(|config| config.fault_messages = true);
    let device = hub.device("d1");
    (hub, device)
}

/// Publishes a message with these properties, at quality of service 1.
fn ask(connection: &mut Connection, first: u8, id: u16, properties: &[(&str, &str)]) {
    let bag: Vec<_> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let topic = format!("devices/d1/messages/events/{}", bag.join("&"));
    connection.send(&publish_with(first, id, &topic, b"x"));
}

/// How long a fault lasts, in seconds: much longer than a test, which turns the clock past it.
const LONG: &str = "1000";

/// Turns the hub's clock on by so many seconds.
fn advance(hub: &Hub, seconds: u32) {
    let turn = json!({ "advance": seconds }).to_string();
    assert_eq!(admin(hub, "POST /hubs/emulator/clock", &turn).0, 200);
}

#[test]
fn a_connection_is_reset_before_the_message_is_acknowledged() {
    let (hub, device) = start();
    for mut connection in
        [hub.open(), hub.open_tls(), hub.open_https().over_websocket("/$iothub/websocket")]
    {
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        let asked = [(TYPE, "KillTcp"), (CLOSE_REASON, "boom"), (DELAY, "0.3"), (DURATION, LONG)];
        let begun = Instant::now();
        ask(&mut connection, 0x32, 1, &asked);
        connection.expect_reset();
        assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
        hub.connect_as(&device.connect(), UNAVAILABLE);
        advance(&hub, 500);
        hub.connect_as(&device.connect(), UNAVAILABLE);
        advance(&hub, 500);
        let mut again = hub.connect(&device);
        // A client that did not hear of it sends it again, and has to get out of this.
        ask(&mut again, 0x3A, 1, &asked);
        again.expect(&[0x40, 2, 0, 1]);
        again.expect_alive();
    }
    assert!(hub.events().is_empty(), "an order is no event");
}

#[test]
fn a_graceful_end_is_no_reset() {
    let (hub, device) = start();
    for kind in ["KillTcp", "ShutDownMqtt"] {
        let mut connection = hub.open_tls();
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        let asked = [(TYPE, kind), (CLOSE_REASON, "byebye"), (DELAY, "0"), (DURATION, "0")];
        ask(&mut connection, 0x32, 1, &asked);
        connection.expect_goodbye();
    }
    hub.connect(&device).expect_alive();
}

#[test]
fn what_is_of_another_protocol_or_unknown_does_nothing() {
    let (hub, device) = start();
    let mut connection = hub.connect(&device);
    for (id, kind) in [(1, "KillAmqpSession"), (2, "ShutDownAmqp"), (3, "KillAll")] {
        ask(&mut connection, 0x32, id, &[(TYPE, kind), (DELAY, "0")]);
        connection.expect(&[0x40, 2, 0, id.to_be_bytes()[1]]);
    }
    connection.expect_alive();
    // Only what asks for nothing that there is counts as an event.
    assert_eq!(hub.await_events(1).len(), 1);
}

#[test]
fn without_the_switch_a_message_is_a_message() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    ask(&mut connection, 0x32, 1, &[(TYPE, "KillTcp"), (DELAY, "0")]);
    connection.expect(&[0x40, 2, 0, 1]);
    connection.expect_alive();
    assert_eq!(hub.await_events(1).len(), 1);
}

#[test]
fn events_are_refused_as_long_as_a_message_wants() {
    let (hub, device) = start();
    let mut connection = hub.connect(&device);
    ask(&mut connection, 0x32, 1, &[(TYPE, "InvokeAuthError"), (DELAY, "0"), (DURATION, LONG)]);
    connection.expect(&[0x40, 2, 0, 1]);
    connection.send(&publish_with(0x32, 2, "devices/d1/messages/events/", b"x"));
    connection.expect_closed();
    hub.connect_as(&device.connect(), NOT_AUTHORIZED);
    advance(&hub, 1000);
    let mut connection = hub.connect(&device);
    connection.send(&publish_with(0x32, 3, "devices/d1/messages/events/", b"x"));
    connection.expect(&[0x40, 2, 0, 3]);
}

#[test]
fn over_https_the_request_itself_fails() {
    let (hub, device) = start();
    let rest = hub.rest.signed_with(&device.token());
    let send = |kind: &str| {
        let header = format!("iothub-app-{TYPE}");
        rest.send("POST", "/devices/d1/messages/events", &[(&header, kind)], Some("x"))
    };
    for (kind, status) in [
        ("InvokeThrottling", 429),
        ("InvokeMaxMessageQuota", 403),
        ("InvokeAuthError", 401),
        ("KillTcp", 204),
    ] {
        send(kind).expect(status);
    }
    assert!(hub.events().is_empty());
    send("KillAll").expect(204);
    assert_eq!(hub.await_events(1).len(), 1);
}

/// An AMQP connection of the device with every link, and a link that asks for faults.
fn open(hub: &Hub) -> Client {
    let mut client = open_for_devices(hub, &["d1"]);
    for (handle, receives, path) in [
        (10, true, "messages/devicebound"),
        (11, false, "twin"),
        (12, true, "twin"),
        (13, true, "methods/devicebound"),
        (14, false, "methods/devicebound"),
    ] {
        client.send(&attach(handle, receives, &format!("/devices/d1/{path}")));
        client.await_answer(0x12);
    }
    client
}

/// Sends a message with these properties over the link of events.
fn tell(client: &mut Client, delivery: u32, properties: &[(&str, &str)]) {
    let message = [described(0x74, &map(properties)), data(b"x")].concat();
    client.send(&transfer(EVENTS, delivery, &message));
    let outcome = client.await_answer(0x15);
    assert!(outcome.text.contains("\u{0}S$"), "not accepted: {:?}", outcome.text);
}

/// The link of events that [`open_for_devices`] makes for its first device.
const EVENTS: u32 = 2;

#[test]
fn links_and_sessions_of_amqp_end_alone() {
    let (hub, _) = start();
    let table = [
        ("KillAmqpCBSLinkReq", 0),
        ("KillAmqpCBSLinkResp", 1),
        ("KillAmqpD2CLink", EVENTS),
        ("KillAmqpC2DLink", 10),
        ("KillAmqpTwinLinkReq", 11),
        ("KillAmqpTwinLinkResp", 12),
        ("KillAmqpMethodReqLink", 13),
        ("KillAmqpMethodRespLink", 14),
    ];
    for (kind, handle) in table {
        for (reason, error) in [("boom", true), ("byebye", false)] {
            let mut client = open(&hub);
            tell(&mut client, 9, &[(TYPE, kind), (CLOSE_REASON, reason), (DELAY, "0")]);
            let detach = client.await_answer(0x16);
            assert_eq!(detach.text.contains("amqp:link:detach-forced"), error, "{}", detach.text);
            assert_eq!(detach.handle(), handle, "{kind}");
            // The link can be attached again at once.
            client.send(&performative(0x16, &[&uint(handle), &[0x41]]));
            client.send(&attach(20, true, "$cbs"));
            client.await_answer(0x12);
        }
    }
    let mut client = open(&hub);
    tell(&mut client, 9, &[(TYPE, "KillAmqpSession"), (DELAY, "0")]);
    assert!(client.await_answer(0x17).text.contains("amqp:internal-error"));
    // What was on its way is nobody's; then the channel can be used again.
    client.send(&attach(30, true, "$cbs"));
    client.send(&performative(0x17, &[]));
    client.send(&performative(0x11, &[&[0x40], &uint(0), &uint(1000), &uint(1000)]));
    client.expect(0x11);
    client.send(&attach(0, true, "$cbs"));
    client.expect(0x12);
}

#[test]
fn connections_of_amqp_end_with_a_word_or_without() {
    let (hub, _) = start();
    let brief = [(DELAY, "0"), (DURATION, "0")];
    for (kind, reason, text) in
        [("KillAmqpConnection", "boom", "amqp:connection:forced"), ("ShutDownAmqp", "byebye", "")]
    {
        let mut client = open(&hub);
        tell(&mut client, 9, &[&[(TYPE, kind), (CLOSE_REASON, reason)], &brief[..]].concat());
        let close = client.await_answer(0x18);
        assert!(close.text.contains(text), "{}", close.text);
        assert_eq!(close.text.contains("amqp:"), !text.is_empty(), "{}", close.text);
        client.expect_end();
    }
    let mut client = open(&hub);
    tell(&mut client, 9, &[&[(TYPE, "KillTcp")], &brief[..]].concat());
    client.expect_reset();
}

#[test]
fn events_over_amqp_are_rejected_as_long_as_a_message_wants() {
    let (hub, _) = start();
    for (kind, condition) in [
        ("InvokeThrottling", "com.microsoft:device-container-throttled"),
        ("InvokeMaxMessageQuota", "amqp:resource-limit-exceeded"),
        ("InvokeAuthError", "amqp:unauthorized-access"),
    ] {
        let mut client = open(&hub);
        tell(&mut client, 9, &[(TYPE, kind), (DELAY, "0"), (DURATION, LONG)]);
        client.send(&transfer(EVENTS, 10, &data(b"x")));
        let outcome = client.await_answer(0x15);
        assert!(outcome.text.contains(condition), "{kind}: {}", outcome.text);
        advance(&hub, 1000);
        tell(&mut client, 11, &[]);
    }
    assert_eq!(hub.await_events(3).len(), 3);
}
