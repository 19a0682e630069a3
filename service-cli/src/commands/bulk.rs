//! `device bulk`: identities from a file and into one, a JSON document per line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use serde_json::{Value, json};
use service_cli::bulk::{Batches, Item, Tally, exported};
use tempfile::NamedTempFile;

use crate::args::Format;
use crate::commands::{Failure, Session, Verdict};
use crate::output;

/// The most that a line may have: an identity and a twin of the largest size.
const LINE_BYTES: u64 = 1024 * 1024;
/// The service lists no more.
const LISTED: usize = 1000;

/// What can be done with many identities.
#[derive(Debug, Subcommand)]
pub(crate) enum BulkCommand {
    /// Do with each identity of a file what it says
    Import {
        /// The file, one JSON document per line; a dash reads standard input
        file: PathBuf,
        /// What to do with an identity that does not say it itself
        #[arg(long, default_value = "create")]
        mode: Mode,
    },
    /// Write all identities, their modules and their twins into a file
    Export {
        /// The file; a dash writes to standard output
        file: PathBuf,
        /// Leave out what signs
        #[arg(long)]
        exclude_keys: bool,
    },
}

/// What is done with an identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// Register it, if it is not there.
    Create,
    /// Register it, or replace what is there; not every hub takes this outside of import jobs.
    CreateOrUpdate,
    /// Replace it.
    Update,
    /// Replace it, if it still has its ETag.
    UpdateIfMatchETag,
    /// Delete it.
    Delete,
    /// Delete it, if it still has its ETag.
    DeleteIfMatchETag,
    /// Merge into its twin.
    UpdateTwin,
    /// Merge into its twin, if that still has its ETag.
    UpdateTwinIfMatchETag,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::CreateOrUpdate => "createOrUpdate",
            Self::Update => "update",
            Self::UpdateIfMatchETag => "updateIfMatchETag",
            Self::Delete => "delete",
            Self::DeleteIfMatchETag => "deleteIfMatchETag",
            Self::UpdateTwin => "updateTwin",
            Self::UpdateTwinIfMatchETag => "updateTwinIfMatchETag",
        }
    }
}

pub(crate) fn run(session: &mut Session<'_>, command: &BulkCommand) -> Result<Verdict, Failure> {
    match command {
        BulkCommand::Import { file, mode } => import(session, file, *mode),
        BulkCommand::Export { file, exclude_keys } => export(session, file, *exclude_keys),
    }
}

fn import(session: &mut Session<'_>, file: &Path, mode: Mode) -> Result<Verdict, Failure> {
    let name = file.display();
    let cannot = |why: &io::Error| Failure::Input(format!("cannot read {name}: {why}"));
    let (bar, mut reader): (_, Box<dyn BufRead>) = if is_dash(file) {
        (ProgressBar::new_spinner(), Box::new(io::stdin().lock()))
    } else {
        let opened = File::open(file).map_err(|why| cannot(&why))?;
        let size = opened.metadata().map_err(|why| cannot(&why))?.len();
        (ProgressBar::new(size), Box::new(BufReader::new(opened)))
    };
    bar.set_style(style("{wide_bar} {percent}% {msg}"));
    let (mut batches, mut tally) = (Batches::default(), Tally::default());
    for number in 1.. {
        let Some(line) = next_line(&mut reader).map_err(|why| cannot(&why))? else { break };
        bar.inc(line.len() as u64);
        let text = line.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        match Item::parse(text, mode.name()) {
            Ok(item) => batches.push(item),
            Err(why) => tally.errors.push(json!({
                "deviceId": null, "errorCode": "line", "errorStatus": format!("line {number}: {why}"),
            })),
        }
        send(session, batches.ready(), &mut tally, &bar)?;
    }
    send(session, batches.finish(), &mut tally, &bar)?;
    bar.finish_and_clear();
    tell(session, &tally)
}

/// A line with its end; none when there are no more.
fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = io::Read::take(reader, LINE_BYTES + 1).read_line(&mut line)? as u64;
    if read > LINE_BYTES {
        return Err(io::Error::other(format!("a line has more than {LINE_BYTES} bytes")));
    }
    Ok((read > 0).then_some(line))
}

