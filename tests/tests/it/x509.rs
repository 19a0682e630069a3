//! Devices that authenticate with certificates, over every protocol that they can.

use std::fs;

use iothub_core::auth::AuthMethod;
use iothub_core::auth::x509::thumbprint;
use iothub_tests::certificate::{Party, authority, expired, params};
use iothub_tests::mqtt::{
    ACCEPTED, Connect, Connection, NOT_AUTHORIZED, PATIENCE, UNAVAILABLE, publish_with,
};
use iothub_tests::program::{self, DEVICE_SIM, EMULATOR};
use iothub_tests::{Device, Hub};
use serde_json::json;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// Creates a device that authenticates as this JSON says.
fn device(hub: &Hub, id: &str, authentication: &serde_json::Value) -> Device {
    let body = json!({ "deviceId": id, "authentication": authentication });
    hub.rest.put(&format!("/devices/{id}"), &body.to_string()).expect(200);
    Device { id: id.to_owned(), host: hub.host().to_owned() }
}

fn by_thumbprint(hub: &Hub, id: &str, thumbprint: &str) -> Device {
    let thumbprints = json!({ "primaryThumbprint": thumbprint, "secondaryThumbprint": null });
    device(hub, id, &json!({ "type": "selfSigned", "x509Thumbprint": thumbprints }))
}

fn by_authority(hub: &Hub, id: &str) -> Device {
    device(hub, id, &json!({ "type": "certificateAuthority" }))
}

/// CONNECT without a password.
fn silent(device: &Device) -> Connect {
    Connect { password: None, ..device.connect() }
}

fn open(hub: &Hub, party: &Party, version: &'static SupportedProtocolVersion) -> Connection {
    let config = hub.tls_config_of(party, version);
    Connection::tls(hub.emulator.mqtts_addr(), hub.host(), config)
}

fn open_websocket(hub: &Hub, party: &Party, path: &str) -> Connection {
    let config = hub.tls_config_of(party, &TLS13);
    Connection::tls(hub.emulator.https_addr(), hub.host(), config).over_websocket(path)
}

fn refused(hub: &Hub, device: &Device, party: &Party, answer: &[u8]) {
    let mut connection = open(hub, party, &TLS13);
    connection.send(&silent(device).bytes());
    connection.expect(answer);
    connection.expect_closed();
}

#[test]
fn a_thumbprint_lets_a_device_in() {
    let hub = Hub::start();
    let party = Party::self_signed(params("anything"));
    let sha256 = thumbprint(&party.der).to_string();
    for (id, thumbprint) in [("d1", sha256.clone()), ("d2", sha256.to_lowercase())] {
        let device = by_thumbprint(&hub, id, &thumbprint);
        for version in [&TLS12, &TLS13] {
            let mut connection = open(&hub, &party, version);
            connection.send(&silent(&device).bytes());
            connection.expect(ACCEPTED);
            // an empty password counts as none
            let empty = Connect { password: Some(String::new()), ..device.connect() };
            let mut connection = open(&hub, &party, version);
            connection.send(&empty.bytes());
            connection.expect(ACCEPTED);
        }
        let mut connection = open_websocket(&hub, &party, "/$iothub/websocket");
        connection.send(&silent(&device).bytes());
        connection.expect(ACCEPTED);
        let topic = format!("devices/{id}/messages/events/");
        connection.send(&publish_with(0x32, 1, &topic, b"hello"));
        connection.expect(&[0x40, 2, 0, 1]);
    }
    assert!(hub.events().iter().all(|event| event.auth_method == Some(AuthMethod::Certificate)));
    assert_eq!(hub.events().len(), 2);
}

#[test]
fn a_session_that_is_resumed_still_has_its_certificate() {
    let hub = Hub::start();
    let party = Party::self_signed(params("anything"));
    let device = by_thumbprint(&hub, "d1", &thumbprint(&party.der).to_string());
    for version in [&TLS12, &TLS13] {
        let config = hub.tls_config_of(&party, version);
        for _ in 0..2 {
            let mut connection =
                Connection::tls(hub.emulator.mqtts_addr(), hub.host(), config.clone());
            connection.send(&silent(&device).bytes());
            connection.expect(ACCEPTED);
            connection.expect_alive();
        }
    }
}

