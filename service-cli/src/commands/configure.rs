//! `configure`: the tutorial's back end, told step by step.

use std::io;
use std::time::Duration;

use clap::Args;
use iothub_core::ids::DeviceId;
use serde_json::{Value, json};
use service_cli::twin::Section;
use service_cli::{Change, Outcome, Progress, Twin, configure, diff};

use crate::args::{Format, duration};
use crate::commands::{Failure, Session, Verdict};
use crate::output::{self, Output};

/// What to ask of whom.
#[derive(Args, Debug)]
pub(crate) struct ConfigureArgs {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    /// How often it shall send, in its own words, such as 5m
    send_frequency: String,
    /// The id of the configuration; by default one more than the present one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    config_id: Option<i64>,
    /// How long to wait until the device reports it
    #[arg(long, value_parser = duration, default_value = "30s")]
    timeout: Duration,
}

pub(crate) fn run(session: &mut Session<'_>, args: &ConfigureArgs) -> Result<Verdict, Failure> {
    let change = Change { config_id: args.config_id, send_frequency: args.send_frequency.clone() };
    let mut story = Story { out: &mut session.out, args, last: None, interrupted: false };
    let mut told = Ok(());
    let outcome = configure(&session.client, &args.device, &change, args.timeout, |progress| {
        if told.is_ok() {
            told = story.tell(progress);
        }
    })?;
    told?;
    match session.out.format() {
        Format::Json => session.out.document(&document(args, &outcome))?,
        Format::Text => tell_end(&mut session.out, args, &outcome)?,
    }
    Ok(if outcome.agreed { Verdict::Yes } else { Verdict::No })
}

/// What is said while it happens; nothing if a script listens.
struct Story<'a> {
    out: &'a mut Output,
    args: &'a ConfigureArgs,
    last: Option<Twin>,
    /// Whether it was said already that the hub does not answer.
    interrupted: bool,
}

impl Story<'_> {
    fn tell(&mut self, progress: Progress<'_>) -> io::Result<()> {
        if self.out.format() == Format::Json {
            return Ok(());
        }
        match progress {
            Progress::Before(twin) => {
                self.out.title(&format!("twin of {} before", self.args.device))?;
                self.out.document(&twin.essence())
            }
            Progress::Asked(twin) => {
                self.last = Some(twin.clone());
                self.out.title(&self.asked(twin))
            }
            Progress::Reported(twin) => {
                self.interrupted = false;
                let line = reported(self.last.as_ref(), twin);
                self.last = Some(twin.clone());
                line.map_or(Ok(()), |line| self.out.line(&line))
            }
            Progress::Retrying(error) => {
                if !self.interrupted {
                    output::warn(&format!("{error}; trying again"));
                }
                self.interrupted = true;
                Ok(())
            }
        }
    }

    fn asked(&self, twin: &Twin) -> String {
        let config_id = output::cell(twin.property(Section::Desired, "configId"));
        let ConfigureArgs { send_frequency, timeout, .. } = self.args;
        format!(
            "asked for configId {config_id}, sendFrequency {send_frequency:?}; waiting up to {timeout:?}"
        )
    }
}

/// What the device reports differently than before; none if something else changed.
fn reported(before: Option<&Twin>, now: &Twin) -> Option<String> {
    let before = before.map(|twin| twin.leaves(Section::Reported)).unwrap_or_default();
    let now = now.leaves(Section::Reported);
    let news = now
        .iter()
        .filter(|leaf| !before.contains(leaf))
        .map(|(name, value)| format!("{} {}", name.escape_debug(), diff::calm(&value.to_string())));
    let gone = before
        .iter()
        .filter(|(name, _)| !now.iter().any(|(other, _)| other == name))
        .map(|(name, _)| format!("no {}", name.escape_debug()));
    let all: Vec<String> = news.chain(gone).collect();
    (!all.is_empty()).then(|| format!("  device reports {}", all.join(", ")))
}

fn tell_end(out: &mut Output, args: &ConfigureArgs, outcome: &Outcome) -> io::Result<()> {
    let waited = outcome.waited.as_secs_f64();
    if outcome.agreed {
        out.title(&format!("agreed after {waited:.1} s; twin of {} after", args.device))?;
    } else {
        out.title(&format!("not agreed after {waited:.1} s; twin of {} now", args.device))?;
    }
    out.write(&diff::between(&outcome.before, &outcome.after).coloured().to_string())
}

fn document(args: &ConfigureArgs, outcome: &Outcome) -> Value {
    json!({
        "deviceId": args.device.as_str(),
        "configId": outcome.config_id,
        "sendFrequency": args.send_frequency,
        "agreed": outcome.agreed,
        "waitedSeconds": (outcome.waited.as_secs_f64() * 1000.0).round() / 1000.0,
        "before": outcome.before.to_value(),
        "after": outcome.after.to_value(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_in_the_report_is_told() {
        let twin =
            |reported: Value| Twin::new(json!({"properties": {"reported": reported}})).unwrap();
        let before = twin(json!({"configId": 1, "status": "Success", "$version": 1}));
        let table = [
            (json!({"configId": 1, "status": "Success", "$version": 2}), None),
            (
                json!({"configId": 1, "status": "Pending", "next": {"id": 2}, "$version": 2}),
                Some("  device reports status \"Pending\", next.id 2"),
            ),
            (json!({"configId": 2}), Some("  device reports configId 2, no status")),
        ];
        for (now, expected) in table {
            let now = twin(now);
            assert_eq!(reported(Some(&before), &now).as_deref(), expected);
        }
    }
}
