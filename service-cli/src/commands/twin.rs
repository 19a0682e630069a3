//! `twin`: looking at twins, changing them, and watching them change.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId, Precondition};
use iothub_core::time::Timestamp;
use serde_json::{Map, Value, json};
use service_cli::{Error, Twin, clock, diff};
use tokio::time::sleep;

use crate::args::{Format, duration};
use crate::commands::live::{self, Limits};
use crate::commands::{Failure, Session, Verdict, etag};
use crate::output;

/// A twin has at most some 100 KB; whoever hands in more has taken the wrong file.
const DOCUMENT_BYTES: u64 = 1024 * 1024;
/// Asking more often would be an attack on the hub's limits rather than watching.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// What can be done with twins.
#[derive(Debug, Subcommand)]
pub(crate) enum TwinCommand {
    /// Show a twin
    Show {
        #[command(flatten)]
        of: TwinOf,
    },
    /// Merge into tags and desired properties; null removes
    Update {
        #[command(flatten)]
        of: TwinOf,
        #[command(flatten)]
        document: DocumentArgs,
        /// Only if the twin still has this ETag
        #[arg(long, value_parser = etag)]
        etag: Option<Precondition>,
    },
    /// Replace tags and desired properties; what is not given is removed
    Replace {
        #[command(flatten)]
        of: TwinOf,
        #[command(flatten)]
        document: DocumentArgs,
        /// Only if the twin still has this ETag
        #[arg(long, value_parser = etag, default_value = "*")]
        etag: Precondition,
    },
    /// Show a twin, and what changes whenever it changes, until Ctrl-C
    Watch {
        #[command(flatten)]
        of: TwinOf,
        /// How often to look
        #[arg(long, value_parser = interval, default_value = "1s")]
        interval: Duration,
    },
}

/// Whose twin.
#[derive(Args, Debug)]
pub(crate) struct TwinOf {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    /// The twin of this module of the device, instead of the device's own
    #[arg(long, value_name = "MODULE", value_parser = ModuleId::parse)]
    module: Option<ModuleId>,
}

impl TwinOf {
    fn id(self) -> IdentityId {
        IdentityId { device: self.device, module: self.module }
    }
}

/// Where the document comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct DocumentArgs {
    /// Desired properties, as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["file", "stdin"])]
    desired: Option<String>,
    /// Tags, as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["file", "stdin"])]
    tags: Option<String>,
    /// A file with {"tags": …, "properties": {"desired": …}}
    #[arg(long, value_name = "FILE", conflicts_with = "stdin")]
    file: Option<PathBuf>,
    /// A dash: read the same document from standard input
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true)]
    stdin: Option<String>,
}

pub(crate) fn run(session: &mut Session<'_>, command: TwinCommand) -> Result<Verdict, Failure> {
    match command {
        TwinCommand::Show { of } => show(session, &of.id()),
        TwinCommand::Update { of, document, etag } => {
            let id = of.id();
            let document = document.read()?;
            let precondition = etag.unwrap_or(Precondition::None);
            change(session, &id, |session| session.client.patch_twin(&id, &document, &precondition))
        }
        TwinCommand::Replace { of, document, etag } => {
            let id = of.id();
            let document = document.read()?;
            change(session, &id, |session| session.client.put_twin(&id, &document, &etag))
        }
        TwinCommand::Watch { of, interval } => watch(session, &of.id(), interval),
    }
}

fn show(session: &mut Session<'_>, id: &IdentityId) -> Result<Verdict, Failure> {
    let twin = session.client.get_twin(id).map_err(Failure::of_looking)?;
    match session.out.format() {
        Format::Json => session.out.document(&twin.into_value())?,
        Format::Text => session.out.write(&output::twin(&twin))?,
    }
    Ok(Verdict::Yes)
}

