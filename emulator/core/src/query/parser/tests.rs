use super::*;
use crate::query::ast::{Aggregate, Column, Select};
use crate::query::path::{Attribute, TwinAttribute};

fn parsed(text: &str) -> Statement {
    statement(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn path(attribute: TwinAttribute, below: &[&str]) -> Path {
    let below = below.iter().map(|&name| name.to_owned()).collect();
    Path { attribute: Attribute::Twin(attribute), below }
}

fn where_(text: &str) -> Expression {
    condition(text).unwrap_or_else(|why| panic!("{text}: {why}")).1.unwrap()
}

#[test]
fn what_tools_ask_parses() {
    let table = [
        "SELECT * FROM devices",
        "select * from devices where capabilities.iotEdge = true",
        "select * from devices where capabilities.iotEdge=false",
        "select * from devices where capabilities.iotEdge=true and array_contains(parentScopes,'s')",
        "select * from devices where deviceId in ['a','b']",
        "SELECT * FROM devices.modules WHERE moduleId = 'x'",
        "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j' AND devices.jobs.status='failed'",
        "SELECT deviceId as DeviceId, status as Status, capabilities.iotEdge as IotEdge, \
         statusUpdatedTime as StatusUpdatedTime FROM devices WHERE STARTSWITH(devices.deviceId, 'x')",
        "SELECT COUNT() AS numberOfDevices FROM devices",
        "SELECT COUNT ( ) AS total FROM devices WHERE tags.a = 1",
        "select deviceId from devices where configurations.[[id-1]].status='Applied'",
        "select deviceId from devices.modules where moduleId='$edgeAgent' and \
         configurations.[[1.0 beta]].status='Applied'",
        "SELECT * FROM devices WHERE properties.desired.$version = \
         properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code = 200",
        "SELECT * FROM devices WHERE is_defined(properties.desired.AppKey) OR IS_DEFINED(tags.x)",
        "SELECT properties.reported.telemetryConfig.status AS status, COUNT() AS numberOfDevices \
         FROM devices GROUP BY properties.reported.telemetryConfig.status",
        "SELECT * FROM c WHERE c.deviceId = 'x'",
        "SELECT TOP 5 * FROM devices",
        "SELECT top FROM devices",
        "SELECT * FROM devices d WHERE d.tags.[[group]].name NIN [1, -2, 'a', null, [true]]",
        "SELECT * FROM devices WHERE NOT (tags.a + 1 * 2 >= -3 % 4) AND true",
        "SELECT * FROM devices WHERE tags.a IN [['a'], ['b']]",
        "SELECT * FROM devices WHERE ARRAY_CONTAINS([ ['a'] ], tags.a)",
    ];
    for text in table {
        let result = statement(text);
        if text.contains("FROM c ") {
            assert!(result.unwrap_err().to_string().contains("Unknown collection 'c'"));
        } else {
            assert!(result.is_ok(), "{text}: {result:?}");
        }
    }
}

#[test]
fn precedence_is_as_usual() {
    let table = [
        ("tags.a OR tags.b AND NOT tags.c", "tags.a OR (tags.b AND (NOT tags.c))"),
        ("tags.a = 1 AND tags.b = 2", "(tags.a = 1) AND (tags.b = 2)"),
        ("NOT tags.a = 1", "NOT (tags.a = 1)"),
        ("1 + 2 * 3 = 7", "(1 + (2 * 3)) = 7"),
        ("-tags.a + 1 > 0", "((-tags.a) + 1) > 0"),
        ("tags.a + 1 IN [1]", "(tags.a + 1) IN [1]"),
    ];
    for (bare, explicit) in table {
        assert_eq!(where_(bare), where_(explicit), "{bare}");
    }
}

#[test]
fn a_projection_names_its_members() {
    let select = |text| parsed(text).select;
    assert_eq!(
        select("SELECT DeviceId, tags.location.Region, status AS [[my status]] FROM devices"),
        Select::Members(vec![
            ("deviceId".to_owned(), path(TwinAttribute::DeviceId, &[])),
            ("Region".to_owned(), path(TwinAttribute::Tags, &["location", "Region"])),
            ("my status".to_owned(), path(TwinAttribute::Status, &[])),
        ])
    );
    let status = path(TwinAttribute::Status, &[]);
    assert_eq!(
        select("SELECT COUNT(), status, MAX(version) AS newest FROM devices GROUP BY Status"),
        Select::Groups {
            by: vec![status],
            columns: vec![
                ("$1".to_owned(), Column::Aggregate(Aggregate::Count)),
                ("status".to_owned(), Column::Key(0)),
                (
                    "newest".to_owned(),
                    Column::Aggregate(Aggregate::Greatest(path(TwinAttribute::Version, &[])))
                ),
            ],
        }
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let table = [
        ("", "1:1 Unexpected end of query, expected SELECT"),
        ("UPDATE", "1:1 Unexpected character at input 'UPDATE', expected SELECT"),
        ("SELECT", "1:7 Unexpected end of query, expected a name"),
        ("SELECT * FROM", "1:14 Unexpected end of query, expected a name"),
        (
            "SELECT * FROM things",
            "1:15 Unknown collection 'things', expected devices, devices.modules or devices.jobs",
        ),
        ("SELECT a b FROM devices", "1:10 Unexpected character at input 'b', expected FROM"),
        ("SELECT *, a FROM devices", "1:9 Unexpected character at input ',', expected FROM"),
        ("SELECT * FROM devices WHERE", "1:28 Unexpected end of query, expected a value"),
        ("SELECT * FROM devices\nWHERE a = ", "2:11 Unexpected end of query, expected a value"),
        (
            "SELECT * FROM devices WHERE a = 1 b",
            "1:35 Unexpected character at input 'b', expected the end of the query",
        ),
        (
            "SELECT * FROM devices WHERE a = 1 = 2",
            "1:35 Unexpected character at input '=', expected the end of the query",
        ),
        (
            "SELECT * FROM devices ORDER BY a",
            "1:29 Unexpected character at input 'BY', expected the end of the query",
        ),
        (
            "SELECT * FROM devices WHERE tags.group = 1",
            "1:34 Unexpected character at input 'group', expected a name",
        ),
        (
            "SELECT * FROM devices WHERE deviceId IN ('a')",
            "1:41 Unexpected character at input '(', expected '['",
        ),
        (
            "SELECT * FROM devices WHERE a IN [1 2]",
            "1:37 Unexpected character at input '2', expected ',' or ']'",
        ),
        (
            "SELECT * FROM devices WHERE a IN [b]",
            "1:35 Unexpected character at input 'b', expected a value",
        ),
        ("SELECT * FROM devices WHERE (a = 1", "1:35 Unexpected end of query, expected ')'"),
        ("SELECT * FROM devices WHERE what(a)", "1:29 Unknown function 'what'"),
        (
            "SELECT * FROM devices WHERE is_defined()",
            "1:29 Function 'is_defined' has 0 arguments, expected 1 to 1",
        ),
        (
            "SELECT LOWER(deviceId) FROM devices",
            "1:8 Function 'lower' is no aggregate, expected COUNT, SUM, AVG, MIN or MAX",
        ),
        ("SELECT * FROM devices WHERE count() > 1", "1:29 Unknown function 'count'"),
        (
            "SELECT TOP 1.5 * FROM devices",
            "1:12 Unexpected character at input '1.5', expected a whole number",
        ),
        ("SELECT status, COUNT() FROM devices", "1:8 'status' is not in GROUP BY"),
        ("SELECT * FROM devices GROUP BY status", "1:23 SELECT * cannot be grouped"),
        (
            "SELECT moduleId FROM devices.modules GROUP BY moduleId",
            "1:38 devices.modules does not support GROUP BY",
        ),
        ("SELECT jobId FROM devices.jobs", "1:8 devices.jobs supports SELECT * only"),
        ("SELECT COUNT() FROM devices.jobs", "1:8 devices.jobs supports SELECT * only"),
        (
            "SELECT * FROM devices.jobs WHERE tags.a = 1",
            "1:34 devices.jobs has no tags and properties of twins",
        ),
        ("SELECT * FROM devices WHERE a = 'x", "1:33 String has no closing quote"),
    ];
    for (text, expected) in table {
        let found = statement(text).unwrap_err().to_string();
        let expected =
            format!("SQL query parse failed due to following errors: \n\tLine {expected}");
        assert_eq!(found, expected, "{text}");
    }
}

/// As seen on the service, which puts the condition behind a SELECT of its own.
#[test]
fn a_query_is_no_condition() {
    let found = condition("SELECT * FROM devices").unwrap_err().to_string();
    let seen = "SQL query parse failed due to following errors: \n\tLine 1:29 \
                Unexpected character at input 'SELECT'";
    assert!(found.starts_with(seen), "{found}");
}

#[test]
fn conditions_know_their_source() {
    assert_eq!(condition("*"), Ok((Source::Devices, None)));
    assert_eq!(condition("tags.a = 1").unwrap().0, Source::Devices);
    let modules = condition("FROM devices.modules WHERE moduleId = 'm'").unwrap();
    assert_eq!((modules.0, modules.1.is_some()), (Source::Modules, true));
    assert!(condition("").is_err());
    assert!(condition("tags.a = 1 GROUP BY tags.a").is_err());
}

#[test]
fn hostile_texts_end_in_errors() {
    let deep = |open: &str, close: &str, levels: usize| {
        let (open, close) = (open.repeat(levels), close.repeat(levels));
        format!("SELECT * FROM devices WHERE {open}1{close}")
    };
    let too_deep = [
        deep("(", ")", limits::QUERY_DEPTH + 1),
        deep("(", ")", 4000),
        deep("NOT ", "", 2000),
        deep("- ", "", 4000),
        deep("abs(", ")", 1000),
        format!("SELECT * FROM devices WHERE a IN {}", "[".repeat(8000)),
    ];
    for text in too_deep {
        let found = statement(&text).unwrap_err().to_string();
        assert!(found.ends_with("Query is nested deeper than 64 levels"), "{found}");
    }
    assert!(statement(&deep("(", ")", limits::QUERY_DEPTH)).is_ok());
    // Too long comes first, whatever else is wrong.
    for text in [deep("(", ")", 10_000), "x".repeat(1 << 20), format!("'{}", "a".repeat(1 << 20))] {
        assert_eq!(statement(&text), Err(QueryError::TooLong(text.chars().count())));
    }
    // Long chains are wide and not deep.
    let chain = format!("SELECT * FROM devices WHERE a{}", " OR a".repeat(1600));
    assert!(statement(&chain).is_ok());
    let chain = format!("SELECT * FROM devices WHERE 1{} = 1", "+1".repeat(4000));
    assert!(statement(&chain).is_ok());
}

proptest::proptest! {
    /// Whatever the text, there is an answer.
    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,200}") {
        let _answer = statement(&text);
        let _answer = condition(&text);
    }

    /// The same for texts that come closer.
    #[test]
    fn no_mix_of_words_breaks_the_parser(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "SELECT", "TOP", "*", "FROM", "devices", ".", "modules", "WHERE", "GROUP", "BY", "AS",
            "a", "[[a b]]", "(", ")", "[", "]", ",", "=", "<", "AND", "OR", "NOT", "IN", "NIN",
            "1", "-", "'x'", "null", "undefined", "count", "is_defined", "[[", "\\",
        ]), 0..40))
    {
        let _answer = statement(&words.join(" "));
        let _answer = condition(&words.concat());
    }
}
