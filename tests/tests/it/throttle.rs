//! A hub that is held to its tier: F1 and S1 rates, in the form of each protocol.

use std::time::Duration;

use iothub_testkit::{Config, Tier};
use iothub_tests::Hub;
use iothub_tests::mqtt::publish;

use crate::harness::admin;

fn small(config: &mut Config) {
    config.tier = Tier::F1;
    config.enforce_throttles = true;
}

#[test]
fn the_registry_holds_back_and_then_refuses() {
    let hub = Hub::start_with(small);
    let turn = |body: &str| assert_eq!(admin(&hub, "POST /hubs/emulator/clock", body).0, 200);
    // However slow the machine is, all of them come at the same time.
    turn(r#"{"frozen": true}"#);
    // 100 a minute and ten seconds of patience: a score of calls at once is too many.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..40).map(|_| scope.spawn(|| hub.rest.get("/devices/nobody").status)).collect();
        let over = || calls.iter().filter(|call| call.is_finished()).count();
        while over() < 20 {
            std::thread::sleep(Duration::from_millis(5));
        }
        while over() < calls.len() {
            turn(r#"{"advance": 1}"#);
        }
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(statuses.contains(&404), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    hub.rest.get("/statistics/service").expect(200);
}

#[test]
fn twin_requests_over_the_rate_are_held_back() {
    let hub = Hub::start_with(small);
    let mut connection = hub.connect_twin(&hub.device("d1"));
    // 100 a second and ten seconds of patience; each waits for the one before, so the answers
    // come at the rate of the tier and none is refused.
    let start = std::time::Instant::now();
    for rid in 0..150 {
        connection.send(&publish(&format!("$iothub/twin/GET/?$rid={rid}"), b""));
    }
    for rid in 0..150 {
        connection.expect_publish(&format!("$iothub/twin/res/200/?$rid={rid}"));
    }
    let took = start.elapsed();
    assert!(took.as_millis() >= 400, "150 twin reads took {took:?} at 100 a second");
}

#[test]
fn the_quota_of_a_day_ends_with_a_closed_connection() {
    let hub = Hub::start_with(|config| {
        small(config);
        config.units = 1;
    });
    let mut connection = hub.connect(&hub.device("d1"));
    // 8,000 messages of half a kilobyte: sixteen of a quarter of a megabyte use them up.
    let body = vec![b'x'; 255 * 1024];
    for _ in 0..16 {
        connection.send(&publish("devices/d1/messages/events/", &body));
    }
    connection.expect_closed();
}
