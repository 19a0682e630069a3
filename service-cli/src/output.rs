//! How answers look: aligned tables for people, documents for scripts, colour only where a
//! terminal reads it.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use serde_json::Value;
use service_cli::diff;
use service_cli::twin::{Section, Twin};

use crate::args::Format;

const HEADER: Style = Style::new().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();
const AGREES: Style = AnsiColor::Green.on_default();
const DIFFERS: Style = AnsiColor::Yellow.on_default();

/// Where answers go. Colour is always written and taken out on the way if nobody would see it.
pub(crate) struct Output {
    format: Format,
    out: anstream::AutoStream<io::Stdout>,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, out: anstream::AutoStream::auto(io::stdout()) }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes text that brings its own line breaks.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// Writes a line that stands above what follows.
    pub(crate) fn title(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{HEADER}{text}{HEADER:#}\n"))
    }

    /// Writes a document, indented.
    pub(crate) fn document(&mut self, document: &Value) -> io::Result<()> {
        self.write(&diff::pretty(document))
    }

    /// Writes a document as one line, for those that come one after another.
    pub(crate) fn document_line(&mut self, document: &Value) -> io::Result<()> {
        self.line(&diff::calm(&document.to_string()))
    }
}

/// Tells the person at the terminal something that is not part of the answer.
pub(crate) fn warn(text: &str) {
    // Where there is no one to tell there is nobody to tell that either.
    let _ = writeln!(anstream::stderr(), "{WARNING}{text}{WARNING:#}");
}

/// The same for what is no trouble.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A value as it stands in a table: text without quotes, nothing as `-`, year 1 as `never`.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.starts_with("0001-01-01T") => "never".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(other) => diff::calm(&other.to_string()),
    }
}

/// A property's value as JSON, in which a text differs from a number.
fn json_cell(value: Option<&Value>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| diff::calm(&value.to_string()))
}

/// Text without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Names and values, one pair per line.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let rows = pairs.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
    aligned(None, rows)
}

/// Rows below a header.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let text = aligned(Some(header), rows);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{HEADER}{first}{HEADER:#}\n{rest}")
}

