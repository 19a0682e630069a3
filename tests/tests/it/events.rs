//! What becomes of a message: the hub's log holds it parsed and stamped. And wills, which are
//! messages too.

use std::time::Duration;

use iothub_core::event::{Event, SystemProperty};
use iothub_tests::mqtt::{ACCEPTED, Connect, DISCONNECT, publish, publish_with};
use iothub_tests::{Device, Hub};

const EVENTS: &str = "devices/d1/messages/events/";

fn system(event: &Event, property: SystemProperty) -> Option<&str> {
    event.message.system.iter().find(|(name, _)| *name == property).map(|(_, value)| value.as_str())
}

fn application<'a>(event: &'a Event, name: &str) -> Option<Option<&'a str>> {
    let mut properties = event.message.application.iter();
    properties.find(|(own, _)| own == name).map(|(_, value)| value.as_deref())
}

#[test]
fn a_message_is_parsed_and_stamped() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let query = "2021-04-12&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1";
    let mut connection = hub.connect_as(&device.connect_of(query), ACCEPTED);
    let bag = "%24.mid=m%2F1&%24.cid=c-1&%24.uid=u&$.ct=application%2Fjson&%24.ce=utf-8&alert=yes%20%26%20no&plus=a+b&bare&empty=";
    connection.send(&publish_with(0x32, 1, &format!("{EVENTS}{bag}"), b"{\"t\":1}"));
    connection.expect(&[0x40, 2, 0, 1]);
    let events = hub.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(&event.message.body[..], b"{\"t\":1}");
    assert_eq!(event.sender.device.as_str(), "d1");
    assert_eq!(system(event, SystemProperty::MessageId), Some("m/1"));
    assert_eq!(system(event, SystemProperty::CorrelationId), Some("c-1"));
    assert_eq!(system(event, SystemProperty::UserId), Some("u"));
    assert_eq!(system(event, SystemProperty::ContentType), Some("application/json"));
    assert_eq!(system(event, SystemProperty::ContentEncoding), Some("utf-8"));
    assert_eq!(application(event, "alert"), Some(Some("yes & no")));
    assert_eq!(application(event, "plus"), Some(Some("a+b")));
    assert_eq!(application(event, "bare"), Some(None));
    assert_eq!(application(event, "empty"), Some(Some("")));
    assert_eq!(event.model_id.as_deref(), Some("dtmi:com:example:Thermostat;1"));
    let age = iothub_tests::now().abs_diff(event.enqueued.unix_seconds());
    assert!(age < 60, "{event:?}");
}

#[test]
fn a_trailing_slash_or_a_leading_question_mark_is_no_property() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    for bag in ["a=b", "a=b/", "?a=b"] {
        connection.send(&publish_with(0x32, 1, &format!("{EVENTS}{bag}"), b"x"));
        connection.expect(&[0x40, 2, 0, 1]);
    }
    for event in hub.events() {
        assert_eq!(event.message.application, [("a".to_owned(), Some("b".to_owned()))]);
    }
}

#[test]
fn a_retained_message_says_so_in_a_property() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    connection.send(&publish_with(0x33, 1, EVENTS, b"x"));
    connection.expect(&[0x40, 2, 0, 1]);
    assert_eq!(application(&hub.events()[0], "mqtt-retain"), Some(Some("true")));
}

#[test]
fn messages_of_a_device_keep_their_order() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    let burst: Vec<u8> =
        (0..200).flat_map(|number| publish(EVENTS, format!("{number}").as_bytes())).collect();
    connection.send(&burst);
    connection.expect_alive();
    let bodies: Vec<_> = hub
        .events()
        .iter()
        .map(|event| String::from_utf8_lossy(&event.message.body).into_owned())
        .collect();
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(bodies, expected);
}

fn with_will(device: &Device) -> Connect {
    let topic = format!("{EVENTS}reason=power%20cut");
    Connect { will: Some((topic, b"gone".to_vec(), 1)), ..device.connect() }
}

#[test]
fn a_will_is_sent_when_the_network_drops() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.connect_as(&with_will(&device), ACCEPTED).cut();
    let events = hub.await_events(1);
    assert_eq!(&events[0].message.body[..], b"gone");
    assert_eq!(application(&events[0], "iothub-MessageType"), Some(Some("Will")));
    assert_eq!(application(&events[0], "reason"), Some(Some("power cut")));
}

#[test]
fn a_will_is_sent_when_the_keep_alive_runs_out() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_as(&with_will(&device).keep_alive(1), ACCEPTED);
    connection.expect_closed();
    assert_eq!(hub.await_events(1).len(), 1);
}

#[test]
fn a_will_is_forgotten_by_disconnect() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_as(&with_will(&device), ACCEPTED);
    connection.send(DISCONNECT);
    connection.expect_closed();
    std::thread::sleep(Duration::from_millis(100));
    assert!(hub.events().is_empty());
}
