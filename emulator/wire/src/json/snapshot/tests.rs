use std::sync::Arc;

use iothub_core::event::EventSource;
use iothub_core::random::Random;
use iothub_core::route::properties::{
    EndpointKind, EndpointProperties, EnrichmentProperties, FallbackRouteProperties,
    RouteProperties, RoutingProperties,
};
use iothub_core::snapshot::{Folders, Restoring};
use iothub_core::time::Timestamp;
use iothub_core::twin::{Dialect, SectionPatch, Twin, TwinPatch, TwinReplacement};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read_at(document: Value, seconds: u64) -> Result<Snapshot, Vec<String>> {
    let random = Random::seeded(seconds);
    let document = serde_json::value::to_raw_value(&document).unwrap();
    parse(
        &document,
        Restoring {
            now: Timestamp::from_unix_seconds(seconds),
            random: &random,
            folders: Folders::All,
        },
    )
}

fn read(document: Value) -> Result<Snapshot, Vec<String>> {
    read_at(document, 1_800_000_000)
}

/// What comes of it when a hub is restored from its own document, later and with other chance.
fn restored(snapshot: &Snapshot) -> Snapshot {
    let document = serde_json::from_str(&document(snapshot)).unwrap();
    read_at(document, 1_900_000_000).unwrap()
}

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

#[test]
fn an_empty_document_is_an_empty_hub() {
    for empty in [json!({}), json!({"version": 1, "devices": [], "configurations": null})] {
        assert_eq!(read(empty), Ok(Snapshot::default()));
    }
    let expected = "{\n  \"version\": 1,\n  \"devices\": [],\n  \"configurations\": []\n}";
    assert_eq!(document(&Snapshot::default()), expected);
}