fn send(
    session: &Session<'_>,
    batches: Vec<Vec<Value>>,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    for batch in batches {
        let result = session.client.bulk(&batch)?;
        tally.add(batch.len(), &result);
        bar.set_message(format!("{} done, {} failed", tally.done, tally.errors.len()));
    }
    Ok(())
}

fn tell(session: &mut Session<'_>, tally: &Tally) -> Result<Verdict, Failure> {
    match session.out.format() {
        Format::Json => session.out.document(&json!({
            "done": tally.done, "errors": tally.errors, "warnings": tally.warnings,
        }))?,
        Format::Text => {
            session.out.line(&format!("{} done, {} failed", tally.done, tally.errors.len()))?;
            if !tally.errors.is_empty() {
                session.out.write(&output::bulk_errors(&tally.errors))?;
            }
            for warning in &tally.warnings {
                let device = output::cell(warning.get("deviceId"));
                let status = output::cell(warning.get("warningStatus"));
                output::warn(&format!("{device} has an empty twin: {status}"));
            }
        }
    }
    Ok(if tally.errors.is_empty() { Verdict::Yes } else { Verdict::No })
}

fn export(session: &mut Session<'_>, file: &Path, exclude_keys: bool) -> Result<Verdict, Failure> {
    let devices = session.client.list_devices(None)?;
    if devices.len() == LISTED {
        output::warn("the service lists 1000 devices at most; there may be more");
    }
    if is_dash(file) {
        for device in &devices {
            for line in lines(session, device, exclude_keys)? {
                session.out.line(&line.to_string())?;
            }
        }
        return Ok(Verdict::Yes);
    }
    let count = write_file(session, file, &devices, exclude_keys)?;
    match session.out.format() {
        Format::Json => {
            session.out.document(&json!({ "devices": devices.len(), "lines": count }))?;
        }
        Format::Text => session.out.line(&format!(
            "{} devices in {count} lines of {}",
            devices.len(),
            file.display()
        ))?,
    }
    Ok(Verdict::Yes)
}

/// Writes beside the file first, readable by its owner alone since it holds keys, so that a call
/// that fails half-way leaves what was there.
fn write_file(
    session: &Session<'_>,
    file: &Path,
    devices: &[Value],
    exclude_keys: bool,
) -> Result<usize, Failure> {
    let name = file.display();
    let cannot = |why: &io::Error| Failure::Input(format!("cannot write {name}: {why}"));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut draft =
        NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(|why| cannot(&why))?;
    let bar = ProgressBar::new(devices.len() as u64);
    bar.set_style(style("{wide_bar} {pos}/{len} devices"));
    let mut count = 0;
    for device in devices {
        for line in lines(session, device, exclude_keys)? {
            writeln!(draft, "{line}").map_err(|why| cannot(&why))?;
            count += 1;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    draft.persist(file).map_err(|why| cannot(&why.error))?;
    Ok(count)
}

/// A device and its modules as they stand in a file. One that is deleted meanwhile has no lines.
fn lines(session: &Session<'_>, device: &Value, exclude_keys: bool) -> Result<Vec<Value>, Failure> {
    let id = id_of(device)?;
    let listed = match session.client.list_modules(&id.device) {
        Err(error) if error.is_device_not_found() => return Ok(Vec::new()),
        modules => modules?,
    };
    let mut lines = Vec::new();
    for identity in std::iter::once(device).chain(&listed) {
        match session.client.get_twin(&id_of(identity)?) {
            Ok(twin) => lines.push(exported(identity, &twin, exclude_keys)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lines)
}

/// The id in an identity of the service's.
fn id_of(identity: &Value) -> Result<IdentityId, Failure> {
    let text = |name: &str| identity.get(name).and_then(Value::as_str);
    let strange =
        |why| Failure::Input(format!("the hub lists an identity with a strange id: {why}"));
    Ok(IdentityId {
        device: DeviceId::parse(text("deviceId").unwrap_or_default()).map_err(strange)?,
        module: text("moduleId").map(ModuleId::parse).transpose().map_err(strange)?,
    })
}

fn is_dash(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A bar that draws itself on a terminal and nowhere else.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
