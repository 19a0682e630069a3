//! What a device sends, and when: templates whose values come from simple generators.

mod generator;

use iothub_core::time::Timestamp;
use serde_json::{Map, Value, json};

pub use generator::Generator;
use generator::Running;

use crate::span::Span;

/// One kind of telemetry message.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// How often it is sent; as the configuration says if none.
    pub every: Option<Span>,
    /// Application properties, as they stand in the property bag.
    pub properties: Vec<(String, String)>,
    /// The message.
    pub body: Node,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// An object of further parts.
    Object(Vec<(String, Node)>),
    /// Always this value.
    Constant(Value),
    /// A value that changes from message to message.
    Generator(Generator),
}

/// A message that is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) body: Value,
}

/// All messages of a device, with the state of their generators.
#[derive(Debug)]
pub(crate) struct Telemetry {
    streams: Vec<Stream>,
    started: Timestamp,
}

#[derive(Debug)]
struct Stream {
    every: Option<Span>,
    properties: Vec<(String, String)>,
    body: Part,
    last: Option<Timestamp>,
}

#[derive(Debug)]
enum Part {
    Object(Vec<(String, Part)>),
    Constant(Value),
    Running(Running),
}

impl Template {
    /// What a device without a script sends: a count, a temperature and a humidity.
    pub fn usual() -> Self {
        let walk = |start, step, min, max, seed| {
            Node::Generator(Generator::Walk { start, step, min, max, seed })
        };
        let counter = Node::Generator(Generator::Counter { start: 1, step: 1 });
        let body = [
            ("messageId", counter),
            ("temperature", walk(21.0, 0.5, 15.0, 30.0, 1)),
            ("humidity", walk(60.0, 1.0, 40.0, 80.0, 2)),
        ];
        let body = body.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
        Self { every: None, properties: Vec::new(), body: Node::Object(body) }
    }
}

impl Telemetry {
    pub(crate) fn new(templates: &[Template], started: Timestamp) -> Self {
        let stream = |template: &Template| Stream {
            every: template.every.clone(),
            properties: template.properties.clone(),
            body: Part::new(&template.body),
            last: None,
        };
        Self { streams: templates.iter().map(stream).collect(), started }
    }

    /// The messages that are due: each at once when `frequency` is first known, then whenever its
    /// time has passed since the last.
    pub(crate) fn due(&mut self, frequency: &Span, now: Timestamp) -> Vec<Message> {
        let started = self.started;
        self.streams.iter_mut().filter_map(|stream| stream.due(frequency, started, now)).collect()
    }

    pub(crate) fn next_deadline(&self, frequency: &Span) -> Option<Timestamp> {
        self.streams.iter().map(|stream| stream.next(frequency)).min()
    }
}

impl Stream {
    fn next(&self, frequency: &Span) -> Timestamp {
        let every = self.every.as_ref().unwrap_or(frequency).length();
        self.last.map_or(Timestamp::NEVER, |last| last.after(every))
    }

    fn due(&mut self, frequency: &Span, started: Timestamp, now: Timestamp) -> Option<Message> {
        let due = self.next(frequency);
        if due > now {
            return None;
        }
        let every = self.every.as_ref().unwrap_or(frequency).length();
        // A timer that is a little late must not make all later ones late; one that was held up
        // for longer, offline say, does not send what it has missed.
        self.last = Some(if now.since(due) < every { due } else { now });
        let body = self.body.next(now.since(started));
        Some(Message { properties: self.properties.clone(), body })
    }
}

impl Part {
    fn new(node: &Node) -> Self {
        match node {
            Node::Object(members) => {
                let part = |(name, node): &(String, Node)| (name.clone(), Self::new(node));
                Self::Object(members.iter().map(part).collect())
            }
            Node::Constant(value) => Self::Constant(value.clone()),
            Node::Generator(generator) => Self::Running(Running::new(generator)),
        }
    }

    fn next(&mut self, elapsed: std::time::Duration) -> Value {
        match self {
            Self::Object(members) => {
                let member = |(name, part): &mut (String, Self)| (name.clone(), part.next(elapsed));
                Value::Object(members.iter_mut().map(member).collect::<Map<_, _>>())
            }
            Self::Constant(value) => value.clone(),
            Self::Running(running) => json!(running.next(elapsed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn span(text: &str) -> Span {
        Span::parse(text).unwrap()
    }

    fn counting(every: Option<&str>) -> Template {
        Template {
            every: every.map(span),
            properties: Vec::new(),
            body: Node::Generator(Generator::Counter { start: 1, step: 1 }),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000).after(Duration::from_secs(seconds))
    }

    #[test]
    fn messages_are_due_at_the_frequency() {
        let mut telemetry = Telemetry::new(&[counting(None)], at(0));
        let steps = [
            ("10s", 0, Some(1)),
            ("10s", 9, None),
            ("10s", 11, Some(2)),
            ("10s", 20, Some(3)),
            ("10s", 75, Some(4)),
            ("10s", 80, None),
            ("10s", 85, Some(5)),
            ("5m", 100, None),
            ("1s", 100, Some(6)),
        ];
        for (frequency, second, expected) in steps {
            let due = telemetry.due(&span(frequency), at(second));
            let bodies: Vec<_> = due.into_iter().map(|message| message.body).collect();
            let expected: Vec<_> = expected.map(|count: i64| json!(count)).into_iter().collect();
            assert_eq!(bodies, expected, "{frequency} at {second}");
        }
    }

    #[test]
    fn a_template_may_have_a_frequency_of_its_own() {
        let mut telemetry = Telemetry::new(&[counting(None), counting(Some("2s"))], at(0));
        assert_eq!(telemetry.due(&span("24h"), at(0)).len(), 2);
        assert_eq!(telemetry.next_deadline(&span("24h")), Some(at(2)));
        assert_eq!(telemetry.due(&span("24h"), at(2)).len(), 1);
    }

    #[test]
    fn the_usual_message_is_an_object_of_numbers() {
        let mut telemetry = Telemetry::new(&[Template::usual()], at(0));
        let message = telemetry.due(&span("24h"), at(0)).remove(0);
        assert_eq!(
            serde_json::to_string(&message.body).unwrap(),
            r#"{"messageId":1,"temperature":21.0,"humidity":60.0}"#
        );
    }
}