#[test]
fn what_is_left_out_is_as_with_something_new() {
    let snapshot = read(json!({"devices": [{"deviceId": "b"}, {"deviceId": "a"}]})).unwrap();
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let ids: Vec<_> = snapshot.devices.iter().map(|one| one.identity.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    for record in &snapshot.devices {
        assert_eq!(record.twin, Twin::new(now));
        assert_eq!(record.identity.authentication.name(), "sas");
        assert_eq!(record.identity.status.name(), "enabled");
    }
    assert_ne!(
        snapshot.devices[0].identity.authentication,
        snapshot.devices[1].identity.authentication
    );
}

#[test]
fn an_edge_device_has_its_system_modules() {
    let edge = json!({"deviceId": "e", "generationId": "7", "capabilities": {"iotEdge": true}});
    let snapshot = read(json!({"devices": [edge]})).unwrap();
    let record = &snapshot.devices[0];
    let modules: Vec<_> = record.modules.keys().map(ToString::to_string).collect();
    assert_eq!(modules, ["$edgeAgent", "$edgeHub"]);
    assert_eq!(record.identity.device_scope.as_deref(), Some("ms-azure-iot-edge://e-7"));
    assert_eq!(restored(&snapshot), snapshot);
}

#[test]
fn the_document_has_the_shapes_of_the_service() {
    let hub = json!({
        "version": 1,
        "devices": [{
            "deviceId": "d1",
            "generationId": "637134336000000000",
            "etag": "OTU3NDgyODA0",
            "status": "disabled",
            "statusReason": "broken",
            "statusUpdatedTime": "2026-01-31T12:00:00Z",
            "authentication": {
                "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY},
                "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
                "type": "sas",
            },
            "capabilities": {"iotEdge": false},
            "deviceScope": "ms-azure-iot-edge://e-7",
            "parentScopes": ["ms-azure-iot-edge://e-7"],
            "twin": {
                "etag": "AAAAAAAAAAU=",
                "version": 12,
                "modelId": "dtmi:com:example;1",
                "tags": {"floor": 1},
                "properties": {
                    "desired": {
                        "b": {"c": 1.5},
                        "a": [1, "x"],
                        "$metadata": {
                            "$lastUpdated": "2026-01-31T12:00:00.1234567Z",
                            "$lastUpdatedVersion": 4,
                            "b": {
                                "$lastUpdated": "2026-01-30T12:00:00Z",
                                "$lastUpdatedVersion": 3,
                                "c": {"$lastUpdated": "0001-01-01T00:00:00Z", "$lastUpdatedVersion": 2},
                            },
                            "a": {"$lastUpdated": "2026-01-31T12:00:00.1234567Z", "$lastUpdatedVersion": 4},
                        },
                        "$version": 4,
                    },
                    "reported": {
                        "$metadata": {"$lastUpdated": "2026-01-30T12:00:00Z"},
                        "$version": 8,
                    },
                },
                "configurations": {"c1": {"status": "Applied"}, "c2": {"status": "Targeted"}},
                "configurationSettings": {"b": {"c": 1.5, "d": null}},
            },
            "modules": [{
                "moduleId": "m",
                "managedBy": "me",
                "generationId": "1",
                "etag": "MQ==",
                "authentication": {
                    "symmetricKey": {"primaryKey": null, "secondaryKey": null},
                    "x509Thumbprint": {
                        "primaryThumbprint": "0123456789012345678901234567890123456789",
                        "secondaryThumbprint": null,
                    },
                    "type": "selfSigned",
                },
                "twin": {
                    "etag": "AAAAAAAAAAE=",
                    "version": 2,
                    "properties": {
                        "desired": {"$metadata": {"$lastUpdated": "2026-01-30T12:00:00Z"}, "$version": 1},
                        "reported": {"$metadata": {"$lastUpdated": "2026-01-30T12:00:00Z"}, "$version": 1},
                    },
                },
            }],
        }],
        "configurations": [{
            "id": "c1",
            "schemaVersion": "1.0",
            "labels": {"a": "b"},
            "content": {"deviceContent": {"properties.desired.b": {"c": 1.5}}},
            "targetCondition": "tags.floor = 1",
            "priority": 10,
            "metrics": {"queries": {"m": "SELECT * FROM devices"}},
            "createdTimeUtc": "2026-01-01T00:00:00Z",
            "lastUpdatedTimeUtc": "2026-01-02T00:00:00Z",
            "etag": "Mg==",
        }],
        "routing": {
            "endpoints": [
                {"name": "alerts", "type": "event-hub", "partitions": 2, "consumerGroups": ["team"]},
                {"name": "archive", "type": "folder", "path": "/archive"},
                {"name": "web", "type": "webhook", "url": "http://127.0.0.1:9/events"},
            ],
            "routes": [{
                "name": "twins",
                "source": "TwinChangeEvents",
                "condition": "$body.t > 30",
                "endpointNames": ["alerts", "events"],
                "isEnabled": false,
            }],
            "fallbackRoute": {
                "name": "$fallback",
                "source": "DeviceMessages",
                "condition": "a = 'b'",
                "endpointNames": ["web"],
                "isEnabled": true,
            },
            "enrichments": [{"key": "floor", "value": "", "endpointNames": ["alerts"]}],
        },
    });
    let written: Value = serde_json::from_str(&document(&read(hub.clone()).unwrap())).unwrap();
    assert_eq!(written, hub);
    assert_eq!(written.to_string(), hub.to_string(), "and its members their order");
}

#[test]
fn what_routes_leave_out_is_as_on_the_service() {
    let routing = json!({
        "endpoints": [{"name": "alerts", "type": "event-hub"}],
        "routes": [{"name": "all", "endpointNames": ["alerts"]}],
    });
    let expected = RoutingProperties {
        endpoints: vec![EndpointProperties {
            name: "alerts".to_owned(),
            kind: EndpointKind::event_hub(),
        }],
        routes: vec![RouteProperties::new("all", "alerts")],
        ..RoutingProperties::default()
    };
    assert_eq!(read(json!({"routing": routing})).unwrap().routing, Some(expected));
    let empty = read(json!({"routing": {}})).unwrap().routing;
    assert_eq!(empty, Some(RoutingProperties::default()));
    assert_eq!(read(json!({"routing": null})).unwrap().routing, None);
}

#[test]
fn every_mistake_of_routes_is_told_with_its_place() {
    let routing = json!({
        "route": [],
        "endpoints": [
            {"name": "a", "type": "queue"},
            {"name": "b", "type": "folder", "url": "http://x", "consumerGroup": []},
            {"type": "event-hub", "partitions": "2"},
            {"name": "c", "type": "event-hub", "partitions": 33},
            {"name": "d"},
            7,
        ],
        "routes": [
            {"name": "r", "source": "Telemetry", "endpointNames": "a", "isEnabled": "yes"},
            {"name": "s", "condition": "x >", "endpointNames": ["a", "b", "d", "nowhere"]},
            {"endpointNames": [1]},
            {"name": "t"},
        ],
        "fallbackRoute": {"name": "f", "source": "TwinChangeEvents", "endpointNames": ["a", "b"]},
        "enrichments": [{"key": "k", "endpointNames": ["a"]}, {"key": "a b", "value": 1}],
    });
    let expected = [
        "routing: there is no field \"route\", expected endpoints, routes, fallbackRoute or enrich",
        "routing.endpoints[0]: type is \"queue\", expected one of event-hub, folder, webhook",
        "routing.endpoints[1]: there is no field \"consumerGroup\", expected name, type,",
        "routing.endpoints[1]: an endpoint of type folder has no url",
        "routing.endpoints[1]: path is missing",
        "routing.endpoints[2].partitions is a string, expected a number from 2 to 32",
        "routing.endpoints[2]: name is missing",
        "routing.endpoints[4]: type is missing",
        "routing.endpoints[5] is a number, expected an object",
        "routing.routes[0].source is \"Telemetry\", expected one of DeviceMessages, TwinChange",
        "routing.routes[0].endpointNames is a string, expected an array",
        "routing.routes[0].isEnabled is a string, expected a boolean",
        "routing.routes[2].endpointNames[] is a number, expected a string",
        "routing.routes[2]: name is missing",
        "routing.fallbackRoute.name is \"f\", expected $fallback",
        "routing.fallbackRoute.source is \"TwinChangeEvents\", expected DeviceMessages",
        "routing.fallbackRoute: endpointNames has 2 names, expected one",
        "routing.enrichments[0]: value is missing",
        "routing.enrichments[1].value is a number, expected a string",
        "routing: endpoint \"c\" has 33 partitions, expected 2 to 32",
        "routing: route \"s\" has a condition that cannot be read: ",
        "routing: route \"s\" names the endpoint \"nowhere\", expected one of events, a, b, c, d",
        "routing: route \"t\" names no endpoint",
        "routing: enrichment has the key \"a b\", expected the name of a property",
        "routing: enrichment \"a b\" names no endpoint",
    ];
    let told = read(json!({"routing": routing})).unwrap_err();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (mistake, expected) in told.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake:?}, expected {expected:?}");
    }
    let other = json!({"endpoints": {"eventHubs": []}, "routes": 1, "fallbackRoute": []});
    let expected = [
        "routing.endpoints is an object, expected an array",
        "routing.routes is a number, expected an array",
        "routing.fallbackRoute is an array, expected an object",
    ];
    assert_eq!(read(json!({"routing": other})).unwrap_err(), expected);
}

