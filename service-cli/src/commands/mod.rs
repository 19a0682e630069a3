//! The commands, one file per noun (`identity` helps `device`), and what they have in common: the session they work in, and
//! the ways in which they end.

pub(crate) mod bulk;
pub(crate) mod c2d;
pub(crate) mod configuration;
pub(crate) mod configure;
pub(crate) mod device;
pub(crate) mod events;
mod identity;
pub(crate) mod job;
mod live;
pub(crate) mod method;
pub(crate) mod module;
pub(crate) mod query;
pub(crate) mod route;
pub(crate) mod stats;
pub(crate) mod twin;

use iothub_core::ids::{ETag, Precondition};
use iothub_wire::local::is_loopback;
use service_cli::locate::{NoTarget, Target};
use service_cli::roots::InvalidRoots;
use service_cli::{Amqp, Client, Error};

use crate::args::Global;
use crate::output::Output;

/// What a command works with.
pub(crate) struct Session<'a> {
    pub(crate) client: Client,
    pub(crate) target: &'a Target,
    pub(crate) global: &'a Global,
    pub(crate) out: Output,
}

impl Session<'_> {
    /// The same hub over AMQP.
    pub(crate) fn amqp(&self) -> Result<Amqp, Failure> {
        if self.global.plain_http {
            return Err(Failure::Input(
                "--plain-http is for HTTP, and this command speaks AMQP: leave it out".to_owned(),
            ));
        }
        let roots = self.target.roots(self.global.ca.as_deref())?;
        Ok(Amqp::new(self.target.hub.clone(), self.target.amqp_port(), &roots)?)
    }
}

/// How a command ended that did what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Exit code 0.
    Yes,
    /// Exit code 1.
    No,
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was to be shown is not there: exit code 1.
    #[error("{0}")]
    Absent(Error),
    /// A call failed.
    #[error("{0}")]
    Call(Error),
    /// There is no hub to talk to.
    #[error(transparent)]
    Hub(#[from] NoTarget),
    /// A file of certificates is none.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
    /// What was given cannot be worked with.
    #[error("{0}")]
    Input(String),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Print(#[from] std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl Failure {
    /// For commands that only look: that there is no such thing is an answer, not an error.
    pub(crate) fn of_looking(error: Error) -> Self {
        if error.is_not_found() { Self::Absent(error) } else { Self::Call(error) }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Print(why) if why.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Self::Absent(_) => 1,
            _ => 2,
        }
    }

    /// What to tell, in one line with the remedy where one is known; nothing if nobody reads.
    pub(crate) fn line(&self, target: Option<&Target>) -> Option<String> {
        let remedy = match self {
            Self::Print(why) if why.kind() == std::io::ErrorKind::BrokenPipe => return None,
            Self::Call(error) => call_remedy(error, target),
            Self::Hub(NoTarget::ConnectionString(_)) => None,
            Self::Hub(NoTarget::Unreadable { .. }) => {
                Some("start iothub-emulator anew, or pass --connection-string".to_owned())
            }
            Self::Hub(_) => Some(
                "start iothub-emulator, pass --connection-string or set IOTHUB_CONNECTION_STRING"
                    .to_owned(),
            ),
            _ => None,
        };
        let line = match remedy {
            Some(remedy) => format!("{self}; {remedy}"),
            None => self.to_string(),
        };
        Some(one_line(&line))
    }
}

/// Some of the service's messages have several lines.
fn one_line(text: &str) -> String {
    let lines = text.split(char::is_control).map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

fn call_remedy(error: &Error, target: Option<&Target>) -> Option<String> {
    let target = target?;
    match error {
        Error::ConfigId(_) => Some("pass --config-id".to_owned()),
        Error::Untrusted { authority: true, .. } => Some(
            "pass the certificate authority that signed it with --ca FILE (an emulator prints its own with \"iothub-emulator ca show\")"
                .to_owned(),
        ),
        Error::Refused { .. } if target.found => {
            let pid = target.local.as_ref().map(|local| local.pid)?;
            Some(format!(
                "the emulator that left word of it (process {pid}) has stopped: start iothub-emulator, or pass --connection-string"
            ))
        }
        Error::Refused { .. } if is_loopback(&target.hub.host.name) => {
            Some("is iothub-emulator running?".to_owned())
        }
        _ => None,
    }
}

/// Parses a JSON value.
pub(crate) fn json_value(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|why| format!("{text:?} is not JSON: {why}"))
}

/// Parses a JSON object.
pub(crate) fn json_object(
    text: &str,
) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_str(text).map_err(|why| format!("{text:?} is no JSON object: {why}"))
}

/// Parses what `--etag` gives: `*`, or a tag with or without its quotes.
pub(crate) fn etag(text: &str) -> Result<Precondition, String> {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if text == "*" {
        return Ok(Precondition::Exists);
    }
    if text.is_empty() || text.chars().any(|c| c == '"' || !c.is_ascii_graphic()) {
        return Err(format!("{text:?} is no ETag, expected for example AAAAAAAAAAE= or *"));
    }
    Ok(Precondition::Matches(ETag::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn target(host: &str, found: bool) -> Target {
        let text = format!("HostName={host};SharedAccessKeyName=p;SharedAccessKey={KEY}");
        let mut target = service_cli::locate::locate(Some(&text), None).unwrap();
        target.found = found;
        target.local = found.then(|| iothub_wire::local::LocalEmulator {
            connection_string: text,
            mqtt_port: 8883,
            amqp_port: 5671,
            event_hub: String::new(),
            harness: String::new(),
            ca_file: "ca.pem".into(),
            pid: 42,
        });
        target
    }

    #[test]
    fn remedies_fit_the_failure() {
        let refused = || Failure::Call(Error::Refused { hub: "h".to_owned() });
        let untrusted = |authority| {
            Failure::Call(Error::Untrusted { hub: "h".to_owned(), why: "w".to_owned(), authority })
        };
        let table = [
            (refused(), target("127.0.0.1", true), Some("process 42")),
            (refused(), target("127.0.0.1", false), Some("is iothub-emulator running?")),
            (refused(), target("hub.example.test", false), None),
            (untrusted(true), target("hub.example.test", false), Some("--ca FILE")),
            (untrusted(false), target("hub.example.test", false), None),
        ];
        for (failure, target, expected) in table {
            let line = failure.line(Some(&target)).unwrap();
            assert_eq!(line.split_once("; ").is_some(), expected.is_some(), "{line}");
            assert!(line.contains(expected.unwrap_or_default()), "{line}");
            assert_eq!(failure.exit_code(), 2);
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::Print(std::io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit_code(), failure.line(None)), (0, None));
        let failure = Failure::Print(std::io::ErrorKind::StorageFull.into());
        assert_eq!(failure.exit_code(), 2);
    }

    #[test]
    fn etags_come_in_every_spelling() {
        let tag = Precondition::Matches(ETag::new("AAE="));
        let table = [
            ("AAE=", Some(tag.clone())),
            ("\"AAE=\"", Some(tag.clone())),
            ("W/\"AAE=\"", Some(tag)),
            ("*", Some(Precondition::Exists)),
            ("\"*\"", Some(Precondition::Exists)),
            ("", None),
            ("\"\"", None),
            ("a b", None),
            ("a\r\nb", None),
        ];
        for (text, expected) in table {
            assert_eq!(etag(text).ok(), expected, "{text}");
        }
    }
}
