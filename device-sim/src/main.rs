//! `device-sim`: parses arguments, prints events. What a device does is in the library.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};
use device_sim::{Device, Error, Event, SystemClock};
use iothub_core::time::Clock as _;
use tokio::sync::Notify;

use cli::args::{Arguments, Command, Output, Run};
use cli::output;
use cli::setup::{self, SetupError};
use cli::stop::StopAfter;

const FAILED: u8 = 2;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) => start(&run),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "device-sim", &mut io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let style = anstyle::AnsiColor::Red.on_default();
            // Where not even this can be written, the exit code says it.
            let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {failure}");
            ExitCode::from(FAILED)
        }
    }
}

/// Why the program ends with another code than 0.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("{0}; pass the file of the authority that signed it with --ca FILE")]
    UnknownIssuer(Error),
    #[error(transparent)]
    Device(Error),
    #[error("the program cannot start: {0}")]
    Start(#[from] io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Certificate { unknown_issuer: true, .. } => Self::UnknownIssuer(error),
            other => Self::Device(other),
        }
    }
}

fn start(run: &Run) -> Result<(), Failure> {
    let device = Device::new(setup::options(run)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One device is one task and one socket.
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let signal = stop_signal()?;
        let enough = Arc::new(Notify::new());
        let observer = observer(run, Arc::clone(&enough));
        let shutdown = async {
            tokio::select! {
                () = signal => {}
                () = enough.notified() => {}
            }
        };
        device.run(observer, shutdown).await.map_err(Failure::from)
    })
}

/// Prints events and asks to stop when there have been enough of them, or nobody reads them.
fn observer(run: &Run, enough: Arc<Notify>) -> impl FnMut(Event) + Send + use<> {
    let output = run.output;
    let mut stop = run.stop_after_applied.map(StopAfter::new);
    move |event| {
        let now = SystemClock.now();
        let printed = match output {
            // What follows says why: the next try, or the error with which the program ends.
            Output::Human if matches!(event, Event::Refused { .. }) => Ok(()),
            Output::Human => output::print(output, now, &event, &mut anstream::stdout()),
            // Never with colours, even where they are forced.
            Output::Json => output::print(output, now, &event, &mut io::stdout()),
        };
        if printed.is_err() || stop.as_mut().is_some_and(|stop| stop.sees(&event)) {
            enough.notify_one();
        }
    }
}

/// Listens for Ctrl-C and, where there is such a thing, SIGTERM. The listening begins at once, so
/// that no signal is missed.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens for Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
