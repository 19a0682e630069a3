//! Where options come from, in order of strength: flags, environment variables, a TOML file.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use iothub_core::route::RoutingMistake;
use iothub_wire::json::field::unknown_field;

use super::routing::TABLES;
use super::values::Kind;

/// Every option by the name that it has as a flag (with `--` before it) and in the file. As a
/// variable it is written `IOTHUB_EMULATOR_…`, in capitals and with underscores.
pub const OPTIONS: [&str; 30] = [
    "bind",
    "mqtts-port",
    "https-port",
    "mqtt-port",
    "amqps-port",
    "amqp-port",
    "admin-bind",
    "admin-port",
    "admin-token",
    "hostname",
    "device-ca",
    "event-partitions",
    "event-retention-days",
    "consumer-group",
    "strict-hosts",
    "state-dir",
    "storage-dir",
    "seed",
    "key-algorithm",
    "keys",
    "hub-name",
    "quiet",
    "log-format",
    "shutdown-grace",
    "max-connections",
    "tier",
    "units",
    "enforce-throttles",
    "fault-messages",
    "config",
];

/// The one option that cannot stand in the file, since it names the file.
const CONFIG: &str = "config";

/// What options are resolved from.
pub struct Sources<'a> {
    /// What stood on the command line.
    pub flags: &'a Flags,
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// What stood on the command line: options by name, each with its values as text.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, Vec<String>>);

/// Where a value was said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// On the command line.
    Flag(&'static str),
    /// In the environment.
    Variable(String),
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The key in it.
        key: String,
    },
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Mistake {
    /// There are more consumer groups than an event hub has.
    #[error("there are {0} consumer groups, expected at most {max}", max = iothub_core::limits::CONSUMER_GROUPS)]
    ConsumerGroups(usize),
    /// A value is not of its kind.
    #[error("{origin} is {found:?}, expected {expected}")]
    Value {
        /// Where it was said.
        origin: Origin,
        /// What was said.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A value has a form that only TOML has, such as a table.
    #[error("{origin} is {found}, expected a text, a number, true or false")]
    Form {
        /// Where it was said.
        origin: Origin,
        /// What TOML calls it.
        found: &'static str,
    },
    /// The file has a key that is no option.
    #[error("{path}: {}; --help lists them", unknown_field(key, &[&file_keys()[..], &TABLES].concat()))]
    UnknownKey {
        /// The file.
        path: Shown,
        /// The key.
        key: String,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: Shown,
        /// What the operating system says.
        reason: String,
    },
    /// The file is no TOML.
    #[error("{path} is no TOML: {reason}")]
    Syntax {
        /// The file.
        path: Shown,
        /// What the parser says.
        reason: String,
    },
    /// Two listeners would have the same port.
    #[error("{first} and {second} are both {port}, expected different ports")]
    Clash {
        /// One listener's option.
        first: &'static str,
        /// The other listener's option.
        second: &'static str,
        /// The port.
        port: u16,
    },
    /// The name for connection strings is an address that none can hold.
    #[error(
        "hostname is {0}, expected a name or an IPv4 address first: SDKs cut a host name at its first colon"
    )]
    Ipv6HostName(IpAddr),
    /// A table of the file is not what it should be.
    #[error("{table} {name}: {why}")]
    Entry {
        /// Which table.
        table: &'static str,
        /// Which of its entries.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// What the file says of where events go does not hold together.
    #[error(transparent)]
    Routing(RoutingMistake),
    /// Nothing tells where the state directory is.
    #[error("there is no state directory: set HOME, or give --state-dir")]
    NoStateDir,
}

/// A path that shows as text in a [`Mistake`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown(pub PathBuf);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, key } => write!(f, "{}: {key}", path.display()),
        }
    }
}

impl Flags {
    /// Remembers the values of an option; none leaves it to the weaker sources.
    #[must_use]
    pub fn with(mut self, name: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        if !values.is_empty() {
            self.0.insert(name, values);
        }
        self
    }
}

/// The sources, read and laid over each other, and the mistakes found so far.
pub(super) struct Layers<'a> {
    sources: &'a Sources<'a>,
    file: Option<(PathBuf, toml::Table)>,
    pub(super) mistakes: Vec<Mistake>,
}

/// What the strongest source says of an option.
struct Said {
    origin: Origin,
    values: Vec<String>,
}

impl<'a> Layers<'a> {
    pub(super) fn read(sources: &'a Sources<'a>) -> Self {
        let mut layers = Self { sources, file: None, mistakes: Vec::new() };
        if let Some(path) = layers.one(CONFIG, &Kind::PATH) {
            match read_file(sources, &path) {
                Ok(table) => layers.take_file(path, table),
                Err(mistake) => layers.mistakes.push(mistake),
            }
        }
        layers
    }

    /// The value of an option that has at most one.
    pub(super) fn one<T>(&mut self, name: &'static str, kind: &Kind<T>) -> Option<T> {
        let Said { origin, values } = self.said(name)?;
        let text = values.last()?;
        self.parsed(&origin, text, kind)
    }

