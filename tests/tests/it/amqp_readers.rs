//! Readers of the Event Hubs-compatible endpoint, by bytes written by hand: where they may begin.

use std::time::Duration;

use iothub_core::store::LoggedEvent;
use iothub_tests::mqtt::{Connection, publish_with};
use iothub_tests::{FAR_FUTURE, Hub};

use crate::amqp::{
    Client, FALSE, NULL, TRUE, described, flow, list, map, performative, text, uint,
};
use crate::harness::admin;

const EVENTS: &str = "devices/d1/messages/events/";
const SELECTOR: &str = "apache.org:selector-filter:string";

/// A client with a token of `iothubowner` for the event hub.
fn open(hub: &Hub) -> Client {
    let mut client = Client::open(hub);
    client.claim("sb://h/emulator", &hub.owner.token(FAR_FUTURE));
    client
}

fn read(client: &mut Client, handle: u32, partition: usize, condition: &str) {
    let address = format!("emulator/ConsumerGroups/$Default/Partitions/{partition}");
    let filter = map(&[(SELECTOR, &format!("amqp.annotation.{condition}"))]);
    let fields: &[&[u8]] = &[&text(&address), NULL, NULL, NULL, NULL, NULL, NULL, &filter];
    let (source, target) = (described(0x28, &list(fields)), described(0x29, &list(&[NULL])));
    let name = text(&format!("reader-{handle}"));
    client.send(&performative(0x12, &[&name, &uint(handle), TRUE, NULL, NULL, &source, &target]));
    client.await_answer(0x12);
}

/// What a reader who was just attached is told: why its link is refused, or nothing.
fn refusal(client: &mut Client) -> Option<String> {
    let echo =
        [&uint(1)[..], &uint(1000), &uint(0), &uint(1000), NULL, NULL, NULL, NULL, FALSE, TRUE];
    client.send(&performative(0x13, &echo));
    let answer = client.answer();
    if answer.number == 0x13 {
        return None;
    }
    assert_eq!(answer.number, 0x16, "{}", answer.text);
    assert_eq!(client.answer().number, 0x13);
    Some(answer.text)
}

fn publish(connection: &mut Connection, number: u16, body: &str) {
    connection.send(&publish_with(0x32, number, EVENTS, body.as_bytes()));
    connection.expect(&[0x40, 2, 0, u8::try_from(number).unwrap()]);
}

/// Three events of a device, and the last of them.
fn three_events(hub: &Hub, connection: &mut Connection) -> (usize, LoggedEvent) {
    for number in 1..=3 {
        publish(connection, number, &format!("event {number}"));
    }
    hub.logged().pop().unwrap()
}

#[test]
fn nobody_begins_behind_what_is_yet_to_come() {
    let hub = Hub::start();
    let (used, last) = three_events(&hub, &mut hub.connect(&hub.device("d1")));
    let (empty, at, behind) = ((used + 1) % 4, last.offset, last.offset + 1);
    let beyond = |what: &str, supplied: u64, last: &str| {
        format!(
            "The supplied {what} '{supplied}' is invalid. The last {what} in the system is '{last}'"
        )
    };
    let table = [
        (used, format!("x-opt-offset > '{at}'"), None),
        (used, format!("x-opt-offset >= '{at}'"), None),
        (
            used,
            format!("x-opt-offset > '{behind}'"),
            Some(beyond("offset", behind, &at.to_string())),
        ),
        (used, "x-opt-sequence-number > '2'".to_owned(), None),
        (used, "x-opt-sequence-number >= '3'".to_owned(), None),
        (used, "x-opt-sequence-number > '3'".to_owned(), Some(beyond("sequence number", 3, "2"))),
        (used, "x-opt-sequence-number >= '4'".to_owned(), Some(beyond("sequence number", 4, "2"))),
        (empty, "x-opt-offset > '-1'".to_owned(), None),
        (empty, "x-opt-offset > '@latest'".to_owned(), None),
        (empty, "x-opt-offset >= '0'".to_owned(), None),
        (empty, "x-opt-offset > '5000'".to_owned(), Some(beyond("offset", 5000, "-1"))),
        (empty, "x-opt-sequence-number > '0'".to_owned(), Some(beyond("sequence number", 0, "-1"))),
    ];
    let mut client = open(&hub);
    for (handle, (partition, condition, expected)) in (2..).zip(table) {
        read(&mut client, handle, partition, &condition);
        match (refusal(&mut client), expected) {
            (None, None) => {}
            (Some(said), Some(expected)) => {
                assert!(said.contains("com.microsoft:argument-error"), "{condition}: {said}");
                assert!(said.contains(&expected), "{condition}: {said}, expected {expected}");
            }
            (said, expected) => panic!("{condition}: {said:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_reader_behind_the_last_event_gets_the_next_and_after_a_reset_it_is_told() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    let (partition, last) = three_events(&hub, &mut connection);
    let condition = format!("x-opt-offset > '{}'", last.offset);
    let mut client = open(&hub);
    read(&mut client, 2, partition, &condition);
    client.send(&flow(2, 10));
    publish(&mut connection, 4, "event 4");
    let event = client.await_answer(0x14);
    assert!(event.text.contains("event 4"), "{}", event.text);
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    let mut client = open(&hub);
    read(&mut client, 2, partition, &condition);
    let said = refusal(&mut client).unwrap();
    assert!(said.contains("The last offset in the system is '-1'"), "{said}");
}

#[test]
fn enqueued_times_are_compared_as_readers_see_them() {
    let hub = Hub::start();
    let mut connection = hub.connect(&hub.device("d1"));
    publish(&mut connection, 1, "event 1");
    std::thread::sleep(Duration::from_millis(5));
    publish(&mut connection, 2, "event 2");
    let (partition, first) = hub.logged().remove(0);
    let milliseconds = first.event.enqueued.since_1970().as_millis();
    let mut client = open(&hub);
    for (handle, operator, expected) in [(2, ">", "event 2"), (3, ">=", "event 1")] {
        let condition = format!("x-opt-enqueued-time {operator} '{milliseconds}'");
        read(&mut client, handle, partition, &condition);
        client.send(&flow(handle, 1));
        let event = client.await_answer(0x14);
        assert!(event.text.contains(expected), "{condition}: {}", event.text);
    }
}
