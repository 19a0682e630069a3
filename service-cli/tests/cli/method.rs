//! `method`: what goes over the wire, and what is printed.

use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::{Answer, Hub};

#[test]
fn a_call_goes_out_and_its_answer_is_printed() {
    let hub = Hub::plain(|_| Answer::json(&json!({"status": 200, "payload": {"a": 1}})));
    hub.cli()
        .args(["method", "invoke", "d#1", "reboot", "--payload", "{\"in\":5}"])
        .args(["--timeout", "1m", "--connect-timeout", "10s"])
        .assert()
        .code(0)
        .stdout("status   200\npayload  {\"a\":1}\n");
    let [request] = hub.requests().try_into().unwrap();
    assert_eq!(request.line, "POST /twins/d%231/methods?api-version=2021-04-12 HTTP/1.1");
    let body = json!({
        "methodName": "reboot",
        "responseTimeoutInSeconds": 60,
        "connectTimeoutInSeconds": 10,
        "payload": {"in": 5},
    });
    assert_eq!(request.json(), body);
}

#[test]
fn a_module_s_method_is_called_and_what_it_refuses_is_no() {
    let hub = Hub::plain(|_| Answer::json(&json!({"status": 404, "payload": null})));
    let arguments = ["method", "invoke", "d", "m", "--module", "m1", "-o", "json"];
    let output = hub.cli().args(arguments).assert().code(1);
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(printed, json!({"status": 404, "payload": null}));
    let [request] = hub.requests().try_into().unwrap();
    assert!(request.line.starts_with("POST /twins/d/modules/m1/methods?"), "{}", request.line);
    assert_eq!(request.json().get("payload"), None);
}

#[test]
fn a_device_that_is_not_online_is_an_error() {
    let inner = json!({"errorCode": 404103, "message": "Timed out waiting for device to connect."});
    let body = json!({"Message": inner.to_string(), "ExceptionMessage": ""});
    let hub = Hub::plain(move |_| Answer {
        status: 404,
        headers: vec![("iothub-errorcode", "DeviceNotOnline".to_owned())],
        body: body.to_string(),
    });
    hub.cli().args(["method", "invoke", "d", "m"]).assert().code(2).stderr(contains(
        "error: DeviceNotOnline: Timed out waiting for device to connect. (404103)",
    ));
}
