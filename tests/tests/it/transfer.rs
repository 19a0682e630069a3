//! Import and export jobs, to and from a folder in the place of a storage account.

use std::fs;
use std::time::{Duration, Instant};

use iothub_tests::Hub;
use iothub_tests::mqtt::PATIENCE;
use iothub_tests::rest::Answer;
use serde_json::{Value, json};
use tempfile::TempDir;

const CONTAINER: &str = "https://account.blob.core.windows.net/backup-1?sv=2020-08-04&sig=x%2Fy";

fn hub() -> (Hub, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (Hub::start_with(|config| config.storage_dir = Some(path)), folder)
}

fn create(hub: &Hub, body: &Value) -> Answer {
    hub.rest.send("POST", "/jobs/create", &[], Some(&body.to_string()))
}

fn export(exclude_keys: bool) -> Value {
    json!({"type": "export", "outputBlobContainerUri": CONTAINER,
           "excludeKeysInExport": exclude_keys})
}

fn import() -> Value {
    json!({"type": "import", "inputBlobContainerUri": CONTAINER,
           "outputBlobContainerUri": CONTAINER})
}

fn job(hub: &Hub, id: &Value) -> Value {
    hub.rest.get(&format!("/jobs/{}", id.as_str().unwrap())).expect(200).json()
}

