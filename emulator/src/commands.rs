//! The commands that need no server: `env`, `ca`, `completions`.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell as CompletionShell;
use iothub_core::time::{Clock as _, Timestamp};
use iothub_emulator::authorities::AuthorityError;
use iothub_emulator::certificate::{AuthorityCertificate, CA_FILE_NAME, CertificateError};
use iothub_emulator::clock::SystemClock;
use iothub_emulator::config::{Config, HTTPS_PORT, HubKeys};
use iothub_emulator::state_dir::{StateDir, StateError};
use iothub_emulator::{OWNER, bundle, keys};
use iothub_wire::connection_string::{Host, ServiceConnectionString};
use iothub_wire::local::{self, LocalEmulator};

use crate::args::{Arguments, CaAction, Shell};
use crate::output::tell;
use crate::shell::Exports;
use crate::trust::{self, Change, StepError, Store};

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The state directory does not do what it should.
    #[error(transparent)]
    State(#[from] StateError),
    /// The authority cannot be had.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authorities of devices cannot be had or changed.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Entropy(String),
    /// The machine's store of trusted authorities is unknown.
    #[error("this system's store of trusted authorities is unknown: add {0} to it by hand")]
    UnknownStore(String),
    /// The machine's store cannot be changed; the commands that do were told.
    #[error(transparent)]
    Store(#[from] StepError),
}

/// What SDKs of Event Hubs are given.
const EVENTS_VARIABLE: &str = "EVENTHUB_CONNECTION_STRING";

/// The script that `env` prints.
pub(crate) fn env(
    config: &Config,
    shell: Shell,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, CommandError> {
    let (dir, authority) = authority(config)?;
    let bundle = shown(&bundle::update(&dir, &authority, variable)?);
    let ca_file = shown(&dir.file(CA_FILE_NAME));
    let mut exports: Exports = vec![
        (bundle::SSL_CERT_FILE, bundle.clone()),
        ("REQUESTS_CA_BUNDLE", bundle),
        // Node.js adds what it reads here to its own list, so it gets the authority alone.
        ("NODE_EXTRA_CA_CERTS", ca_file.clone()),
        ("IOTHUB_EMULATOR_CA", ca_file),
    ];
    if local::default_state_dir(|name| variable(name)).as_deref() != Some(dir.path()) {
        exports.push((local::STATE_DIR_VARIABLE, shown(dir.path())));
    }
    if let Some(string) = connection_string(config, &dir) {
        exports
            .extend(events_string(config, &dir, &string).map(|events| (EVENTS_VARIABLE, events)));
        exports.push(("IOTHUB_CONNECTION_STRING", string));
    }
    Ok(shell.script(&exports))
}

/// What reads the events of the hub that this connection string is for.
fn events_string(config: &Config, dir: &StateDir, string: &str) -> Option<String> {
    let hub = ServiceConnectionString::parse(string).ok()?;
    let running = LocalEmulator::read(dir.path()).ok().flatten();
    let named = running.map(|running| running.event_hub).filter(|name| !name.is_empty());
    let event_hub = named.unwrap_or_else(|| config.hub_name.clone());
    Some(hub.event_hub_string(&event_hub))
}

/// What the running emulator says, else what one with this configuration will say.
fn connection_string(config: &Config, dir: &StateDir) -> Option<String> {
    match LocalEmulator::read(dir.path()) {
        Ok(Some(running)) => return Some(running.connection_string),
        Ok(None) => {}
        Err(error) => {
            tell(format_args!("{} is ignored: {error}", dir.file(local::FILE_NAME).display()));
        }
    }
    if config.keys == HubKeys::Random {
        tell("no emulator is running, and its keys are random: there is no connection string yet");
        return None;
    }
    let port = config.https_port.filter(|&port| port != HTTPS_PORT && port != 0);
    let string = ServiceConnectionString {
        host: Host { name: config.hostname.to_string(), port },
        policy: OWNER.to_owned(),
        key: keys::well_known(OWNER, "primary"),
    };
    Some(string.to_string())
}

/// What `ca` prints.
pub(crate) fn ca(config: &Config, action: CaAction) -> Result<String, CommandError> {
    match action {
        CaAction::Path => {
            let (dir, _) = authority(config)?;
            Ok(format!("{}\n", dir.file(CA_FILE_NAME).display()))
        }
        CaAction::Show => {
            let (dir, authority) = authority(config)?;
            Ok(description(&dir.file(CA_FILE_NAME), &authority))
        }
        CaAction::Install => {
            let (dir, _) = authority(config)?;
            change_trust(Change::Install, &dir.file(CA_FILE_NAME))
        }
        // Not made just to be removed.
        CaAction::Uninstall => {
            change_trust(Change::Uninstall, &state_dir(config)?.file(CA_FILE_NAME))
        }
    }
}

/// Readers of PEM skip what stands before the certificate.
fn description(ca_file: &Path, authority: &AuthorityCertificate) -> String {
    let date = |at: Timestamp| at.to_string().chars().take(10).collect::<String>();
    format!(
        "subject      {}\nkey          {}\nvalid        {} to {}\nfingerprint  SHA-256 {}\nfile         {}\n{}",
        authority.subject(),
        authority.algorithm(),
        date(authority.begins()),
        date(authority.expires()),
        authority.fingerprint(),
        ca_file.display(),
        authority.pem(),
    )
}

fn change_trust(change: Change, ca_file: &Path) -> Result<String, CommandError> {
    let exists = |path: &str| Path::new(path).exists();
    let Some(store) = Store::find(std::env::consts::OS, exists) else {
        return Err(CommandError::UnknownStore(shown(ca_file)));
    };
    let steps = store.steps(change, ca_file);
    if let Err(error) = trust::apply(&steps) {
        let commands: String = steps.iter().map(|step| format!("\n  sudo {step}")).collect();
        tell(format_args!("the system's store was not changed; this does it:\n{commands}\n"));
        return Err(error.into());
    }
    Ok(match change {
        Change::Install => format!("this system now trusts {}\n", ca_file.display()),
        Change::Uninstall => "this system no longer trusts the emulator\n".to_owned(),
    })
}

/// The script that completes the command line.
pub(crate) fn completions(shell: CompletionShell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, env!("CARGO_BIN_NAME"), &mut script);
    script
}

fn authority(config: &Config) -> Result<(StateDir, AuthorityCertificate), CommandError> {
    let dir = state_dir(config)?;
    let authority = AuthorityCertificate::prepare(&dir, config.key_algorithm, SystemClock.now())?;
    Ok((dir, authority))
}

/// Resolving the configuration has found one.
pub(crate) fn state_dir(config: &Config) -> Result<StateDir, StateError> {
    StateDir::open(config.state_dir.clone().unwrap_or_default())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Reads a variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a file of options.
pub(crate) fn read_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}
