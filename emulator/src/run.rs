//! `run`: serves until a signal, then ends within the grace period.

use std::process::ExitCode;

use iothub_emulator::config::Config;
use iothub_emulator::stop::{self, Signals, Stop};
use iothub_emulator::{Emulator, banner};
use tokio::runtime::Runtime;

use crate::output::{fail, print, tell};

/// Serves with this configuration.
pub(crate) fn run(config: &Config) -> ExitCode {
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
        Err(error) => return fail(error),
    };
    if !config.quiet
        && let Err(error) = print(&banner::text(&emulator.facts()))
    {
        return fail(format_args!("standard output cannot be written: {error}"));
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
