//! The HTTPS device API: events, and receiving and settling cloud-to-device messages.

use iothub_core::auth::AuthMethod;
use iothub_core::auth::sas;
use iothub_core::event::{Message, SystemProperty};
use iothub_core::limits;
use iothub_tests::mqtt::subscribe;
use iothub_tests::rest::{Answer, Rest};
use iothub_tests::{Device, FAR_FUTURE, Hub, key};

const EVENTS: &str = "/devices/d1/messages/events";
const MESSAGES: &str = "/devices/d1/messages/deviceBound";
const BATCH: (&str, &str) = ("Content-Type", "application/vnd.microsoft.iothub.json");

fn start() -> (Hub, Device, Rest) {
    let hub = Hub::start();
    let device = hub.device("d1");
    let rest = hub.rest.signed_with(&device.token());
    (hub, device, rest)
}

fn receive(rest: &Rest) -> (String, Answer) {
    let answer = rest.get(MESSAGES).expect(200);
    let etag = answer.header("etag").unwrap();
    let token = etag.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned();
    assert_eq!(token.len(), 36, "{token}");
    (token, answer)
}

fn settle(rest: &Rest, token: &str, query: &str) -> Answer {
    rest.delete(&format!("{MESSAGES}/{token}?api-version=2021-04-12{query}"))
}

fn abandon(rest: &Rest, token: &str) -> Answer {
    rest.send("POST", &format!("{MESSAGES}/{token}/abandon"), &[], Some(""))
}

#[test]
fn an_event_is_kept_with_its_properties() {
    let (hub, _, rest) = start();
    let headers = [
        ("iothub-to", "/devices/d1/messages/events"),
        ("IoTHub-MessageId", "m1"),
        ("iothub-contenttype", "text/plain"),
        // The name of a header has no case.
        ("iothub-app-MyColor", "red"),
    ];
    let answer = rest.send("POST", EVENTS, &headers, Some("hello")).expect(204);
    assert_eq!(answer.body, "");
    let events = hub.await_events(1);
    let event = &events[0];
    assert_eq!(event.sender.to_string(), "d1");
    assert_eq!(event.auth_method, Some(AuthMethod::DeviceKey));
    assert_eq!(event.message.body, "hello");
    assert!(event.message.system.contains(&(SystemProperty::MessageId, "m1".to_owned())));
    assert!(event.message.system.contains(&(SystemProperty::ContentType, "text/plain".to_owned())));
    assert_eq!(event.message.application, [("mycolor".to_owned(), Some("red".to_owned()))]);
    let shown = hub.rest.get("/devices/d1").expect(200).json();
    assert_eq!(shown["connectionState"], "Disconnected");
}

