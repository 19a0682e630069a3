//! `events`: what devices send, live.

use std::time::Duration;

use clap::{Args, Subcommand};
use iothub_core::ids::DeviceId;
use iothub_core::time::Timestamp;
use serde_json::{Map, Value, json};
use service_cli::events::{Event, Since};

use crate::args::{Format, duration};
use crate::commands::live::{self, Limits};
use crate::commands::{Failure, Session, Verdict};
use crate::output::cell;

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Show what devices send and what happens to them, until Ctrl-C
    Monitor(MonitorArgs),
}

/// What to show.
#[derive(Args, Debug)]
pub(crate) struct MonitorArgs {
    /// Only the events of this device
    #[arg(long, value_name = "ID", value_parser = DeviceId::parse)]
    device: Option<DeviceId>,
    /// The consumer group to read as
    #[arg(long, value_name = "NAME", default_value = "$Default")]
    consumer_group: String,
    /// When when on: "now", "start" (everything that is kept), a span such as 10m, or a time such
    /// as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", default_value = "now", value_parser = since)]
    since: When,
    #[command(flatten)]
    limits: Limits,
}

/// When when on to show events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum When {
    Start,
    Now,
    Ago(Duration),
    Time(Timestamp),
}

pub(crate) fn run(session: &mut Session<'_>, command: &EventsCommand) -> Result<Verdict, Failure> {
    match command {
        EventsCommand::Monitor(args) => monitor(session, args),
    }
}

fn monitor(session: &mut Session<'_>, args: &MonitorArgs) -> Result<Verdict, Failure> {
    let now = session.client.now();
    let since = match args.since {
        When::Start => Since::Start,
        When::Now => Since::Now,
        When::Ago(span) => Since::Time(Timestamp::from_unix(now.since_1970().saturating_sub(span))),
        When::Time(time) => Since::Time(time),
    };
    let amqp = session.amqp()?;
    let out = &mut session.out;
    live::listen(args.limits, async |listening| {
        let connecting = amqp.monitor(&args.consumer_group, since);
        let Ok(connected) = listening.open(connecting).await else { return Ok(Verdict::Yes) };
        let mut monitor = connected?;
        if out.format() == Format::Text {
            crate::output::note("listening for events; Ctrl-C ends it");
        }
        let verdict = loop {
            let event = match listening.next(monitor.next()).await {
                Ok(event) => event?,
                Err(verdict) => break verdict,
            };
            if !is_of(&event, args.device.as_ref()) {
                continue;
            }
            match out.format() {
                Format::Json => out.document_line(&document(&event))?,
                Format::Text => out.line(&line(&event))?,
            }
            listening.seen(1);
        };
        monitor.close().await;
        Ok(verdict)
    })
}

fn is_of(event: &Event, device: Option<&DeviceId>) -> bool {
    device.is_none_or(|device| event.device() == Some(device.as_str()))
}

/// An event as one flat object: what is plotted is at `.body`.
fn document(event: &Event) -> Value {
    let said = |name: &str| event.annotations.get(name).cloned().unwrap_or_default();
    let mut all = json!({
        "enqueuedTime": said("iothub-enqueuedtime"),
        "deviceId": event.device(),
        "source": said("iothub-message-source"),
        "partition": event.partition,
        "sequenceNumber": said("x-opt-sequence-number"),
        "offset": said("x-opt-offset"),
        "properties": event.properties,
        "systemProperties": system(event),
        "body": body(&event.body),
    });
    if let (Some(module), Some(all)) = (event.module(), all.as_object_mut()) {
        all.insert("moduleId".to_owned(), module.into());
    }
    all
}

/// What the hub and the device say beyond what has a place of its own.
fn system(event: &Event) -> Map<String, Value> {
    const SHOWN: [&str; 7] = [
        "iothub-enqueuedtime",
        "iothub-connection-device-id",
        "iothub-connection-module-id",
        "iothub-message-source",
        "x-opt-sequence-number",
        "x-opt-offset",
        "x-opt-enqueued-time",
    ];
    let annotations = event.annotations.iter().filter(|(name, _)| !SHOWN.contains(&name.as_str()));
    let all = event.system.iter().chain(annotations);
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// JSON as JSON, text as text, other bytes as text with marks where they are none.
fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

fn line(event: &Event) -> String {
    let mut text = cell(event.annotations.get("iothub-enqueuedtime"));
    text.push_str("  ");
    text.push_str(event.device().unwrap_or("-"));
    if let Some(module) = event.module() {
        text.push('/');
        text.push_str(module);
    }
    match event.annotations.get("iothub-message-source").and_then(Value::as_str) {
        None | Some("Telemetry") => {}
        Some(source) => text.push_str(&format!("  [{source}]")),
    }
    text.push_str(&format!("  {}", cell(Some(&body(&event.body)))));
    if !event.properties.is_empty() {
        text.push_str(&format!("  {}", cell(Some(&event.properties.clone().into()))));
    }
    text
}

fn since(text: &str) -> Result<When, String> {
    match text {
        "now" => Ok(When::Now),
        "start" => Ok(When::Start),
        _ => match (duration(text), Timestamp::parse(text)) {
            (Ok(span), _) => Ok(When::Ago(span)),
            (_, Some(time)) => Ok(When::Time(time)),
            _ => Err(format!(
                "{text:?} is no moment, expected now, start, a span such as 10m, or a time such as 2026-01-31T12:00:00Z"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: &[u8]) -> Event {
        let annotations = json!({
            "iothub-connection-device-id": "d1",
            "iothub-enqueuedtime": "2026-01-01T00:00:00Z",
            "iothub-message-source": "Telemetry",
            "iothub-interface-id": "i",
            "x-opt-sequence-number": 7,
            "x-opt-offset": "700",
        });
        Event {
            partition: "1".to_owned(),
            annotations: annotations.as_object().cloned().unwrap(),
            system: Map::from_iter([("message-id".to_owned(), "m".into())]),
            properties: Map::new(),
            body: body.to_vec(),
        }
    }

    #[test]
    fn moments_come_in_every_spelling() {
        let table = [
            ("now", Some(When::Now)),
            ("start", Some(When::Start)),
            ("10m", Some(When::Ago(Duration::from_secs(600)))),
            (
                "2026-01-31T12:00:00Z",
                Some(When::Time(Timestamp::parse("2026-01-31T12:00:00Z").unwrap())),
            ),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(since(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn events_are_flat_objects() {
        let shown = document(&event(br#"{"t":21.5}"#));
        assert_eq!(
            shown,
            json!({
                "enqueuedTime": "2026-01-01T00:00:00Z", "deviceId": "d1", "source": "Telemetry",
                "partition": "1", "sequenceNumber": 7, "offset": "700", "properties": {},
                "systemProperties": {"message-id": "m", "iothub-interface-id": "i"},
                "body": {"t": 21.5},
            })
        );
    }

    #[test]
    fn what_is_no_json_is_shown_on_one_line() {
        assert_eq!(line(&event(b"a\x1b[31m")), "2026-01-01T00:00:00Z  d1  a\u{fffd}[31m");
        assert_eq!(body(&[0xff, b'a']), json!("\u{fffd}a"));
    }

    #[test]
    fn a_device_is_picked() {
        let (mine, other) = (DeviceId::parse("d1").unwrap(), DeviceId::parse("d2").unwrap());
        assert!(is_of(&event(b""), None) && is_of(&event(b""), Some(&mine)));
        assert!(!is_of(&event(b""), Some(&other)));
    }
}
