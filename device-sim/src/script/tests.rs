use serde_json::json;

use super::*;
use crate::configuration::ConfigId;
use crate::span::Span;
use crate::telemetry::{Generator, Node};

const EXAMPLE: &str = include_str!("../../examples/greenhouse.toml");

#[test]
fn an_empty_script_is_the_tutorial_s_device() {
    assert_eq!(Script::parse(""), Ok(Script::default()));
}

#[test]
fn the_example_reads() {
    let script = Script::parse(EXAMPLE).unwrap();
    assert_eq!(
        serde_json::to_string(&script.reported).unwrap(),
        r#"{"firmware":"1.4.2","location":{"building":"12","room":"north"},"fanSpeed":0}"#
    );
    assert_eq!(script.configuration.config_id, ConfigId::Number(1));
    assert_eq!(script.configuration.send_frequency, Span::parse("10s").unwrap());
    assert_eq!(script.telemetry.len(), 2);
    let Node::Object(members) = &script.telemetry[0].body else { panic!("no object") };
    let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["messageId", "temperature", "humidity", "unit", "sensor"]);
    let counter = Node::Generator(Generator::Counter { start: 1, step: 1 });
    assert_eq!(members[0].1, counter);
    assert_eq!(members[4].1, Node::Constant(json!({"model": "T-1000"})));
    assert_eq!(
        script.responses,
        [
            ("fanSpeed".to_owned(), Response::ApplyAfter(Span::parse("3s").unwrap())),
            ("mode".to_owned(), Response::Refuse("the mode is set by a switch".to_owned())),
            ("label".to_owned(), Response::Echo),
            ("owner".to_owned(), Response::Ignore),
        ]
    );
    let reboot = Method {
        status: 202,
        payload: json!({"inSeconds": 5}),
        delay: std::time::Duration::from_secs(1),
    };
    let ping = ("ping".to_owned(), Method::success());
    assert_eq!(script.methods, [("reboot".to_owned(), reboot), ping]);
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = r#"
[reported]
"a.b" = 1
status = "x"
day = 2026-11-23

[configuration]
configId = 1.5
sendFrequency = "soon"
extra = true

[[telemetry]]
every = 5
[telemetry.body]
temperature = { sine = { period = "60s", amplitude = "high", phase = 1 } }
humidity = { walk = { start = 5, step = 1, min = 10, max = 20, seed = -1 } }

[[telemetry]]
properties = { kind = 1 }

[desired]
fan = "aply"
mode = { apply-after = "3s", refuse = "no" }
led = 3

[methods]
reboot = { status = "ok", delay = 3, payloads = 1 }
ping = 1

[desires]
"#;
    let expected = "\
line 3: reported.a.b has '.' in its name, which no twin takes
line 4: reported.status belongs to the configuration, expected another name
line 5: reported.day is a date, expected it in quotes
line 8: configuration.configId is 1.5, expected an integer or a string
line 9: configuration.sendFrequency \"soon\" is no duration, expected a number and a unit such as 250ms, 10s, 5m, 24h or 1d
line 10: configuration.extra is not known, expected configId, sendFrequency
line 13: telemetry[0].every is 5, expected a string
line 15: telemetry[0].body.temperature.sine.amplitude is \"high\", expected a finite number
line 15: telemetry[0].body.temperature.sine.phase is not known, expected amplitude, offset, period
line 16: telemetry[0].body.humidity.walk.seed is -1, expected an integer in range
line 16: telemetry[0].body.humidity.walk has start 5, expected it from min 10 to max 20
line 18: telemetry[1] has no body
line 19: telemetry[1].properties.kind is 1, expected a string
line 22: desired.fan is \"aply\", expected \"ignore\", \"echo\", { apply-after = \"3s\" } or { refuse = \"the reason\" }
line 23: desired.mode is no single response, expected \"ignore\", \"echo\", { apply-after = \"3s\" } or { refuse = \"the reason\" }
line 24: desired.led is no response, expected \"ignore\", \"echo\", { apply-after = \"3s\" } or { refuse = \"the reason\" }
line 27: methods.reboot.status is \"ok\", expected an integer in range
line 27: methods.reboot.delay is 3, expected a string
line 27: methods.reboot.payloads is not known, expected delay, payload, status
line 28: methods.ping is 1, expected a table
line 30: desires is not known, expected configuration, desired, methods, reported, telemetry";
    let mistakes = Script::parse(text).unwrap_err().to_string();
    for (found, expected) in mistakes.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(mistakes.lines().count(), expected.lines().count());
}

#[test]
fn what_is_no_toml_is_named_by_line() {
    let mistakes = Script::parse("[reported]\na = \n").unwrap_err();
    assert_eq!(mistakes.iter().next().map(|mistake| mistake.line), Some(2));
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_much(text in r#"([a-z\[\]{}.="0-9\-\n #]|walk|telemetry|desired|é)*"#) {
        let _ = Script::parse(&text);
    }
}

#[test]
fn a_generator_s_name_beside_others_is_an_object() {
    let script = Script::parse("[[telemetry]]\nbody = { sine = 1, other = 2 }").unwrap();
    assert!(matches!(script.telemetry[0].body, Node::Object(_)));
}
