//! `run`: serves until a signal, then ends within the grace period.

use std::process::ExitCode;

use iothub_core::time::Clock as _;
use iothub_emulator::certificate::Certificates;
use iothub_emulator::clock::SystemClock;
use iothub_emulator::config::Config;
use iothub_emulator::stop::{self, Signals, Stop};
use tokio::runtime::Runtime;

use crate::output::{fail, tell};

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
    if let Err(error) = Certificates::prepare(config, SystemClock.now()) {
        return fail(error);
    }
    signals.next().await;
    let drained = std::future::ready(());
    match stop::within(config.shutdown_grace, drained, signals.next()).await {
        Stop::Drained => ExitCode::SUCCESS,
        Stop::OutOfTime => {
            let grace = config.shutdown_grace;
            tell(format_args!("stopped before every session had ended: {grace:?} were over"));
            ExitCode::SUCCESS
        }
        Stop::Impatient => fail("stopped at once, at the second signal"),
    }
}
