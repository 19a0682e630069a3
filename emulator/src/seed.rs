//! What a hub begins with, or becomes: a document in JSON or TOML, read by the one reader of
//! `iothub-wire`, which takes what a snapshot has and what a person writes.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use iothub_core::limits;
use iothub_core::random::Random;
use iothub_core::snapshot::{Restoring, Snapshot};
use iothub_core::time::Clock as _;
use iothub_wire::json::snapshot::parse;
use serde_json::{Number, Value};

use crate::clock::SystemClock;
use crate::config::toml_table;
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
    /// It is larger than a document may be.
    #[error("{0} has more than {max} bytes", max = limits::SNAPSHOT_BYTES)]
    TooLarge(PathBuf),
    /// What it says is wrong.
    #[error("{}", .mistakes.iter().map(|mistake| format!("{path}: {mistake}", path = .path.display())).collect::<Vec<_>>().join("\n"))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Each mistake, with its place in the file.
        mistakes: Vec<String>,
    },
}

/// What the hub begins with that has this file for a seed; nothing without one.
pub(crate) fn read_seed(path: Option<&Path>) -> Result<Snapshot, StartError> {
    let Some(path) = path else { return Ok(Snapshot::default()) };
    let text = read_file(path)?;
    let wrong = |mistakes| SeedError::Mistakes { path: path.to_owned(), mistakes };
    let document = parse_text(&text).map_err(|why| wrong(vec![why]))?;
    Ok(read_document(document, &chance()?).map_err(wrong)?)
}

/// What a document in JSON says, or its mistakes.
pub(crate) fn read_json(document: &[u8], random: &Random) -> Result<Snapshot, Vec<String>> {
    match serde_json::from_slice(document) {
        Ok(document) => read_document(document, random),
        Err(why) => Err(vec![format!("the body is not JSON: {why}")]),
    }
}

/// What a document says, or its mistakes. What it leaves out is made up here, once: a hub that is
/// reset has the same keys again.
pub(crate) fn read_document(document: Value, random: &Random) -> Result<Snapshot, Vec<String>> {
    parse(document, Restoring { now: SystemClock.now(), random })
}

fn read_file(path: &Path) -> Result<String, SeedError> {
    let unreadable = |reason| SeedError::Unreadable { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let most = limits::SNAPSHOT_BYTES as u64;
    file.take(most + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > limits::SNAPSHOT_BYTES {
        return Err(SeedError::TooLarge(path.to_owned()));
    }
    Ok(text)
}

/// TOML never begins with a brace, and a document in JSON always does.
fn parse_text(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|why| format!("this is no JSON: {why}"));
    }
    let table = toml_table(text).map_err(|why| format!("this is no TOML: {why}"))?;
    Ok(json(toml::Value::Table(table)))
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
        assert_eq!(parse_text(toml), Ok(expected.clone()));
        assert_eq!(parse_text(&format!("\n {expected}")), Ok(expected));
    }

    #[test]
    fn what_is_neither_is_told_with_its_place() {
        let table = [
            ("a = 1\nb =", "this is no TOML: line 2: "),
            ("{\n\"a\": }", "this is no JSON: expected value at line 2 column 6"),
        ];
        for (text, expected) in table {
            let why = parse_text(text).unwrap_err();
            assert!(why.starts_with(expected), "{why:?}, expected {expected:?}");
        }
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
