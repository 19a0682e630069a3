//! Direct methods: the call of a back end, what the device gets, and what comes back.

use std::time::{Duration, Instant};

use iothub_tests::mqtt::{
    ACCEPTED, Connection, RESUMED, publish, publish_with, subscribe, unsubscribe,
};
use iothub_tests::rest::Answer;
use iothub_tests::{Device, Hub};
use serde_json::{Value, json};

const FILTER: &str = "$iothub/methods/POST/#";

fn listen(hub: &Hub, device: &Device) -> Connection {
    let mut connection = hub.connect(device);
    connection.send(&subscribe(2, &[(FILTER, 0)]));
    connection.expect(&[0x90, 3, 0, 2, 0]);
    connection
}

fn post(hub: &Hub, path: &str, body: &str) -> Answer {
    hub.rest.send("POST", path, &[], Some(body))
}

fn invoke(hub: &Hub, body: &Value) -> Answer {
    post(hub, "/twins/d1/methods", &body.to_string())
}

/// Calls while `device` does its part on its connection.
fn call<T>(hub: &Hub, body: &Value, device: impl FnOnce() -> T) -> (Answer, T) {
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| invoke(hub, body));
        let done = device();
        (caller.join().unwrap(), done)
    })
}

/// Fails unless this is the service's answer for an error of a method: the body is a text inside
/// the classic form, and agrees with the header. Gives the inner document.
fn expect_error(answer: Answer, number: u32, name: &str) -> Value {
    let answer = answer.expect(u16::try_from(number / 1000).unwrap());
    assert_eq!(answer.header("iothub-errorcode"), Some(name), "{answer:?}");
    let outer = answer.json();
    assert_eq!(outer["ExceptionMessage"], "", "{answer:?}");
    let inner: Value = serde_json::from_str(outer["Message"].as_str().unwrap()).unwrap();
    assert_eq!(inner["errorCode"], number, "{inner}");
    assert!(inner["trackingId"].as_str().unwrap().contains("-TimeStamp:"), "{inner}");
    assert!(inner["timestampUtc"].as_str().unwrap().ends_with('Z'), "{inner}");
    inner
}

