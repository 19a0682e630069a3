//! Faults, from outside: what clients see of them.

use iothub_tests::Hub;
use serde_json::{Value, json};

use crate::harness::admin;

/// Adds a fault to the first hub.
fn add(hub: &Hub, fault: &Value) -> Value {
    let (status, added) = admin(hub, "POST /hubs/emulator/faults", &fault.to_string());
    assert_eq!(status, 201, "{added}");
    added
}

#[test]
fn a_fault_begins_and_ends_by_the_clock_of_the_hub() {
    let hub = Hub::start();
    admin(&hub, "POST /hubs/emulator/clock", r#"{"frozen": true}"#);
    add(&hub, &json!({"operation": "query", "error": "throttled", "after": 10, "duration": 60}));
    let query = |status| {
        let body = r#"{"query": "SELECT * FROM devices"}"#;
        hub.rest.send("POST", "/devices/query", &[], Some(body)).expect(status);
    };
    for (advance, status) in [(0, 200), (9, 200), (1, 429), (59, 429), (1, 200)] {
        let turn = json!({ "advance": advance }).to_string();
        assert_eq!(admin(&hub, "POST /hubs/emulator/clock", &turn).0, 200);
        query(status);
    }
}