#[test]
fn only_folders_that_are_known_are_taken_from_whoever_may_be_far_away() {
    let folder = |name: &str, path: &str| EndpointProperties {
        name: name.to_owned(),
        kind: EndpointKind::Folder(path.into()),
    };
    let known = RoutingProperties {
        endpoints: vec![folder("archive", "/archive")],
        ..RoutingProperties::default()
    };
    let read = |path: &str| {
        let endpoints = json!([{"name": "a", "type": "folder", "path": path}]);
        let document = json!({"routing": {"endpoints": endpoints}});
        let random = Random::seeded(1);
        let document = serde_json::value::to_raw_value(&document).unwrap();
        let now = Timestamp::from_unix_seconds(1);
        parse(&document, Restoring { now, random: &random, folders: Folders::Of(&known) })
    };
    assert_eq!(read("/archive").unwrap().routing.unwrap().endpoints, [folder("a", "/archive")]);
    for other in ["/archive/below", "/etc", "archive"] {
        let told = read(other).unwrap_err();
        let expected = "routing: endpoint \"a\" is a folder that the hub did not begin with";
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    }
}

#[test]
fn another_version_is_refused() {
    for version in [json!(2), json!(0), json!("1"), json!(1.5), Value::Null] {
        let refused = read(json!({"version": version, "devices": 7})).unwrap_err();
        assert_eq!(refused, [format!("version is {version}, expected 1")]);
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let document = json!({
        "device": [],
        "devices": [
            {"deviceId": "a b", "status": "on", "twin": {"tags": {"a.b": 1}}},
            {"deviceId": "d"},
            {"deviceId": "d", "authentication": {"symetricKey": {}}},
            {"status": 1, "etag": "x", "generationId": "-1", "statusUpdatedTime": "now"},
            7,
            {
                "deviceId": "e",
                "statusReason": "x".repeat(129),
                "capabilities": {"iotEdge": 1},
                "parentScopes": [1],
                "authentication": {"symmetricKey": {"primaryKey": KEY}},
                "modules": [{"moduleId": "m"}, {"moduleId": "m", "twin": {"etag": "MQ=="}}, {}],
                "twin": {
                    "version": 9_007_199_254_740_992_u64,
                    "properties": {
                        "desired": {"a": null, "$version": -1},
                        "reported": {"$metadata": {"$lastUpdated": 1}},
                        "wanted": {},
                    },
                    "configurations": {"C": {"status": "Applied"}, "c": {"status": "Gone"}},
                },
            },
            {"deviceId": "f", "authentication": {"type": "password"}, "modules": {}},
        ],
        "configurations": [
            {"id": "c", "content": {"deviceContent": {"a": 1}}, "priority": -1, "targetCondition": "x >"},
            {"id": "C", "content": {"deviceContent": {"properties.desired.a": 1}}},
            {"id": "d", "priority": "1", "metrics": {"queries": {"m": "FROM"}}},
        ],
    });
    let expected = [
        "there is no field \"device\", expected version, devices, configurations or routing",
        "devices[0].deviceId is \"a b\": id has the character ' ', expected letters",
        "devices[0].status is \"on\", expected \"enabled\" or \"disabled\"",
        "devices[0].twin.tags: Property name a.b contains invalid character '.'",
        "devices[2]: devices[1] has the same deviceId",
        "devices[2].authentication: there is no field \"symetricKey\", expected type,",
        "devices[3]: deviceId is missing",
        "devices[3].status is a number, expected a string",
        "devices[3].generationId is \"-1\", expected a number",
        "devices[3].etag is \"x\", expected the ETag of an identity",
        "devices[3].statusUpdatedTime is \"now\", expected a time such as",
        "devices[4] is a number, expected an object",
        "devices[5].capabilities.iotEdge is a number, expected a boolean",
        "devices[5].parentScopes[] is a number, expected a string",
        "devices[5].statusReason has 129 characters, expected at most 128",
        "devices[5].authentication has one symmetric key, expected both or none",
        "devices[5].twin.properties: there is no field \"wanted\", expected desired or reported",
        "devices[5].twin.properties.desired.$version is -1, expected a number from 0 to",
        "devices[5].twin.properties.reported.$metadata: $lastUpdated is no time",
        "devices[5].twin.version is 9007199254740992, expected a number from 0 to 9007199254740991",
        "devices[5].twin.configurations.C: id of a configuration has the character 'C'",
        "devices[5].twin.configurations.c.status is \"Gone\", expected Targeted or Applied",
        "devices[5].twin.properties.desired: Value of Property or Tag cannot be null",
        "devices[5].modules[1]: devices[5].modules[0] has the same moduleId",
        "devices[5].modules[1].twin.etag is \"MQ==\", expected the ETag of a twin",
        "devices[5].modules[2]: moduleId is missing",
        "devices[6].authentication.type is \"password\", expected sas,",
        "devices[6].modules is an object, expected an array",
        "configurations[0]: content has the path \"a\"",
        "configurations[0]: ",
        "configurations[0]: priority is -1, expected 0 or more",
        "configurations[1].id is \"C\": id of a configuration has the character 'C'",
        "configurations[2].priority is a string, expected an integer",
        "configurations[2]: content has none of deviceContent",
        "configurations[2]: ",
    ];
    let told = read(document).unwrap_err();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (mistake, expected) in told.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake:?}, expected {expected:?}");
    }
}

