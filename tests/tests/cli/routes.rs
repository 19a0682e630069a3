//! `route test`: of service-cli, which asks a running emulator, and of iothub-emulator, which asks a
//! file.

use super::*;

const ROUTES: &str = r#"
[[endpoint]]
name = "alerts"
type = "event-hub"

[[route]]
name = "hot"
condition = "$body.t > 30 AND $twin.tags.floor = 3"
endpoints = ["alerts"]
"#;

fn asked(emulator: &Emulator, name: &str, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = emulator.command(name);
    command.timeout(LIMIT).args(["route", "test"]).args(arguments).assert()
}

#[test]
fn a_running_emulator_says_which_routes_take_a_message() {
    let emulator = Emulator::start_with_options(ROUTES);
    service_cli(&emulator, &["device", "create", "d1"]);
    service_cli(&emulator, &["twin", "update", "d1", "--tags", r#"{"floor":3}"#]);
    let ask = |arguments: &[&str]| asked(&emulator, SERVICE_CLI, arguments);

    let taken = ask(&["--device-id", "d1", "--body", r#"{"t":31}"#]);
    taken.code(0).stdout(
        "hot: matches, the condition is true
    $body.t = 31
    $twin.tags.floor = 3
$fallback: does not match, the route \"hot\" took the message
goes to: alerts
",
    );
    // A type that is none of JSON's, and a device that the hub does not know.
    let not =
        ask(&["--route", "hot", "--body", r#"{"t":31}"#, "--system", "contentType=text/plain"]);
    not.code(1).stdout(
        "hot: does not match, the condition is undefined, which counts as false
    $body.t is undefined: content type is \"text/plain\", expected \"application/json\"
    $twin.tags.floor is undefined: the sender's twin is not known
",
    );
    let condition = ["--condition", "level = '7'", "-p", "level=7", "--output", "json"];
    let outcome = ask(&condition).code(0);
    let outcome: Value = serde_json::from_slice(&outcome.get_output().stdout).unwrap();
    assert_eq!(outcome["routes"][0]["matched"], true);
    assert_eq!(outcome["routes"][0]["values"][0]["value"], "7");
}

#[test]
fn what_cannot_be_tried_is_said() {
    let emulator = Emulator::start_with_options(ROUTES);
    let table: [(&[&str], &str); 5] = [
        (
            &["--route", "none"],
            "there is no route \"none\", expected one of hot, $fallback (HTTP 404)",
        ),
        (&["--condition", "a b"], "InvalidTest: condition cannot be read: "),
        (&["--twin", "[]"], "--twin is \"[]\", expected a JSON object"),
        (&["--hub", "none"], "HubNotFound: there is no hub \"none\" (HTTP 404)"),
        (&["--harness", "http://127.0.0.1:1"], "nothing answers at http://127.0.0.1:1"),
    ];
    for (arguments, expected) in table {
        let refused = asked(&emulator, SERVICE_CLI, arguments).code(2);
        refused.stdout("").stderr(predicate::str::contains(expected));
    }
}

#[test]
fn a_file_says_the_same_without_an_emulator() {
    let emulator = Emulator::start_with_options(ROUTES);
    let said = |name, arguments: &[&str]| {
        let message = ["--body", r#"{"t":31}"#, "--twin", r#"{"tags":{"floor":4}}"#];
        let outcome = asked(&emulator, name, &[&message[..], arguments].concat()).code(0);
        String::from_utf8(outcome.get_output().stdout.clone()).unwrap()
    };
    let file = emulator.state_dir().join("options.toml");
    let file = file.to_str().unwrap();
    for format in ["text", "json"] {
        let running = said(SERVICE_CLI, &["--output", format]);
        let offline = said(EMULATOR, &["--output", format, "--config", file]);
        assert_eq!(running, offline);
        assert!(running.contains("$twin.tags.floor"), "{running}");
    }
}
