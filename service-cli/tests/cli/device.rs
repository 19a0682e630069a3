//! `device`: what goes over the wire, and what is printed.

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, KEY, Request};

fn identity(id: &str) -> Value {
    json!({
        "deviceId": id, "generationId": "637", "etag": "MTIz", "connectionState": "Disconnected",
        "status": "enabled", "statusReason": null, "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0, "capabilities": {"iotEdge": false},
        "authentication": {"type": "sas",
            "symmetricKey": {"primaryKey": KEY, "secondaryKey": "c2Vjb25k"}},
    })
}

fn answer_with_identity(_: &Request) -> Answer {
    Answer::json(&identity("d"))
}

#[test]
fn create_puts_without_precondition() {
    let hub = Hub::plain(answer_with_identity);
    let output = hub.cli().args(["device", "create", "a#1", "-o", "json"]).assert().code(0);
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(printed, identity("d"));
    let requests = hub.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "PUT /devices/a%231?api-version=2021-04-12 HTTP/1.1");
    assert_eq!(requests[0].header("If-Match"), None);
    assert_eq!(requests[0].json()["deviceId"], "a#1");
    let token = requests[0].header("Authorization").unwrap();
    assert!(token.starts_with("SharedAccessSignature sr=127.0.0.1&sig="), "{token}");
}

#[test]
fn update_reads_and_writes_back_what_it_read() {
    let table: [(&[&str], &str); 3] =
        [(&[], "\"MTIz\""), (&["--etag", "abc"], "\"abc\""), (&["--etag", "*"], "\"*\"")];
    for (more, precondition) in table {
        let hub = Hub::plain(answer_with_identity);
        let arguments = ["device", "update", "d", "--status", "disabled"];
        hub.cli().args(arguments).args(more).assert().code(0);
        let [read, write] = hub.requests().try_into().unwrap();
        assert!(read.line.starts_with("GET /devices/d?"), "{}", read.line);
        assert!(write.line.starts_with("PUT /devices/d?"), "{}", write.line);
        assert_eq!(write.header("If-Match"), Some(precondition));
        let mut expected = identity("d");
        expected["status"] = json!("disabled");
        assert_eq!(write.json(), expected);
    }
}

#[test]
fn delete_is_unconditional_unless_told() {
    let table: [(&[&str], &str); 2] = [(&[], "\"*\""), (&["--etag", "\"x\""], "\"x\"")];
    for (more, precondition) in table {
        let hub = Hub::plain(|_| Answer { status: 204, headers: vec![], body: String::new() });
        let mut command = hub.cli();
        command.args(["device", "delete", "d"]).args(more).assert().code(0).stdout("deleted d\n");
        assert_eq!(hub.requests()[0].header("If-Match"), Some(precondition));
        command.args(["-o", "json"]).assert().code(0).stdout("");
    }
}

#[test]
fn list_shows_a_table() {
    let hub = Hub::plain(|_| Answer::json(&json!([identity("b"), identity("a")])));
    hub.cli().args(["device", "list", "--top", "2"]).assert().code(0).stdout(
        "\
device  status   connection    authentication  waiting  last activity
a       enabled  Disconnected  sas             0        never
b       enabled  Disconnected  sas             0        never
",
    );
    assert_eq!(hub.requests()[0].line, "GET /devices?api-version=2021-04-12&top=2 HTTP/1.1");
    let empty = Hub::plain(|_| Answer::json(&json!([])));
    empty.cli().args(["device", "list"]).assert().code(0).stdout("").stderr("no devices\n");
    empty.cli().args(["device", "list", "-o", "json"]).assert().code(0).stdout("[]\n");
}

#[test]
fn a_connection_string_stands_alone() {
    let hub = Hub::plain(answer_with_identity);
    let expected = format!("HostName=127.0.0.1;DeviceId=d;SharedAccessKey={KEY}\n");
    hub.cli().args(["device", "connection-string", "d"]).assert().code(0).stdout(expected);
    hub.cli()
        .args(["device", "connection-string", "d", "--key", "secondary", "-o", "json"])
        .assert()
        .code(0)
        .stdout(contains("SharedAccessKey=c2Vjb25k"));
}

#[test]
fn a_missing_device_is_a_no_to_a_question_and_an_error_otherwise() {
    let table: [(&[&str], i32); 6] = [
        (&["device", "show", "dev-1"], 1),
        (&["device", "connection-string", "dev-1"], 1),
        (&["twin", "show", "dev-1"], 1),
        (&["twin", "watch", "dev-1"], 1),
        (&["device", "update", "dev-1", "--status", "enabled"], 2),
        (&["device", "delete", "dev-1"], 2),
    ];
    for (arguments, code) in table {
        let hub = Hub::plain(|_| Answer::error(404, "DeviceNotFound", "dev-1"));
        hub.cli()
            .args(arguments)
            .assert()
            .code(code)
            .stdout("")
            .stderr("error: DeviceNotFound: dev-1 (404001)\n");
    }
}

#[test]
fn refusals_are_one_line_with_the_service_s_code() {
    let hub = Hub::plain(|_| {
        Answer::error(409, "DeviceAlreadyExists", "A device with ID 'd' is already registered.")
    });
    hub.cli().args(["device", "create", "d"]).assert().code(2).stdout("").stderr(
        "error: DeviceAlreadyExists: A device with ID 'd' is already registered. (409001)\n",
    );
}