#[test]
fn an_authority_lets_its_devices_in() {
    let root = Party::self_signed(authority("root"));
    let middle = root.issue(authority("middle"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("root.der");
    fs::write(&file, &root.der).unwrap();
    let hub = Hub::start_with(|config| config.device_authorities = vec![file]);
    let d1 = by_authority(&hub, "d1");
    for party in [root.issue(params("d1")), middle.issue(params("d1"))] {
        for version in [&TLS12, &TLS13] {
            let mut connection = open(&hub, &party, version);
            connection.send(&silent(&d1).bytes());
            connection.expect(ACCEPTED);
            connection.expect_alive();
        }
        let mut connection = open_websocket(&hub, &party, "/$iothub/websocket");
        connection.send(&silent(&d1).bytes());
        connection.expect(ACCEPTED);
        // who says that it shows no certificate shows none
        let path = "/$iothub/websocket?iothub-no-client-cert=true";
        let mut connection = open_websocket(&hub, &party, path);
        connection.send(&silent(&d1).bytes());
        connection.expect(NOT_AUTHORIZED);
    }
    let other = Party::self_signed(authority("root"));
    let table = [
        ("an old one", root.issue(expired("d1"))),
        ("issued elsewhere", other.issue(params("d1"))),
        (
            "issued by an old one",
            root.issue({
                let mut old = authority("old");
                old.not_after = expired("").not_after;
                old
            })
            .issue(params("d1")),
        ),
        ("another device's", root.issue(params("d2"))),
        ("in another case", root.issue(params("D1"))),
        ("issued by a device", root.issue(params("d1")).issue(params("d1"))),
        ("self-signed", Party::self_signed(params("d1"))),
    ];
    for (what, party) in table {
        println!("{what}");
        refused(&hub, &d1, &party, NOT_AUTHORIZED);
    }
    let disabled =
        r#"{"deviceId":"d1","status":"disabled","authentication":{"type":"certificateAuthority"}}"#;
    hub.rest.send("PUT", "/devices/d1", &[("If-Match", "*")], Some(disabled)).expect(200);
    refused(&hub, &d1, &root.issue(params("d1")), UNAVAILABLE);
}

#[test]
fn an_authority_is_registered_and_removed_while_the_hub_runs() {
    let root = Party::self_signed(authority("root"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("root.der");
    fs::write(&file, &root.der).unwrap();
    let state_dir = directory.path().join("state");
    let hub = Hub::start_with(|config| config.state_dir = Some(state_dir.clone()));
    let device = by_authority(&hub, "d1");
    let party = root.issue(params("d1"));
    let x509 = |arguments: &[&str]| {
        let mut command = program::command(EMULATOR, &state_dir);
        let output = command.args([&["x509", "ca"], arguments].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    refused(&hub, &device, &party, NOT_AUTHORIZED);
    let told = x509(&["add", file.to_str().unwrap()]);
    let code = told.split_once("verification code: ").unwrap().1.split_once('\n').unwrap().0;
    refused(&hub, &device, &party, NOT_AUTHORIZED);
    fs::write(directory.path().join("proof.der"), root.issue(params(code)).der).unwrap();
    x509(&["verify", "root", directory.path().join("proof.der").to_str().unwrap()]);
    let mut connection = open(&hub, &party, &TLS13);
    connection.send(&silent(&device).bytes());
    connection.expect(ACCEPTED);
    assert!(x509(&["list"]).contains("state       verified\n"));
    x509(&["remove", "root"]);
    refused(&hub, &device, &party, NOT_AUTHORIZED);
}

#[test]
fn the_simulator_has_a_certificate_too() {
    let root = Party::self_signed(authority("root"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("root.der");
    fs::write(&file, &root.der).unwrap();
    let state_dir = directory.path().join("state");
    let hub = Hub::start_with(|config| {
        config.state_dir = Some(state_dir.clone());
        config.device_authorities = vec![file];
    });
    let device = by_authority(&hub, "d1");
    let [certificate, key] = root.issue(params("d1")).files(directory.path());
    let run = |number: u32, transport: &str, identity: [&str; 2]| {
        hub.desire(&device, &format!(r#"{{"configId":{number},"sendFrequency":"1m"}}"#));
        let mut command = program::command(DEVICE_SIM, &state_dir);
        command.args([
            "run",
            "--transport",
            transport,
            "--apply-delay=0",
            "--stop-after-applied=1",
        ]);
        command.args(identity).arg("--cert").arg(&certificate).arg("--key").arg(&key);
        let output = assert_cmd::Command::from_std(command).timeout(PATIENCE).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(hub.twin(&device)["properties"]["reported"]["configId"], number);
    };
    run(2, "mqtt", ["--device", "d1"]);
    run(3, "mqtt-ws", ["--device", "d1"]);
    let port = hub.emulator.https_addr().port();
    let text = format!("HostName={}:{port};DeviceId=d1;x509=true", hub.host());
    run(4, "mqtt-ws", ["--connection-string", &text]);
}

#[test]
fn other_certificates_and_none_are_refused() {
    let hub = Hub::start();
    let (party, other) = (Party::self_signed(params("d1")), Party::self_signed(params("d1")));
    let device = by_thumbprint(&hub, "d1", &thumbprint(&party.der).to_string());
    refused(&hub, &device, &other, NOT_AUTHORIZED);
    let old = Party::self_signed(expired("d2"));
    let d2 = by_thumbprint(&hub, "d2", &thumbprint(&old.der).to_string());
    refused(&hub, &d2, &old, NOT_AUTHORIZED);
    // no certificate, over TLS and without
    for mut connection in [hub.open_tls(), hub.open()] {
        connection.send(&silent(&device).bytes());
        connection.expect(NOT_AUTHORIZED);
        connection.expect_closed();
    }
    // an identity that nobody has
    let missing = Device { id: "missing".to_owned(), host: hub.host().to_owned() };
    refused(&hub, &missing, &party, NOT_AUTHORIZED);
}

#[test]
fn tokens_and_certificates_are_not_exchangeable() {
    let hub = Hub::start();
    let party = Party::self_signed(params("d1"));
    let d1 = by_thumbprint(&hub, "d1", &thumbprint(&party.der).to_string());
    let with_keys = hub.device("d2");
    // a certificate for a device that has keys
    refused(&hub, &with_keys, &party, NOT_AUTHORIZED);
    // a token for a device that has a certificate, be it shown or not
    for mut connection in [open(&hub, &party, &TLS13), hub.open_tls()] {
        connection.send(&d1.connect().bytes());
        connection.expect(NOT_AUTHORIZED);
        connection.expect_closed();
    }
    // a certificate beside a good token does not matter
    let mut connection = open(&hub, &party, &TLS13);
    connection.send(&with_keys.connect().bytes());
    connection.expect(ACCEPTED);
}

#[test]
fn a_stolen_certificate_is_worth_nothing() {
    let hub = Hub::start();
    let party = Party::self_signed(params("d1"));
    let device = by_thumbprint(&hub, "d1", &thumbprint(&party.der).to_string());
    let thief = party.with_key_of(Party::self_signed(params("thief")));
    for version in [&TLS12, &TLS13] {
        let config = hub.tls_config_of(&thief, version);
        let mut connection = Connection::tls(hub.emulator.mqtts_addr(), hub.host(), config);
        connection.send(&silent(&device).bytes());
        connection.expect_closed();
    }
    assert!(hub.events().is_empty());
}

/// Sends an event over HTTPS without a token, and says what came back.
fn event_over_https(hub: &Hub, device: &Device, party: &Party) -> String {
    let config = hub.tls_config_of(party, &TLS13);
    let mut connection = Connection::tls(hub.emulator.https_addr(), hub.host(), config);
    let request = format!(
        "POST /devices/{}/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: {}\r\nContent-Length: 1\r\n\r\nx",
        device.id,
        hub.host()
    );
    connection.send(request.as_bytes());
    connection.read_line()
}

#[test]
fn a_certificate_lets_a_device_send_over_https() {
    let hub = Hub::start();
    let (party, other) =
        (Party::self_signed(params("anything")), Party::self_signed(params("anything")));
    let device = by_thumbprint(&hub, "d1", &thumbprint(&party.der).to_string());
    let answer = event_over_https(&hub, &device, &party);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let answer = event_over_https(&hub, &device, &other);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
