//! `c2d`: messages to devices, and what became of them.

use std::io::Read as _;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use iothub_core::ids::DeviceId;
use serde_json::{Value, json};
use service_cli::devicebound::Message;

use crate::args::{Format, duration};
use crate::commands::live::{self, Limits};
use crate::commands::{Failure, Session, Verdict};
use crate::output::cell;

/// What can be done with cloud-to-device messages.
#[derive(Debug, Subcommand)]
pub(crate) enum C2dCommand {
    /// Send a message to a device; it waits until the device fetches it
    Send(SendArgs),
    /// Listen for what became of messages that were sent with --ack, until Ctrl-C
    Feedback(FeedbackArgs),
}

/// A message.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    /// The text, or - for what comes on standard input
    body: String,
    /// An application property, as often as there are properties
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = property)]
    property: Vec<(String, String)>,
    /// The message's id, which feedback names [default: one made up]
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// The id of what this answers
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// When to tell what became of it
    #[arg(long, value_name = "WHEN", default_value = "none")]
    ack: Ack,
    /// How long it waits for the device [default: the hub's own, one hour]
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    expires_in: Option<Duration>,
    /// The type of the body, such as application/json
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The encoding of the body, such as utf-8
    #[arg(long, value_name = "NAME")]
    content_encoding: Option<String>,
}

/// When the service tells what became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Ack {
    /// Never.
    None,
    /// When the device took it.
    Positive,
    /// When the device did not.
    Negative,
    /// In either case.
    Full,
}

impl Ack {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Positive => Some("positive"),
            Self::Negative => Some("negative"),
            Self::Full => Some("full"),
        }
    }
}

/// How long to listen.
#[derive(Args, Debug)]
pub(crate) struct FeedbackArgs {
    #[command(flatten)]
    limits: Limits,
}

pub(crate) fn run(session: &mut Session<'_>, command: C2dCommand) -> Result<Verdict, Failure> {
    match command {
        C2dCommand::Send(args) => send(session, args),
        C2dCommand::Feedback(args) => feedback(session, &args),
    }
}

fn send(session: &mut Session<'_>, args: SendArgs) -> Result<Verdict, Failure> {
    let message_id = args.message_id.unwrap_or_else(|| made_up_id(session));
    let message = Message {
        body: body(&args.body)?,
        properties: args.property,
        message_id: Some(message_id.clone()),
        correlation_id: args.correlation_id,
        ack: args.ack.name(),
        expires_in: args.expires_in,
        content_type: args.content_type,
        content_encoding: args.content_encoding,
    };
    let amqp = session.amqp()?;
    live::run(async { Ok(amqp.send(&args.device, message).await?) })?;
    match session.out.format() {
        Format::Json => session.out.document(&json!({ "messageId": message_id }))?,
        Format::Text => session.out.line(&format!("{} waits for {}", message_id, args.device))?,
    }
    Ok(Verdict::Yes)
}

/// One that no message of before has, for whoever looks for its feedback.
fn made_up_id(session: &Session<'_>) -> String {
    format!("{:x}-{:x}", session.client.now().ticks(), std::process::id())
}

fn body(text: &str) -> Result<Vec<u8>, Failure> {
    if text != "-" {
        return Ok(text.as_bytes().to_vec());
    }
    // One byte more than a message may have is enough for the service to refuse it.
    const ENOUGH: u64 = 64 * 1024 + 1;
    let mut body = Vec::new();
    let read = std::io::stdin().take(ENOUGH).read_to_end(&mut body);
    read.map_err(|why| Failure::Input(format!("cannot read standard input: {why}")))?;
    Ok(body)
}

fn feedback(session: &mut Session<'_>, args: &FeedbackArgs) -> Result<Verdict, Failure> {
    let amqp = session.amqp()?;
    let out = &mut session.out;
    live::listen(args.limits, async |listening| {
        let connecting = amqp.feedback();
        let Ok(connected) = listening.open(connecting).await else { return Ok(Verdict::Yes) };
        let mut feedback = connected?;
        if out.format() == Format::Text {
            crate::output::note("listening for feedback; Ctrl-C ends it");
        }
        let verdict = loop {
            let records = match listening.next(feedback.next()).await {
                Ok(records) => records?,
                Err(verdict) => break verdict,
            };
            for record in &records {
                match out.format() {
                    Format::Json => out.document_line(record)?,
                    Format::Text => out.line(&line(record))?,
                }
            }
            listening.seen(records.len());
        };
        feedback.close().await;
        Ok(verdict)
    })
}

fn line(record: &Value) -> String {
    let field = |name| cell(record.get(name));
    format!(
        "{}  {}  {}  {}",
        field("enqueuedTimeUtc"),
        field("deviceId"),
        field("originalMessageId"),
        field("statusCode"),
    )
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no property, expected NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        _command: C2dCommand,
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let table = [
            "send d",
            "send a/b text",
            "send d text --ack always",
            "send d text --property name",
            "send d text --property =value",
            "send d text --expires-in soon",
            "feedback d",
            "feedback --count 0",
        ];
        for line in table {
            let result = Line::try_parse_from(format!("x {line}").split_whitespace());
            assert!(result.is_err(), "{line}");
        }
    }

    #[test]
    fn feedback_is_one_line() {
        let record = json!({
            "originalMessageId": "m1", "deviceId": "d", "statusCode": "Success",
            "enqueuedTimeUtc": "2026-01-01T00:00:00Z", "description": "Success",
        });
        assert_eq!(line(&record), "2026-01-01T00:00:00Z  d  m1  Success");
    }
}
