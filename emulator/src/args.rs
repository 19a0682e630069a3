//! The command line.
//!
//! Values stay text here: they are checked together with those from the environment and the file,
//! so that all mistakes come in one report (`config.rs`).

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell as CompletionShell;
use iothub_emulator::config::Flags;

use crate::route_test::RouteCommand;
use crate::x509::X509Command;

/// Shown below the options.
const AFTER_HELP: &str = "\
Each option can also be set by an environment variable, in capitals and with underscores
(IOTHUB_EMULATOR_MQTTS_PORT), or in a TOML file (mqtts-port = 8883). A flag beats a variable, and a
variable beats the file. Port 0 picks a free one.";

/// An Azure IoT Hub on your machine: unmodified official SDKs connect to it.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The options of `run`.
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a hub until Ctrl-C (the default)
    #[command(after_help = AFTER_HELP)]
    Run(Options),
    /// Ask a running emulator whether it is ready; ends with 0 if it is
    Health(Options),
    /// Tell the whole story in one process, on free ports: a device, a back end, one configuration
    Demo,
    /// Print what a shell evaluates to make every SDK trust the emulator and find it
    #[command(after_help = "\
Usage:
  bash, zsh   eval \"$(iothub-emulator env)\"
  fish        iothub-emulator env | source
  PowerShell  iothub-emulator env --shell powershell | Out-String | Invoke-Expression")]
    Env {
        /// The shell to print for [default: the one that SHELL names, else bash]
        #[arg(long, value_enum)]
        shell: Option<Shell>,
        /// Where the emulator is, and where its state.
        #[command(flatten)]
        options: Options,
    },
    /// The certificate authority that clients are to trust
    Ca {
        /// What to do with it.
        #[command(subcommand)]
        action: CaAction,
        /// Where it is.
        #[command(flatten)]
        state: StateOptions,
    },
    /// The X.509 certificates of devices
    X509 {
        /// What to do about them.
        #[command(subcommand)]
        command: X509Command,
        /// Where the state is.
        #[command(flatten)]
        state: StateOptions,
    },
    /// The routes that events take
    Route {
        /// What to do about them.
        #[command(subcommand)]
        command: RouteCommand,
        /// Where they are configured.
        #[command(flatten)]
        state: StateOptions,
    },
    /// Print a script that completes this command line
    Completions {
        /// The shell to print for
        shell: CompletionShell,
    },
}

/// What to do with the certificate authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Subcommand)]
pub(crate) enum CaAction {
    /// Print where its certificate is
    Path,
    /// Print its certificate, fingerprint and validity
    Show,
    /// Add it to what this machine trusts
    Install,
    /// Remove it from what this machine trusts
    Uninstall,
}

/// A shell that evaluates what `env` prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Shell {
    /// bash, and every other that knows `export`
    Bash,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