#[test]
fn devices_have_as_many_modules_as_they_may() {
    let device = |count: usize| {
        let own = (0..count).map(|number| json!({"moduleId": format!("m{number}")}));
        let system = ["$edgeAgent", "$edgeHub"].map(|id| json!({"moduleId": id}));
        let modules: Vec<_> = own.chain(system).collect();
        json!({"devices": [{"deviceId": "d", "modules": modules}]})
    };
    assert!(read(device(50)).is_ok());
    let expected = "devices[0]: Device d has 50 modules, which is the most.";
    assert_eq!(read(device(51)).unwrap_err(), [expected]);
}

#[test]
fn of_very_many_mistakes_the_first_are_told() {
    let told = read(json!({"devices": vec![1; 5000], "configurations": vec![1; 101]})).unwrap_err();
    assert_eq!(told.len(), 1001);
    assert_eq!(told[0], "there are 101 configurations, expected at most 100");
    assert_eq!(told[1000], "and more: after 1000 mistakes the rest is not read");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let large = format!("{{\"tags\": \"{}\"}}", "x".repeat(9 << 20));
    let deep = "[".repeat(200) + &"]".repeat(200);
    let item =
        |member: &str, value: &str| format!("{{\"deviceId\": \"d\", \"{member}\": {value}}}");
    let table = [
        (
            item("twin", &large),
            "devices[0] cannot be read: it has more than 8388608 bytes beside modules",
        ),
        (item("twin", &deep), "devices[0] cannot be read: recursion limit exceeded"),
        (item("twin", "1e999"), "devices[0] cannot be read: number out of range"),
        (
            format!("{{\"deviceId\": \"d\", \"modules\": [{}]}}", item("twin", &large)),
            "devices[0].modules[0] cannot be read: it has more than 8388608 bytes",
        ),
    ];
    for (device, expected) in table {
        let document = format!("{{\"devices\": [{device}]}}");
        let random = Random::seeded(1);
        let restoring = Restoring {
            now: Timestamp::from_unix_seconds(1),
            random: &random,
            folders: Folders::All,
        };
        let told = parse(serde_json::from_str(&document).unwrap(), restoring).unwrap_err();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(expected), "{told:?}, expected {expected:?}");
    }
    let told = read(json!({"devices": [], "x": "y".repeat(9 << 20)})).unwrap_err();
    let expected = "the document cannot be read: it has more than 8388608 bytes beside devices and configurations";
    assert!(told[0].starts_with(expected), "{told:?}");
}

