//! Sessions that outlive their connection: subscriptions are kept, desired changes are not.

use iothub_tests::mqtt::{ACCEPTED, DISCONNECT, RESUMED, subscribe, unsubscribe};
use iothub_tests::{Hub, subscribe_twin};

const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";

#[test]
fn subscriptions_are_kept_without_a_new_subscribe() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut first);
    first.cut();

    let mut second = hub.connect_as(&connect, RESUMED);
    hub.desire(&device, r#"{"n":1}"#);
    let topic = "$iothub/twin/PATCH/properties/desired/?$version=2";
    assert_eq!(second.expect_publish(topic), r#"{"n":1,"$version":2}"#);
    second.send(&iothub_tests::mqtt::publish("$iothub/twin/GET/?$rid=1", b" "));
    second.expect_publish("$iothub/twin/res/200/?$rid=1");
    second.send(DISCONNECT);
    second.expect_closed();

    // and after an orderly end as well
    hub.connect_as(&connect, RESUMED).expect_alive();
}

#[test]
fn a_clean_session_forgets() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut first = hub.connect_as(&device.connect().persistent(), ACCEPTED);
    subscribe_twin(&mut first);
    first.cut();

    let mut clean = hub.connect_as(&device.connect(), ACCEPTED);
    hub.desire(&device, r#"{"n":1}"#);
    clean.expect_alive();
    clean.cut();
    // what the clean one subscribed to is not kept either
    let mut clean = hub.connect_as(&device.connect(), ACCEPTED);
    subscribe_twin(&mut clean);
    clean.cut();
    let mut last = hub.connect_as(&device.connect().persistent(), ACCEPTED);
    hub.desire(&device, r#"{"n":2}"#);
    last.expect_alive();
}

#[test]
fn desired_changes_are_not_kept_for_a_device_that_is_away() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut first);
    first.send(DISCONNECT);
    first.expect_closed();
    hub.desire(&device, r#"{"n":1}"#);
    let mut second = hub.connect_as(&connect, RESUMED);
    second.expect_alive();
    hub.desire(&device, r#"{"n":2}"#);
    second.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=3");
}

#[test]
fn unsubscribe_is_kept_as_well() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut first);
    first.send(&unsubscribe(7, &[DESIRED]));
    first.expect(&[0xB0, 2, 0, 7]);
    hub.desire(&device, r#"{"n":1}"#);
    first.expect_alive();
    first.cut();
    let mut second = hub.connect_as(&connect, RESUMED);
    hub.desire(&device, r#"{"n":2}"#);
    second.expect_alive();
}

#[test]
fn a_session_ends_with_its_identity() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut first);
    hub.rest.delete("/devices/d1").expect(204);
    first.expect_closed();
    let again = hub.device("d1");
    let mut second = hub.connect_as(&again.connect().persistent(), ACCEPTED);
    hub.desire(&again, r#"{"n":1}"#);
    second.expect_alive();
}

#[test]
fn a_take_over_inherits_the_session() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut first = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut first);
    let mut second = hub.connect_as(&connect, RESUMED);
    first.expect_closed();
    hub.desire(&device, r#"{"n":1}"#);
    second.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
}

#[test]
fn each_device_has_its_own_session() {
    let hub = Hub::start();
    let (one, two) = (hub.device("d1"), hub.device("d2"));
    let mut first = hub.connect_as(&one.connect().persistent(), ACCEPTED);
    first.send(&subscribe(1, &[(DESIRED, 1)]));
    first.expect(&[0x90, 3, 0, 1, 1]);
    let mut second = hub.connect_as(&two.connect().persistent(), ACCEPTED);
    hub.desire(&one, r#"{"n":1}"#);
    hub.desire(&two, r#"{"n":2}"#);
    first.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    second.expect_alive();
}
