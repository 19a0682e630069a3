//! What can be asked of the program: flags and subcommands, parsed into the types that the
//! commands work with.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::commands::c2d::C2dCommand;
use crate::commands::configuration::ConfigurationCommand;
use crate::commands::configure::ConfigureArgs;
use crate::commands::device::DeviceCommand;
use crate::commands::events::EventsCommand;
use crate::commands::job::JobCommand;
use crate::commands::method::MethodCommand;
use crate::commands::module::ModuleCommand;
use crate::commands::query::QueryArgs;
use crate::commands::route::RouteCommand;
use crate::commands::twin::TwinCommand;

const EXIT_CODES: &str = "\
Exit codes:
  0  yes: done, or shown
  1  no: there is no such thing (show, connection-string, watch), the device did not agree in
     time (configure) or answered with another status than 2xx (method invoke), an identity could
     not be imported (device bulk import), no route takes the message (route test), or fewer than
     --count came before --timeout (events monitor, c2d feedback)
  2  error: wrong arguments, no hub, refused by the service

The hub is the one that --connection-string or IOTHUB_CONNECTION_STRING names; without either it
is the emulator that runs on this machine.";

/// The service side of IoT Hub: registry, twins, configuration.
#[derive(Debug, Parser)]
#[command(name = "service-cli", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command accepts.
#[derive(Args, Debug)]
#[command(next_help_heading = "Hub and output")]
pub(crate) struct Global {
    /// The service's connection string: HostName=…;SharedAccessKeyName=…;SharedAccessKey=…
    #[arg(long, global = true, value_name = "TEXT")]
    #[arg(env = "IOTHUB_CONNECTION_STRING", hide_env_values = true)]
    pub(crate) connection_string: Option<String>,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Where the local emulator keeps its state, if not in its usual place
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Speak HTTP without TLS; for a hub on this machine only
    #[arg(long, global = true)]
    pub(crate) plain_http: bool,
    /// Tables and diffs to read, or one JSON document for scripts
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Format,
}

/// How answers look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For scripts: the document and nothing else.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Identities in the registry
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Modules of devices
    #[command(subcommand)]
    Module(ModuleCommand),
    /// Twins of devices and modules: tags, desired and reported properties
    #[command(subcommand)]
    Twin(TwinCommand),
    /// Direct methods of devices and modules
    #[command(subcommand)]
    Method(MethodCommand),
    /// Cloud-to-device messages and their feedback
    #[command(subcommand)]
    C2d(C2dCommand),
    /// What devices send, live
    #[command(subcommand)]
    Events(EventsCommand),
    /// Jobs: one change of many twins, or one call of many devices
    #[command(subcommand)]
    Job(JobCommand),
    /// Configurations: desired properties for every twin that matches a condition
    #[command(subcommand)]
    Configuration(ConfigurationCommand),
    /// Ask a device for a configuration and wait until it reports the same
    Configure(ConfigureArgs),
    /// Ask the service's query language: SELECT … FROM devices WHERE …
    Query(QueryArgs),
    /// The routes that events take in an emulator
    #[command(subcommand)]
    Route(RouteCommand),
    /// How many devices there are, and how many are connected
    Stats,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Parses `500ms`, `30s`, `5m`, `1h`, or a bare number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected_duration(text)),
    };
    let number: u64 = number.parse().map_err(|_| expected_duration(text))?;
    let length = number.checked_mul(milliseconds).map(Duration::from_millis);
    length.filter(|length| *length <= LONGEST).ok_or_else(|| expected_duration(text))
}

fn expected_duration(text: &str) -> String {
    format!("{text:?} is no duration, expected for example 500ms, 30s, 5m or 1h")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declarations_agree_with_themselves() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_parsed() {
        let table = [
            ("500ms", Some(Duration::from_millis(500))),
            ("30s", Some(Duration::from_secs(30))),
            ("7", Some(Duration::from_secs(7))),
            ("5m", Some(Duration::from_secs(300))),
            ("1h", Some(Duration::from_secs(3600))),
            ("0", Some(Duration::ZERO)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1d", None),
            ("99999999999999999999s", None),
            ("9999999999h", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }
}
