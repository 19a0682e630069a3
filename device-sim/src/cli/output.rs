//! How events look: a line for people, or a JSON object for programs.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use device_sim::{Event, Properties};
use iothub_core::time::Timestamp;
use serde::Serialize;

use super::args::Output;

const DIM: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const NEWS: Style = AnsiColor::Cyan.on_default();
const WAITING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Prints an event.
///
/// # Errors
///
/// Nobody reads any more.
pub(crate) fn print(
    output: Output,
    at: Timestamp,
    event: &Event,
    to: &mut impl io::Write,
) -> io::Result<()> {
    match output {
        Output::Json => {
            let line = Line { time: at.to_string(), event };
            writeln!(to, "{}", serde_json::to_string(&line)?)
        }
        Output::Human => {
            let time = at.to_string();
            // The date is known to whoever reads along; the machine format has it.
            let time = time.split_once('T').and_then(|(_, time)| time.get(..8)).unwrap_or(&time);
            let (style, text) = describe(event);
            writeln!(to, "{DIM}{time}Z{DIM:#} {style}{text}{style:#}")
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

fn describe(event: &Event) -> (Style, String) {
    match event {
        Event::Connecting { endpoint } => (DIM, format!("connecting to {endpoint}")),
        Event::Connected { endpoint, session_present } => {
            let session = if *session_present { "resumed" } else { "new" };
            (GOOD, format!("connected to {endpoint} ({session} session)"))
        }
        Event::Refused { reason } => (BAD, format!("refused: {reason}")),
        Event::Disconnected { reason, retry_in } => {
            (BAD, format!("disconnected: {reason}{}", again(*retry_in)))
        }
        Event::TokenExpiring => (DIM, "token ends soon, reconnecting with a new one".to_owned()),
        Event::TwinReceived { desired, desired_version, reported, reported_version } => (
            DIM,
            format!(
                "twin: desired {} (version {desired_version}), reported {} (version {reported_version})",
                json(desired),
                json(reported)
            ),
        ),
        Event::Kept { configuration } => (PLAIN, format!("{configuration} kept from the twin")),
        Event::DesiredChanged { patch, version } => {
            (NEWS, format!("desired changed: {} (version {version})", json(patch)))
        }
        Event::DesiredIgnored { version, seen } => {
            (DIM, format!("desired change ignored: version {version}, {seen} already seen"))
        }
        other => describe_work(other),
    }
}

fn describe_work(event: &Event) -> (Style, String) {
    match event {
        Event::Pending { configuration, after } => {
            (WAITING, format!("{configuration} pending, applied in {after:?}"))
        }
        Event::Applied { configuration } => (GOOD, format!("{configuration} applied")),
        Event::Rejected { reason } => (BAD, format!("configuration rejected: {reason}")),
        Event::PropertyApplied { name, value } => (GOOD, format!("{name} applied: {value}")),
        Event::PropertyRefused { name, reason } => (BAD, format!("{name} refused: {reason}")),
        Event::Reported { patch, version } => {
            let mut text = format!("reported: {}", json(patch));
            if let Some(version) = version {
                // Writing to a string cannot fail.
                let _ = write!(text, " (version {version})");
            }
            (PLAIN, text)
        }
        Event::TwinRefused { operation, status, error_code, message, retry_in } => {
            let code = error_code.map_or_else(String::new, |code| format!(" {code}"));
            let text = format!("twin {operation} refused: {status}{code} {message}");
            (BAD, text + &again(*retry_in))
        }
        Event::TwinTimedOut { operation, attempts } => {
            (WAITING, format!("twin {operation} not answered ({attempts}), asking again"))
        }
        Event::MessageReceived { body, properties } => {
            let with = if properties.is_empty() { String::new() } else { json(properties) };
            (NEWS, format!("message: {body} {with}").trim_end().to_owned())
        }
        Event::TelemetrySent { body } => (PLAIN, format!("sent: {body}")),
        Event::TelemetryDropped { waiting } => {
            (WAITING, format!("message dropped: {waiting} others wait to be acknowledged"))
        }
        Event::MethodCalled { name, payload } => {
            (PLAIN, format!("method {name} called: {payload}"))
        }
        Event::MethodAnswered { name, status, payload } => {
            (PLAIN, format!("method {name} answered: {status} {payload}"))
        }
        Event::NotUnderstood { topic, reason } => {
            (BAD, format!("not understood: {reason} (topic {topic:?})"))
        }
        Event::Stopped => (PLAIN, "stopped".to_owned()),
        other => (PLAIN, format!("{other:?}")),
    }
}

fn json(properties: &Properties) -> String {
    serde_json::to_string(properties).unwrap_or_default()
}

fn again(retry_in: Option<Duration>) -> String {
    retry_in.map_or_else(String::new, |pause| format!("; next try in {pause:?}"))
}

#[cfg(test)]
mod tests {
    use device_sim::Configuration;

    use super::*;

    fn printed(output: Output, event: &Event) -> String {
        let mut buffer = Vec::new();
        let mut stream = anstream::StripStream::new(&mut buffer);
        let at = Timestamp::from_unix_seconds(0).after(Duration::from_millis(3_723_500));
        print(output, at, event, &mut stream).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn events_are_lines() {
        let table = [
            (Event::Stopped, "01:02:03Z stopped\n"),
            (
                Event::MessageReceived { body: "hi".into(), properties: Properties::new() },
                "01:02:03Z message: \"hi\"\n",
            ),
            (
                Event::MessageReceived {
                    body: serde_json::json!({ "n": 1 }),
                    properties: [("a".to_owned(), "b".into())].into_iter().collect(),
                },
                "01:02:03Z message: {\"n\":1} {\"a\":\"b\"}\n",
            ),
            (
                Event::Pending {
                    configuration: Configuration::initial(),
                    after: Duration::from_secs(2),
                },
                "01:02:03Z configuration 1 (every 24h) pending, applied in 2s\n",
            ),
            (
                Event::Disconnected {
                    reason: "gone".to_owned(),
                    retry_in: Some(Duration::from_millis(250)),
                },
                "01:02:03Z disconnected: gone; next try in 250ms\n",
            ),
            (
                Event::TwinRefused {
                    operation: "report",
                    status: 400,
                    error_code: Some(400_004),
                    message: "no".to_owned(),
                    retry_in: None,
                },
                "01:02:03Z twin report refused: 400 400004 no\n",
            ),
        ];
        for (event, expected) in table {
            assert_eq!(printed(Output::Human, &event), expected);
        }
    }

    #[test]
    fn events_are_json_objects_with_a_time() {
        let line =
            printed(Output::Json, &Event::Applied { configuration: Configuration::initial() });
        let expected = r#"{"time":"1970-01-01T01:02:03.5Z","event":"applied","configId":1,"sendFrequency":"24h"}"#;
        assert_eq!(line.trim_end(), expected);
    }
}
