use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::auth::AuthMethod;
use crate::event::{EventSource, Message};
use crate::ids::{DeviceId, GenerationId};
use crate::query::RouteCondition;
use crate::time::Timestamp;
use crate::twin::{Dialect, SectionPatch, TwinPatch};

fn message(content_type: &str, encoding: &str, body: impl Into<Vec<u8>>) -> Event {
    Event {
        message: Message {
            system: vec![
                (SystemProperty::ContentType, content_type.to_owned()),
                (SystemProperty::ContentEncoding, encoding.to_owned()),
                (SystemProperty::MessageId, "m1".to_owned()),
            ],
            application: vec![
                ("Level".to_owned(), Some("7".to_owned())),
                ("flag".to_owned(), None),
                ("$own".to_owned(), Some("x".to_owned())),
                ("group".to_owned(), Some("g".to_owned())),
                ("a.b".to_owned(), Some("dotted".to_owned())),
                ("$correlationId".to_owned(), Some("app".to_owned())),
            ],
            body: Bytes::from(body.into()),
        },
        sender: DeviceId::parse("d1").unwrap().into(),
        generation: GenerationId::at(Timestamp::NEVER),
        auth_method: Some(AuthMethod::DeviceKey),
        enqueued: Timestamp::from_unix_seconds(1_800_000_000),
        model_id: Some("dtmi:a:b;1".to_owned()),
        source: EventSource::Telemetry,
    }
}

fn sender() -> Arc<Record> {
    let now = Timestamp::NEVER;
    let object = |value: Value| value.as_object().cloned().unwrap();
    let patch = TwinPatch {
        tags: Some(SectionPatch::Merge(object(json!({"Floor": {"no": 3}})))),
        desired: Some(SectionPatch::Merge(object(json!({"configId": "c1"})))),
    };
    let (twin, _) = Twin::new(now).patched(&patch, Dialect::CURRENT, now).unwrap();
    let twin = twin.reported(&object(json!({"ok": true})), None, Dialect::CURRENT, now).unwrap();
    let id = DeviceId::parse("d1").unwrap();
    let random = crate::random::Random::seeded(1);
    let record = crate::registry::create(&id, &Default::default(), now, &random).unwrap();
    Arc::new(Record { twin, ..record })
}

fn truth(event: &Event, condition: &str) -> Option<bool> {
    let document = MessageDocument::new(event, Some(sender()));
    RouteCondition::parse(condition).unwrap().truth(&document)
}

#[test]
fn names_stand_for_what_the_message_has() {
    let body = r#"{"temp": 31.5, "Temp": 1, "list": [{"v": 1}, {"v": 2}], "0": "zero"}"#;
    let event = message("application/json", "utf-8", body);
    for (condition, expected) in [
        ("", Some(true)),
        ("true", Some(true)),
        ("false", Some(false)),
        ("level = '7'", Some(true)),
        ("LEVEL = '7'", Some(true)),
        ("level = 7", None),
        ("as_number(level) > 3", Some(true)),
        ("flag = ''", Some(true)),
        ("missing = 'x'", None),
        ("NOT is_defined(missing)", Some(true)),
        ("group = 'g' AND a.b = 'dotted'", Some(true)),
        ("$OWN = 'x'", Some(true)),
        ("$messageid = 'm1'", Some(true)),
        // no such system property, so the application's of that name
        ("$correlationId = 'app'", Some(true)),
        ("$connectionDeviceId = 'd1'", Some(true)),
        ("is_defined($connectionModuleId)", Some(false)),
        ("$enqueuedTime > '2027-01-01'", Some(true)),
        ("$dt-dataschema = 'dtmi:a:b;1'", Some(true)),
        ("is_defined($dt-subject)", Some(false)),
        ("contains($connectionAuthMethod, '\"sas\"')", Some(true)),
        ("$body.temp > 30 AND $body.Temp = 1", Some(true)),
        ("$body.TEMP = 1", None),
        ("$body.list[1].v = 2", Some(true)),
        ("$body.list[2].v = 2", None),
        ("is_defined($body)", Some(false)),
        ("is_defined($body.list)", Some(true)),
        ("$twin.tags.floor.NO = 3", Some(true)),
        ("$twin.properties.desired.configid = 'c1'", Some(true)),
        ("$twin.properties.reported.ok", Some(true)),
        ("$twin.properties.reported.$version = 2", Some(true)),
        ("is_defined($twin.nothing)", Some(false)),
        ("level IN ['6', '7'] OR $body.temp < 0", Some(true)),
    ] {
        assert_eq!(truth(&event, condition), expected, "{condition}");
    }
}

#[test]
fn a_body_is_looked_into_where_it_is_json() {
    for (kind, encoding, body, expected) in [
        ("application/json", "utf-8", r#"{"a":1}"#, Some(true)),
        ("application/json; charset=utf-8", "utf-8", r#"{"a":1}"#, Some(true)),
        ("application/json", "", r#"{"a":1}"#, None),
        ("text/plain", "utf-8", r#"{"a":1}"#, None),
        ("application/json", "utf-8", "[1]", None),
    ] {
        let event = message(kind, encoding, body);
        assert_eq!(truth(&event, "$body.a = 1"), expected, "{kind} {encoding} {body}");
    }
    let items = message("application/json", "utf-8", r#"[{"a":1}]"#);
    assert_eq!(truth(&items, "$body[0].a = 1"), Some(true));
    assert_eq!(truth(&items, "is_defined($body[0])"), Some(false));
}

#[test]
fn conditions_that_are_none_are_refused() {
    for condition in ["level =", "SELECT * FROM devices", "$body[x].y = 1", "nope(level)", "a b"] {
        assert!(RouteCondition::parse(condition).is_err(), "{condition}");
    }
}

#[test]
fn paths_are_written_as_conditions_write_them() {
    let condition =
        RouteCondition::parse("$BODY.a[0].b = $messageid AND x = $Twin.tags.y AND x = 'z'")
            .unwrap();
    let paths: Vec<_> = condition.paths().iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["$body.a[0].b", "$messageId", "x", "$twin.tags.y"]);
}
