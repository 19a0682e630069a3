//! What a hub begins with, or becomes: a document in JSON or TOML, read by the one reader of
//! `iothub-wire`, which takes what a snapshot has and what a person writes.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::Utf8Error;

use iothub_core::limits;
use iothub_core::random::Random;
use iothub_core::route::properties::RoutingProperties;
use iothub_core::snapshot::{Folders, Restoring, Snapshot};
use iothub_core::time::Clock as _;
use iothub_wire::json::snapshot::parse;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Number, Value};

use crate::clock::SystemClock;
use crate::config::{Config, toml_table};
use crate::emulator::StartError;
use crate::served::chance;

/// Why a hub cannot begin with a file.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// It is something else than a file, which may never end.
    #[error("{0} is no regular file, expected one in TOML or JSON")]
    NoFile(PathBuf),
    /// It is larger than a document may be.
    #[error("{0} has more than {max} bytes", max = limits::SNAPSHOT_BYTES)]
    TooLarge(PathBuf),
    /// It says where events go, and so do the options.
    #[error(
        "{0} has routing, and so has the file of options, and they differ: expected it in one of them"
    )]
    TwoRoutings(PathBuf),
    /// What it says is wrong.
    #[error("{}", .mistakes.iter().map(|mistake| format!("{path}: {mistake}", path = .path.display())).collect::<Vec<_>>().join("\n"))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Each mistake, with its place in the file.
        mistakes: Vec<String>,
    },
}

/// What the first hub begins with: its seed, and where events go as the options say it.
///
/// # Errors
///
/// The seed has mistakes, or says something else of where events go than the options.
pub fn beginning(config: &Config) -> Result<Snapshot, StartError> {
    let mut begun = read_seed(config.seed.as_deref())?;
    let said = Some(&config.routing).filter(|said| **said != RoutingProperties::default());
    match (said, &begun.routing, &config.seed) {
        (Some(said), Some(other), Some(path)) if said != other => {
            return Err(SeedError::TwoRoutings(path.clone()).into());
        }
        _ => {}
    }
    begun.routing.get_or_insert_with(|| config.routing.clone());
    Ok(begun)
}

/// What the hub begins with that has this file for a seed; nothing without one.
fn read_seed(path: Option<&Path>) -> Result<Snapshot, StartError> {
    let Some(path) = path else { return Ok(Snapshot::default()) };
    let bytes = read_file(path)?;
    let wrong = |mistakes| SeedError::Mistakes { path: path.to_owned(), mistakes };
    let random = chance()?;
    Ok(read_bytes(path, &bytes, &random).map_err(wrong)?)
}

fn read_bytes(path: &Path, bytes: &[u8], random: &Random) -> Result<Snapshot, Vec<String>> {
    let text = text(bytes).map_err(|place| vec![format!("this is no UTF-8: {place}")])?;
    if is_json(path, text) {
        let document = raw(text).map_err(|why| vec![format!("this is no JSON: {why}")])?;
        return read_raw(document, random, Folders::All);
    }
    let table = toml_table(text).map_err(|why| vec![format!("this is no TOML: {why}")])?;
    read_value(&json(toml::Value::Table(table)), random, Folders::All)
}

/// What a document in JSON says, or its mistakes.
pub(crate) fn read_json(
    document: &[u8],
    random: &Random,
    folders: Folders<'_>,
) -> Result<Snapshot, Vec<String>> {
    let text = text(document).map_err(|place| vec![format!("the body is no UTF-8: {place}")])?;
    let document = raw(text).map_err(|why| vec![format!("the body is not JSON: {why}")])?;
    read_raw(document, random, folders)
}

/// What a document says that is part of another, or its mistakes.
pub(crate) fn read_value(
    document: &Value,
    random: &Random,
    folders: Folders<'_>,
) -> Result<Snapshot, Vec<String>> {
    let document = to_raw_value(document).map_err(|why| vec![why.to_string()])?;
    read_raw(&document, random, folders)
}

