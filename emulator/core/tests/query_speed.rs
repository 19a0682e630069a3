//! How long a query takes over 100,000 twins, without the store and the protocol around it.
//!
//! `cargo test --release -p iothub-core --test query_speed -- --ignored --nocapture`
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking; clippy.toml covers only the tests themselves"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use iothub_core::auth::sas::SymmetricKey;
use iothub_core::ids::{DeviceId, GenerationId, IdentityId};
use iothub_core::query::twin::{Connections, TwinDocument};
use iothub_core::query::{Position, Query, Run};
use iothub_core::registry::identity::{Authentication, DeviceIdentity, Status, SymmetricKeys};
use iothub_core::session::ConnectionState;
use iothub_core::store::Record;
use iothub_core::time::Timestamp;
use iothub_core::twin::{Dialect, SectionPatch, Twin, TwinPatch};
use serde_json::json;

const DEVICES: usize = 100_000;

struct Nobody;

impl Connections for Nobody {
    fn waiting(&self, _: &DeviceId, _: GenerationId) -> usize {
        0
    }

    fn state(&self, _: &IdentityId, _: GenerationId) -> ConnectionState {
        ConnectionState::default()
    }
}

/// A device with a tag that one in a hundred shares.
fn record(number: usize) -> Arc<Record> {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let tags = json!({ "location": { "site": "main", "floor": number % 100 }, "x": "y" });
    let desired = json!({ "interval": number });
    let section = |value: serde_json::Value| value.as_object().cloned().map(SectionPatch::Merge);
    let patch = TwinPatch { tags: section(tags), desired: section(desired) };
    let (twin, _) = Twin::new(now).patched(&patch, Dialect { arrays: true }, now).unwrap();
    let key = || SymmetricKey::from_bytes([1; 32]);
    let identity = DeviceIdentity {
        id: DeviceId::parse(&format!("device-{number:06}")).unwrap(),
        generation: GenerationId::at(now),
        version: 1,
        status: Status::Enabled,
        status_reason: None,
        status_updated: Timestamp::NEVER,
        authentication: Authentication::Sas(SymmetricKeys { primary: key(), secondary: key() }),
        iot_edge: false,
        device_scope: None,
        parent_scopes: Vec::new(),
    };
    Arc::new(Record { identity, twin, modules: std::collections::BTreeMap::new() })
}

#[test]
#[ignore = "measures; run it alone and in release"]
fn query_speed() {
    // In no order: 7919 is prime.
    let records: Vec<_> = (0..DEVICES).map(|index| record(index * 7919 % DEVICES)).collect();
    let table = [
        "SELECT * FROM devices WHERE tags.location.floor = 42",
        "SELECT * FROM devices WHERE tags.location.site = 'none'",
        "SELECT * FROM devices",
        "SELECT COUNT() AS n FROM devices WHERE tags.location.floor < 50",
        "SELECT tags.location.floor, COUNT() AS n FROM devices GROUP BY tags.location.floor",
        "SELECT deviceId FROM devices WHERE connectionState = 'Connected'",
    ];
    for text in table {
        let query = Query::parse(text).unwrap();
        let mut times: Vec<Duration> = (0..11).map(|_| once(&query, &records)).collect();
        times.sort_unstable();
        println!("{:>10.2?} (median of 11) for {DEVICES} twins: {text}", times[5]);
    }
}

fn once(query: &Query, records: &[Arc<Record>]) -> Duration {
    let start = Instant::now();
    let mut run = Run::new(query, Position::default(), 100);
    for record in records {
        run.offer(TwinDocument::of_device(record.clone(), &Nobody));
    }
    let page = run.finish();
    let took = start.elapsed();
    drop(page);
    took
}