#[derive(Clone, Debug)]
enum Write {
    Patch(Document),
    Tags(Document),
    Report(Document),
    Replace(Document),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Document> {
    prop::collection::vec(("[a-d]", values), 0..4).prop_map(|members| members.into_iter().collect())
}

fn patch() -> impl Strategy<Value = Document> {
    object(prop_oneof![3 => value(), 1 => Just(Value::Null)])
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        patch().prop_map(Write::Patch),
        patch().prop_map(Write::Tags),
        patch().prop_map(Write::Report),
        object(value()).prop_map(Write::Replace),
    ]
}

fn written(twin: &Twin, write: Write, now: Timestamp) -> Twin {
    let merge = |document| Some(SectionPatch::Merge(document));
    let none = TwinPatch::default();
    let patch = |patch| twin.patched(&patch, Dialect::CURRENT, now).map(|(twin, _)| twin);
    let replace = |desired| TwinReplacement { tags: None, desired: Some(desired) };
    match write {
        Write::Patch(desired) => patch(TwinPatch { desired: merge(desired), ..none }),
        Write::Tags(tags) => patch(TwinPatch { tags: merge(tags), ..none }),
        Write::Report(reported) => twin.reported(&reported, None, Dialect::CURRENT, now),
        Write::Replace(desired) => {
            twin.replaced(replace(desired), Dialect::CURRENT, now).map(|(twin, _)| twin)
        }
    }
    .unwrap_or_else(|_| twin.clone())
}

/// A device that callers of the registry may have made, with some modules.
fn device() -> impl Strategy<Value = Value> {
    let authentication = prop_oneof![
        Just(Value::Null),
        Just(json!({"type": "none"})),
        Just(json!({"type": "certificateAuthority"})),
        "[0-9a-fA-F]{64}".prop_map(|hex| json!({"x509Thumbprint": {"secondaryThumbprint": hex}})),
    ];
    let modules = prop::collection::btree_set("[a-z$]{1,3}", 0..3);
    let status = prop_oneof![Just("enabled"), Just("disabled")];
    let model = prop::option::of("dtmi:[a-z]{1,5};1");
    let reason = prop::option::of("\\PC{0,20}");
    let scopes = prop::collection::vec("[a-z]{1,4}", 0..3);
    (authentication, modules, status, any::<bool>(), model, reason, scopes).prop_map(
        |(authentication, modules, status, edge, model, reason, scopes)| {
            let module = |id| json!({"moduleId": id, "twin": {"modelId": model}});
            json!({
                "authentication": authentication,
                "modules": modules.iter().map(module).collect::<Vec<_>>(),
                "status": status,
                "statusReason": reason,
                "capabilities": {"iotEdge": edge},
                "parentScopes": scopes,
            })
        },
    )
}