/// Everything that the emulator can be told.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    #[command(flatten)]
    state: StateOptions,
    /// Address that devices and services connect to [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Port of MQTT over TLS [default: 8883]
    #[arg(long, value_name = "PORT")]
    mqtts_port: Option<String>,
    /// Port of HTTPS [default: 443, or 8443 where 443 may not be bound]
    #[arg(long, value_name = "PORT")]
    https_port: Option<String>,
    /// Port of MQTT without TLS [default: off]
    #[arg(long, value_name = "PORT")]
    mqtt_port: Option<String>,
    /// Port of AMQP over TLS [default: 5671]
    #[arg(long, value_name = "PORT")]
    amqps_port: Option<String>,
    /// Port of AMQP without TLS; SDKs of Event Hubs expect an emulator at 5672 [default: off]
    #[arg(long, value_name = "PORT")]
    amqp_port: Option<String>,
    /// Address of the harness API [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    admin_bind: Option<String>,
    /// Port of the harness API [default: 8088]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<String>,
    /// What programs on other machines show to drive the harness [default: none, which keeps them out]
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// Name or address in connection strings and in the certificate; may be given several times,
    /// the first is for connection strings [default: the address of --bind, or 127.0.0.1]
    #[arg(long, value_name = "NAME")]
    hostname: Vec<String>,
    /// Certificate of an authority whose devices may connect; may be given several times
    #[arg(long, value_name = "FILE")]
    device_ca: Vec<String>,
    /// How many partitions the Event Hubs-compatible endpoint has, 2 to 32 [default: 4]
    #[arg(long, value_name = "COUNT")]
    event_partitions: Option<String>,
    /// How many days event hubs keep events, 1 to 7 [default: 1]
    #[arg(long, value_name = "DAYS")]
    event_retention_days: Option<String>,
    /// A consumer group beside $Default; may be given several times
    #[arg(long, value_name = "NAME")]
    consumer_group: Vec<String>,
    /// Refuse connections for a host name that is none of the emulator's
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict_hosts: Option<String>,
    /// Folder for import and export jobs; a folder in it stands for a container of a storage
    /// account [default: none, and no such jobs]
    #[arg(long, value_name = "DIRECTORY")]
    storage_dir: Option<String>,
    /// What the hub begins with and is reset to: devices, configurations and routes, in TOML or
    /// JSON [default: none, an empty hub]
    #[arg(long, value_name = "FILE")]
    seed: Option<String>,
    /// Keys of the hub's policies: the documented ones, or new ones in every run
    /// [default: well-known] [possible values: well-known, random]
    #[arg(long, value_name = "KEYS")]
    keys: Option<String>,
    /// Name of the hub [default: emulator]
    #[arg(long, value_name = "NAME")]
    hub_name: Option<String>,
    /// Do not tell the start on standard output
    #[arg(long, short, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    quiet: Option<String>,
    /// How log lines are written to standard error; RUST_LOG says which
    /// [default: text] [possible values: text, json]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// How long open sessions may take to end [default: 5s]
    #[arg(long, value_name = "DURATION")]
    shutdown_grace: Option<String>,
    /// How many connections may be open at once [default: 16384]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<String>,
    /// Tier of the hub [default: S1] [possible values: F1, S1, S2, S3]
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Units of the tier [default: 1]
    #[arg(long, value_name = "COUNT")]
    units: Option<String>,
    /// Hold the hub to the throttles and the daily quota of its tier
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enforce_throttles: Option<String>,
    /// Do what messages with AzIoTHub_FaultOperationType ask for, as tests of SDKs send them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fault_messages: Option<String>,
}

/// What finds the state of the emulator.
#[derive(Args, Debug, Default)]
pub(crate) struct StateOptions {
    /// TOML file with options
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<String>,
    /// Where certificates are kept [default: iothub-emulator in the user's directory for state]
    #[arg(long, value_name = "DIRECTORY", global = true)]
    state_dir: Option<String>,
    /// Kind of the certificates' keys, where they are yet to be made
    /// [default: ecdsa] [possible values: ecdsa, rsa]
    #[arg(long, value_name = "ALGORITHM", global = true)]
    key_algorithm: Option<String>,
}

impl Options {
    /// What was said, by option.
    pub(crate) fn flags(&self) -> Flags {
        let single = [
            ("bind", &self.bind),
            ("mqtts-port", &self.mqtts_port),
            ("https-port", &self.https_port),
            ("mqtt-port", &self.mqtt_port),
            ("amqps-port", &self.amqps_port),
            ("amqp-port", &self.amqp_port),
            ("admin-bind", &self.admin_bind),
            ("admin-port", &self.admin_port),
            ("admin-token", &self.admin_token),
            ("event-partitions", &self.event_partitions),
            ("event-retention-days", &self.event_retention_days),
            ("strict-hosts", &self.strict_hosts),
            ("storage-dir", &self.storage_dir),
            ("seed", &self.seed),
            ("keys", &self.keys),
            ("hub-name", &self.hub_name),
            ("quiet", &self.quiet),
            ("log-format", &self.log_format),
            ("shutdown-grace", &self.shutdown_grace),
            ("max-connections", &self.max_connections),
            ("tier", &self.tier),
            ("units", &self.units),
            ("enforce-throttles", &self.enforce_throttles),
            ("fault-messages", &self.fault_messages),
        ];
        let flags = self
            .state
            .flags()
            .with("hostname", self.hostname.iter().cloned())
            .with("device-ca", self.device_ca.iter().cloned())
            .with("consumer-group", self.consumer_group.iter().cloned());
        single.into_iter().fold(flags, |flags, (name, value)| flags.with(name, value.clone()))
    }
}

