use serde_json::{Value, json};

use super::*;

const DELAY: Duration = Duration::from_secs(2);

/// What goes into a device, and when.
enum Input {
    Connect,
    Twin(Value, Value),
    Desired(u64, Value),
    Tick,
}
use Input::{Connect, Desired, Tick, Twin as Got};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_000 + seconds)
}

fn properties(value: &Value) -> Properties {
    value.as_object().cloned().unwrap()
}

/// A section whose version stands in `$version`, as on the wire.
fn section(value: &Value) -> Section {
    Section::parse(value.to_string().as_bytes()).unwrap()
}

fn feed(device: &mut Behavior, input: &Input, now: Timestamp) -> Vec<Action> {
    match input {
        Connect => device.connected(),
        Got(desired, reported) => {
            let twin = Twin { desired: section(desired), reported: section(reported) };
            device.twin_received(&twin, now)
        }
        Desired(version, patch) => device
            .desired_changed(&Section { properties: properties(patch), version: *version }, now),
        Tick => device.tick(now),
    }
}

/// Reports as JSON, "get" for a GET, events left out.
fn wire(actions: Vec<Action>) -> Vec<Value> {
    let action = |action| match action {
        Action::Report(patch) => Some(Value::Object(patch)),
        Action::GetTwin => Some(json!("get")),
        Action::Tell(_) => None,
    };
    actions.into_iter().filter_map(action).collect()
}

fn check(script: &Script, steps: &[(u64, Input, Value)]) {
    let mut device = Behavior::new(script, DELAY);
    for (index, (second, input, expected)) in steps.iter().enumerate() {
        let found = Value::Array(wire(feed(&mut device, input, at(*second))));
        // As text, since the order of properties shows on the wire.
        assert_eq!(found.to_string(), expected.to_string(), "step {index}");
    }
}

fn untouched() -> Input {
    Got(json!({"$version": 1}), json!({"$version": 1}))
}

fn started() -> [(u64, Input, Value); 2] {
    [
        (0, Connect, json!(["get"])),
        (0, untouched(), json!([{"configId": 1, "sendFrequency": "24h"}])),
    ]
}

fn five_minutes(id: i64) -> Value {
    json!({"configId": id, "sendFrequency": "5m"})
}

fn pending(id: i64) -> Value {
    json!([{"pendingConfig": five_minutes(id), "status": "Pending"}])
}

fn success(id: i64) -> Value {
    json!([{"configId": id, "sendFrequency": "5m", "pendingConfig": null, "status": "Success"}])
}