/// Makes a change and shows what it did; a script gets the new twin with one call less.
fn change(
    session: &mut Session<'_>,
    id: &IdentityId,
    make: impl FnOnce(&mut Session<'_>) -> Result<Twin, Error>,
) -> Result<Verdict, Failure> {
    if session.out.format() == Format::Json {
        let after = make(session)?;
        session.out.document(&after.into_value())?;
        return Ok(Verdict::Yes);
    }
    let before = session.client.get_twin(id)?;
    let after = make(session)?;
    show_change(session, &before, &after)?;
    Ok(Verdict::Yes)
}

fn show_change(session: &mut Session<'_>, before: &Twin, after: &Twin) -> io::Result<()> {
    let diff = diff::between(before, after);
    if diff.is_empty() {
        return session.out.line("nothing changed");
    }
    session.out.write(&diff.coloured().to_string())
}

fn watch(
    session: &mut Session<'_>,
    id: &IdentityId,
    interval: Duration,
) -> Result<Verdict, Failure> {
    live::listen(Limits::default(), async |listening| {
        let Ok(first) = listening.open(look(session, id, Duration::ZERO)).await else {
            return Ok(Verdict::Yes);
        };
        let mut last = first.map_err(Failure::of_looking)?;
        show_first(session, id, &last)?;
        let mut interrupted = false;
        loop {
            let Ok(looked) = listening.next(look(session, id, interval)).await else {
                return Ok(Verdict::Yes);
            };
            match looked {
                Ok(twin) => {
                    interrupted = false;
                    if twin.version() != last.version() {
                        show_next(session, &last, &twin)?;
                    }
                    last = twin;
                }
                // A hub that restarts is waited for, and said so once.
                Err(error) if error.is_transient() => {
                    if !interrupted {
                        output::warn(&format!("{error}; trying again every {interval:?}"));
                    }
                    interrupted = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    })
}

/// The twin after a pause.
fn look(
    session: &Session<'_>,
    id: &IdentityId,
    pause: Duration,
) -> impl Future<Output = Result<Twin, Error>> + use<> {
    let (client, id) = (session.client.clone(), id.clone());
    async move {
        sleep(pause).await;
        live::blocking(move || client.get_twin(&id)).await
    }
}

fn show_first(session: &mut Session<'_>, id: &IdentityId, twin: &Twin) -> io::Result<()> {
    match session.out.format() {
        Format::Json => session.out.document_line(&twin.to_value()),
        Format::Text => {
            session.out.title(&format!("twin of {id}"))?;
            session.out.document(&twin.essence())
        }
    }
}

fn show_next(session: &mut Session<'_>, last: &Twin, twin: &Twin) -> io::Result<()> {
    match session.out.format() {
        Format::Json => session.out.document_line(&twin.to_value()),
        Format::Text => {
            let seconds = Timestamp::from_unix_seconds(clock::system()().unix_seconds());
            session.out.title(&format!("changed, seen at {seconds}"))?;
            show_change(session, last, twin)
        }
    }
}

impl DocumentArgs {
    /// The document to send: `{"tags":…,"properties":{"desired":…}}` with what was given.
    fn read(&self) -> Result<Value, Failure> {
        if let Some(path) = &self.file {
            return from_file(path);
        }
        if self.stdin.is_some() {
            return parse(&bounded(io::stdin().lock(), "standard input")?, "standard input");
        }
        let mut document = Map::new();
        if let Some(text) = &self.tags {
            document.insert("tags".to_owned(), parse(text, "--tags")?);
        }
        if let Some(text) = &self.desired {
            let desired = parse(text, "--desired")?;
            document.insert("properties".to_owned(), json!({ "desired": desired }));
        }
        Ok(Value::Object(document))
    }
}

fn from_file(path: &Path) -> Result<Value, Failure> {
    let name = format!("{path:?}");
    let file =
        File::open(path).map_err(|why| Failure::Input(format!("cannot read {name}: {why}")))?;
    parse(&bounded(file, &name)?, &name)
}

fn bounded(reader: impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    reader
        .take(DOCUMENT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|why| Failure::Input(format!("cannot read {name}: {why}")))?;
    if text.len() as u64 > DOCUMENT_BYTES {
        return Err(Failure::Input(format!("{name} has more than {DOCUMENT_BYTES} bytes")));
    }
    Ok(text)
}

fn parse(text: &str, name: &str) -> Result<Value, Failure> {
    match serde_json::from_str(text) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(Failure::Input(format!("{name} is no JSON object"))),
        Err(why) => Err(Failure::Input(format!("{name} is not JSON: {why}"))),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if length < SHORTEST_INTERVAL {
        return Err(format!("{text:?} is too short, expected at least {SHORTEST_INTERVAL:?}"));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        document: DocumentArgs,
    }

    fn read(arguments: &[&str]) -> Result<Value, String> {
        let line = Line::try_parse_from(["x"].iter().chain(arguments))
            .map_err(|why| why.kind().to_string())?;
        line.document.read().map_err(|failure| failure.to_string())
    }

    #[test]
    fn documents_are_put_together() {
        let table = [
            (&["--desired", r#"{"a":1}"#][..], json!({"properties": {"desired": {"a": 1}}})),
            (&["--tags", r#"{"b":null}"#], json!({"tags": {"b": null}})),
            (
                &["--desired", "{}", "--tags", "{}"],
                json!({"tags": {}, "properties": {"desired": {}}}),
            ),
        ];
        for (arguments, expected) in table {
            assert_eq!(read(arguments), Ok(expected), "{arguments:?}");
        }
    }

    #[test]
    fn a_file_is_the_whole_document() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twin.json");
        let read_back = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&["--file", path.to_str().unwrap()])
        };
        assert_eq!(read_back("{\"tags\":{}}"), Ok(json!({"tags": {}})));
        assert!(read_back("[]").unwrap_err().ends_with("is no JSON object"));
        let long = " ".repeat(usize::try_from(DOCUMENT_BYTES).unwrap() + 1);
        assert!(read_back(&long).unwrap_err().ends_with("has more than 1048576 bytes"));
        std::fs::remove_file(&path).unwrap();
        let missing = read(&["--file", path.to_str().unwrap()]).unwrap_err();
        assert!(missing.starts_with("cannot read "), "{missing}");
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            (&["--desired", "{"][..], "--desired is not JSON: EOF"),
            (&["--tags", "3"], "--tags is no JSON object"),
            (&[], "one or more required arguments were not provided"),
            (&["--desired", "{}", "--file", "x"], "an argument cannot be used with"),
            (&["--tags", "{}", "-"], "an argument cannot be used with"),
            (&["x"], "one of the values isn't valid for an argument"),
        ];
        for (arguments, expected) in table {
            let refusal = read(arguments).unwrap_err();
            assert!(refusal.starts_with(expected), "{arguments:?}: {refusal}");
        }
    }

    #[test]
    fn intervals_have_a_lower_bound() {
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(interval("0"), Err("\"0\" is too short, expected at least 100ms".to_owned()));
    }
}
