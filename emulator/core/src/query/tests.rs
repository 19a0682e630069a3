//! Whole queries over documents.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::row::Row;
use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(super) fn rows(documents: &[Value]) -> Vec<Row> {
    documents.iter().map(|one| Row::new("deviceId", object(one.clone()))).collect()
}

/// One page, as JSON.
pub(super) fn page(
    query: &Query,
    documents: Vec<Row>,
    from: Position,
    size: usize,
) -> (Vec<Value>, Option<Position>) {
    let mut run = Run::new(query, from, size);
    documents.into_iter().for_each(|document| run.offer(document));
    let page = run.finish();
    let rows = match page.rows {
        Rows::Documents(rows) => rows.into_iter().map(Row::into_members).collect(),
        Rows::Raw(rows) => rows,
    };
    (rows.into_iter().map(Value::Object).collect(), page.next)
}

pub(super) fn ask(text: &str, documents: &[Value]) -> Vec<Value> {
    let query = Query::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let (rows, next) = page(&query, rows(documents), Position::default(), 1000);
    assert_eq!(next, None);
    rows
}

fn hub() -> Vec<Value> {
    vec![
        json!({"deviceId": "c", "status": "enabled", "version": 4, "capabilities": {"iotEdge": true},
            "tags": {"floor": 3, "site": "x", "group": {"name": "g"}},
            "properties": {"desired": {"a.b": 1, "$version": 2}, "reported": {"seen": 2}}}),
        json!({"deviceId": "a", "status": "disabled", "version": 2, "capabilities": {"iotEdge": false},
            "tags": {"floor": 1, "site": "y", "nothing": null}, "parentScopes": ["s"]}),
        json!({"deviceId": "b", "status": "enabled", "version": 7, "capabilities": {"iotEdge": false},
            "tags": {"floor": 1.0, "site": "y"}}),
        json!({"deviceId": "d", "status": "enabled", "version": 2, "tags": {"floor": "high"}}),
    ]
}

#[test]
fn conditions_choose_documents() {
    let table = [
        ("deviceId = 'a'", "a"),
        ("DEVICEID = 'A'", ""),
        ("devices.status = 'enabled'", "b c d"),
        ("tags.floor = 1", "a b"),
        ("tags.floor != 1", "c"),
        ("tags.floor <> 1", "c"),
        ("NOT tags.floor = 1", "c"),
        ("tags.floor >= 1 AND tags.floor < 3", "a b"),
        ("tags.floor > 'a'", "d"),
        ("tags.Floor = 1", ""),
        ("tags.nothing = null", "a"),
        ("tags.nothing != null", ""),
        ("tags.site != null", "a b c"),
        ("tags.site = null", ""),
        ("tags.site = undefined", ""),
        ("is_defined(tags.nothing)", "a"),
        ("NOT is_defined(tags.site)", "d"),
        ("tags.site = 'x' OR tags.floor = 'high'", "c d"),
        ("tags.missing = 1 OR deviceId = 'a'", "a"),
        ("tags.missing = 1 AND deviceId = 'a'", ""),
        ("NOT (tags.missing = 1 AND deviceId = 'a')", "b c d"),
        ("NOT (tags.missing = 1)", ""),
        ("tags.site", ""),
        ("true", "a b c d"),
        ("null", ""),
        ("1", ""),
        ("capabilities.iotEdge", "c"),
        ("capabilities.iotEdge = false", "a b"),
        ("deviceId IN ['a', 'x', 'd']", "a d"),
        ("deviceId NIN ['a', 'd']", "b c"),
        ("tags.floor IN [1, 'high']", "a b d"),
        ("tags.nothing IN [null]", "a"),
        ("tags.missing NIN ['a']", ""),
        ("tags.floor + 1 = 2", "a b"),
        ("tags.floor / 0 = 1", ""),
        ("7 % 4 = tags.floor", "c"),
        ("-tags.floor = -1", "a b"),
        ("version = 0x7", "b"),
        ("startswith(tags.site, 'x')", "c"),
        ("array_contains(parentScopes, 's')", "a"),
        ("tags.[[group]].name = 'g'", "c"),
        ("properties.desired.[[a.b]] = 1", "c"),
        ("properties.desired.$version = properties.reported.seen", "c"),
        ("tags = tags", ""),
        ("tags.floor = true", ""),
    ];
    for (condition, expected) in table {
        let found = ask(&format!("SELECT deviceId FROM devices WHERE {condition}"), &hub());
        let found: Vec<_> = found.iter().map(|row| row["deviceId"].as_str().unwrap()).collect();
        assert_eq!(found.join(" "), expected, "{condition}");
        let condition = Condition::parse(condition).unwrap();
        let holds = rows(&hub()).iter().filter(|row| condition.holds(*row)).count();
        assert_eq!(holds, found.len());
    }
}

