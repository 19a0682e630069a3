//! Finding the hub, trusting it, and what is said when either fails.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use iothub_wire::connection_string::ServiceConnectionString;
use predicates::Predicate;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::{contains, ends_with, starts_with};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use service_cli::{Client, Error, Options};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::{Answer, Hub, Request, cli, connection_string};

fn statistics(request: &Request) -> Answer {
    let devices = json!({"totalDeviceCount": 2, "enabledDeviceCount": 2, "disabledDeviceCount": 0});
    if request.line.starts_with("GET /statistics/devices?") {
        Answer::json(&devices)
    } else {
        Answer::json(&json!({"connectedDeviceCount": 1}))
    }
}

/// A hub over TLS, and the PEM of the authority that signed its certificate for `name`.
fn tls_hub(name: &str) -> (Hub, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&params, &ca_key);
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (Hub::tls(vec![server.der().clone()], key, statistics), ca.pem())
}

fn state_dir(hub: &str, ca: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca).unwrap();
    let state = json!({
        "connection_string": connection_string(hub), "mqtt_port": 8883, "ca_file": ca_file,
        "pid": 4_000_000,
    });
    std::fs::write(folder.path().join("emulator.json"), state.to_string()).unwrap();
    folder
}

fn unused_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_local_emulator_needs_no_arguments() {
    let (hub, ca) = tls_hub("127.0.0.1");
    let state = state_dir(&hub.host(), &ca);
    let expected = "devices    2\nenabled    2\ndisabled   0\nconnected  1\n";
    cli()
        .env("IOTHUB_EMULATOR_STATE_DIR", state.path())
        .arg("stats")
        .assert()
        .code(0)
        .stdout(expected);
    cli().args(["stats", "--state-dir", path(state.path())]).assert().code(0);
}

#[test]
fn the_emulator_s_authority_is_trusted_for_a_named_loopback_hub_too() {
    let (hub, ca) = tls_hub("127.0.0.1");
    let state = state_dir("127.0.0.1:1", &ca);
    cli()
        .env("IOTHUB_EMULATOR_STATE_DIR", state.path())
        .env("IOTHUB_CONNECTION_STRING", hub.connection_string())
        .arg("stats")
        .assert()
        .code(0);
}

#[test]
fn a_strange_authority_has_to_be_named() {
    let (hub, ca) = tls_hub("127.0.0.1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca).unwrap();
    let run = || {
        let mut command = cli();
        command.args(["stats", "--connection-string", &hub.connection_string()]);
        command
    };
    run().assert().code(2).stdout("").stderr(
        starts_with("error: the certificate of 127.0.0.1:")
            .and(contains("is not trusted: its issuer is unknown; pass"))
            .and(contains("--ca FILE"))
            .and(one_line()),
    );
    run().args(["--ca", path(&file)]).assert().code(0);
    let missing = folder.path().join("none");
    run().args(["--ca", path(&missing)]).assert().code(2).stderr(contains("cannot read"));
}

#[test]
fn a_certificate_for_another_name_is_no_matter_of_authorities() {
    let (hub, ca) = tls_hub("hub.example.test");
    let state = state_dir(&hub.host(), &ca);
    cli()
        .env("IOTHUB_EMULATOR_STATE_DIR", state.path())
        .arg("stats")
        .assert()
        .code(2)
        .stderr(contains("is not trusted").and(contains("--ca").not()).and(one_line()));
}

#[test]
fn nothing_to_talk_to_is_said_with_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    cli()
        .env("IOTHUB_EMULATOR_STATE_DIR", empty.path())
        .env("IOTHUB_CONNECTION_STRING", "")
        .arg("stats")
        .assert()
        .code(2)
        .stderr(
            starts_with("error: no hub was named, and there is no ")
                .and(ends_with(
                    "; start iothub-emulator, pass --connection-string or set IOTHUB_CONNECTION_STRING\n",
                ))
                .and(one_line()),
        );
}

#[test]
fn an_emulator_that_has_stopped_is_told_from_one_that_runs() {
    let (_, ca) = tls_hub("127.0.0.1");
    let host = format!("127.0.0.1:{}", unused_port());
    let state = state_dir(&host, &ca);
    cli().env("IOTHUB_EMULATOR_STATE_DIR", state.path()).arg("stats").assert().code(2).stderr(
        contains(
            "connection refused; the emulator that left word of it (process 4000000) has stopped",
        )
        .and(one_line()),
    );
}

#[test]
fn plain_http_does_not_leave_the_machine() {
    cli()
        .args([
            "--plain-http",
            "stats",
            "--connection-string",
            &connection_string("hub.example.test"),
        ])
        .assert()
        .code(2)
        .stderr(contains("--plain-http").and(one_line()));
}

#[test]
fn what_is_no_hub_is_named() {
    let table = [("<html>", "bytes that are not JSON"), ("[]", "error: 127.0.0.1:")];
    for (body, expected) in table {
        let hub =
            Hub::plain(move |_| Answer { status: 200, headers: Vec::new(), body: body.to_owned() });
        hub.cli().args(["twin", "show", "d"]).assert().code(2).stderr(contains(expected));
    }
    let redirect = Hub::plain(|_| Answer {
        status: 302,
        headers: vec![("Location", "http://127.0.0.1:1/".to_owned())],
        body: String::new(),
    });
    redirect.cli().arg("stats").assert().code(2).stderr("error: refused (HTTP 302)\n");
}

#[test]
fn statistics_are_one_document_for_scripts() {
    let hub = Hub::plain(statistics);
    let output = hub.cli().args(["stats", "-o", "json"]).assert().code(0).stderr("");
    let document: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(
        document,
        json!({"totalDeviceCount": 2, "enabledDeviceCount": 2, "disabledDeviceCount": 0,
               "connectedDeviceCount": 1})
    );
}

fn one_line() -> impl Predicate<str> {
    predicates::function::function(|text: &str| text.lines().count() == 1)
}

#[test]
fn a_hub_that_does_not_answer_is_given_up() {
    // Bound and never accepted: the connection stands, and nothing comes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let hub = ServiceConnectionString::parse(&connection_string(&host)).unwrap();
    let timeout = Duration::from_millis(200);
    let client = Client::new(hub, Options { timeout, ..Options::plain_http() });
    let error = client.device_statistics().unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.to_string(), format!("{host} did not answer within 0.2 s"));
}

#[test]
fn an_answer_without_end_is_cut() {
    let hub = Hub::plain(|_| Answer {
        status: 200,
        headers: Vec::new(),
        body: " ".repeat(17 * 1024 * 1024),
    });
    hub.cli().arg("stats").assert().code(2).stderr(contains("more than 16777216 bytes"));
}

#[test]
fn tls_and_plain_text_do_not_mix() {
    let (tls, _) = tls_hub("127.0.0.1");
    tls.cli().arg("stats").assert().code(2).stderr(starts_with("error: ").and(one_line()));
    let plain = Hub::plain(statistics);
    cli()
        .args(["stats", "--connection-string", &plain.connection_string()])
        .assert()
        .code(2)
        .stderr(contains("what answers does not speak TLS").and(one_line()));
}