/// Runs a job to its end.
fn run(hub: &Hub, body: &Value) -> Value {
    let started = create(hub, body).expect(200).json();
    assert_eq!((&started["status"], &started["progress"]), (&json!("enqueued"), &json!(0)));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = job(hub, &started["jobId"]);
        if !matches!(job["status"].as_str().unwrap(), "enqueued" | "running") {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_exported_can_be_imported() {
    let (from, folder) = hub();
    from.device("d1");
    from.rest.put("/devices/d1/modules/m", r#"{"managedBy":"me"}"#).expect(200);
    let edge =
        json!({"capabilities": {"iotEdge": true}, "status": "disabled", "statusReason": "r"});
    from.rest.put("/devices/d2", &edge.to_string()).expect(200);
    let twin = json!({"tags": {"site": "a"}, "properties": {"desired": {"rate": 5}}});
    from.rest.patch("/twins/d1", &twin.to_string()).expect(200);

    let done = run(&from, &export(false));
    assert_eq!((&done["status"], &done["progress"]), (&json!("completed"), &json!(100)));
    assert_eq!(done["outputBlobContainerUri"], json!(CONTAINER));
    assert!(done["endTimeUtc"].is_string());
    let file = folder.path().join("backup-1/devices.txt");
    let text = fs::read_to_string(&file).unwrap();
    let exported = lines(&text);
    let names: Vec<_> = exported
        .iter()
        .map(|line| (line["id"].as_str().unwrap(), line.get("moduleId").and_then(Value::as_str)))
        .collect();
    assert_eq!(
        names,
        [
            ("d1", None),
            ("d1", Some("m")),
            ("d2", None),
            ("d2", Some("$edgeAgent")),
            ("d2", Some("$edgeHub")),
        ]
    );
    assert_eq!(exported[0]["properties"]["desired"]["$version"], json!(2));
    let before = from.rest.get("/devices/d1").expect(200).json();
    assert_eq!(exported[0]["eTag"], before["etag"]);

    let to = Hub::start_with(|config| config.storage_dir = Some(folder.path().to_owned()));
    let done = run(&to, &import());
    assert_eq!((&done["status"], &done["progress"]), (&json!("completed"), &json!(100)));
    let errors = fs::read_to_string(folder.path().join("backup-1/importErrors.log")).unwrap();
    assert_eq!(errors, "");
    let after = to.rest.get("/devices/d1").expect(200).json();
    assert_eq!(after["authentication"], before["authentication"]);
    let twin = to.rest.get("/twins/d1").expect(200).json();
    assert_eq!(
        (&twin["tags"]["site"], &twin["properties"]["desired"]["rate"]),
        (&json!("a"), &json!(5))
    );
    let module = to.rest.get("/devices/d1/modules/m").expect(200).json();
    assert_eq!(module["managedBy"], json!("me"));
    let edge = to.rest.get("/devices/d2").expect(200).json();
    assert_eq!(
        (&edge["status"], &edge["capabilities"]["iotEdge"]),
        (&json!("disabled"), &json!(true))
    );
}

#[test]
fn an_export_can_leave_out_keys() {
    let (hub, folder) = hub();
    hub.device("d");
    let mut body = export(true);
    body["outputBlobName"] = json!("2026/names.txt");
    assert_eq!(run(&hub, &body)["status"], json!("completed"));
    let text = fs::read_to_string(folder.path().join("backup-1/2026/names.txt")).unwrap();
    let keys = &lines(&text)[0]["authentication"]["symmetricKey"];
    assert_eq!(keys, &json!({"primaryKey": null, "secondaryKey": null}));
}

#[test]
fn what_an_import_cannot_do_is_written_down() {
    let (hub, folder) = hub();
    hub.device("old");
    fs::create_dir(folder.path().join("backup-1")).unwrap();
    let text = concat!(
        "{\"id\":\"old\",\"importMode\":\"create\"}\r\n",
        "nonsense\r\n",
        "{\"id\":\"new\"}\r\n",
        "{\"id\":\"gone\",\"importMode\":\"delete\"}\r\n",
    );
    fs::write(folder.path().join("backup-1/devices.txt"), text).unwrap();
    assert_eq!(run(&hub, &import())["status"], json!("completed"));
    let errors = fs::read_to_string(folder.path().join("backup-1/importErrors.log")).unwrap();
    let errors: Vec<_> = lines(&errors)
        .into_iter()
        .map(|line| (line["deviceId"].clone(), line["errorCode"].clone()))
        .collect();
    assert_eq!(
        errors,
        [
            (json!("old"), json!("DeviceAlreadyExists")),
            (json!(null), json!("ArgumentInvalid")),
            (json!("gone"), json!("DeviceNotFound")),
        ]
    );
    hub.rest.get("/devices/new").expect(200);
}

#[test]
fn an_import_without_its_file_fails_and_says_so() {
    let (hub, _folder) = hub();
    let failed = run(&hub, &import());
    assert_eq!(failed["status"], json!("failed"));
    let why = failed["failureReason"].as_str().unwrap();
    assert!(why.starts_with("cannot read backup-1/devices.txt"), "{why}");
}

#[test]
fn one_job_is_at_work_and_can_be_cancelled() {
    let (hub, folder) = hub();
    fs::create_dir(folder.path().join("backup-1")).unwrap();
    let text: String =
        (0..100_000).map(|n| format!("{{\"id\":\"d{n}\",\"importMode\":\"create\"}}\n")).collect();
    fs::write(folder.path().join("backup-1/devices.txt"), text).unwrap();
    let id = create(&hub, &import()).expect(200).json()["jobId"].clone();
    create(&hub, &export(false)).expect_error(403, "JobQuotaExceeded");

    // Half-way is anywhere but at the start and at the end.
    let deadline = Instant::now() + PATIENCE;
    while job(&hub, &id)["progress"].as_u64().unwrap() < 1 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    let path = format!("/jobs/{}", id.as_str().unwrap());
    hub.rest.delete(&path).expect(204);
    let cancelled = job(&hub, &id);
    assert_eq!(cancelled["status"], json!("cancelled"));
    assert!(cancelled["progress"].as_u64().unwrap() < 100, "{cancelled}");
    // It stops where it is, and another one may begin.
    assert_eq!(run(&hub, &export(false))["status"], json!("completed"));
    let total =
        || hub.rest.get("/statistics/devices").expect(200).json()["totalDeviceCount"].clone();
    // What it was just about when it was cancelled may still come.
    let deadline = Instant::now() + PATIENCE;
    let mut before = Value::Null;
    while before != total() {
        assert!(Instant::now() < deadline, "{before}");
        before = total();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(before.as_u64().unwrap() < 100_000, "{before}");
    // Cancelling twice changes nothing.
    hub.rest.delete(&path).expect(204);
    assert_eq!(job(&hub, &id), cancelled);
    let jobs = hub.rest.get("/jobs").expect(200).json();
    let states: Vec<_> =
        jobs.as_array().unwrap().iter().map(|job| job["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["cancelled", "completed"]);
}

#[test]
fn places_stay_in_the_folder() {
    let (hub, folder) = hub();
    let uris = [
        ("https://account/..", "BlobContainerValidationError"),
        ("https://account/a/%2e%2e", "BlobContainerValidationError"),
        ("file:///x", "BlobContainerValidationError"),
        ("backup-1", "BlobContainerValidationError"),
        ("", "ArgumentNull"),
    ];
    for (uri, expected) in uris {
        let mut body = export(false);
        body["outputBlobContainerUri"] = json!(uri);
        create(&hub, &body).expect_error(400, expected);
    }
    // The last segment of a path is the name of a container, whatever stands before it.
    let mut body = export(false);
    body["outputBlobContainerUri"] = json!("file:///../../etc");
    assert_eq!(run(&hub, &body)["status"], json!("completed"));
    assert!(folder.path().join("etc/devices.txt").exists());
    for name in ["../devices.txt", "/etc/passwd", "a/../../b", "a\\..\\b", "."] {
        let mut body = export(false);
        body["outputBlobName"] = json!(name);
        create(&hub, &body).expect_error(400, "ArgumentInvalid");
    }
    for wrong in [json!({"type": "import"}), json!({})] {
        create(&hub, &wrong).expect_error(400, "ArgumentNull");
    }
    hub.rest.get("/jobs/none").expect_error(404, "JobNotFound");
    hub.rest.delete("/jobs/none").expect_error(404, "JobNotFound");
}

#[test]
fn without_a_folder_there_are_no_jobs() {
    let hub = Hub::start();
    let why = create(&hub, &export(false)).expect_error(400, "DefaultStorageEndpointNotConfigured");
    assert!(why.contains("--storage-dir"), "{why}");
    assert_eq!(hub.rest.get("/jobs").expect(200).json(), json!([]));
}
