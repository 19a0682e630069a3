//! The program `service-cli`: reads the arguments, finds the hub, runs one command, and turns what
//! came of it into lines and an exit code.

mod args;
mod commands;
mod output;
mod signals;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use iothub_wire::local::default_state_dir;
use iothub_wire::local::is_loopback;
use service_cli::locate::{Target, locate};
use service_cli::{Client, Options};

use crate::args::{Cli, Command, Global};
use crate::commands::{
    Failure, Session, Verdict, c2d, configuration, configure, device, events, job, method, module,
    query, route, stats, twin,
};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut target = None;
    match run(cli, &mut target) {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::from(1),
        Err(failure) => {
            if let Some(line) = failure.line(target.as_ref()) {
                output::warn(&format!("error: {line}"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Runs the command; leaves word in `target` of which hub it was about, for the error message.
fn run(cli: Cli, target: &mut Option<Target>) -> Result<Verdict, Failure> {
    if let Command::Completions { shell } = cli.command {
        return completions(shell);
    }
    let target = &*target.insert(find(&cli.global)?);
    let client = connect(&cli.global, target)?;
    let global = &cli.global;
    let mut session = Session { client, target, global, out: Output::new(cli.global.output) };
    match cli.command {
        Command::Device(command) => device::run(&mut session, command),
        Command::Module(command) => module::run(&mut session, command),
        Command::Twin(command) => twin::run(&mut session, command),
        Command::C2d(command) => c2d::run(&mut session, command),
        Command::Events(command) => events::run(&mut session, &command),
        Command::Method(command) => method::run(&mut session, command),
        Command::Job(command) => job::run(&mut session, &command),
        Command::Configuration(command) => configuration::run(&mut session, command),
        Command::Configure(args) => configure::run(&mut session, &args),
        Command::Query(args) => query::run(&mut session, &args),
        Command::Route(command) => route::run(&mut session, command),
        Command::Stats => stats::run(&mut session),
        Command::Completions { shell } => completions(shell),
    }
}

fn find(global: &Global) -> Result<Target, Failure> {
    // An empty variable is how a shell says that there is none.
    let named = global.connection_string.as_deref().filter(|text| !text.is_empty());
    let state_dir =
        global.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var(name).ok()));
    Ok(locate(named, state_dir.as_deref())?)
}

fn connect(global: &Global, target: &Target) -> Result<Client, Failure> {
    let options = if global.plain_http {
        let host = &target.hub.host.name;
        if !is_loopback(host) {
            return Err(Failure::Input(format!(
                "--plain-http would show the token to everyone on the way to {host}; it is for this machine only"
            )));
        }
        Options::plain_http()
    } else {
        Options::new(target.roots(global.ca.as_deref())?)
    };
    Ok(Client::new(target.hub.clone(), options))
}

fn completions(shell: Shell) -> Result<Verdict, Failure> {
    // Into memory first: the generator panics when its writer fails, as a closed pipe does.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "service-cli", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Verdict::Yes)
}
