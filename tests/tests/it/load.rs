//! Many at once: nobody loses anything, nobody holds up the others, and rubbish harms nobody.

use std::time::Instant;

use iothub_tests::mqtt::{ACCEPTED, Connection, PATIENCE, publish_with, subscribe};
use iothub_tests::{Device, Hub, subscribe_twin};
use serde_json::json;

#[test]
fn a_hundred_devices_each_get_what_is_theirs() {
    let hub = Hub::start();
    let devices: Vec<Device> = (0..100).map(|number| hub.device(&format!("d{number}"))).collect();
    let mut connections: Vec<Connection> =
        devices.iter().map(|device| hub.connect_twin(device)).collect();
    let statistics = hub.rest.get("/statistics/service").expect(200).body;
    assert_eq!(statistics, r#"{"connectedDeviceCount":100}"#);
    std::thread::scope(|scope| {
        for chunk in devices.chunks(25) {
            let hub = &hub;
            scope.spawn(move || {
                for device in chunk {
                    for number in 0..3 {
                        hub.desire(device, &json!({ "for": device.id, "n": number }).to_string());
                    }
                }
            });
        }
    });
    for (device, connection) in devices.iter().zip(&mut connections) {
        for number in 0..3 {
            let version = number + 2;
            let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
            let expected =
                format!(r#"{{"for":"{}","n":{number},"$version":{version}}}"#, device.id);
            assert_eq!(connection.expect_publish(&topic), expected);
        }
        connection.expect_alive();
    }
}

#[test]
fn of_many_connections_of_one_device_the_last_is_left() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connections: Vec<Connection> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = hub.open();
                    connection.send(&device.connect().bytes());
                    connection
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    // One that is just being displaced may answer once more, but not again and again.
    let deadline = Instant::now() + PATIENCE;
    while connections.len() > 1 {
        connections.retain_mut(Connection::answers);
        assert!(Instant::now() < deadline, "{} connections are left", connections.len());
    }
    assert!(connections.iter_mut().all(Connection::answers) && connections.len() == 1);
    assert_eq!(hub.twin(&device)["connectionState"], "Connected");
}

#[test]
fn a_device_that_reads_nothing_is_closed_and_holds_up_nobody() {
    let hub = Hub::start();
    let (deaf, other) = (hub.device("deaf"), hub.device("other"));
    let mut connection = hub.connect_twin(&deaf);
    let mut bystander = hub.connect_twin(&other);
    // 30 KB each, and more of them than sockets and the hub's queue hold
    let text: String = "v".repeat(4000);
    let section: serde_json::Map<_, _> =
        (0..7).map(|number| (format!("k{number}"), json!(text))).collect();
    let desired = serde_json::Value::from(section).to_string();
    let mut rounds = 0;
    while hub.twin(&deaf)["connectionState"] == "Connected" {
        rounds += 1;
        assert!(rounds < 50, "a deaf device is still connected after 100 MB");
        for _ in 0..100 {
            hub.desire(&deaf, &desired);
        }
        bystander.expect_alive();
    }
    hub.desire(&other, r#"{"n":1}"#);
    bystander.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=2");
    // what was on its way arrives, in order and without a hole, and then the end
    let mut version = 1;
    for topic in connection.remaining_topics() {
        version += 1;
        assert_eq!(topic, format!("$iothub/twin/PATCH/properties/desired/?$version={version}"));
    }
    assert!(version > 1);
}

/// A small generator of bytes: the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next()).collect()
    }
}

#[test]
fn noise_harms_nobody() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut bystander = hub.connect(&hub.device("d2"));
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let good = [
        publish_with(0x32, 7, "devices/d1/messages/events/a=b", b"{}"),
        subscribe(8, &[("$iothub/twin/res/#", 1), ("$iothub/methods/POST/#", 0)]),
        device.connect().bytes(),
    ];
    for round in 0..300 {
        let mut connection = hub.open();
        if round % 3 > 0 {
            connection.send(&device.connect().bytes());
            connection.expect(ACCEPTED);
        }
        // pure noise, or a good packet with three bytes changed
        let mut bytes = if round % 2 == 0 { noise.bytes(64) } else { good[round % 3].clone() };
        for _ in 0..3 {
            let at = (usize::from(noise.next()) << 8 | usize::from(noise.next())) % bytes.len();
            bytes[at] = noise.next();
        }
        connection.send(&bytes);
        if round % 50 == 0 {
            bystander.expect_alive();
        }
    }
    bystander.expect_alive();
    let mut connection = hub.connect(&device);
    subscribe_twin(&mut connection);
    connection.expect_alive();
}
