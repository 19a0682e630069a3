//! `twin`: what goes over the wire, and what is printed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, Request, cli};

fn twin(version: u64, desired: &Value) -> Value {
    json!({
        "deviceId": "d", "etag": "AAAAAAAAAAE=", "version": version, "status": "enabled",
        "connectionState": "Connected", "lastActivityTime": "0001-01-01T00:00:00Z",
        "properties": {
            "desired": desired,
            "reported": {"configId": 1, "$metadata": {}, "$version": 1},
        },
    })
}

/// A hub whose twin says `{"configId": 2}` once it was written to.
fn hub() -> Hub {
    let mut written = false;
    Hub::plain(move |request: &Request| {
        written |= !request.line.starts_with("GET");
        Answer::json(&if written {
            twin(3, &json!({"configId": 2, "$version": 2}))
        } else {
            twin(2, &json!({"$version": 1}))
        })
    })
}

#[test]
fn show_gives_scripts_the_document_and_nothing_else() {
    let hub = hub();
    let output = hub.cli().args(["twin", "show", "d", "-o", "json"]).assert().code(0).stderr("");
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(printed, twin(2, &json!({"$version": 1})));
    hub.cli().args(["twin", "show", "d"]).assert().code(0).stdout(contains("configId  -        1"));
}

#[test]
fn update_shows_what_it_changed() {
    let hub = hub();
    let arguments = ["twin", "update", "d", "--desired", r#"{"configId":2}"#];
    hub.cli().args(arguments).assert().code(0).stdout(
        r#"  {
-   "version": 2,
+   "version": 3,
    "tags": {},
    "properties": {
      "desired": {
-       "$version": 1
+       "configId": 2,
+       "$version": 2
      },
      "reported": {
        "configId": 1,
        "$version": 1
      }
    }
  }
"#,
    );
    let requests = hub.requests();
    assert_eq!(requests[1].line, "PATCH /twins/d?api-version=2021-04-12 HTTP/1.1");
    assert_eq!(requests[1].header("If-Match"), None);
    assert_eq!(requests[1].header("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(requests[1].json(), json!({"properties": {"desired": {"configId": 2}}}));
}

#[test]
fn replace_puts_with_a_precondition() {
    let hub = hub();
    hub.cli()
        .args(["twin", "replace", "d", "-", "-o", "json"])
        .write_stdin(r#"{"tags":{"a":1}}"#)
        .assert()
        .code(0);
    let requests = hub.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].line.starts_with("PUT /twins/d?"), "{}", requests[0].line);
    assert_eq!(requests[0].header("If-Match"), Some("\"*\""));
    assert_eq!(requests[0].json(), json!({"tags": {"a": 1}}));
}

#[test]
fn a_stale_etag_is_an_error() {
    let hub =
        Hub::plain(|_| Answer::error(412, "PreconditionFailed", "ETag mismatch for device ID 'd'"));
    hub.cli()
        .args(["twin", "update", "d", "--tags", "{}", "--etag", "AAE=", "-o", "json"])
        .assert()
        .code(2)
        .stderr("error: PreconditionFailed: ETag mismatch for device ID 'd' (412001)\n");
    assert_eq!(hub.requests()[0].header("If-Match"), Some("\"AAE=\""));
}

#[test]
fn watch_prints_one_line_per_version() {
    let mut reads = 0;
    let hub = Hub::plain(move |_| {
        reads += 1;
        match reads {
            1..=3 => Answer::json(&twin(2, &json!({}))),
            // A hub in trouble is asked again.
            4 => Answer::error(503, "ServiceUnavailable", "later"),
            _ => Answer::json(&twin(3, &json!({"configId": 2}))),
        }
    });
    let connection_string = hub.connection_string();
    let mut child = Command::new(cli().get_program())
        .args(["--plain-http", "--connection-string", &connection_string, "-o", "json"])
        .args(["twin", "watch", "d", "--interval", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
    let versions: Vec<Value> = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["version"].clone())
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(versions, [json!(2), json!(3)]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure() {
    let hub = Hub::plain(|_| Answer::json(&twin(2, &json!({"text": "x".repeat(300_000)}))));
    let mut child = Command::new(cli().get_program())
        .args(["--plain-http", "--connection-string", &hub.connection_string()])
        .args(["twin", "show", "d", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
