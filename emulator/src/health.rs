//! `health`: asks a running emulator whether it is ready, for what watches containers.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use iothub_emulator::config::Config;
use iothub_emulator::reachable;
use ureq::Agent;

use crate::output::{fail, print};

/// Within what the Dockerfile allows, so that a machine that is slow is told of in words.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Ends with 0 if the emulator of this configuration serves.
pub(crate) fn health(config: &Config) -> ExitCode {
    let address = reachable(SocketAddr::new(config.admin_bind, config.admin_port));
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    match agent.get(format!("http://{address}/ready")).call() {
        Err(why) => fail(format_args!("{address} does not answer: {why}")),
        Ok(answer) if !answer.status().is_success() => {
            fail(format_args!("{address} answers {}, expected 200", answer.status()))
        }
        Ok(_) => match print("ready\n") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(format_args!("standard output cannot be written: {error}")),
        },
    }
}