#[test]
fn a_call_reaches_the_device_and_its_answer_the_caller() {
    let hub = Hub::start();
    let mut connection = listen(&hub, &hub.device("d1"));
    let table = [
        (json!({"a": [1, 2]}), r#"{"a":[1,2]}"#, "200", r#"{ "ok": true }"#),
        (json!(""), r#""""#, "404", ""),
        (json!(null), "null", "-1", "null"),
        (json!(1), "1", "500", "\"no\""),
    ];
    for (index, (payload, sent, status, returned)) in table.into_iter().enumerate() {
        let rid = index + 1;
        let body = json!({"methodName": "reboot", "payload": payload});
        let (answer, ()) = call(&hub, &body, || {
            let topic = format!("$iothub/methods/POST/reboot/?$rid={rid}");
            assert_eq!(connection.expect_publish(&topic), sent);
            let topic = format!("$iothub/methods/res/{status}/?$rid={rid}");
            connection.send(&publish(&topic, returned.as_bytes()));
        });
        let answer = answer.expect(200);
        assert!(answer.header("x-ms-request-id").is_some());
        let status: i32 = status.parse().unwrap();
        let returned = if returned.is_empty() { "null" } else { returned };
        assert_eq!(answer.body, format!(r#"{{"status":{status},"payload":{returned}}}"#));
    }
}

#[test]
fn a_call_without_payload_brings_null() {
    let hub = Hub::start();
    let mut connection = listen(&hub, &hub.device("d1"));
    let (answer, ()) = call(&hub, &json!({"methodName": "c*m", "timeout": 15}), || {
        assert_eq!(connection.expect_publish("$iothub/methods/POST/c*m/?$rid=1"), "null");
        connection.send(&publish_with(0x32, 9, "$iothub/methods/res/200/?$rid=1", b"{}"));
        connection.expect(&[0x40, 2, 0, 9]);
    });
    answer.expect(200);
}

#[test]
fn a_device_that_does_not_listen_is_not_online() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let call =
        || expect_error(invoke(&hub, &json!({"methodName": "m"})), 404_103, "DeviceNotOnline");
    let inner = call();
    assert_eq!(inner["message"], "Timed out waiting for device to connect.");
    assert_eq!(inner["info"], json!({"timeout": "00:00:00"}));
    let mut connection = hub.connect(&device);
    call();
    connection.send(&subscribe(2, &[(FILTER, 1)]));
    connection.expect(&[0x90, 3, 0, 2, 1]);
    connection.send(&unsubscribe(3, &[FILTER]));
    connection.expect(&[0xB0, 2, 0, 3]);
    call();
}

#[test]
fn a_caller_may_wait_for_the_device_to_come() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let body = json!({"methodName": "m", "connectTimeoutInSeconds": 100});
    let (answer, _connection) = call(&hub, &body, || {
        std::thread::sleep(Duration::from_millis(200));
        let mut connection = listen(&hub, &device);
        connection.expect_publish("$iothub/methods/POST/m/?$rid=1");
        connection.send(&publish("$iothub/methods/res/200/?$rid=1", b"1"));
        connection
    });
    assert_eq!(answer.expect(200).body, r#"{"status":200,"payload":1}"#);
}

#[test]
fn a_persistent_session_listens_again_without_subscribing() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let connect = device.connect().persistent();
    let mut connection = hub.connect_as(&connect, ACCEPTED);
    connection.send(&subscribe(2, &[(FILTER, 1)]));
    connection.expect(&[0x90, 3, 0, 2, 1]);
    connection.cut();
    // Until the hub has noticed, it would send the call to the connection that was cut.
    hub.await_absence(&device);
    let body = json!({"methodName": "m", "connectTimeoutInSeconds": 100});
    let (answer, _connection) = call(&hub, &body, || {
        std::thread::sleep(Duration::from_millis(200));
        let mut connection = hub.connect_as(&connect, RESUMED);
        connection.expect_publish("$iothub/methods/POST/m/?$rid=1");
        connection.send(&publish("$iothub/methods/res/200/?$rid=1", b"1"));
        connection
    });
    answer.expect(200);
}

#[test]
fn a_device_that_does_not_answer_times_out() {
    let hub = Hub::start();
    let mut connection = listen(&hub, &hub.device("d1"));
    let start = Instant::now();
    let body = json!({"methodName": "m", "responseTimeoutInSeconds": 5});
    let (answer, ()) = call(&hub, &body, || {
        connection.expect_publish("$iothub/methods/POST/m/?$rid=1");
        // Neither another id nor another spelling of it is the answer.
        for rid in ["2", "01", "+1", "m"] {
            connection.send(&publish(&format!("$iothub/methods/res/200/?$rid={rid}"), b"1"));
        }
        connection.expect_alive();
    });
    let inner = expect_error(answer, 504_101, "GatewayTimeout");
    assert_eq!(inner["message"], "Timed out waiting for the response from device.");
    assert!(start.elapsed() >= Duration::from_secs(5));
    // The late answer is dropped, and the device stays.
    connection.send(&publish("$iothub/methods/res/200/?$rid=1", b"1"));
    connection.expect_alive();
}

#[test]
fn a_device_that_leaves_ends_the_call() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let body = json!({"methodName": "m"});
    let mut connection = listen(&hub, &device);
    let (answer, ()) = call(&hub, &body, || {
        connection.expect_publish("$iothub/methods/POST/m/?$rid=1");
        connection.cut();
    });
    expect_error(answer, 404_104, "DeviceConnectionClosedRemotely");
    let mut connection = listen(&hub, &device);
    let (answer, _after) = call(&hub, &body, || {
        connection.expect_publish("$iothub/methods/POST/m/?$rid=1");
        hub.connect(&device)
    });
    expect_error(answer, 400_027, "ConnectionForcefullyClosedOnNewConnection");
}

#[test]
fn an_answer_that_is_not_json_is_a_bad_one() {
    let hub = Hub::start();
    let mut connection = listen(&hub, &hub.device("d1"));
    let too_large = format!("\"{}\"", "x".repeat(128 * 1024));
    for (index, bad) in ["{", "yes", "{}{}", &too_large].into_iter().enumerate() {
        let rid = index + 1;
        let (answer, ()) = call(&hub, &json!({"methodName": "m"}), || {
            connection.expect_publish(&format!("$iothub/methods/POST/m/?$rid={rid}"));
            let topic = format!("$iothub/methods/res/200/?$rid={rid}");
            connection.send(&publish(&topic, bad.as_bytes()));
        });
        expect_error(answer, 502_001, "InvalidResponseWhileProxying");
    }
    // The device stays.
    connection.expect_alive();
}

#[test]
fn payloads_of_128_kib_pass_and_larger_ones_do_not() {
    let hub = Hub::start();
    let mut connection = listen(&hub, &hub.device("d1"));
    let largest = "x".repeat(128 * 1024 - 2);
    let quoted = format!("\"{largest}\"");
    let body = json!({"methodName": "m", "payload": largest});
    let (answer, ()) = call(&hub, &body, || {
        assert_eq!(connection.expect_publish("$iothub/methods/POST/m/?$rid=1"), quoted);
        connection.send(&publish("$iothub/methods/res/200/?$rid=1", quoted.as_bytes()));
    });
    assert_eq!(answer.expect(200).json()["payload"], largest);
    let body = json!({"methodName": "m", "payload": format!("{largest}x")});
    expect_error(invoke(&hub, &body), 413_001, "MessageTooLarge");
    connection.expect_alive();
}

#[test]
fn bad_requests_are_refused() {
    let hub = Hub::start();
    let _connection = listen(&hub, &hub.device("d1"));
    let table = [
        (json!({}), "methodName is missing"),
        (json!({"methodName": "a/b"}), "methodName has the character '/'"),
        (json!({"methodName": 1}), "methodName is a number, expected a string"),
        (
            json!({"methodName": "m", "responseTimeoutInSeconds": 4}),
            "responseTimeoutInSeconds must be within [5; 300].",
        ),
        (
            json!({"methodName": "m", "connectTimeoutInSeconds": 301}),
            "connectTimeoutInSeconds must be within [0; 300].",
        ),
    ];
    for (body, message) in table {
        let inner = expect_error(invoke(&hub, &body), 400_004, "ArgumentInvalid");
        assert_eq!(inner["message"], message);
        assert_eq!(inner.get("info"), None);
    }
    post(&hub, "/twins/d1/methods", "{").expect_error(400, "ArgumentInvalid");
    post(&hub, "/twins/d1/methods", "").expect_error(400, "ArgumentNull");
    let body = json!({"methodName": "m"}).to_string();
    post(&hub, "/twins/none/methods", &body).expect_error(404, "DeviceNotFound");
    post(&hub, "/twins/d1/modules/none/methods", &body).expect_error(404, "ModuleNotFound");
    post(&hub, "/twins/none/modules/m/methods", &body).expect_error(404, "DeviceNotFound");
    hub.rest.get("/twins/d1/methods").expect_error(405, "GenericMethodNotAllowed");
}

#[test]
fn many_calls_are_in_flight_at_once_and_none_gets_another_s_answer() {
    const CALLS: usize = 40;
    let hub = Hub::start();
    let mut connection = listen(&hub, &hub.device("d1"));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLS)
            .map(|number| {
                let (hub, body) = (&hub, json!({"methodName": "m", "payload": number}));
                scope.spawn(move || (number, invoke(hub, &body)))
            })
            .collect();
        let mut calls: Vec<_> = (0..CALLS).map(|_| connection.read().publish()).collect();
        calls.reverse();
        for call in calls {
            let (_, rid) = call.topic.split_once("?$rid=").unwrap();
            let topic = format!("$iothub/methods/res/200/?$rid={rid}");
            connection.send(&publish(&topic, call.payload.as_bytes()));
        }
        for caller in callers {
            let (number, answer) = caller.join().unwrap();
            assert_eq!(answer.expect(200).json()["payload"], number);
        }
    });
}

#[test]
fn a_module_has_methods_of_its_own() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.rest.put("/devices/d1/modules/m1", r#"{"deviceId":"d1","moduleId":"m1"}"#).expect(200);
    let path = "/twins/d1/modules/m1/methods";
    let body = json!({"methodName": "m"}).to_string();
    expect_error(post(&hub, path, &body), 404_103, "DeviceNotOnline");
    // That the device listens does not help its module.
    let mut connection = listen(&hub, &device);
    expect_error(post(&hub, path, &body), 404_103, "DeviceNotOnline");
    connection.expect_alive();
}
