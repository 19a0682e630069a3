//! A comparison with a model that is too simple to be wrong: conditions as a tree, evaluated over
//! plain JSON, one rule per line.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{ask, page, rows};
use super::{Position, Query};

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