fn aligned(header: Option<&[&str]>, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if let Some(header) = header {
        table.set_header(header);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// An identity, one field per line.
pub(crate) fn device(identity: &Value) -> String {
    let field = |name| cell(identity.get(name));
    let at = |pointer| cell(identity.pointer(pointer));
    let mut lines = vec![
        ("device", field("deviceId")),
        ("status", with_reason(identity)),
        ("connection", field("connectionState")),
        ("last activity", field("lastActivityTime")),
        ("authentication", at("/authentication/type")),
    ];
    let optional = [
        ("primary key", "/authentication/symmetricKey/primaryKey"),
        ("secondary key", "/authentication/symmetricKey/secondaryKey"),
        ("primary thumbprint", "/authentication/x509Thumbprint/primaryThumbprint"),
        ("secondary thumbprint", "/authentication/x509Thumbprint/secondaryThumbprint"),
        ("scope", "/deviceScope"),
    ];
    for (name, pointer) in optional {
        if identity.pointer(pointer).is_some_and(|value| !value.is_null()) {
            lines.push((name, at(pointer)));
        }
    }
    lines.extend([
        ("edge", at("/capabilities/iotEdge")),
        ("waiting messages", field("cloudToDeviceMessageCount")),
        ("generation", field("generationId")),
        ("etag", field("etag")),
    ]);
    pairs(&lines)
}

/// Identities, one per row, in the order of their ids.
pub(crate) fn devices(identities: &[Value]) -> String {
    let mut rows: Vec<Vec<String>> = identities.iter().map(device_row).collect();
    rows.sort();
    table(&["device", "status", "connection", "authentication", "waiting", "last activity"], rows)
}

fn device_row(identity: &Value) -> Vec<String> {
    vec![
        cell(identity.get("deviceId")),
        with_reason(identity),
        cell(identity.get("connectionState")),
        cell(identity.pointer("/authentication/type")),
        cell(identity.get("cloudToDeviceMessageCount")),
        cell(identity.get("lastActivityTime")),
    ]
}

/// A module's identity, one field per line.
pub(crate) fn module(identity: &Value) -> String {
    let field = |name| cell(identity.get(name));
    let at = |pointer| cell(identity.pointer(pointer));
    let mut lines = vec![
        ("device", field("deviceId")),
        ("module", field("moduleId")),
        ("managed by", field("managedBy")),
        ("connection", field("connectionState")),
        ("last activity", field("lastActivityTime")),
        ("authentication", at("/authentication/type")),
    ];
    let keys = [
        ("primary key", "/authentication/symmetricKey/primaryKey"),
        ("secondary key", "/authentication/symmetricKey/secondaryKey"),
    ];
    for (name, pointer) in keys {
        if identity.pointer(pointer).is_some_and(|value| !value.is_null()) {
            lines.push((name, at(pointer)));
        }
    }
    lines.extend([("generation", field("generationId")), ("etag", field("etag"))]);
    pairs(&lines)
}

/// Identities of modules, one per row, in the order of their ids.
pub(crate) fn modules(identities: &[Value]) -> String {
    let row = |identity: &Value| {
        vec![
            cell(identity.get("moduleId")),
            cell(identity.get("managedBy")),
            cell(identity.get("connectionState")),
            cell(identity.pointer("/authentication/type")),
            cell(identity.get("lastActivityTime")),
        ]
    };
    let mut rows: Vec<Vec<String>> = identities.iter().map(row).collect();
    rows.sort();
    table(&["module", "managed by", "connection", "authentication", "last activity"], rows)
}

/// What could not be done in bulk, one identity per row.
pub(crate) fn bulk_errors(errors: &[Value]) -> String {
    let row = |error: &Value| {
        vec![
            cell(error.get("deviceId")),
            cell(error.get("moduleId")),
            cell(error.get("errorCode")),
            cell(error.get("errorStatus")),
        ]
    };
    table(&["device", "module", "error", "why"], errors.iter().map(row))
}

fn with_reason(identity: &Value) -> String {
    let status = cell(identity.get("status"));
    match identity.get("statusReason").and_then(Value::as_str) {
        Some(reason) if !reason.is_empty() => format!("{status} ({})", printable(reason)),
        _ => status,
    }
}

/// A twin: what it says of the device, then properties side by side, then tags.
pub(crate) fn twin(twin: &Twin) -> String {
    let field = |name| cell(twin.field(name));
    let mut lines = vec![("device", field("deviceId"))];
    if twin.field("moduleId").is_some() {
        lines.push(("module", field("moduleId")));
    }
    lines.extend([
        ("status", field("status")),
        ("connection", field("connectionState")),
        ("last activity", field("lastActivityTime")),
        ("version", field("version")),
        ("etag", field("etag")),
    ]);
    let mut text = pairs(&lines);
    let properties = property_rows(twin);
    if !properties.is_empty() {
        text.push('\n');
        text += &table(&["property", "desired", "reported", ""], properties);
    }
    let tags = twin.tags();
    if !tags.is_empty() {
        let rows =
            tags.into_iter().map(|(name, value)| vec![printable(&name), json_cell(Some(value))]);
        text.push('\n');
        text += &table(&["tag", "value"], rows);
    }
    text
}

/// Each property with what is asked for, what is reported, and whether they agree.
fn property_rows(twin: &Twin) -> Vec<Vec<String>> {
    let desired = twin.leaves(Section::Desired);
    let reported = twin.leaves(Section::Reported);
    let find = |leaves: &[(String, &Value)], name: &str| {
        leaves.iter().find(|(other, _)| other == name).map(|(_, value)| (*value).clone())
    };
    let only_reported = reported.iter().filter(|(name, _)| find(&desired, name).is_none());
    desired
        .iter()
        .chain(only_reported)
        .map(|(name, _)| {
            let (asked, is) = (find(&desired, name), find(&reported, name));
            let verdict = match (&asked, &is) {
                (None, _) => String::new(),
                (asked, is) if asked == is => format!("{AGREES}agrees{AGREES:#}"),
                _ => format!("{DIFFERS}differs{DIFFERS:#}"),
            };
            let (asked, is) = (json_cell(asked.as_ref()), json_cell(is.as_ref()));
            // Colour stands in the last column only, where its length moves nothing.
            vec![printable(name), asked, is, verdict]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn cells_are_plain() {
        let table = [
            (None, "-"),
            (Some(json!(null)), "-"),
            (Some(json!("enabled")), "enabled"),
            (Some(json!("0001-01-01T00:00:00Z")), "never"),
            (Some(json!("a\u{1b}[31m\n")), "a\u{fffd}[31m\u{fffd}"),
            (Some(json!(7)), "7"),
            (Some(json!({"a": "\u{9b}"})), "{\"a\":\"\\u009b\"}"),
        ];
        for (value, expected) in table {
            assert_eq!(cell(value.as_ref()), expected, "{value:?}");
        }
    }

    #[test]
    fn devices_are_aligned_and_sorted() {
        let list = [
            json!({"deviceId": "b", "status": "disabled", "statusReason": "lost",
                   "connectionState": "Disconnected", "authentication": {"type": "sas"},
                   "cloudToDeviceMessageCount": 0, "lastActivityTime": "0001-01-01T00:00:00Z"}),
            json!({"deviceId": "a-long-one", "status": "enabled", "statusReason": null,
                   "connectionState": "Connected", "authentication": {"type": "sas"},
                   "cloudToDeviceMessageCount": 12, "lastActivityTime": "2026-11-23T15:00:00Z"}),
        ];
        assert_eq!(
            plain(&devices(&list)),
            "\
device      status           connection    authentication  waiting  last activity
a-long-one  enabled          Connected     sas             12       2026-11-23T15:00:00Z
b           disabled (lost)  Disconnected  sas             0        never
"
        );
    }

    #[test]
    fn an_identity_shows_what_it_has() {
        let identity = json!({
            "deviceId": "d", "generationId": "637", "etag": "MQ==", "status": "enabled",
            "connectionState": "Connected", "lastActivityTime": "0001-01-01T00:00:00",
            "cloudToDeviceMessageCount": 0, "capabilities": {"iotEdge": false},
            "authentication": {"type": "sas",
                "symmetricKey": {"primaryKey": "p", "secondaryKey": "s"},
                "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null}},
        });
        assert_eq!(
            device(&identity),
            "\
device            d
status            enabled
connection        Connected
last activity     never
authentication    sas
primary key       p
secondary key     s
edge              false
waiting messages  0
generation        637
etag              MQ==
"
        );
    }

    #[test]
    fn a_twin_s_properties_stand_side_by_side() {
        let document = json!({
            "deviceId": "d", "etag": "AAAAAAAAAAI=", "version": 5, "status": "enabled",
            "connectionState": "Connected", "lastActivityTime": "2026-11-23T15:00:00Z",
            "tags": {"site": "x"},
            "properties": {
                "desired": {"configId": 2, "sendFrequency": "5m", "$version": 2},
                "reported": {"configId": 2, "sendFrequency": "24h", "net": {"ip": "::1"}},
            },
        });
        assert_eq!(
            plain(&twin(&Twin::new(document).unwrap())),
            "\
device         d
status         enabled
connection     Connected
last activity  2026-11-23T15:00:00Z
version        5
etag           AAAAAAAAAAI=

property       desired  reported
configId       2        2         agrees
sendFrequency  \"5m\"     \"24h\"     differs
net.ip         -        \"::1\"

tag   value
site  \"x\"
"
        );
    }
}