#[test]
fn a_batch_is_kept_whole_or_not_at_all() {
    let (hub, _, rest) = start();
    let batch =
        r#"[{"body":"YQ==","properties":{"iothub-app-n":"1"}},{"body":"b","base64Encoded":false}]"#;
    rest.send("POST", EVENTS, &[BATCH], Some(batch)).expect(204);
    let bodies: Vec<_> = hub.await_events(2).iter().map(|one| one.message.body.clone()).collect();
    assert_eq!(bodies, ["a", "b"]);
    let broken = rest.send("POST", EVENTS, &[BATCH], Some(r#"[{"body":"YQ=="},{"body":"!"}]"#));
    broken.expect_error(400, "ArgumentInvalid");
    let half = "x".repeat(limits::EVENT_BYTES / 2 + 1);
    let one = format!(r#"{{"body":"{half}","base64Encoded":false}}"#);
    let large = rest.send("POST", EVENTS, &[BATCH], Some(&format!("[{one},{one}]")));
    large.expect_error(413, "MessageTooLarge");
    assert_eq!(hub.events().len(), 2);
}

#[test]
fn an_event_that_is_too_large_is_refused() {
    let (hub, _, rest) = start();
    rest.send("POST", EVENTS, &[], Some(&"x".repeat(limits::EVENT_BYTES))).expect(204);
    let large = rest.send("POST", EVENTS, &[], Some(&"x".repeat(limits::EVENT_BYTES + 1)));
    large.expect_error(413, "MessageTooLarge");
    assert_eq!(hub.await_events(1).len(), 1);
}

#[test]
fn who_may_ask() {
    let (hub, device, rest) = start();
    let other = hub.device("d2");
    let of = |token: &str| hub.rest.signed_with(token);
    assert_eq!(of(&other.token()).get(MESSAGES).status, 401);
    let forged = sas::sign(&device.resource(), FAR_FUTURE, None, &key(9));
    of(&forged).get(MESSAGES).expect_error(401, "IotHubUnauthorizedAccess");
    let expired = sas::sign(&device.resource(), 1000, None, &key(1));
    assert_eq!(of(&expired).get(MESSAGES).status, 401);
    let mut nobody = of("");
    nobody.authorization = None;
    assert_eq!(nobody.get(MESSAGES).status, 401);
    // A policy with the right to connect devices, which iothubowner has.
    hub.rest.get(MESSAGES).expect(204);
    hub.rest.send("POST", EVENTS, &[], Some("x")).expect(204);
    assert_eq!(hub.await_events(1)[0].auth_method, Some(AuthMethod::Policy));
    let unknown = "/devices/nobody/messages/devicebound";
    rest.get(unknown).expect_error(404, "DeviceNotFound");
    rest.get("/devices/d1/messages/devicebound?x=1").expect_error(400, "InvalidProtocolVersion");
}

#[test]
fn a_message_is_received_with_its_headers_and_completed_once() {
    let (hub, device, rest) = start();
    rest.get(MESSAGES).expect(204);
    let property = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let message = Message {
        system: vec![
            (SystemProperty::MessageId, "m1".to_owned()),
            (SystemProperty::CorrelationId, "c1".to_owned()),
        ],
        application: vec![
            property("iothub-ack", "full"),
            property("color", "red"),
            property("no header", "left out"),
        ],
        body: "hello".into(),
    };
    hub.send(&device, message, None).unwrap();
    let (token, answer) = receive(&rest);
    assert_eq!(answer.body, "hello");
    for (name, value) in [
        ("iothub-messageid", "m1"),
        ("iothub-correlationid", "c1"),
        ("iothub-sequencenumber", "1"),
        ("iothub-to", "/devices/d1/messages/devicebound"),
        ("iothub-deliverycount", "0"),
        ("iothub-ack", "full"),
        ("iothub-app-color", "red"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}: {answer:?}");
    }
    assert_eq!(
        answer.header("iothub-enqueuedtime").unwrap().len(),
        "2024-01-01T00:00:00.0000000Z".len()
    );
    // Locked: nobody else gets it.
    rest.get(MESSAGES).expect(204);
    settle(&rest, &token, "").expect(204);
    settle(&rest, &token, "").expect_error(412, "DeviceMessageLockLost");
    abandon(&rest, &token).expect_error(412, "DeviceMessageLockLost");
    settle(&rest, "nonsense", "").expect_error(412, "DeviceMessageLockLost");
    let shown = hub.rest.get("/devices/d1").expect(200).json();
    assert_eq!(shown["cloudToDeviceMessageCount"], 0);
}

#[test]
fn every_form_of_settling_that_sdks_send_is_taken() {
    let (hub, device, rest) = start();
    for query in ["", "&reject", "&reject=", "&reject=true"] {
        hub.send_text(&device, "x");
        let (token, _) = receive(&rest);
        settle(&rest, &token, query).expect(204);
    }
    for form in ["If-Match", "IfMatch"] {
        for quote in ["", "\""] {
            hub.send_text(&device, "x");
            let (token, _) = receive(&rest);
            let value = format!("{quote}{token}{quote}");
            let path = format!("{MESSAGES}/{}", token.to_uppercase());
            rest.send("DELETE", &path, &[(form, &value)], None).expect(204);
        }
    }
    rest.get(MESSAGES).expect(204);
}

#[test]
fn what_is_abandoned_ten_times_is_gone() {
    let (hub, device, rest) = start();
    hub.send_text(&device, "first");
    hub.send_text(&device, "second");
    for count in 0..limits::DEVICEBOUND_MAX_DELIVERIES {
        let (token, answer) = receive(&rest);
        assert_eq!(answer.body, "first");
        assert_eq!(answer.header("iothub-deliverycount"), Some(count.to_string().as_str()));
        abandon(&rest, &token).expect(204);
    }
    assert_eq!(receive(&rest).1.body, "second");
}

#[test]
fn the_lock_time_comes_in_a_header_or_in_the_query() {
    let (hub, device, rest) = start();
    hub.send_text(&device, "x");
    hub.send_text(&device, "y");
    let header = [("IotHub-MessageLockTimeout", "60")];
    rest.send("GET", MESSAGES, &header, None).expect(200);
    let query = format!("{MESSAGES}?api-version=2020-09-30&iothub-messagelocktimeout=60");
    rest.get(&query).expect(200);
    let bad = [("IotHub-MessageLockTimeout", "soon")];
    rest.send("GET", MESSAGES, &bad, None).expect_error(400, "ArgumentInvalid");
}

#[test]
fn what_is_abandoned_goes_to_the_connection_that_listens() {
    let (hub, device, rest) = start();
    hub.send_text(&device, "x");
    let (token, _) = receive(&rest);
    let mut connection = hub.connect(&device);
    connection.send(&subscribe(1, &[("devices/d1/messages/devicebound/#", 1)]));
    connection.expect(&[0x90, 3, 0, 1, 1]);
    // Older than the subscription: not for this connection.
    abandon(&rest, &token).expect(204);
    // It looks at it all the same, and passes it over; who asks before that still gets it.
    hub.await_waiting(&device, 0);
    connection.expect_alive();
    rest.get(MESSAGES).expect(204);
    // The connection has this one; it is nobody else's.
    hub.send_text(&device, "y");
    let came = connection.read().publish();
    assert_eq!(came.payload, "y");
    rest.get(MESSAGES).expect(204);
}

#[test]
fn a_disabled_device_may_not_ask() {
    let (hub, _, rest) = start();
    let mut device = hub.rest.get("/devices/d1").expect(200).json();
    device["status"] = "disabled".into();
    let any = [("If-Match", "*")];
    hub.rest.send("PUT", "/devices/d1", &any, Some(&device.to_string())).expect(200);
    assert_eq!(rest.get(MESSAGES).status, 401);
}
