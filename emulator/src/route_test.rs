//! `route test`: which routes of the configuration a message takes, and why it does not take the
//! others.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use iothub_core::route::Routing;
use iothub_core::route::trial::{TestInput, Trial, Tried};
use iothub_core::time::Clock as _;
use iothub_emulator::clock::SystemClock;
use iothub_emulator::config::Config;
use iothub_emulator::{StartError, beginning};
use iothub_wire::json::trial;
use service_cli::route;

use crate::output::{misconfigured, print};

/// No route takes the message.
const NO_MATCH: u8 = 1;

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Try a message on the routes of the configuration, or on a condition, without sending it
    #[command(after_help = "\
Ends with 0 if a route takes the message, with 1 if none does, and with 2 if something said is wrong.
`service-cli route test` asks a running emulator, which knows the twins of its devices.

Examples:
  iothub-emulator route test --config emulator.toml --property alert=yes --body '{\"t\": 31}'
  iothub-emulator route test --condition '$body.t > 30 AND $twin.tags.floor = 3' \\
      --body '{\"t\": 31}' --twin '{\"tags\": {\"floor\": 3}}'")]
    Test(TestArgs),
}

/// A message to try, and how to tell what became of it.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    what: route::TrialArgs,
    /// File that the hub begins with, which may have routes
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<String>,
    /// How the outcome is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Tries a message, and tells what became of it.
pub(crate) fn test(config: &Config, args: &TestArgs) -> ExitCode {
    let outcome = match args.what.clone().input().and_then(|input| try_it(config, &input)) {
        Ok(outcome) => outcome,
        Err(why) => return misconfigured([why]),
    };
    let shown = match args.output {
        Output::Text => outcome.to_string(),
        Output::Json => format!("{:#}\n", trial::trial(&outcome)),
    };
    match print(&shown) {
        Err(error) => misconfigured([format_args!("standard output cannot be written: {error}")]),
        Ok(()) if outcome.is_taken() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(NO_MATCH),
    }
}

fn try_it(config: &Config, input: &TestInput) -> Result<Trial, String> {
    let routing = match input.tried {
        // Whoever looks for a better condition has routes that cannot be read yet.
        Tried::Condition(_) => Routing::default(),
        _ => routing(config).map_err(|why| why.to_string())?,
    };
    routing.test(input, SystemClock.now()).map_err(|why| why.to_string())
}

fn routing(config: &Config) -> Result<Routing, StartError> {
    let routing = beginning(config)?.routing.unwrap_or_default();
    Routing::new(&routing).map_err(StartError::Routing)
}