#[test]
fn the_tutorial_goes_step_by_step() {
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (5, Desired(2, five_minutes(2)), pending(2)),
            (6, Tick, json!([])),
            (7, Tick, success(2)),
            (8, Tick, json!([])),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn a_further_change_supersedes_the_pending_one() {
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (5, Desired(2, five_minutes(2)), pending(2)),
            (6, Desired(3, json!({"configId": 3})), pending(3)),
            (7, Tick, json!([])),
            (8, Tick, success(3)),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn what_is_applied_already_or_not_meant_for_us_is_left_alone() {
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (1, Desired(2, json!({"configId": 1, "sendFrequency": "24h"})), json!([])),
            (1, Desired(3, json!({"other": true})), json!([])),
            (2, Desired(4, five_minutes(2)), pending(2)),
            (3, Desired(5, five_minutes(2)), json!([])),
            (4, Tick, success(2)),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn going_back_clears_what_was_pending() {
    let back = json!({"configId": 1, "sendFrequency": "24h"});
    let cleared = json!([{"pendingConfig": null, "status": "Success"}]);
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (5, Desired(2, five_minutes(2)), pending(2)),
            (6, Desired(3, back), cleared.clone()),
            (7, Desired(4, five_minutes(2)), pending(2)),
            (7, Desired(5, json!({"configId": null, "sendFrequency": null})), cleared),
            (60, Tick, json!([])),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn a_malformed_configuration_is_reported_and_the_old_one_stays() {
    let soon = "sendFrequency \"soon\" is no duration, expected a number and a unit such as 250ms, 10s, 5m, 24h or 1d";
    let object = "configId is {}, expected an integer or a string";
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (
                1,
                Desired(2, json!({"sendFrequency": "soon"})),
                json!([{"status": "Error", "statusReason": soon}]),
            ),
            (2, Desired(3, json!({"sendFrequency": "soon"})), json!([])),
            (
                3,
                Desired(4, json!({"configId": 2, "sendFrequency": "5m"})),
                json!([{"pendingConfig": five_minutes(2), "status": "Pending", "statusReason": null}]),
            ),
            (
                4,
                Desired(5, json!({"configId": {}})),
                json!([{"pendingConfig": null, "status": "Error", "statusReason": object}]),
            ),
            (60, Tick, json!([])),
            (
                61,
                Desired(6, json!({"configId": 1, "sendFrequency": "24h"})),
                json!([{"statusReason": null, "status": "Success"}]),
            ),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn old_notifications_are_ignored_and_gaps_are_filled() {
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (1, Desired(1, five_minutes(9)), json!([])),
            (1, Desired(2, five_minutes(2)), pending(2)),
            (1, Desired(2, five_minutes(9)), json!([])),
            (1, Desired(4, json!({"other": 1})), json!(["get"])),
            (
                2,
                Got(
                    json!({"configId": 3, "sendFrequency": "5m", "$version": 4}),
                    json!({"$version": 3}),
                ),
                pending(3),
            ),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn an_overtaken_twin_is_ignored_and_a_missed_notification_asked_for() {
    let steps = [
        (0, Connect, json!(["get"])),
        (0, Desired(3, five_minutes(2)), json!([])),
        (0, untouched(), json!([{"configId": 1, "sendFrequency": "24h"}, "get"])),
        (
            0,
            Desired(4, five_minutes(4)),
            json!([{"pendingConfig": five_minutes(4), "status": "Pending"}, "get"]),
        ),
        (
            0,
            Got(
                json!({"configId": 2, "sendFrequency": "5m", "$version": 3}),
                json!({"$version": 2}),
            ),
            json!([]),
        ),
    ];
    // The second "get" of step 3 is the gap between 1 and 4.
    let mut device = Behavior::new(&Script::default(), DELAY);
    for (index, (second, input, expected)) in steps.iter().enumerate() {
        let found = wire(feed(&mut device, input, at(*second)));
        assert_eq!(&Value::Array(found), expected, "step {index}");
    }
}

#[test]
fn what_changed_offline_is_applied_after_the_next_connect() {
    let desired = json!({"configId": 2, "sendFrequency": "5m", "$version": 7});
    let reported = json!({"configId": 1, "sendFrequency": "24h", "$version": 2});
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (60, Connect, json!(["get"])),
            (60, Got(desired, reported), pending(2)),
            (62, Tick, success(2)),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn a_restarted_device_goes_on_with_what_it_had_reported() {
    let desired = json!({"configId": 5, "sendFrequency": "5m", "$version": 7});
    let reported =
        json!({"configId": 5, "sendFrequency": "5m", "status": "Success", "$version": 9});
    check(
        &Script::default(),
        &[
            (0, Connect, json!(["get"])),
            (0, Got(desired.clone(), reported.clone()), json!([])),
            (9, Tick, json!([])),
        ],
    );
    let mut left = properties(&reported);
    left.insert("pendingConfig".to_owned(), five_minutes(5));
    left.insert("status".to_owned(), json!("Pending"));
    check(
        &Script::default(),
        &[
            (0, Connect, json!(["get"])),
            (
                0,
                Got(desired, Value::Object(left)),
                json!([{"pendingConfig": null, "status": "Success"}]),
            ),
        ],
    );
}

#[test]
fn a_lost_report_is_made_good_after_the_next_connect() {
    let desired = json!({"configId": 2, "sendFrequency": "5m", "$version": 2});
    let stale = json!({"configId": 1, "sendFrequency": "24h", "pendingConfig": five_minutes(2), "status": "Pending", "$version": 3});
    let steps: Vec<_> = started()
        .into_iter()
        .chain([
            (5, Desired(2, five_minutes(2)), pending(2)),
            (7, Tick, success(2)),
            (8, Connect, json!(["get"])),
            (8, Got(desired.clone(), stale), success(2)),
            (9, Connect, json!(["get"])),
            (
                9,
                Got(desired, json!({"$version": 1})),
                json!([{"configId": 2, "sendFrequency": "5m", "status": "Success"}]),
            ),
        ])
        .collect();
    check(&Script::default(), &steps);
}

#[test]
fn a_script_s_responses_follow_their_rules() {
    let script = Script::parse(
        r#"
        reported = { firmware = "2", fan = 0, mode = "auto" }
        [desired]
        fan = { apply-after = "3s" }
        mode = { refuse = "fixed" }
        label = "echo"
        owner = "ignore"
        "#,
    )
    .unwrap();
    let refusal =
        |version| json!([{"mode": {"ac": 400, "av": version, "ad": "fixed", "value": "auto"}}]);
    let first =
        json!([{"firmware": "2", "fan": 0, "mode": "auto", "configId": 1, "sendFrequency": "24h"}]);
    check(
        &script,
        &[
            (0, Connect, json!(["get"])),
            (0, untouched(), first),
            (1, Desired(2, json!({"fan": 2})), json!([])),
            (2, Desired(3, json!({"fan": 5, "owner": "x"})), json!([])),
            (4, Tick, json!([])),
            (5, Tick, json!([{"fan": 5}])),
            (6, Desired(4, json!({"fan": 5, "mode": "manual"})), refusal(4)),
            (7, Desired(5, json!({"mode": "manual"})), json!([{"mode": {"av": 5}}])),
            (
                8,
                Desired(6, json!({"label": {"a": 1, "b": 2}})),
                json!([{"label": {"a": 1, "b": 2}}]),
            ),
            (9, Desired(7, json!({"label": {"b": null}})), json!([{"label": {"b": null}}])),
            (9, Desired(8, json!({"label": null})), json!([{"label": null}])),
        ],
    );
}

#[test]
fn a_restart_keeps_what_a_script_s_responses_brought_about() {
    let script = Script::parse(
        "reported = { firmware = \"2\", fan = 0 }\n[desired]\nfan = { apply-after = \"3s\" }",
    )
    .unwrap();
    let reported =
        json!({"firmware": "1", "fan": 5, "configId": 1, "sendFrequency": "24h", "$version": 4});
    check(
        &script,
        &[
            (0, Connect, json!(["get"])),
            (0, Got(json!({"fan": 5, "$version": 2}), reported), json!([{"firmware": "2"}])),
            (9, Tick, json!([])),
        ],
    );
}

#[test]
fn the_frequency_is_known_once_the_twin_is() {
    let mut device = Behavior::new(&Script::default(), DELAY);
    assert_eq!(device.send_frequency(), None);
    feed(&mut device, &untouched(), at(0));
    assert_eq!(device.send_frequency().map(Span::as_str), Some("24h"));
    feed(&mut device, &Desired(2, five_minutes(2)), at(1));
    assert_eq!(device.next_deadline(), Some(at(3)));
    feed(&mut device, &Tick, at(3));
    assert_eq!(device.send_frequency().map(Span::as_str), Some("5m"));
    assert_eq!(device.next_deadline(), None);
}
