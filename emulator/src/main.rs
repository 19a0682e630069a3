//! The program `iothub-emulator`.

mod args;
mod commands;
mod demo;
mod health;
mod logging;
mod open_files;
mod output;
mod route_test;
mod run;
mod shell;
mod trust;
mod x509;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use iothub_emulator::config::{Config, Flags, Sources};

use crate::args::{Arguments, Command, Shell};
use crate::commands::{CommandError, variable};
use crate::output::{fail, misconfigured, print};
use crate::route_test::RouteCommand;

fn main() -> ExitCode {
    let Arguments { command, options } = Arguments::parse();
    match command {
        None => with_config(&options.flags(), run),
        Some(Command::Run(options)) => with_config(&options.flags(), run),
        Some(Command::Health(options)) => with_config(&options.flags(), health::health),
        Some(Command::Demo) => demo::demo(),
        Some(Command::Env { shell, options }) => {
            let shell = shell.unwrap_or_else(|| Shell::from_environment(&variable));
            with_config(&options.flags(), |config| env(config, shell))
        }
        Some(Command::Ca { action, state }) => {
            with_config(&state.flags(), |config| told(commands::ca(config, action)))
        }
        Some(Command::X509 { command, state }) => with_config(&state.flags(), |config| {
            told(
                commands::state_dir(config)
                    .map_err(Into::into)
                    .and_then(|dir| x509::x509(&dir, command)),
            )
        }),
        Some(Command::Route { command: RouteCommand::Test(args), state }) => {
            let flags = state.flags().with("seed", args.seed.clone());
            with_config(&flags, |config| route_test::test(config, &args))
        }
        Some(Command::Completions { shell }) => {
            printed(&String::from_utf8_lossy(&commands::completions(shell)))
        }
    }
}

/// Does what needs a configuration, or tells everything that is wrong with it.
fn with_config(flags: &Flags, then: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    let sources = Sources { flags, variable: &variable, read_file: &commands::read_file };
    match Config::resolve(&sources) {
        Ok(config) => then(&config),
        Err(mistakes) => misconfigured(mistakes),
    }
}

fn run(config: &Config) -> ExitCode {
    let directives = variable(logging::FILTER_VARIABLE);
    match logging::start(config.log_format, directives.as_deref()) {
        Ok(()) => run::run(config),
        Err(mistake) => misconfigured([mistake]),
    }
}

fn env(config: &Config, shell: Shell) -> ExitCode {
    // A person sees how to use it; a shell that evaluates it gets nothing but the variables.
    let hint = if std::io::stdout().is_terminal() { shell.hint() } else { "" };
    told(commands::env(config, shell, &variable).map(|script| script + hint))
}

fn told(result: Result<String, CommandError>) -> ExitCode {
    match result {
        Ok(text) => printed(&text),
        Err(error) => fail(error),
    }
}

fn printed(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("standard output cannot be written: {error}")),
    }
}
