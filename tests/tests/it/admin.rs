//! The admin port: readiness without sleeping.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use iothub_tests::Hub;

/// Sends a GET to the admin port and gives the whole answer.
fn get(hub: &Hub, path: &str) -> String {
    let mut socket = TcpStream::connect(hub.emulator.admin_addr()).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_started_hub_is_ready_and_alive() {
    let hub = Hub::start();
    for path in ["/ready", "/live"] {
        let answer = get(&hub, path);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    let version = get(&hub, "/version");
    assert!(version.starts_with("HTTP/1.1 200 "), "{version}");
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn the_admin_port_answers_nothing_else() {
    let hub = Hub::start();
    hub.device("d1");
    for path in ["/", "/devices/d1", "/twins/d1", "/ready/x"] {
        let answer = get(&hub, path);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[test]
fn a_full_hub_still_says_that_it_is_ready() {
    // Three ports share two connections: one that waits for its next client must hold none.
    let hub = Hub::start_with(|config| config.max_connections = 2);
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    let answer = get(&hub, "/ready");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    connection.expect_alive();
}
