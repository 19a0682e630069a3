//! `run`: serves until a signal, then ends within the grace period.

use std::path::PathBuf;
use std::process::ExitCode;

use iothub_emulator::certificate::AuthorityCertificate;
use iothub_emulator::config::Config;
use iothub_emulator::state_dir::StateDir;
use iothub_emulator::stop::{self, Signals, Stop};
use iothub_emulator::{Emulator, SeedError, StartError, banner, bundle};
use iothub_wire::local;
use tokio::runtime::Runtime;

use crate::commands::variable;
use crate::open_files;
use crate::output::{fail, misconfigured, print, tell};
use crate::trust::quoted;

/// Serves with this configuration.
pub(crate) fn run(config: &Config) -> ExitCode {
    open_files::make_room(config.max_connections);
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("the runtime cannot start: {error}")),
    };
    let code = runtime.block_on(serve(config));
    // Whatever has not ended by now was given its time.
    runtime.shutdown_background();
    code
}

async fn serve(config: &Config) -> ExitCode {
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return fail(format_args!("signals cannot be caught: {error}")),
    };
    let emulator = match Emulator::start(config).await {
        Ok(emulator) => emulator,
        Err(StartError::Seed(SeedError::Mistakes { path, mistakes })) => {
            return misconfigured(mistakes.iter().map(|why| format!("{}: {why}", path.display())));
        }
        Err(StartError::Seed(why)) => return misconfigured([why]),
        Err(error) => return fail(error),
    };
    if !config.quiet
        && let Err(error) = print(&banner::text(&emulator.facts(), &env_command(config)))
    {
        return fail(format_args!("standard output cannot be written: {error}"));
    }
    if let Some(path) = config.state_dir.clone() {
        // After the start, which should not wait for the system's few hundred authorities.
        let authority = emulator.certificates().authority().clone();
        tokio::task::spawn_blocking(move || update_bundle(path, &authority));
    }
    signals.next().await;
    match stop::within(config.shutdown_grace, emulator.stop(), signals.next()).await {
        Stop::Drained => ExitCode::SUCCESS,
        Stop::OutOfTime => {
            let grace = config.shutdown_grace;
            tell(format_args!("stopped before every session had ended: {grace:?} were over"));
            ExitCode::SUCCESS
        }
        Stop::Impatient => fail("stopped at once, at the second signal"),
    }
}

/// Keeps the bundle right for those who were told of it by an earlier run.
fn update_bundle(path: PathBuf, authority: &AuthorityCertificate) {
    let updated = StateDir::open(path).and_then(|dir| bundle::update(&dir, authority, &variable));
    if let Err(error) = updated {
        tracing::warn!(%error, "the bundle of trusted authorities is out of date");
    }
}

/// How another terminal asks for the variables: it knows nothing of this one's flags and variables.
fn env_command(config: &Config) -> String {
    let elsewhere = |name: &str| variable(name).filter(|_| name != local::STATE_DIR_VARIABLE);
    match &config.state_dir {
        Some(path) if local::default_state_dir(elsewhere).as_ref() != Some(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("iothub-emulator env --state-dir {}", quoted(path))
        }
        _ => "iothub-emulator env".to_owned(),
    }
}
