//! The arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use device_sim::Span;
use iothub_core::ids::DeviceId;
use iothub_wire::local::STATE_DIR_VARIABLE;

/// A simulated IoT device that keeps its twin in agreement with its back end.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the device was stopped, by a signal or by --stop-after-applied
  2  an argument or the script is wrong, or the hub refused the device or showed a certificate
     that is not trusted before the device was ever connected";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a device until Ctrl-C
    Run(Box<Run>),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// How to run a device.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The device's connection string: HostName=…;DeviceId=…;SharedAccessKey=…
    #[arg(
        long,
        env = "IOTHUB_DEVICE_CONNECTION_STRING",
        hide_env_values = true,
        value_name = "TEXT"
    )]
    pub(crate) connection_string: Option<String>,

    /// Run this device of the emulator on this machine; nothing else has to be given
    // Whoever names a device means it, whatever the environment holds.
    #[arg(long, value_name = "ID", value_parser = DeviceId::parse)]
    pub(crate) device: Option<DeviceId>,

    /// Where the emulator on this machine keeps its state
    #[arg(long, env = STATE_DIR_VARIABLE, hide_env_values = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Trust the certificate authority in this PEM file, besides those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// What the device speaks
    #[arg(long, value_enum, default_value_t = Via::Mqtt)]
    pub(crate) transport: Via,

    /// The device's certificate, and those of its issuers, as a PEM file; the connection string is
    /// HostName=…;DeviceId=…;x509=true then
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "plain")]
    pub(crate) cert: Option<PathBuf>,

    /// The certificate's key, as a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// The port [default: that of the connection string, which is one of MQTT, or that of the
    /// emulator on this machine, or the service's own: 8883, AMQP 5671, WebSockets and HTTP 443]
    #[arg(long)]
    pub(crate) port: Option<u16>,

    /// Connect without TLS, to an emulator's plain MQTT port
    #[arg(long, requires = "port", conflicts_with_all = ["ca", "transport"])]
    pub(crate) plain: bool,

    /// How long a desired configuration stays pending before it is applied
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    pub(crate) apply_delay: Delay,

    /// How long a token is good for; the device reconnects before it ends
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = token_ttl)]
    pub(crate) token_ttl: Span,

    /// What the device reports, sends and answers, as a TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,

    /// Lines for people, or one JSON object per line for programs
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(crate) output: Output,

    /// Stop once this many desired configurations were applied and reported
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stop_after_applied: Option<u32>,

    /// Make the pauses between connection attempts repeatable
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

/// Below this, a device would do little else than reconnect.
const SHORTEST_TTL: Duration = Duration::from_secs(10);

fn token_ttl(text: &str) -> Result<Span, String> {
    let span = Span::parse(text).map_err(|error| error.to_string())?;
    if span.length() < SHORTEST_TTL {
        return Err(format!("{text:?} is too short for a token, expected 10s or more"));
    }
    Ok(span)
}

/// What the device speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Via {
    /// MQTT.
    Mqtt,
    /// MQTT over WebSockets, on the port of HTTPS.
    MqttWs,
    /// AMQP.
    Amqp,
    /// AMQP over WebSockets, on the port of HTTPS.
    AmqpWs,
    /// HTTP: telemetry and messages only, no twin and no methods.
    Http,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// A span that may be zero, written `0` or `0s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay(pub(crate) Duration);

impl std::str::FromStr for Delay {
    type Err = device_sim::InvalidSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        match Span::parse(text) {
            Ok(span) => Ok(Self(span.length())),
            Err(device_sim::InvalidSpan::Zero(_)) => Ok(Self(Duration::ZERO)),
            Err(invalid) => Err(invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_token_lasts_a_while() {
        assert!(token_ttl("10s").is_ok());
        let error = "\"9s\" is too short for a token, expected 10s or more";
        assert_eq!(token_ttl("9s"), Err(error.to_owned()));
        assert!(token_ttl("soon").is_err());
    }

    #[test]
    fn a_delay_may_be_nothing() {
        let table = [("0", Some(0)), ("0s", Some(0)), ("250ms", Some(250)), ("soon", None)];
        for (text, expected) in table {
            let delay: Option<Delay> = text.parse().ok();
            assert_eq!(delay.map(|delay| delay.0.as_millis()), expected, "{text}");
        }
    }
}
