//! `route`: which routes a message takes in a running emulator.

use clap::{Args, Subcommand};
use iothub_wire::json::trial;
use service_cli::harness::Harness;
use service_cli::route;

use crate::args::Format;
use crate::commands::{Failure, Session, Verdict};

/// What can be done with routes.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Try a message on the routes of a hub, or on a condition, without sending it
    #[command(after_help = "\
An emulator answers this; Azure's control plane has a test of its own. The sender has the twin that it
has in the hub, unless --twin is given.

Examples:
  service-cli route test --property alert=yes --body '{\"t\": 31}'
  service-cli route test --condition '$twin.tags.floor = 3' --device-id dev1")]
    Test(TestArgs),
}

/// A message to try, and who is asked.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    what: route::TrialArgs,
    /// The harness of the emulator [default: that of the emulator found, else http://127.0.0.1:8088]
    #[arg(long, value_name = "URL")]
    harness: Option<String>,
    /// What the harness asks of other machines
    #[arg(long, value_name = "TOKEN", env = "IOTHUB_EMULATOR_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// The name of the hub [default: that of the emulator found]
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
}

pub(crate) fn run(session: &mut Session<'_>, command: RouteCommand) -> Result<Verdict, Failure> {
    match command {
        RouteCommand::Test(args) => test(session, args),
    }
}

fn test(session: &mut Session<'_>, args: TestArgs) -> Result<Verdict, Failure> {
    let TestArgs { what, harness, admin_token, hub } = args;
    let input = what.input().map_err(Failure::Input)?;
    let url = harness.as_deref().unwrap_or(session.target.harness());
    let hub = hub.as_deref().or(session.target.hub_name()).ok_or_else(|| {
        let host = &session.target.hub.host;
        Failure::Input(format!("the name of the hub at {host} is not known: pass --hub"))
    })?;
    let outcome = Harness::new(url, admin_token).test_routes(hub, &input)?;
    match session.out.format() {
        Format::Json => session.out.document(&trial::trial(&outcome))?,
        Format::Text => session.out.write(&outcome.to_string())?,
    }
    Ok(if outcome.is_taken() { Verdict::Yes } else { Verdict::No })
}