/// Routes that somebody may have configured.
fn routing() -> impl Strategy<Value = Option<RoutingProperties>> {
    let kind = prop_oneof![
        (2_usize..=32, prop::collection::vec("[a-z]{1,3}", 0..3)).prop_map(
            |(partitions, consumer_groups)| EndpointKind::EventHub { partitions, consumer_groups }
        ),
        "/[a-z]{1,3}".prop_map(|path| EndpointKind::Folder(path.into())),
        "https?://[a-z]{1,3}/".prop_map(EndpointKind::Webhook),
    ];
    let sources = prop::sample::select(&EventSource::ALL[..]);
    let conditions = prop_oneof![Just("true"), Just("$body.t > 30"), Just("a = 'ü'")];
    let route = (sources, conditions.clone(), any::<bool>());
    let routes = prop::collection::btree_map("[a-z]{1,3}", route, 0..3);
    let enrichments = prop::collection::btree_map("[a-z]{1,3}", "\\PC{0,8}", 0..3);
    let routing = (kind, routes, conditions, any::<bool>(), enrichments).prop_map(
        |(kind, routes, condition, is_enabled, enrichments)| {
            let endpoint_names = vec!["E".to_owned(), "events".to_owned()];
            let route = |(name, (source, condition, is_enabled)): (String, (_, &str, _))| {
                let (condition, endpoint_names) = (condition.to_owned(), endpoint_names.clone());
                RouteProperties { name, source, condition, endpoint_names, is_enabled }
            };
            let enrichment = |(key, value)| {
                let endpoint_names = endpoint_names.clone();
                EnrichmentProperties { key, value, endpoint_names }
            };
            let fallback_route = FallbackRouteProperties {
                condition: condition.to_owned(),
                endpoint_name: "E".to_owned(),
                is_enabled,
            };
            RoutingProperties {
                endpoints: vec![EndpointProperties { name: "E".to_owned(), kind }],
                routes: routes.into_iter().map(route).collect(),
                fallback_route,
                enrichments: enrichments.into_iter().map(enrichment).collect(),
            }
        },
    );
    prop::option::of(routing)
}

fn hub() -> impl Strategy<Value = Snapshot> {
    let devices = prop::collection::btree_map("[a-zA-Z]{1,4}", device(), 0..4);
    let configuration = (0_i64..5, object(value())).prop_map(|(priority, desired)| {
        let content = json!({"deviceContent": {"properties.desired.x": desired}});
        json!({"priority": priority, "content": content, "targetCondition": "*"})
    });
    let configurations = prop::collection::btree_map("[a-z]{1,4}", configuration, 0..3);
    let writes = prop::collection::vec((any::<prop::sample::Index>(), write()), 0..12);
    (devices, configurations, writes, routing()).prop_map(
        |(devices, configurations, writes, routing)| {
            let named = |member: &str, items: std::collections::BTreeMap<String, Value>| {
                let name = |(id, mut item): (String, Value)| {
                    item[member] = id.into();
                    item
                };
                items.into_iter().map(name).collect::<Vec<_>>()
            };
            let document = json!({
                "devices": named("deviceId", devices),
                "configurations": named("id", configurations),
            });
            let mut snapshot = Snapshot { routing, ..read(document).unwrap() };
            for (time, (which, write)) in writes.into_iter().enumerate() {
                if snapshot.devices.is_empty() {
                    continue;
                }
                let now = Timestamp::from_ticks(639_000_000_000_000_000 + time as u64);
                let record = Arc::make_mut(which.get_mut(&mut snapshot.devices));
                record.twin = written(&record.twin, write, now);
            }
            snapshot
        },
    )
}

/// Every value of a document, as a JSON pointer.
fn pointers(value: &Value, at: String) -> Vec<String> {
    let below: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    let inner = |(key, value): (String, &Value)| pointers(value, format!("{at}/{key}"));
    let inner: Vec<_> = below.into_iter().flat_map(inner).collect();
    std::iter::once(at.clone()).chain(inner).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_restored_hub_is_the_same(hub in hub()) {
        let again = restored(&hub);
        prop_assert_eq!(document(&again), document(&hub));
        prop_assert_eq!(again, hub);
    }

    #[test]
    fn a_document_with_anything_anywhere_is_read_or_refused(
        hub in hub(),
        which in any::<prop::sample::Index>(),
        anything in value(),
    ) {
        let mut damaged: Value = serde_json::from_str(&document(&hub)).unwrap();
        let places = pointers(&damaged, String::new());
        *damaged.pointer_mut(&places[which.index(places.len())]).unwrap() = anything;
        match read(damaged) {
            Ok(read) => prop_assert_eq!(document(&restored(&read)), document(&read)),
            Err(mistakes) => prop_assert!(mistakes.iter().all(|mistake| !mistake.is_empty())),
        }
    }
}
