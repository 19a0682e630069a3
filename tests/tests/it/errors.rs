//! Headers of every answer, tolerant routing, and what is not there.

use iothub_tests::Hub;
use serde_json::Value;

#[test]
fn every_answer_has_the_service_s_headers() {
    let hub = Hub::start();
    hub.device("d1");
    let answers = [
        hub.rest.get("/devices/d1"),
        hub.rest.get("/devices/missing"),
        hub.rest.get("/twins/d1"),
        hub.rest.get("/nothing"),
        hub.rest.get("/statistics/service"),
        hub.rest.patch("/twins/d1", "rubbish"),
        hub.rest.delete("/devices/d1"),
    ];
    let mut ids = Vec::new();
    for answer in answers {
        let id = answer.header("x-ms-request-id").unwrap_or_else(|| panic!("{answer:?}"));
        let shape: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{answer:?}");
        ids.push(id.to_owned());
        assert_eq!(answer.header("server"), Some("Microsoft-HTTPAPI/2.0"), "{answer:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
        assert!(answer.header("date").unwrap().ends_with(" GMT"), "{answer:?}");
        if answer.status == 204 {
            assert!(matches!(answer.header("content-length"), None | Some("0")), "{answer:?}");
        } else {
            assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()), "{answer:?}");
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7, "request ids repeat");
}

#[test]
fn what_is_missing_is_named() {
    let hub = Hub::start();
    assert_eq!(hub.rest.get("/devices/nobody").expect_error(404, "DeviceNotFound"), "nobody");
    let text = hub.rest.get("/twins/nobody").expect_error(404, "DeviceNotFound");
    assert!(text.contains("nobody"), "{text}");
    hub.rest.patch("/twins/nobody", "{}").expect_error(404, "DeviceNotFound");
    hub.rest.put("/twins/nobody", "{}").expect_error(404, "DeviceNotFound");
    hub.rest.delete("/devices/nobody").expect_error(404, "DeviceNotFound");
}

#[test]
fn the_api_version_has_to_be_a_date() {
    let hub = Hub::start();
    hub.device("d1");
    for good in ["2016-02-03", "2018-06-30", "2020-05-31-preview", "2024-03-31", "2099-01-01"] {
        hub.rest.get(&format!("/devices/d1?api-version={good}")).expect(200);
        hub.rest.get(&format!("/twins/d1?x=1&api-version={good}&y=2")).expect(200);
    }
    for bad in [
        "?",
        "?api-version=",
        "?api-version=latest",
        "?api-version=2021-4-12",
        "?api-version=2021-04-12x",
    ] {
        hub.rest.get(&format!("/devices/d1{bad}")).expect_error(400, "InvalidProtocolVersion");
    }
}

#[test]
fn paths_are_read_with_tolerance() {
    let hub = Hub::start();
    hub.device("d1");
    for path in [
        "/devices/d1",
        "/Devices/d1",
        "/DEVICES/d1",
        "/devices%2Fd1",
        "/devices%2fd1",
        "/devices/%641",
    ] {
        assert_eq!(hub.rest.get(path).expect(200).json()["deviceId"], "d1", "{path}");
    }
    for path in ["/twins/d1", "/Twins/d1", "/twins%2Fd1"] {
        assert_eq!(hub.rest.get(path).expect(200).json()["deviceId"], "d1", "{path}");
    }
    for path in ["/statistics/devices", "/Statistics/Devices", "/statistics%2Fdevices"] {
        hub.rest.get(path).expect(200);
    }
}

#[test]
fn what_is_not_emulated_says_so_in_the_service_s_shape() {
    let hub = Hub::start();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("POST", "/devices/query"),
        ("GET", "/configurations/none"),
        ("GET", "/jobs/v2/1"),
        ("PATCH", "/devices/d1"),
        ("DELETE", "/twins/d1"),
    ] {
        let body = matches!(method, "POST" | "PATCH").then_some("{}");
        let answer = hub.rest.send(method, path, &[], body);
        assert!((400..=501).contains(&answer.status), "{method} {path}: {answer:?}");
        let name =
            answer.header("iothub-errorcode").unwrap_or_else(|| panic!("{answer:?}")).to_owned();
        let status = answer.status;
        let text = answer.expect_error(status, &name);
        assert_ne!(text, "", "{method} {path}");
    }
}

#[test]
fn bodies_that_are_no_json_are_refused() {
    let hub = Hub::start();
    hub.device("d1");
    for body in ["", "{", "[]", "null", "\u{0}"] {
        let answer = hub.rest.put("/devices/d2", body);
        assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
        let json: Value = answer.json();
        assert!(json["Message"].as_str().unwrap().starts_with("ErrorCode:"), "{json}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_hub_lives() {
    let hub = Hub::start();
    hub.device("d1");
    // A gigabyte is announced; the hub says no when it has seen enough.
    let path = "/twins/d1?api-version=2021-04-12";
    let token = hub.rest.authorization.as_deref().unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {token}\r\nContent-Length: 1073741824\r\n\r\n",
        hub.host()
    );
    let mut https = hub.open_https();
    https.send(head.as_bytes());
    let chunk = vec![b' '; 64 * 1024];
    let limit = iothub_core::limits::HTTP_BODY_BYTES;
    for _ in 0..=limit / chunk.len() {
        https.send(&chunk);
    }
    let status = https.read_line();
    assert!(status.starts_with("HTTP/1.1 413 "), "{status}");
    hub.rest.get("/devices/d1").expect(200);
}

/// Sends raw HTTP and gives the status line.
fn status_of(hub: &Hub, head: &str, body: &str) -> String {
    let token = hub.rest.authorization.as_deref().unwrap();
    let mut https = hub.open_https();
    let host = hub.host();
    https.send(format!("{head}\r\nHost: {host}\r\nAuthorization: {token}\r\n{body}").as_bytes());
    https.read_line()
}

#[test]
fn requests_come_in_more_shapes_than_one() {
    let hub = Hub::start();
    hub.device("d1");
    let query = "api-version=2021-04-12";
    let table = [
        // no content type
        ("PATCH", "Content-Length: 2\r\n\r\n{}"),
        ("PATCH", "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"),
        ("PATCH", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
        ("GET", "Content-Length: 0\r\n\r\n"),
        ("GET", "Accept: application/json\r\nX-Unknown: 1\r\n\r\n"),
    ];
    for (method, rest) in table {
        let head = format!("{method} /twins/d1?{query} HTTP/1.1");
        let status = status_of(&hub, &head, rest);
        assert_eq!(status, "HTTP/1.1 200 OK\r\n", "{method} {rest:?}");
    }
    let expecting = "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let head = format!("PATCH /twins/d1?{query} HTTP/1.1");
    assert_eq!(status_of(&hub, &head, expecting), "HTTP/1.1 100 Continue\r\n");
    for rubbish in ["\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n"]
    {
        let mut https = hub.open_https();
        https.send(rubbish.as_bytes());
    }
    hub.rest.get("/devices/d1").expect(200);
}

#[test]
fn a_refusal_reaches_a_client_that_sends_everything_first() {
    let hub = Hub::start();
    let chunk = vec![b' '; 64 * 1024];
    let chunks = 64;
    let mut https = hub.open_https();
    let length = chunks * chunk.len();
    let head = format!(
        "PUT /devices/d1?api-version=2021-04-12 HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n",
        hub.host()
    );
    https.send(head.as_bytes());
    for _ in 0..chunks {
        https.send(&chunk);
    }
    let status = https.read_line();
    assert!(status.starts_with("HTTP/1.1 401 "), "{status}");
}
