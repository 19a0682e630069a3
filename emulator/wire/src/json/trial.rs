//! Trials of routes, which the harness makes: the input has the names of the control plane's
//! `$testall`, and what only this emulator knows beside them.

use iothub_core::event::{EventSource, Message};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use iothub_core::route::trial::{NamedValue, TestInput, Trial, Tried, Verdict};
use iothub_core::twin::Document;
use serde_json::{Value, json};

use super::event::{SENT, sent_property};
use super::field::WrongField;

/// The fields of the input, and of its message.
const INPUT: [&str; 5] = ["routingSource", "message", "twin", "route", "condition"];
const MESSAGE: [&str; 3] = ["body", "appProperties", "systemProperties"];
/// System properties that say who sends.
const DEVICE: &str = "connectionDeviceId";
const MODULE: &str = "connectionModuleId";
/// Who sends if nobody says.
const SOMEBODY: &str = "device";

/// What is asked.
pub fn input(input: &TestInput) -> Value {
    let (route, condition) = match &input.tried {
        Tried::Routes => (None, None),
        Tried::Route(name) => (Some(name.as_str()), None),
        Tried::Condition(text) => (None, Some(text.as_str())),
    };
    let members = [
        ("routingSource", Some(input.source.route_source().into())),
        ("message", Some(message(input))),
        ("twin", input.twin.clone().map(Value::from)),
        ("route", route.map(Value::from)),
        ("condition", condition.map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn message(input: &TestInput) -> Value {
    let message = &input.message;
    let sent = SENT.iter().map(|(property, name)| (*name, message.system(*property)));
    let module = input.sender.module.as_ref().map(ModuleId::as_str);
    let sender = [(DEVICE, Some(input.sender.device.as_str())), (MODULE, module)];
    let system: Document = sent
        .chain(sender)
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
        .collect();
    let properties: Document = message
        .application
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    json!({
        "body": String::from_utf8_lossy(&message.body),
        "appProperties": properties,
        "systemProperties": system,
    })
}

/// Reads what is asked.
///
/// # Errors
///
/// Every mistake in it.
pub fn parse_input(fields: &Document) -> Result<TestInput, Vec<String>> {
    let mut draft = Draft::default();
    let mut mistakes = Vec::new();
    let below = |fields: &Document, name| {
        fields.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let message = below(fields, "message");
    let mut read =
        |fields: &Document, set: fn(&mut Draft, &str, &Value) -> Result<(), WrongField>| {
            let wrong = |(name, value): (&String, &Value)| {
                Some(set(&mut draft, name, value).err()?.told(name, value))
            };
            mistakes.extend(fields.iter().filter_map(wrong));
        };
    read(fields, Draft::set);
    read(&message, Draft::set_message);
    read(&below(&message, "appProperties"), Draft::set_property);
    read(&below(&message, "systemProperties"), Draft::set_system_property);
    match draft.finish() {
        Ok(input) if mistakes.is_empty() => Ok(input),
        Ok(_) => Err(mistakes),
        Err(mistake) => Err(mistakes.into_iter().chain([mistake]).collect()),
    }
}

/// What became of it.
pub fn trial(trial: &Trial) -> Value {
    let value =
        |one: &NamedValue| json!({ "name": one.name, "value": one.value, "missing": one.missing });
    let verdict = |one: &Verdict| {
        let values: Vec<_> = one.values.iter().map(value).collect();
        json!({ "route": one.route, "matched": one.matched, "reason": one.reason, "values": values })
    };
    let routes: Vec<_> = trial.routes.iter().map(verdict).collect();
    json!({ "routes": routes, "endpoints": trial.endpoints })
}

/// Reads what became of it; none if it is something else.
pub fn parse_trial(document: &Value) -> Option<Trial> {
    let texts = |name| -> Option<Vec<String>> {
        let items = document.get(name)?.as_array()?.iter();
        items.map(|item| Some(item.as_str()?.to_owned())).collect()
    };
    let routes = document.get("routes")?.as_array()?.iter().map(parse_verdict);
    Some(Trial { routes: routes.collect::<Option<_>>()?, endpoints: texts("endpoints")? })
}

fn parse_verdict(document: &Value) -> Option<Verdict> {
    let text = |name| Some(document.get(name)?.as_str()?.to_owned());
    let values = document.get("values")?.as_array()?.iter().map(parse_value);
    Some(Verdict {
        route: text("route")?,
        matched: document.get("matched")?.as_bool()?,
        reason: text("reason")?,
        values: values.collect::<Option<_>>()?,
    })
}

fn parse_value(document: &Value) -> Option<NamedValue> {
    let missing = document.get("missing").and_then(Value::as_str).map(str::to_owned);
    // A value may be null, and then it is there.
    let value = if missing.is_none() { document.get("value").cloned() } else { None };
    Some(NamedValue { name: document.get("name")?.as_str()?.to_owned(), value, missing })
}

/// What is read so far. Each setter says what it expected.
#[derive(Default)]
struct Draft {
    source: EventSource,
    message: Message,
    device: Option<DeviceId>,
    module: Option<ModuleId>,
    twin: Option<Document>,
    route: Option<String>,
    condition: Option<String>,
}

impl Draft {
    fn set(&mut self, name: &str, value: &Value) -> Result<(), WrongField> {
        match (name, value) {
            ("routingSource", value) => {
                let found = value.as_str().and_then(EventSource::of_route);
                self.source =
                    found.ok_or_else(|| format!("one of {}", EventSource::route_sources()))?;
            }
            ("twin", Value::Object(twin)) => self.twin = Some(twin.clone()),
            ("message", Value::Object(_)) => {}
            ("message" | "twin", _) => return Err("an object".into()),
            ("route", value) => self.route = Some(text(value)?),
            ("condition", value) => self.condition = Some(text(value)?),
            _ => return Err(WrongField::unknown(name, &INPUT)),
        }
        Ok(())
    }

    fn set_message(&mut self, name: &str, value: &Value) -> Result<(), WrongField> {
        match (name, value) {
            ("body", value) => self.message.body = text(value)?.into(),
            ("appProperties" | "systemProperties", Value::Object(_)) => {}
            ("appProperties" | "systemProperties", _) => return Err("an object".into()),
            _ => return Err(WrongField::unknown(name, &MESSAGE)),
        }
        Ok(())
    }

    fn set_property(&mut self, name: &str, value: &Value) -> Result<(), WrongField> {
        let value = if value.is_null() { None } else { Some(text(value)?) };
        self.message.application.push((name.to_owned(), value));
        Ok(())
    }

    fn set_system_property(&mut self, name: &str, value: &Value) -> Result<(), WrongField> {
        let value = text(value)?;
        match name {
            DEVICE => self.device = Some(DeviceId::parse(&value).map_err(|_| "a device id")?),
            MODULE => self.module = Some(ModuleId::parse(&value).map_err(|_| "a module id")?),
            name => {
                let known = || [&SENT.map(|(_, name)| name)[..], &[DEVICE, MODULE]].concat();
                let property =
                    sent_property(name).ok_or_else(|| WrongField::unknown(name, &known()))?;
                self.message.system.push((property, value));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<TestInput, String> {
        let device = match self.device {
            Some(device) => device,
            None => DeviceId::parse(SOMEBODY).map_err(|why| why.to_string())?,
        };
        let tried = match (self.route, self.condition) {
            (None, None) => Tried::Routes,
            (Some(name), None) => Tried::Route(name),
            (None, Some(text)) => Tried::Condition(text),
            (Some(_), Some(_)) => {
                return Err("there are route and condition, expected one".to_owned());
            }
        };
        let sender = IdentityId { device, module: self.module };
        let Self { source, message, twin, .. } = self;
        Ok(TestInput { source, message, sender, twin, tried })
    }
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "a string".to_owned())
}

#[cfg(test)]
mod tests {
    use iothub_core::event::SystemProperty;

    use super::*;

    fn parse(document: &Value) -> Result<TestInput, Vec<String>> {
        parse_input(document.as_object().unwrap())
    }

    #[test]
    fn what_is_asked_comes_back() {
        let module = IdentityId {
            device: DeviceId::parse("d1").unwrap(),
            module: Some(ModuleId::parse("m1").unwrap()),
        };
        let mut one = TestInput {
            source: EventSource::TwinChange,
            message: Message {
                system: vec![(SystemProperty::ContentType, "application/json".to_owned())],
                application: vec![("a".to_owned(), Some("b".to_owned())), ("c".to_owned(), None)],
                body: "{\"t\":31}".into(),
            },
            sender: module,
            twin: json!({"tags": {"floor": 3}}).as_object().cloned(),
            tried: Tried::Routes,
        };
        let tried = [
            Tried::Routes,
            Tried::Route("r1".to_owned()),
            Tried::Condition("$body.t > 30".to_owned()),
        ];
        for tried in tried {
            one.tried = tried;
            assert_eq!(parse(&input(&one)), Ok(one.clone()));
        }
    }

    #[test]
    fn a_control_plane_s_input_is_read() {
        let document = json!({
            "routingSource": "DeviceMessages",
            "message": {
                "body": "Body of message",
                "appProperties": {"key1": "value1"},
                "systemProperties": {"contentType": "text/plain"},
            },
            "twin": {"tags": {}, "properties": {"desired": {}, "reported": {}}},
        });
        let read = parse(&document).unwrap();
        assert_eq!((read.source, read.tried), (EventSource::Telemetry, Tried::Routes));
        assert_eq!(read.message.body, "Body of message");
        assert_eq!(read.message.system(SystemProperty::ContentType), Some("text/plain"));
        assert_eq!(read.sender.to_string(), "device");
    }

    #[test]
    fn every_mistake_is_told() {
        let document = json!({
            "routingSource": "Everything",
            "message": {"body": 1, "appProperties": {"a": 2}, "systemProperties": {
                "connectionDeviceId": "a b", "priority": "high",
            }, "more": ""},
            "twin": [],
            "hub": "h",
            "route": "r",
            "condition": "true",
        });
        let mut mistakes = parse(&document).unwrap_err();
        mistakes.sort();
        let expected = [
            "a is 2, expected a string",
            "body is 1, expected a string",
            "connectionDeviceId is \"a b\", expected a device id",
            "routingSource is \"Everything\", expected one of DeviceMessages, TwinChangeEvents, DeviceLifecycleEvents, DeviceConnectionStateEvents, DigitalTwinChangeEvents",
            "there are route and condition, expected one",
            "there is no field \"hub\", expected routingSource, message, twin, route or condition",
            "there is no field \"more\", expected body, appProperties or systemProperties",
            "there is no field \"priority\", expected messageId, correlationId, userId, to, contentType, contentEncoding, iothub-creation-time-utc, iothub-interface-id, iothub-message-schema, dt-subject, connectionDeviceId or connectionModuleId",
            "twin is [], expected an object",
        ];
        assert_eq!(mistakes, expected);
    }

    #[test]
    fn what_became_of_it_comes_back() {
        let value = |value, missing: Option<&str>| NamedValue {
            name: "x".to_owned(),
            value,
            missing: missing.map(str::to_owned),
        };
        let verdict = Verdict {
            route: "r".to_owned(),
            matched: true,
            reason: "the condition is true".to_owned(),
            values: vec![
                value(Some(json!(1)), None),
                value(Some(Value::Null), None),
                value(None, Some("why")),
            ],
        };
        let one = Trial { routes: vec![verdict], endpoints: vec!["events".to_owned()] };
        assert_eq!(parse_trial(&trial(&one)), Some(one));
        for other in [json!({}), json!({"routes": [{}], "endpoints": []}), json!([])] {
            assert_eq!(parse_trial(&other), None, "{other}");
        }
    }
}
