use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::time::Timestamp;
use crate::twin::{Dialect, SectionPatch, TwinPatch};

fn object(value: Value) -> Document {
    value.as_object().unwrap().clone()
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_seconds(second)
}

/// A twin of which this is desired, then reported.
fn twin(desired: Value, reported: Value) -> Twin {
    let patch = TwinPatch { desired: Some(SectionPatch::Merge(object(desired))), tags: None };
    let (twin, _) = Twin::new(at(0)).patched(&patch, Dialect::CURRENT, at(1)).unwrap();
    twin.reported(&object(reported), None, Dialect::CURRENT, at(2)).unwrap()
}

fn patch(twin: &Twin, operations: &Value) -> Result<Value, HubError> {
    desired_patch(twin, &parse_patch(operations)?).map(Value::Object)
}

#[test]
fn a_twin_is_shown_by_the_conventions() {
    let mut twin = twin(
        json!({"thermostat1": {"__t": "c", "targetTemperature": 21.4}, "led": true}),
        json!({
            "serialNumber": "alw",
            "thermostat1": {
                "__t": "c",
                "maxTempSinceLastReboot": 25.3,
                "targetTemperature": {"value": 20.4, "ac": 200, "av": 4, "ad": "done"},
            },
        }),
    );
    twin.model_id = Some("dtmi:com:example:TemperatureController;1".to_owned());
    let (desired, reported) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z");
    let expected = json!({
        "$dtId": "d",
        "serialNumber": "alw",
        "thermostat1": {
            "maxTempSinceLastReboot": 25.3,
            "targetTemperature": 20.4,
            "$metadata": {
                "maxTempSinceLastReboot": {"lastUpdateTime": reported},
                "targetTemperature": {
                    "desiredValue": 21.4,
                    "desiredVersion": 2,
                    "ackVersion": 4,
                    "ackCode": 200,
                    "ackDescription": "done",
                    "lastUpdateTime": reported,
                },
            },
        },
        "$metadata": {
            "$model": "dtmi:com:example:TemperatureController;1",
            "serialNumber": {"lastUpdateTime": reported},
            "led": {"desiredValue": true, "desiredVersion": 2, "lastUpdateTime": desired},
        },
    });
    assert_eq!(Value::Object(document("d", &twin)).to_string(), expected.to_string());
}

#[test]
fn operations_become_changes_of_what_is_desired() {
    let twin = twin(
        json!({"led": 1, "o": {"a": 1, "b": 2}, "t": {"__t": "c", "x": 1, "y": 2}}),
        json!({"t": {"__t": "c", "z": 3}}),
    );
    let table = [
        (json!([]), json!({})),
        (json!([{"op": "add", "path": "/led", "value": 2}]), json!({"led": 2})),
        (json!([{"op": "replace", "path": "/led", "value": 1}]), json!({"led": 1})),
        (json!([{"op": "remove", "path": "/led"}]), json!({"led": null})),
        (
            json!([{"op": "add", "path": "/o", "value": {"b": 3}}]),
            json!({"o": {"a": null, "b": 3}}),
        ),
        (json!([{"op": "add", "path": "/t/x", "value": 5}]), json!({"t": {"__t": "c", "x": 5}})),
        (json!([{"op": "add", "path": "/n/x", "value": 5}]), json!({"n": {"__t": "c", "x": 5}})),
        (json!([{"op": "remove", "path": "/t/x"}]), json!({"t": {"__t": "c", "x": null}})),
        (json!([{"op": "remove", "path": "/t/none"}]), json!({})),
        (json!([{"op": "remove", "path": "/t"}]), json!({"t": null})),
        (
            json!([{"op": "add", "path": "/t", "value": {"x": 9, "$metadata": {}}}]),
            json!({"t": {"y": null, "x": 9, "__t": "c"}}),
        ),
        (
            json!([
                {"op": "add", "path": "/t/x", "value": 5},
                {"op": "remove", "path": "/t/y"},
                {"op": "add", "path": "/led", "value": 3},
                {"op": "remove", "path": "/led"},
            ]),
            json!({"t": {"__t": "c", "x": 5, "y": null}, "led": null}),
        ),
    ];
    for (operations, expected) in table {
        assert_eq!(patch(&twin, &operations), Ok(expected), "{operations}");
    }
}

#[test]
fn bad_operations_are_refused() {
    let twin = twin(json!({"list": [1]}), json!({"a": {"b-c": 1}}));
    let operation = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let deep = json!({"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}});
    let table = [
        (json!({}), 400_507),
        (json!([1]), 400_507),
        (json!([{"op": "move", "path": "/a", "from": "/b"}]), 400_507),
        (json!([{"op": "add", "path": "/a"}]), 400_507),
        (operation("/x", json!([1])), 400_507),
        (operation("/x", json!({"b c": 1})), 400_507),
        (operation("/x", deep), 400_507),
        (operation("x", json!(1)), 400_508),
        (operation("/", json!(1)), 400_508),
        (operation("/a/b/c", json!(1)), 400_508),
        (operation("/$metadata", json!(1)), 400_508),
        (operation("/x_", json!(1)), 400_508),
        (operation("/list", json!(1)), 400_004),
        (operation("/a/b", json!(1)), 400_004),
    ];
    for (operations, expected) in table {
        let refused = patch(&twin, &operations).unwrap_err();
        assert_eq!(refused.code().number, expected, "{operations}");
    }
}

/// Operations on few names, so that they meet.
fn operations() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    let value = prop_oneof![
        Just(json!(1)),
        Just(json!({"a": 2})),
        Just(json!({"b": {"c": 3}, "a": 4})),
        Just(json!({"c": 5, "$metadata": {}})),
    ];
    let path = prop_oneof![
        name().prop_map(|name| format!("/{name}")),
        (name(), name()).prop_map(|(component, name)| format!("/{component}/{name}")),
    ];
    let operation = (path, prop::option::of(value)).prop_map(|(path, value)| match value {
        Some(value) => json!({"op": "add", "path": path, "value": value}),
        None => json!({"op": "remove", "path": path}),
    });
    prop::collection::vec(operation, 0..6).prop_map(Value::Array)
}

proptest! {
    /// One patch of all operations does what they do one after the other, and an added property
    /// holds what was asked for and nothing of before.
    #[test]
    fn operations_together_do_what_they_do_in_turn(operations in operations()) {
        let before = twin(json!({"a": {"a": 1, "b": {"x": 1}}, "b": 2}), json!({}));
        let mut in_turn = before.clone();
        for operation in operations.as_array().unwrap() {
            let parsed = parse_patch(&json!([operation])).unwrap();
            let patch = desired_patch(&in_turn, &parsed).unwrap();
            merge(&mut in_turn.desired.properties, &patch);
            let path = operation["path"].as_str().unwrap();
            let found = path.split('/').skip(1).try_fold(
                &Value::Object(in_turn.desired.properties.clone()), |at, name| at.get(name),
            ).cloned();
            match operation.get("value") {
                None => prop_assert_eq!(found, None),
                Some(value) => prop_assert_eq!(found, Some(marked_if_whole(path, value))),
            }
        }
        let mut together = before.desired.properties.clone();
        merge(&mut together, &desired_patch(&before, &parse_patch(&operations).unwrap()).unwrap());
        prop_assert_eq!(together, in_turn.desired.properties);
    }
}

/// Only a whole component has a mark of its own.
fn marked_if_whole(path: &str, value: &Value) -> Value {
    if path.matches('/').count() == 1 { marked(value) } else { value.clone() }
}
