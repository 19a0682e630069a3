//! From arguments to options: reads the script, finds the emulator on this machine and whom to
//! trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use device_sim::{
    ClientCertificate, Identity, InvalidCertificate, InvalidRoots, Mistakes, Options, Roots,
    Script, Security, SystemClock, Transport,
};
use iothub_core::random::Random;
use iothub_wire::connection_string::{
    DeviceConnectionString, Host, InvalidConnectionString, ServiceConnectionString,
    X509ConnectionString,
};
use iothub_wire::local::{LocalEmulator, default_state_dir, is_loopback};
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::args::{Run, Via};

/// Why a device cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    ConnectionString(#[from] InvalidConnectionString),
    #[error(
        "no device is given: give --connection-string TEXT (or set \
         IOTHUB_DEVICE_CONNECTION_STRING), or --device ID for the emulator on this machine"
    )]
    Nobody,
    #[error(
        "no emulator runs on this machine (nothing in {0:?}); start iothub-emulator, or give \
         --connection-string"
    )]
    NoEmulator(PathBuf),
    #[error("no state directory is known; give --state-dir or --connection-string")]
    NoStateDir,
    #[error("{0:?} cannot be read: {1}")]
    File(PathBuf, #[source] std::io::Error),
    #[error("{0:?} {1}")]
    Roots(PathBuf, #[source] InvalidRoots),
    #[error("{0:?}: {1}")]
    Certificate(PathBuf, #[source] InvalidCertificate),
    #[error("script {0:?} has mistakes:\n{1}")]
    Script(PathBuf, #[source] Mistakes),
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Makes options of arguments.
pub(crate) fn options(run: &Run) -> Result<Options, SetupError> {
    let script = run.script.as_deref().map(script).transpose()?.unwrap_or_default();
    let (identity, emulator) = identity(run)?;
    let security = security(run, emulator.as_ref())?;
    // A connection string's port is that of MQTT.
    let own_port = identity.host().port.filter(|_| run.transport == Via::Mqtt);
    let mut options = Options::new(identity, security, Arc::new(SystemClock));
    options.transport = transport(run);
    let emulator_port = emulator.and_then(|emulator| port(&emulator, options.transport));
    options.port =
        run.port.or(own_port).or(emulator_port).unwrap_or_else(|| options.transport.port());
    options.script = script;
    options.apply_delay = run.apply_delay.0;
    options.token_ttl = run.token_ttl.length();
    options.random = Arc::new(random(run.seed)?);
    Ok(options)
}

fn transport(run: &Run) -> Transport {
    match run.transport {
        Via::Mqtt => Transport::Mqtt,
        Via::MqttWs => Transport::MqttWs,
        Via::Amqp => Transport::Amqp,
        Via::AmqpWs => Transport::AmqpWs,
        Via::Http => Transport::Http,
    }
}

/// Where an emulator serves a transport.
fn port(emulator: &LocalEmulator, transport: Transport) -> Option<u16> {
    match transport {
        Transport::Mqtt => Some(emulator.mqtt_port),
        Transport::Amqp => Some(emulator.amqp_port),
        Transport::MqttWs | Transport::AmqpWs | Transport::Http => {
            ServiceConnectionString::parse(&emulator.connection_string).ok()?.host.port
        }
    }
}

/// Who the device is, and the emulator on this machine if that is its hub.
fn identity(run: &Run) -> Result<(Identity, Option<LocalEmulator>), SetupError> {
    let certificate = certificate(run)?;
    if let Some(device) = &run.device {
        let emulator = required_emulator(run)?;
        // The emulator's own policy may speak for every device, so no key has to be looked up.
        let policy = ServiceConnectionString::parse(&emulator.connection_string)?;
        let identity = match certificate {
            None => Identity::with_policy(policy, device.clone()),
            Some(certificate) => {
                let host = Host { name: policy.host.name, port: None };
                let device = device.clone();
                let string = X509ConnectionString { host, device, module: None };
                Identity::with_certificate(string, certificate)
            }
        };
        return Ok((identity, Some(emulator)));
    }
    let text = run.connection_string.as_deref().ok_or(SetupError::Nobody)?;
    let identity = match certificate {
        None => Identity::from(DeviceConnectionString::parse(text)?),
        Some(certificate) => {
            Identity::with_certificate(X509ConnectionString::parse(text)?, certificate)
        }
    };
    let local = is_loopback(&identity.host().name);
    // Any hub may listen on a loopback address; without an emulator's file it is just a hub.
    let emulator = if local { emulator(run).ok().flatten() } else { None };
    Ok((identity, emulator))
}

fn certificate(run: &Run) -> Result<Option<ClientCertificate>, SetupError> {
    let (Some(certificate), Some(key)) = (&run.cert, &run.key) else { return Ok(None) };
    let parsed = ClientCertificate::parse(&read(certificate)?, &read(key)?);
    parsed.map(Some).map_err(|error| SetupError::Certificate(certificate.clone(), error))
}

fn required_emulator(run: &Run) -> Result<LocalEmulator, SetupError> {
    let state_dir = state_dir(run).ok_or(SetupError::NoStateDir)?;
    emulator(run)?.ok_or(SetupError::NoEmulator(state_dir))
}

fn emulator(run: &Run) -> Result<Option<LocalEmulator>, SetupError> {
    let Some(state_dir) = state_dir(run) else { return Ok(None) };
    LocalEmulator::read(&state_dir).map_err(|error| SetupError::File(state_dir, error))
}

fn state_dir(run: &Run) -> Option<PathBuf> {
    run.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var(name).ok()))
}

fn security(run: &Run, emulator: Option<&LocalEmulator>) -> Result<Security, SetupError> {
    if run.plain {
        return Ok(Security::Plain);
    }
    let mut roots = Roots::system();
    let local = emulator.map(|emulator| emulator.ca_file.as_path());
    if let Some(file) = run.ca.as_deref().or(local) {
        roots.add_pem(&read(file)?).map_err(|error| SetupError::Roots(file.to_owned(), error))?;
    }
    Ok(Security::Tls(roots))
}

fn script(file: &Path) -> Result<Script, SetupError> {
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    Script::parse(&text).map_err(|mistakes| SetupError::Script(file.to_owned(), mistakes))
}

fn read(file: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(file).map_err(|error| SetupError::File(file.to_owned(), error))
}

fn random(seed: Option<u64>) -> Result<Random, SetupError> {
    if let Some(seed) = seed {
        return Ok(Random::seeded(seed));
    }
    let mut entropy = [0; 32];
    SysRng.try_fill_bytes(&mut entropy).map_err(|error| SetupError::Random(error.to_string()))?;
    Ok(Random::from_entropy(entropy))
}
