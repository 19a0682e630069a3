//! TLS on both ports: versions, names, and clients that speak something else.

use std::net::TcpStream;
use std::sync::Arc;

use iothub_tests::Hub;
use iothub_tests::mqtt::{ACCEPTED, Connection, PATIENCE};
use serde_json::json;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
};

use crate::harness::admin;

/// A client of this version only, which trusts these certificates.
fn client(version: &'static SupportedProtocolVersion, ca_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Completes a handshake with a server that must be `name`, or says why not.
fn handshake(hub: &Hub, name: &str, config: Arc<ClientConfig>) -> Result<(), String> {
    let mut tcp = TcpStream::connect(hub.emulator.mqtts_addr()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(config, name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut tcp).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn bad_certificates_are_shown_from_the_next_handshake_on() {
    let hub = Hub::start();
    let show = |kind: &str| {
        let body = json!({ "kind": kind }).to_string();
        let shown = admin(&hub, "POST /hubs/emulator/certificate", &body);
        assert_eq!(shown, (200, json!({ "kind": kind })));
        assert_eq!(admin(&hub, "GET /hubs/emulator/certificate", ""), shown);
    };
    let table = [
        ("expired", "certificate expired"),
        ("notYetValid", "certificate not valid yet"),
        ("selfSigned", "UnknownIssuer"),
        ("wrongName", "certificate not valid for name"),
        ("wrongAuthority", "UnknownIssuer"),
    ];
    // One that keeps tickets: a session that was resumed would show no certificate.
    let config = client(&TLS13, &hub.emulator.ca_pem());
    handshake(&hub, hub.host(), config.clone()).unwrap();
    for (kind, expected) in table {
        show(kind);
        let why = handshake(&hub, hub.host(), config.clone()).unwrap_err();
        assert!(why.contains(expected), "{kind}: {why}");
    }
    let (status, answer) = admin(&hub, "POST /hubs/emulator/certificate", r#"{"kind": "x"}"#);
    assert_eq!((status, &answer["error"]), (400, &json!("InvalidCertificate")));
    assert_eq!(admin(&hub, "GET /hubs/none/certificate", "").0, 404);
    assert_eq!(admin(&hub, "POST /hubs/none/certificate", r#"{"kind": "good"}"#).0, 404);

    show("good");
    handshake(&hub, hub.host(), config.clone()).unwrap();
    show("expired");
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    handshake(&hub, hub.host(), config).unwrap();
}

#[test]
fn both_versions_are_spoken() {
    let hub = Hub::start();
    let device = hub.device("d1");
    // the Python SDK is pinned to 1.2
    for version in [&TLS12, &TLS13] {
        let config = client(version, &hub.emulator.ca_pem());
        let mut connection = Connection::tls(hub.emulator.mqtts_addr(), hub.host(), config);
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        connection.expect_alive();
    }
}

#[test]
fn the_certificate_is_for_the_names_that_clients_use() {
    let hub = Hub::start();
    let names = [
        "127.0.0.1",
        "localhost",
        "myhub.azure-devices.net",
        "myhub.device.azure-devices.net",
        "myhub.service.azure-devices.net",
        "global.azure-devices-provisioning.net",
    ];
    for name in names {
        let outcome = handshake(&hub, name, client(&TLS13, &hub.emulator.ca_pem()));
        assert_eq!(outcome, Ok(()), "{name}");
    }
    for name in ["example.com", "azure-devices.net", "a.b.azure-devices.net", "192.0.2.1"] {
        let outcome = handshake(&hub, name, client(&TLS13, &hub.emulator.ca_pem()));
        assert!(outcome.is_err(), "{name} is accepted");
    }
}

#[test]
fn each_hub_has_an_authority_of_its_own() {
    let (one, two) = (Hub::start(), Hub::start());
    let outcome = handshake(&one, "127.0.0.1", client(&TLS13, &two.emulator.ca_pem()));
    assert!(outcome.unwrap_err().contains("certificate"));
}

#[test]
fn what_is_no_tls_is_closed_and_harms_nobody() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let garbage = [0xFF; 600];
    let plain = device.connect().bytes();
    let cases: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &plain, &garbage, b"\x16\x03\x01"];
    for address in [hub.emulator.mqtts_addr(), hub.emulator.https_addr()] {
        let mut kept = Vec::new();
        for bytes in cases {
            let mut socket = Connection::plain(address);
            socket.send(bytes);
            kept.push(socket);
        }
        let mut connection = hub.open_tls();
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        hub.rest.get("/devices/d1").expect(200);
    }
}