/// What a document says, or its mistakes. What it leaves out is made up here, once: a hub that is
/// reset has the same keys again.
fn read_raw(
    document: &RawValue,
    random: &Random,
    folders: Folders<'_>,
) -> Result<Snapshot, Vec<String>> {
    parse(document, Restoring { now: SystemClock.now(), random, folders })
}

fn read_file(path: &Path) -> Result<Vec<u8>, SeedError> {
    let unreadable = |reason| SeedError::Unreadable { path: path.to_owned(), reason };
    // Before it is opened: opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SeedError::NoFile(path.to_owned()));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let most = limits::SNAPSHOT_BYTES as u64;
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limits::SNAPSHOT_BYTES {
        return Err(SeedError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// The text of a document, without the byte order mark that some editors put before it; or the place
/// where it is none.
fn text(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|why| place_of(why, bytes))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn place_of(why: Utf8Error, bytes: &[u8]) -> String {
    let good = why.valid_up_to();
    let line = 1 + bytes.iter().take(good).filter(|byte| **byte == b'\n').count();
    format!("line {line}, byte {} of all", good + 1)
}

/// The name of a file says what is in it; where it does not, what is JSON as a whole, or begins like
/// a document in JSON, which TOML never does.
fn is_json(path: &Path, text: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
        || text.trim_start().starts_with('{')
        || serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn raw(text: &str) -> Result<&RawValue, serde_json::Error> {
    serde_json::from_str(text)
}

/// A value of TOML in JSON. Dates become texts, and numbers that JSON does not have nulls, which are
/// refused where they stand.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(switch) => switch.into(),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = "\
            version = 1\n\
            [[devices]]\n\
            deviceId = \"d\"\n\
            twin.tags = { floor = 1, since = 2026-01-31T12:00:00Z, list = [1.5, true, nan] }\n";
        let expected = json!({"version": 1, "devices": [{"deviceId": "d", "twin": {"tags": {
            "floor": 1, "since": "2026-01-31T12:00:00Z", "list": [1.5, true, null],
        }}}]});
        assert_eq!(json(toml::Value::Table(toml_table(toml).unwrap())), expected);
    }

    #[test]
    fn what_is_neither_is_told_with_its_place() {
        let document = "the document is";
        let table: [(&str, &[u8], &str); 10] = [
            ("s.toml", b"a = 1\nb =", "this is no TOML: line 2: "),
            ("s", b"a = 1\nb =", "this is no TOML: line 2: "),
            ("s", b"{\n\"a\": }", "this is no JSON: expected value at line 2 column 6"),
            ("s.json", b"a = 1", "this is no JSON: expected value at line 1 column 1"),
            ("s.JSON", b"", "this is no JSON: EOF while parsing a value at line 1 column 0"),
            ("s.json", b"[]", &format!("{document} an array, expected an object")),
            ("s", b" null", &format!("{document} null, expected an object")),
            ("s", b"\"x\"", &format!("{document} a string, expected an object")),
            ("s.json", b"\xef\xbb\xbf1", &format!("{document} a number, expected an object")),
            ("s.toml", b"# a\n# \xff", "this is no UTF-8: line 2, byte 7 of all"),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (name, content, expected) in table {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let why = read_seed(Some(&path)).unwrap_err().to_string();
            let expected = format!("{}: {expected}", path.display());
            assert!(why.starts_with(&expected), "{why:?}, expected {expected:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in
            [("s.json", "{\"version\": 1}"), ("s.toml", "version = 1"), ("s", "{}")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("\u{feff}{content}")).unwrap();
            assert_eq!(read_seed(Some(&path)).unwrap(), Snapshot::default(), "{name}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let why = read_seed(Some(folder.path())).unwrap_err().to_string();
        let path = folder.path().display();
        assert_eq!(why, format!("{path} is no regular file, expected one in TOML or JSON"));
    }

    #[test]
    fn a_file_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.toml");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(limits::SNAPSHOT_BYTES as u64 + 1).unwrap();
        assert!(matches!(read_file(&path), Err(SeedError::TooLarge(_))));
        file.set_len(limits::SNAPSHOT_BYTES as u64).unwrap();
        assert_eq!(read_file(&path).unwrap().len(), limits::SNAPSHOT_BYTES);
    }
}
