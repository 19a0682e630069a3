//! `method`: direct methods of devices and modules.

use std::time::Duration;

use clap::{Args, Subcommand};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use serde_json::{Value, json};

use crate::args::{Format, duration};
use crate::commands::{Failure, Session, Verdict, json_value};
use crate::output;

/// What can be done with methods.
#[derive(Debug, Subcommand)]
pub(crate) enum MethodCommand {
    /// Call a method and wait for the answer
    Invoke(InvokeArgs),
}

/// A call.
#[derive(Args, Debug)]
pub(crate) struct InvokeArgs {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    /// The method
    name: String,
    /// What the method is given
    #[arg(long, value_name = "JSON", value_parser = json_value)]
    payload: Option<Value>,
    /// Call the method of this module of the device
    #[arg(long, value_name = "ID", value_parser = ModuleId::parse)]
    module: Option<ModuleId>,
    /// How long to wait for the answer: 5 to 300 seconds
    #[arg(long, value_name = "SPAN", value_parser = whole_seconds, default_value = "30s")]
    timeout: Duration,
    /// How long to wait for the device to connect: up to 300 seconds
    #[arg(long, value_name = "SPAN", value_parser = whole_seconds, default_value = "0s")]
    connect_timeout: Duration,
}

pub(crate) fn run(session: &mut Session<'_>, command: MethodCommand) -> Result<Verdict, Failure> {
    match command {
        MethodCommand::Invoke(args) => invoke(session, args),
    }
}

fn invoke(session: &mut Session<'_>, args: InvokeArgs) -> Result<Verdict, Failure> {
    let InvokeArgs { device, name, payload, module, timeout, connect_timeout } = args;
    let mut body = json!({
        "methodName": name,
        "responseTimeoutInSeconds": timeout.as_secs(),
        "connectTimeoutInSeconds": connect_timeout.as_secs(),
    });
    if let (Some(payload), Some(body)) = (payload, body.as_object_mut()) {
        body.insert("payload".to_owned(), payload);
    }
    let longest = timeout + connect_timeout;
    let answer = session.client.invoke_method(&IdentityId { device, module }, &body, longest)?;
    match session.out.format() {
        Format::Json => session.out.document(&answer)?,
        Format::Text => session.out.write(&text(&answer))?,
    }
    let succeeded = matches!(answer.get("status").and_then(Value::as_i64), Some(200..=299));
    Ok(if succeeded { Verdict::Yes } else { Verdict::No })
}

fn text(answer: &Value) -> String {
    output::pairs(&[
        ("status", output::cell(answer.get("status"))),
        ("payload", answer.get("payload").unwrap_or(&Value::Null).to_string()),
    ])
}

/// The service counts in seconds; what its ranges are it says itself.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.subsec_nanos() > 0 {
        return Err(format!("{text:?} is no whole number of seconds"));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        _command: MethodCommand,
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let table = [
            "invoke d",
            "invoke a/b m",
            "invoke d m --payload {",
            "invoke d m --timeout 500ms",
            "invoke d m --connect-timeout soon",
            "invoke d m --module a/b",
        ];
        for line in table {
            let result = Line::try_parse_from(format!("x {line}").split_whitespace());
            assert!(result.is_err(), "{line}");
        }
    }

    #[test]
    fn answers_are_shown() {
        let answer = json!({"status": 200, "payload": {"a": [1]}});
        assert_eq!(text(&answer), "status   200\npayload  {\"a\":[1]}\n");
        assert_eq!(text(&json!({"status": -1})), "status   -1\npayload  null\n");
    }
}
