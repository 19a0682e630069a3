//! Whole queries over documents, and a comparison with a model that is too simple to be wrong.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::row::Row;
use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn rows(documents: &[Value]) -> Vec<Row> {
    documents.iter().map(|one| Row::new("deviceId", object(one.clone()))).collect()
}

/// One page, as JSON.
fn page(
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

fn ask(text: &str, documents: &[Value]) -> Vec<Value> {
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
        assert_eq!(rows, [job.clone()], "{condition}");
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

// What follows is the model: conditions as a tree, evaluated over plain JSON, one rule per line.

/// A condition on the members `tags.a` and `tags.b`.
#[derive(Clone, Debug)]
enum Model {
    Compare(&'static str, &'static str, Value),
    Same(&'static str, &'static str),
    In(&'static str, bool, Vec<Value>),
    Defined(&'static str),
    Begins(&'static str, String),
    Not(Box<Model>),
    And(Box<Model>, Box<Model>),
    Or(Box<Model>, Box<Model>),
}

impl Model {
    /// The same as a text, with parentheses everywhere.
    fn text(&self) -> String {
        match self {
            Self::Compare(member, operator, value) => format!("tags.{member} {operator} {value}"),
            Self::Same(one, other) => format!("tags.{one} = tags.{other}"),
            Self::In(member, negated, values) => {
                let operator = if *negated { "NIN" } else { "IN" };
                format!("tags.{member} {operator} {}", Value::Array(values.clone()))
            }
            Self::Defined(member) => format!("IS_DEFINED(tags.{member})"),
            Self::Begins(member, text) => format!("STARTSWITH(tags.{member}, '{text}')"),
            Self::Not(one) => format!("(NOT {})", one.text()),
            Self::And(one, other) => format!("({} AND {})", one.text(), other.text()),
            Self::Or(one, other) => format!("({} OR {})", one.text(), other.text()),
        }
    }

    fn truth(&self, tags: &Value) -> Option<bool> {
        match self {
            Self::Compare(member, operator, value) => compare(tags.get(member)?, operator, value),
            Self::Same(one, other) => compare(tags.get(one)?, "=", tags.get(other)?),
            Self::In(member, negated, values) => {
                let value = tags.get(member)?;
                let found = values.iter().any(|other| compare(value, "=", other) == Some(true));
                Some(found != *negated)
            }
            Self::Defined(member) => Some(tags.get(member).is_some()),
            Self::Begins(member, text) => Some(tags.get(member)?.as_str()?.starts_with(text)),
            Self::Not(one) => one.truth(tags).map(|truth| !truth),
            Self::And(one, other) => match (one.truth(tags), other.truth(tags)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(one, other) => match (one.truth(tags), other.truth(tags)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

fn compare(one: &Value, operator: &str, other: &Value) -> Option<bool> {
    let ordering = match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Null, Value::Null) => Some(std::cmp::Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => {
            return match operator {
                "=" => Some(false),
                "!=" => Some(true),
                _ => None,
            };
        }
        _ => None,
    }?;
    Some(match operator {
        "=" => ordering.is_eq(),
        "!=" => ordering.is_ne(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        (-3..3_i64).prop_map(|tenths| json!(tenths as f64 / 2.0)),
        "[ab]{0,2}".prop_map(Value::from),
    ]
}

fn any_tags() -> impl Strategy<Value = Value> {
    let member = || proptest::option::of(prop_oneof![9 => any_scalar(), 1 => Just(json!([1]))]);
    (member(), member()).prop_map(|(a, b)| {
        let members = [("a", a), ("b", b)];
        let members =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(members.collect())
    })
}

fn any_condition() -> impl Strategy<Value = Model> {
    let member = || proptest::sample::select(vec!["a", "b"]);
    let operator = proptest::sample::select(vec!["=", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        4 => (member(), operator, any_scalar())
            .prop_map(|(member, operator, value)| Model::Compare(member, operator, value)),
        1 => (member(), member()).prop_map(|(one, other)| Model::Same(one, other)),
        1 => (member(), any::<bool>(), proptest::collection::vec(any_scalar(), 0..4))
            .prop_map(|(member, negated, values)| Model::In(member, negated, values)),
        1 => member().prop_map(Model::Defined),
        1 => (member(), "[ab]{0,2}").prop_map(|(member, text)| Model::Begins(member, text)),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Model::Not(Box::new(one))),
            (inner.clone(), inner.clone())
                .prop_map(|(one, other)| Model::And(Box::new(one), Box::new(other))),
            (inner.clone(), inner)
                .prop_map(|(one, other)| Model::Or(Box::new(one), Box::new(other))),
        ]
    })
}

/// All pages of an answer, one after the other.
fn pages(query: &Query, documents: &[Value], size: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut from = Some(Position::default());
    while let Some(position) = from {
        let (rows, next) = page(query, rows(documents), position, size);
        assert!(rows.len() <= size);
        assert!(next.is_none() || rows.len() == size, "a page that is not full has no next");
        all.extend(rows);
        from = next;
    }
    all
}

fn any_hub() -> impl Strategy<Value = Vec<Value>> {
    let hub = proptest::collection::vec(any_tags(), 0..12).prop_map(|tags| {
        let device = |(index, tags)| json!({"deviceId": format!("d{index:02}"), "tags": tags});
        tags.into_iter().enumerate().map(device).collect::<Vec<_>>()
    });
    hub.prop_shuffle()
}

proptest! {
    #[test]
    fn conditions_agree_with_the_model(condition in any_condition(), hub in any_hub(), size in 1_usize..5) {
        let query = Query::parse(&format!("SELECT * FROM devices WHERE {}", condition.text())).unwrap();
        let mut expected: Vec<Value> =
            hub.iter().filter(|one| condition.truth(&one["tags"]) == Some(true)).cloned().collect();
        expected.sort_by_key(|one| one["deviceId"].as_str().unwrap().to_owned());
        prop_assert_eq!(pages(&query, &hub, size), expected);
    }

    #[test]
    fn answers_do_not_depend_on_the_order_of_documents(hub in any_hub(), size in 1_usize..5) {
        let mut sorted = hub.clone();
        sorted.sort_by_key(|one| one["deviceId"].as_str().unwrap().to_owned());
        for text in [
            "SELECT TOP 5 deviceId, tags.a FROM devices WHERE tags.b != 'a'",
            "SELECT SUM(tags.a) AS s, AVG(tags.b) AS a, MIN(tags.a) AS l, MAX(tags.a) AS g FROM devices",
            "SELECT tags.a, COUNT() AS n, MAX(tags.b) AS g FROM devices GROUP BY tags.a",
        ] {
            let query = Query::parse(text).unwrap();
            let (one, other) = (pages(&query, &hub, size), pages(&query, &sorted, size));
            prop_assert_eq!(Value::Array(one).to_string(), Value::Array(other).to_string());
        }
    }

    #[test]
    fn groups_add_up(hub in any_hub()) {
        let groups = ask("SELECT tags.a, COUNT() AS n FROM devices GROUP BY tags.a", &hub);
        let sum: u64 = groups.iter().map(|group| group["n"].as_u64().unwrap()).sum();
        prop_assert_eq!(sum, hub.len() as u64);
        for group in &groups {
            let same = |one: &&Value| match (one["tags"].get("a"), group.get("a")) {
                (Some(Value::Number(one)), Some(Value::Number(other))) => one.as_f64() == other.as_f64(),
                (one, other) => one == other,
            };
            prop_assert_eq!(hub.iter().filter(same).count() as u64, group["n"].as_u64().unwrap());
        }
    }
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
