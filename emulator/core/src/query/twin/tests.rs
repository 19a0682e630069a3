use super::*;
use crate::ids::DeviceId;
use crate::query::{Condition, Position, Query, Rows, Run};
use crate::random::Random;
use crate::registry::{self, identity::IdentityDraft};
use crate::time::Timestamp;
use crate::twin::{Dialect, SectionPatch, TwinPatch};

/// Everybody is connected whose name ends with an even digit.
pub(crate) struct EvenOnesAreConnected;

impl Connections for EvenOnesAreConnected {
    fn state(&self, id: &IdentityId, _: GenerationId) -> ConnectionState {
        let connected = id.device.as_str().ends_with(['0', '2', '4', '6', '8']);
        ConnectionState { connected, ..ConnectionState::default() }
    }
}

fn record(id: &str, tags: Value, desired: Value) -> Arc<Record> {
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let draft = IdentityDraft {
        iot_edge: id.starts_with("edge"),
        status_reason: Some("why".to_owned()),
        ..IdentityDraft::default()
    };
    let id = DeviceId::parse(id).unwrap();
    let mut record = registry::create(&id, &draft, now, &Random::seeded(1)).unwrap();
    let section = |value: Value| Some(SectionPatch::Merge(value.as_object().unwrap().clone()));
    let patch = TwinPatch { tags: section(tags), desired: section(desired) };
    record.twin = record.twin.patched(&patch, Dialect { arrays: true }, now).unwrap().0;
    Arc::new(record)
}

/// So many devices, in no order, each with a tag that one in a hundred shares.
pub(crate) fn many(count: usize) -> (Vec<Arc<Record>>, EvenOnesAreConnected) {
    let numbers = (0..count).map(|index| index * 7919 % count);
    let device = |number: usize| {
        let tags = json!({ "location": { "site": "main", "floor": number % 100 }, "x": "y" });
        record(&format!("device-{number:06}"), tags, json!({ "interval": number }))
    };
    (numbers.map(device).collect(), EvenOnesAreConnected)
}

#[test]
fn everything_of_a_twin_can_be_asked_for() {
    let edge = record("edge-2", json!({"a": {"b": [1]}}), json!({"x": {"y": 5}, "s": "t"}));
    let table = [
        ("deviceId = 'edge-2'", true),
        ("is_defined(moduleId)", false),
        ("etag = 'AAAAAAAAAAI='", true),
        ("is_string(deviceEtag)", true),
        ("status = 'enabled' AND statusReason = 'why'", true),
        ("statusUpdateTime = '0001-01-01T00:00:00Z'", true),
        ("statusUpdatedTime < '2020-01-01T00:00:00Z'", true),
        ("connectionState = 'Connected'", true),
        ("lastActivityTime = '0001-01-01T00:00:00Z'", true),
        ("cloudToDeviceMessageCount = 0", true),
        ("authenticationType = 'sas'", true),
        ("is_object(x509Thumbprint)", true),
        ("x509Thumbprint.primaryThumbprint = null", true),
        ("version = 3", true),
        ("capabilities.iotEdge", true),
        ("is_object(capabilities)", true),
        ("startswith(deviceScope, 'ms-azure-iot-edge://edge-2-')", true),
        ("is_defined(parentScopes)", false),
        ("is_defined(configurations.[[c]].status)", false),
        ("array_contains(tags.a.b, 1)", true),
        ("is_object(tags)", true),
        ("is_object(properties.desired.x)", true),
        ("properties.desired.x.y = 5", true),
        ("properties.desired.x.y.z = 5", false),
        ("properties.desired.$version = 2", true),
        ("properties.reported.$version = 1", true),
        ("properties.desired.$metadata.x.y.$lastUpdatedVersion = 2", true),
        ("startswith(properties.desired.$metadata.$lastUpdated, '2027')", true),
        ("is_defined(properties.reported.$metadata.$lastUpdatedVersion)", false),
        ("is_object(properties.desired.$metadata.x)", true),
        ("is_object(properties.reported)", true),
        ("is_object(properties)", true),
        ("is_defined(nothing)", false),
        ("is_defined(status.x)", false),
    ];
    for (condition, expected) in table {
        let twin = TwinDocument::of_device(edge.clone(), &EvenOnesAreConnected);
        let found = Condition::parse(condition).unwrap().holds(&twin);
        assert_eq!(found, expected, "{condition}");
    }
}

#[test]
fn sections_are_shown_with_what_the_service_adds() {
    let device = record("d", json!({}), json!({"x": 1}));
    let text = "SELECT properties.desired, properties AS all FROM devices";
    let query = Query::parse(text).unwrap();
    let mut run = Run::new(&query, Position::default(), 1);
    run.offer(TwinDocument::of_device(device, &EvenOnesAreConnected));
    let Rows::Raw(rows) = run.finish().rows else { panic!("rows are raw") };
    let desired = &rows[0]["desired"];
    assert_eq!((&desired["x"], &desired["$version"]), (&json!(1), &json!(2)));
    assert_eq!(desired["$metadata"]["x"]["$lastUpdatedVersion"], json!(2));
    assert_eq!(rows[0]["all"]["desired"], *desired);
    assert_eq!(rows[0]["all"]["reported"]["$version"], json!(1));
}
