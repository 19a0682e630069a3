//! `device bulk`: batches over the wire, files, and what is printed.

use std::fs;

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, Request};

/// A hub that refuses the item `bad` of each batch.
fn hub() -> Hub {
    Hub::plain(|request: &Request| {
        let items = request.json();
        let bad = items.as_array().unwrap().iter().any(|item| item["id"] == "bad");
        let error = json!({"deviceId": "bad", "moduleId": null, "errorCode": "DeviceNotFound",
                           "errorStatus": "bad", "operation": null});
        let errors = if bad { json!([error]) } else { json!([]) };
        let result = json!({"isSuccessful": !bad, "errors": errors, "warnings": []});
        let status = if bad { 400 } else { 200 };
        Answer { status, headers: Vec::new(), body: result.to_string() }
    })
}

fn lines(ids: impl IntoIterator<Item = String>) -> String {
    ids.into_iter().map(|id| format!("{}\n", json!({"id": id}))).collect()
}

#[test]
fn a_file_goes_in_batches() {
    let hub = hub();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.txt");
    fs::write(&file, lines((0..150).map(|number| format!("d{number}")))).unwrap();
    let arguments = ["device", "bulk", "import", "--mode", "updateIfMatchETag"];
    hub.cli().args(arguments).arg(&file).assert().code(0).stdout("150 done, 0 failed\n").stderr("");
    let batches: Vec<Value> = hub.requests().iter().map(Request::json).collect();
    let sizes: Vec<_> = batches.iter().map(|batch| batch.as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 50]);
    assert_eq!(batches[0][0], json!({"id": "d0", "importMode": "updateIfMatchETag"}));
    assert!(hub.requests()[0].line.starts_with("POST /devices?api-version="));
}

#[test]
fn what_failed_is_told_and_exits_with_1() {
    let hub = hub();
    let text = lines(["good".to_owned(), "bad".to_owned()]) + "nonsense\n";
    let import = ["device", "bulk", "import", "-"];
    let told = hub.cli().args(import).write_stdin(text.clone()).assert().code(1);
    let told = told.stdout(contains("1 done, 2 failed")).stdout(contains("DeviceNotFound"));
    told.stdout(contains("line 3: it is not JSON"));
    let output = hub.cli().args(import).args(["-o", "json"]).write_stdin(text).assert().code(1);
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(printed["done"], 1);
    assert_eq!(printed["errors"].as_array().unwrap().len(), 2);
}

#[test]
fn a_call_that_is_refused_as_a_whole_is_an_error() {
    let hub = Hub::plain(|_| Answer::error(400, "DeviceDefinedMultipleTimes", "d"));
    let import = ["device", "bulk", "import", "-"];
    let refused = hub.cli().args(import).write_stdin(lines(["d".to_owned()])).assert().code(2);
    refused.stderr(contains("DeviceDefinedMultipleTimes: d"));
    hub.cli().args(["device", "bulk", "import", "/nonexistent/x"]).assert().code(2);
    hub.cli().args(["device", "bulk", "import", "-", "--mode", "replace"]).assert().code(2);
}

#[test]
fn an_export_has_identities_modules_and_twins() {
    let hub = Hub::plain(|request: &Request| {
        let line = &request.line;
        let keys = json!({"symmetricKey": {"primaryKey": "p", "secondaryKey": "s"}, "type": "sas"});
        if line.starts_with("GET /twins/") {
            let twin = json!({"etag": "AAAAAAAAAAE=", "version": 2, "properties": {"desired": {}}});
            return Answer::json(&twin);
        }
        if line.starts_with("GET /devices/d/modules") {
            let module = json!({"deviceId": "d", "moduleId": "m", "etag": "Mg==",
                                "authentication": keys});
            return Answer::json(&json!([module]));
        }
        let device = json!({"deviceId": "d", "etag": "MQ==", "status": "enabled",
                            "authentication": keys});
        Answer::json(&json!([device]))
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.txt");
    let export = ["device", "bulk", "export"];
    let told = hub.cli().args(export).arg(&file).assert().code(0);
    told.stdout(contains("1 devices in 2 lines")).stderr("");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["id"], &lines[0]["eTag"]), (&json!("d"), &json!("MQ==")));
    assert_eq!(lines[1]["moduleId"], "m");
    assert_eq!(lines[1]["authentication"]["symmetricKey"]["primaryKey"], "p");
    assert_eq!(lines[1]["twinETag"], "AAAAAAAAAAE=");
    let output = hub.cli().args(export).args(["-", "--exclude-keys"]).assert().code(0);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(!text.contains("primaryKey"), "{text}");
}

#[test]
fn an_export_that_fails_leaves_what_was_there() {
    let hub = Hub::plain(|_| Answer::error(401, "IotHubUnauthorizedAccess", "Unauthorized"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.txt");
    fs::write(&file, "before").unwrap();
    hub.cli().args(["device", "bulk", "export"]).arg(&file).assert().code(2).stdout("");
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