    /// The values of an option that may have several, which commas separate.
    pub(super) fn many<T>(&mut self, name: &'static str, kind: &Kind<T>) -> Vec<T> {
        let Some(Said { origin, values }) = self.said(name) else {
            return Vec::new();
        };
        let texts = values.iter().flat_map(|value| value.split(','));
        texts.filter_map(|text| self.parsed(&origin, text.trim(), kind)).collect()
    }

    /// A port; 0 after a mistake, so that it clashes with no other.
    pub(super) fn port(&mut self, name: &'static str, default: u16) -> u16 {
        match self.said(name) {
            None => default,
            Some(_) => self.one(name, &Kind::PORT).unwrap_or_default(),
        }
    }

    /// A port whose default depends on the machine.
    pub(super) fn port_or_unset(&mut self, name: &'static str) -> Option<u16> {
        self.said(name).map(|_| self.one(name, &Kind::PORT).unwrap_or_default())
    }

    fn parsed<T>(&mut self, origin: &Origin, text: &str, kind: &Kind<T>) -> Option<T> {
        let value = (kind.parse)(text);
        if value.is_none() {
            self.mistakes.push(Mistake::Value {
                origin: origin.clone(),
                found: text.to_owned(),
                expected: kind.expected,
            });
        }
        value
    }

    fn said(&self, name: &'static str) -> Option<Said> {
        self.in_flags(name).or_else(|| self.in_variables(name)).or_else(|| self.in_file(name))
    }

    fn in_flags(&self, name: &'static str) -> Option<Said> {
        let values = self.sources.flags.0.get(name)?.clone();
        Some(Said { origin: Origin::Flag(name), values })
    }

    /// An empty variable counts as none: that is how scripts unset one.
    fn in_variables(&self, name: &str) -> Option<Said> {
        let variable = variable_name(name);
        let value = (self.sources.variable)(&variable).filter(|value| !value.is_empty())?;
        Some(Said { origin: Origin::Variable(variable), values: vec![value] })
    }

    fn in_file(&self, name: &str) -> Option<Said> {
        let (path, table) = self.file.as_ref()?;
        let values = texts(table.get(name)?).ok()?;
        let origin = Origin::File { path: path.clone(), key: name.to_owned() };
        Some(Said { origin, values })
    }

    /// The entries of a table that may stand in the file several times.
    pub(super) fn table(&self, name: &str) -> Vec<toml::Value> {
        let found = self.file.as_ref().and_then(|(_, file)| file.get(name));
        match found {
            None => Vec::new(),
            Some(toml::Value::Array(entries)) => entries.clone(),
            Some(single) => vec![single.clone()],
        }
    }

    /// Takes the file after a look at its keys and at the form of their values.
    fn take_file(&mut self, path: PathBuf, table: toml::Table) {
        for (key, value) in &table {
            if TABLES.contains(&key.as_str()) {
                continue;
            }
            if !file_keys().contains(&key.as_str()) {
                let path = Shown(path.clone());
                self.mistakes.push(Mistake::UnknownKey { path, key: key.clone() });
            } else if let Err(found) = texts(value) {
                let origin = Origin::File { path: path.clone(), key: key.clone() };
                self.mistakes.push(Mistake::Form { origin, found });
            }
        }
        self.file = Some((path, table));
    }
}

/// The environment variable of an option.
fn variable_name(option: &str) -> String {
    format!("IOTHUB_EMULATOR_{}", option.replace('-', "_").to_ascii_uppercase())
}

fn file_keys() -> Vec<&'static str> {
    OPTIONS.into_iter().filter(|option| *option != CONFIG).collect()
}

fn read_file(sources: &Sources<'_>, path: &Path) -> Result<toml::Table, Mistake> {
    let text = (sources.read_file)(path).map_err(|error| Mistake::Unreadable {
        path: Shown(path.to_owned()),
        reason: error.to_string(),
    })?;
    toml_table(&text).map_err(|reason| Mistake::Syntax { path: Shown(path.to_owned()), reason })
}

/// Reads TOML; what is wrong with it begins with the line.
pub(crate) fn toml_table(text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().and_then(|span| text.get(..span.start)).map(line_number);
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{line}{}", error.message().replace('\n', ", "))
    })
}

fn line_number(text_before: &str) -> usize {
    text_before.matches('\n').count() + 1
}

/// The texts of a TOML value: one, or those of an array; the error is what TOML calls the value.
fn texts(value: &toml::Value) -> Result<Vec<String>, &'static str> {
    match value {
        toml::Value::Array(values) => values.iter().map(text).collect(),
        single => text(single).map(|text| vec![text]),
    }
}

fn text(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        toml::Value::Float(_) => Err("a float"),
        toml::Value::Datetime(_) => Err("a date"),
        toml::Value::Array(_) => Err("an array in an array"),
        toml::Value::Table(_) => Err("a table"),
    }
}