#[test]
fn selections_shape_the_answer() {
    let table = [
        (
            "SELECT deviceId, tags.site FROM devices WHERE tags.floor = 'high'",
            json!([{"deviceId": "d"}]),
        ),
        (
            "SELECT TOP 1 status AS Status, tags.floor AS [[the floor]] FROM devices",
            json!([{"Status": "disabled", "the floor": 1}]),
        ),
        ("SELECT tags.nothing FROM devices WHERE deviceId = 'a'", json!([{"nothing": null}])),
        ("SELECT COUNT() AS n FROM devices", json!([{"n": 4}])),
        ("SELECT COUNT() FROM devices WHERE false", json!([{"$1": 0}])),
        (
            "SELECT SUM(tags.floor) AS s, AVG(tags.floor) AS a, MIN(deviceId) AS l, MAX(version) AS g, \
          MAX(tags.none) AS none FROM devices",
            json!([{"s": 5, "a": 5.0 / 3.0, "l": "a", "g": 7}]),
        ),
        (
            "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site",
            json!([{"n": 1}, {"site": "x", "n": 1}, {"site": "y", "n": 2}]),
        ),
        (
            "SELECT COUNT() AS n FROM devices GROUP BY tags.floor, status",
            json!([{"n": 1}, {"n": 1}, {"n": 1}, {"n": 1}]),
        ),
        (
            "SELECT tags.floor FROM devices WHERE tags.site = 'y' GROUP BY tags.floor",
            json!([{"floor": 1}]),
        ),
        ("SELECT TOP 1 status FROM devices GROUP BY status", json!([{"status": "disabled"}])),
        ("SELECT COUNT() AS n FROM devices WHERE false GROUP BY status", json!([])),
        ("SELECT TOP 0 * FROM devices", json!([])),
    ];
    for (text, expected) in table {
        assert_eq!(Value::Array(ask(text, &hub())), expected, "{text}");
    }
    assert_eq!(ask("SELECT * FROM devices WHERE deviceId = 'a'", &hub()), [hub()[1].clone()]);
}

#[test]
fn jobs_are_asked_by_their_own_names() {
    let job = json!({"jobId": "j", "deviceId": "d", "jobType": "scheduleDeviceMethod",
        "status": "completed", "createdDateTimeUtc": "2026-01-01T00:00:00Z",
        "outcome": {"deviceMethodResponse": {"status": 200}}});
    let conditions = [
        "devices.jobs.jobId = 'j'",
        "devices.jobs.createdTimeUtc > '2025'",
        "createdDateTimeUtc > '2025'",
        "outcome.deviceMethodResponse.status = 200",
    ];
    for condition in conditions {
        let text = format!("SELECT * FROM devices.jobs WHERE {condition}");
        let query = Query::parse(&text).unwrap();
        let (rows, _) =
            page(&query, vec![Row::of_job(object(job.clone()))], Position::default(), 10);
        assert_eq!(rows, std::slice::from_ref(&job), "{condition}");
    }
}

#[test]
fn top_holds_across_pages() {
    let query = Query::parse("SELECT TOP 3 deviceId FROM devices").unwrap();
    let (first, next) = page(&query, rows(&hub()), Position::default(), 2);
    assert_eq!(first.len(), 2);
    let (second, next) = page(&query, rows(&hub()), next.unwrap(), 2);
    assert_eq!((second, next), (vec![json!({"deviceId": "c"})], None));
}

#[test]
fn pages_do_not_mind_what_comes_and_goes() {
    let query = Query::parse("SELECT deviceId FROM devices").unwrap();
    let (_, next) = page(&query, rows(&hub()), Position::default(), 2);
    let without_b: Vec<_> =
        hub().into_iter().filter(|device| device["deviceId"] != json!("b")).collect();
    let (rest, _) = page(&query, rows(&without_b), next.unwrap(), 2);
    assert_eq!(rest, [json!({"deviceId": "c"}), json!({"deviceId": "d"})]);
}

/// `cargo test --release -p iothub-core --lib query_speed -- --ignored --nocapture`
#[test]
#[ignore = "measures; run it alone and in release"]
fn query_speed() {
    let (records, connections) = twin::tests::many(100_000);
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
        let mut best = std::time::Duration::MAX;
        for _ in 0..10 {
            let start = Instant::now();
            let mut run = Run::new(&query, Position::default(), 100);
            for record in records.clone() {
                run.offer(twin::TwinDocument::of_device(record, &connections));
            }
            let page = run.finish();
            best = best.min(start.elapsed());
            drop(page);
        }
        println!("{best:>10.2?} for 100,000 twins: {text}");
    }
}
