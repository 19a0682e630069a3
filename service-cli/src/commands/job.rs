//! `job`: one change of many twins, or one call of many devices.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::args::{Format, duration};
use crate::commands::{Failure, Session, Verdict, json_object, json_value};
use crate::output;

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Create a job
    Create(Box<CreateArgs>),
    /// Show a job
    Show {
        /// The job
        job: String,
    },
    /// List jobs
    List {
        /// Only those that do this: scheduleUpdateTwin or scheduleDeviceMethod
        #[arg(long = "type", value_name = "TYPE", default_value = "")]
        kind: String,
        /// Only those that are this far: scheduled, running, completed, …
        #[arg(long, default_value = "")]
        status: String,
    },
    /// Cancel a job; what it has done stays done
    Cancel {
        /// The job
        job: String,
    },
}

/// A new job.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("action").required(true).args(["twin_patch", "method"])))]
pub(crate) struct CreateArgs {
    /// The job
    job: String,
    /// Change twins: {"tags": …, "properties": {"desired": …}}
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    twin_patch: Option<Map<String, Value>>,
    /// Call this method
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// What the method is given
    #[arg(long, value_name = "JSON", conflicts_with = "twin_patch", value_parser = json_value)]
    payload: Option<Value>,
    /// For which devices: a condition of the query language, or * for all
    #[arg(long, value_name = "TEXT", default_value = "*")]
    condition: String,
    /// When, for example 2026-12-24T18:00:00Z; at once if not given
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// How long it may take
    #[arg(long, value_name = "SPAN", value_parser = duration, default_value = "1h")]
    time_limit: Duration,
}

pub(crate) fn run(session: &mut Session<'_>, command: &JobCommand) -> Result<Verdict, Failure> {
    match command {
        JobCommand::Create(args) => {
            let job = session.client.create_job(&args.job, &args.document())?;
            show(session, &job)
        }
        JobCommand::Show { job } => {
            let job = session.client.get_job(job).map_err(Failure::of_looking)?;
            show(session, &job)
        }
        JobCommand::List { kind, status } => list(session, kind, status),
        JobCommand::Cancel { job } => {
            let job = session.client.cancel_job(job)?;
            show(session, &job)
        }
    }
}

impl CreateArgs {
    fn document(&self) -> Value {
        let mut document = json!({
            "jobId": self.job,
            "queryCondition": self.condition,
            "startTime": self.start,
            "maxExecutionTimeInSeconds": self.time_limit.as_secs(),
        });
        let (kind, name, action) = match (&self.twin_patch, &self.method) {
            (Some(patch), _) => {
                let mut patch = patch.clone();
                // The service takes no other.
                patch.insert("etag".to_owned(), "*".into());
                ("scheduleUpdateTwin", "updateTwin", Value::Object(patch))
            }
            (None, method) => {
                let call = json!({ "methodName": method, "payload": self.payload });
                ("scheduleDeviceMethod", "cloudToDeviceMethod", call)
            }
        };
        if let Some(document) = document.as_object_mut() {
            document.insert("type".to_owned(), kind.into());
            document.insert(name.to_owned(), action);
        }
        document
    }
}

fn show(session: &mut Session<'_>, job: &Value) -> Result<Verdict, Failure> {
    match session.out.format() {
        Format::Json => session.out.document(job)?,
        Format::Text => session.out.write(&text(job))?,
    }
    Ok(Verdict::Yes)
}

fn text(job: &Value) -> String {
    let mut lines: Vec<(&str, String)> = ["jobId", "type", "status", "queryCondition", "startTime"]
        .into_iter()
        .map(|name| (name, output::cell(job.get(name))))
        .collect();
    lines.push(("endTime", output::cell(job.get("endTime"))));
    lines.push(("devices", progress(job)));
    output::pairs(&lines)
}

fn list(session: &mut Session<'_>, kind: &str, status: &str) -> Result<Verdict, Failure> {
    let jobs = session.client.list_jobs(kind, status)?;
    match session.out.format() {
        Format::Json => session.out.document(&Value::Array(jobs))?,
        Format::Text if jobs.is_empty() => output::warn("no jobs"),
        Format::Text => {
            let row = |job: &Value| {
                let mut row: Vec<String> = ["jobId", "type", "status", "startTime"]
                    .into_iter()
                    .map(|name| output::cell(job.get(name)))
                    .collect();
                row.push(progress(job));
                row
            };
            let header = ["job", "type", "status", "start", "devices"];
            session.out.write(&output::table(&header, jobs.iter().map(row)))?;
        }
    }
    Ok(Verdict::Yes)
}

/// How many devices are how far.
fn progress(job: &Value) -> String {
    let count = |name| {
        let statistics = job.get("deviceJobStatistics");
        statistics.and_then(|counts| counts.get(name)).and_then(Value::as_u64).unwrap_or_default()
    };
    format!(
        "{} of {} succeeded, {} failed, {} pending",
        count("succeededCount"),
        count("deviceCount"),
        count("failedCount"),
        count("pendingCount")
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: JobCommand,
    }

    fn parse(line: &[&str]) -> Result<JobCommand, clap::Error> {
        let words = ["job"].into_iter().chain(line.iter().copied());
        Line::try_parse_from(words).map(|line| line.command)
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let table: [&[&str]; 6] = [
            &["create", "j"],
            &["create", "j", "--method", "m", "--twin-patch", "{}"],
            &["create", "j", "--twin-patch", "[]"],
            &["create", "j", "--twin-patch", "{}", "--payload", "1"],
            &["create", "j", "--method", "m", "--time-limit", "soon"],
            &["show"],
        ];
        for line in table {
            assert!(parse(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn arguments_become_the_document() {
        let line = ["create", "j", "--twin-patch", r#"{"tags":{"a":1}}"#, "--time-limit", "1m"];
        let Ok(JobCommand::Create(args)) = parse(&line) else { panic!("{line:?}") };
        let expected = json!({
            "jobId": "j", "queryCondition": "*", "startTime": null,
            "maxExecutionTimeInSeconds": 60, "type": "scheduleUpdateTwin",
            "updateTwin": {"tags": {"a": 1}, "etag": "*"},
        });
        assert_eq!(args.document(), expected);
    }
}
