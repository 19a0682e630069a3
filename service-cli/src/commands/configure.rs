//! `configure`: the tutorial's back end, told step by step.

mod watch;

use std::io;
use std::time::Duration;

use clap::Args;
use iothub_core::ids::DeviceId;
use serde_json::{Value, json};
use service_cli::configure::agrees;
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
    /// Wait without an end, and go on to show what the device reports and what others ask of it,
    /// until Ctrl-C
    #[arg(long, conflicts_with = "timeout")]
    watch: bool,
}

pub(crate) fn run(session: &mut Session<'_>, args: &ConfigureArgs) -> Result<Verdict, Failure> {
    let change = Change { config_id: args.config_id, send_frequency: args.send_frequency.clone() };
    if args.watch {
        return watch::run(session, args, change);
    }
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
        Format::Text => {
            let end = end(&args.device, outcome.waited, outcome.agreed);
            tell_end(&mut session.out, &end, &outcome.before, &outcome.after)?;
        }
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
                self.out.title(&self.asked(twin))?;
                self.absence(twin)
            }
            Progress::Changed(twin) => {
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

    /// Says why nothing comes from a device that has not heard yet what is asked of it.
    fn absence(&mut self, twin: &Twin) -> io::Result<()> {
        if !twin.is_disconnected() || agrees(twin) {
            return Ok(());
        }
        let device = &self.args.device;
        self.out.line(&format!("  {device} is not connected; the desired properties wait for it"))
    }

    fn asked(&self, twin: &Twin) -> String {
        let ConfigureArgs { timeout, watch, .. } = self.args;
        let end = if *watch { "until Ctrl-C".to_owned() } else { format!("up to {timeout:?}") };
        format!("asked for {}; waiting {end}", wanted(twin))
    }
}

/// What a twin asks of the device.
fn wanted(twin: &Twin) -> String {
    let desired = |name| twin.property(Section::Desired, name);
    let send_frequency = desired("sendFrequency").unwrap_or(&Value::Null).to_string();
    let config_id = output::cell(desired("configId"));
    format!("configId {config_id}, sendFrequency {}", diff::calm(&send_frequency))
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

/// How it ended, and what is different now.
fn tell_end(out: &mut Output, end: &str, before: &Twin, after: &Twin) -> io::Result<()> {
    out.title(end)?;
    out.write(&diff::between(before, after).coloured().to_string())
}

fn end(device: &DeviceId, waited: Duration, agreed: bool) -> String {
    let (word, then) = if agreed { ("agreed", "after") } else { ("not agreed", "now") };
    format!("{word} after {:.1} s; twin of {device} {then}", waited.as_secs_f64())
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