impl StateOptions {
    /// What was said, by option.
    pub(crate) fn flags(&self) -> Flags {
        Flags::default()
            .with("config", self.config.clone())
            .with("state-dir", self.state_dir.clone())
            .with("key-algorithm", self.key_algorithm.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;
    use iothub_emulator::config::{Config, OPTIONS, Sources};

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_of_the_configuration_is_a_flag_and_every_flag_an_option() {
        let command = Arguments::command();
        let flags: BTreeSet<_> = command
            .get_arguments()
            .filter_map(|argument| argument.get_long())
            .filter(|long| !["help", "version"].contains(long))
            .map(str::to_owned)
            .collect();
        let options: BTreeSet<_> = OPTIONS.iter().map(|option| (*option).to_owned()).collect();
        assert_eq!(flags, options);
    }

    fn resolve(line: &[&str]) -> Config {
        let arguments = Arguments::try_parse_from([&["iothub-emulator"], line].concat()).unwrap();
        let flags = match &arguments.command {
            Some(Command::Run(options)) => options.flags(),
            Some(Command::Ca { state, .. }) => state.flags(),
            _ => arguments.options.flags(),
        };
        let home = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        let read_file = |_: &std::path::Path| Err(std::io::Error::other("none"));
        Config::resolve(&Sources { flags: &flags, variable: &home, read_file: &read_file }).unwrap()
    }

    #[test]
    fn every_flag_reaches_the_configuration() {
        let line = [
            "--bind=0.0.0.0",
            "--mqtts-port=1",
            "--https-port=2",
            "--mqtt-port=3",
            "--amqps-port=5",
            "--amqp-port=6",
            "--admin-bind=::",
            "--admin-port=4",
            "--admin-token=0123456789abcdef",
            "--hostname=a.test",
            "--hostname=b.test",
            "--device-ca=a.pem",
            "--device-ca=b.pem",
            "--event-partitions=8",
            "--event-retention-days=7",
            "--consumer-group=a",
            "--strict-hosts",
            "--state-dir=/s",
            "--storage-dir=/b",
            "--seed=s.toml",
            "--key-algorithm=rsa",
            "--keys=random",
            "--hub-name=hub-1",
            "-q",
            "--log-format=json",
            "--shutdown-grace=1s",
            "--max-connections=7",
            "--tier=S3",
            "--units=2",
            "--enforce-throttles",
            "--fault-messages",
        ];
        let config = resolve(&line);
        let default = Config::default();
        let same = [
            config.bind == default.bind,
            config.mqtts_port == default.mqtts_port,
            config.https_port == default.https_port,
            config.mqtt_port == default.mqtt_port,
            config.amqps_port == default.amqps_port,
            config.amqp_port == default.amqp_port,
            config.event_partitions == default.event_partitions,
            config.event_retention == default.event_retention,
            config.consumer_groups == default.consumer_groups,
            config.admin_bind == default.admin_bind,
            config.admin_port == default.admin_port,
            config.admin_token == default.admin_token,
            config.hostname == default.hostname,
            config.aliases == default.aliases,
            config.device_authorities == default.device_authorities,
            config.strict_hosts == default.strict_hosts,
            config.state_dir == default.state_dir,
            config.storage_dir == default.storage_dir,
            config.seed == default.seed,
            config.key_algorithm == default.key_algorithm,
            config.keys == default.keys,
            config.hub_name == default.hub_name,
            config.quiet == default.quiet,
            config.log_format == default.log_format,
            config.shutdown_grace == default.shutdown_grace,
            config.max_connections == default.max_connections,
            config.tier == default.tier,
            config.units == default.units,
            config.enforce_throttles == default.enforce_throttles,
            config.fault_messages == default.fault_messages,
        ];
        assert_eq!(same, [false; 30]);
        assert_eq!(resolve(&[&["run"], line.as_slice()].concat()), config);
    }

    #[test]
    fn a_switch_can_be_turned_off_and_the_state_named_after_the_action() {
        assert!(!resolve(&["--quiet=false"]).quiet);
        assert_eq!(resolve(&["ca", "path", "--state-dir", "/s"]).state_dir, Some("/s".into()));
        assert_eq!(resolve(&["ca", "--state-dir", "/s", "show"]).state_dir, Some("/s".into()));
    }
}
