//! `query`: which pages it asks for, and what it prints.

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, Request};

const QUERY: &str = "SELECT deviceId FROM devices";

/// A hub whose answer has three pages of two rows.
fn hub(item_type: &'static str) -> Hub {
    Hub::plain(move |request: &Request| {
        let page: usize =
            request.header("x-ms-continuation").map_or(0, |token| token[1..].parse().unwrap());
        let row = |number: usize| json!({ "deviceId": format!("d{number}") });
        let mut answer = Answer::json(&json!([row(2 * page), row(2 * page + 1)]));
        answer.headers.push(("x-ms-item-type", item_type.to_owned()));
        if page < 2 {
            answer.headers.push(("x-ms-continuation", format!("p{}", page + 1)));
        }
        answer
    })
}

#[test]
fn all_pages_are_one_document() {
    let hub = hub("Raw");
    let output = hub.cli().args(["query", QUERY, "-o", "json"]).assert().code(0).stderr("");
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(printed.as_array().unwrap().len(), 6);
    let requests = hub.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(request.line.starts_with("POST /devices/query?api-version="), "{}", request.line);
        assert_eq!(request.json(), json!({ "query": QUERY }));
        assert_eq!(request.header("x-ms-max-item-count"), None);
    }
    assert_eq!(requests[0].header("x-ms-continuation"), None);
    assert_eq!(requests[2].header("x-ms-continuation"), Some("p2"));
}

#[test]
fn a_limit_ends_it_early() {
    let hub = hub("Raw");
    let arguments = ["query", QUERY, "--limit", "3", "--page-size", "2"];
    let more = contains("more rows than --limit");
    hub.cli().args(arguments).assert().code(0).stdout("deviceId\nd0\nd1\nd2\n").stderr(more);
    let requests = hub.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("x-ms-max-item-count"), Some("2"));
}

#[test]
fn twins_and_nothing_have_their_looks() {
    let table = contains("device  status  connection");
    hub("Twin").cli().args(["query", "SELECT * FROM devices"]).assert().code(0).stdout(table);
    let hub = Hub::plain(|_: &Request| Answer::json(&json!([])));
    hub.cli().args(["query", QUERY]).assert().code(0).stdout("").stderr(contains("no rows"));
}

#[test]
fn what_the_service_says_is_told() {
    let hub = Hub::plain(|_: &Request| {
        let message = "SQL query parse failed due to following errors: \n\tLine 1:1 what";
        Answer::error(400, "ArgumentInvalid", message)
    });
    let line = contains("following errors: Line 1:1 what");
    hub.cli().args(["query", "what"]).assert().code(2).stderr(line);
    hub.cli().arg("query").assert().code(2);
    hub.cli().args(["query", QUERY, "--limit", "0"]).assert().code(2);
}
