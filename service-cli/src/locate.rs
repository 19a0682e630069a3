//! Which hub is meant: the one that was named, or else the emulator of this machine.

use std::path::{Path, PathBuf};

use iothub_wire::connection_string::{Host, InvalidConnectionString, ServiceConnectionString};
use iothub_wire::local::{LocalEmulator, is_loopback};

use crate::roots::{InvalidRoots, Roots};
use crate::{amqp, harness};

/// A hub, and what this machine knows about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// How to be let in.
    pub hub: ServiceConnectionString,
    /// Whether the hub was not named but found.
    pub found: bool,
    /// The emulator of this machine, if it could be what answers.
    pub local: Option<LocalEmulator>,
}

/// Why there is no hub to talk to.
#[derive(Debug, thiserror::Error)]
pub enum NoTarget {
    /// None was named and no emulator left word.
    #[error("no hub was named, and there is no {looked_for:?} of a running emulator")]
    Nowhere {
        /// The file that an emulator would have written.
        looked_for: PathBuf,
    },
    /// None was named and there is no state directory on this machine.
    #[error("no hub was named, and this machine has no directory for the state of an emulator")]
    NoStateDirectory,
    /// What the emulator left cannot be read.
    #[error("cannot read {file:?}: {why}")]
    Unreadable {
        /// The file that the emulator wrote.
        file: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The connection string that was given is none.
    #[error(transparent)]
    ConnectionString(#[from] InvalidConnectionString),
}

/// Finds the hub that `connection_string` names or, if it names none, that the emulator whose
/// state is in `state_dir` serves.
///
/// # Errors
///
/// Says what was looked for and not found, or what is wrong with what was found.
pub fn locate(
    connection_string: Option<&str>,
    state_dir: Option<&Path>,
) -> Result<Target, NoTarget> {
    match connection_string {
        Some(text) => {
            let hub = ServiceConnectionString::parse(text)?;
            // What an emulator left behind only adds to what was said; it cannot spoil it.
            let local = state_dir.and_then(|folder| LocalEmulator::read(folder).ok().flatten());
            let local = local.filter(|local| could_be(local, &hub.host));
            Ok(Target { hub, found: false, local })
        }
        None => find(state_dir.ok_or(NoTarget::NoStateDirectory)?),
    }
}

fn find(state_dir: &Path) -> Result<Target, NoTarget> {
    let file = state_dir.join(iothub_wire::local::FILE_NAME);
    match LocalEmulator::read(state_dir) {
        Ok(Some(local)) => {
            let hub = ServiceConnectionString::parse(&local.connection_string)?;
            Ok(Target { hub, found: true, local: Some(local) })
        }
        Ok(None) => Err(NoTarget::Nowhere { looked_for: file }),
        Err(why) => Err(NoTarget::Unreadable { file, why }),
    }
}

/// Whether the emulator of this machine may be what answers at `host`.
fn could_be(local: &LocalEmulator, host: &Host) -> bool {
    is_loopback(&host.name) || is_at(local, host)
}

/// Whether the emulator of this machine says that it is at `host`.
fn is_at(local: &LocalEmulator, host: &Host) -> bool {
    ServiceConnectionString::parse(&local.connection_string).is_ok_and(|hub| hub.host == *host)
}

impl Target {
    /// Whom to trust: the system's authorities, those in `ca`, and the local emulator's own.
    ///
    /// # Errors
    ///
    /// `ca` cannot be read or is no certificate.
    pub fn roots(&self, ca: Option<&Path>) -> Result<Roots, InvalidRoots> {
        let roots = Roots::none().and_system();
        let roots = match ca {
            Some(file) => roots.and_pem_file(file)?,
            None => roots,
        };
        let Some(local) = &self.local else {
            return Ok(roots);
        };
        match roots.clone().and_pem_file(&local.ca_file) {
            Ok(more) => Ok(more),
            // Needed only if that emulator is what answers; then the refusal says so.
            Err(_) => Ok(roots),
        }
    }

    /// Where a device of this hub connects: the hub without the port of HTTPS, and with that of
    /// MQTT where it is not the one that every SDK knows.
    pub fn device_host(&self) -> Host {
        const MQTT: u16 = 8883;

        let port = self.known().map(|local| local.mqtt_port).filter(|port| *port != MQTT);
        Host { name: self.hub.host.name.clone(), port }
    }

    /// The hub's port of AMQP.
    pub fn amqp_port(&self) -> u16 {
        self.known().map_or(amqp::PORT, |local| local.amqp_port)
    }

    /// The hub's name; none if that is not known from its host.
    pub fn hub_name(&self) -> Option<&str> {
        self.known().map(|local| local.event_hub.as_str()).filter(|name| !name.is_empty())
    }

    /// Where the harness of the emulator that serves it is.
    pub fn harness(&self) -> &str {
        let said = self.known().map(|local| local.harness.as_str());
        said.filter(|url| !url.is_empty()).unwrap_or(harness::URL)
    }

    /// What the emulator of this machine says of this hub. Another hub on this machine has other
    /// ports, of which nothing is known.
    fn known(&self) -> Option<&LocalEmulator> {
        self.local.as_ref().filter(|local| is_at(local, &self.hub.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn text(host: &str) -> String {
        format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}")
    }

    fn state(host: &str, mqtt_port: u16) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalEmulator {
            connection_string: text(host),
            mqtt_port,
            amqp_port: 5671,
            event_hub: String::new(),
            harness: String::new(),
            ca_file: folder.path().join("ca.pem"),
            pid: 1,
        };
        let file = folder.path().join(iothub_wire::local::FILE_NAME);
        std::fs::write(file, serde_json::to_vec(&local).unwrap()).unwrap();
        folder
    }

    #[test]
    fn what_was_named_comes_first() {
        let state = state("127.0.0.1:8443", 8883);
        let table = [
            (Some("127.0.0.1:8443"), false, true),
            (Some("localhost"), false, true),
            (Some("hub.azure-devices.net"), false, false),
            (None, true, true),
        ];
        for (named, found, local) in table {
            let target = locate(named.map(text).as_deref(), Some(state.path())).unwrap();
            assert_eq!(target.hub.host.to_string(), named.unwrap_or("127.0.0.1:8443"));
            assert_eq!((target.found, target.local.is_some()), (found, local), "{named:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let empty = tempfile::tempdir().unwrap();
        let error = locate(None, Some(empty.path())).unwrap_err();
        assert!(matches!(error, NoTarget::Nowhere { .. }), "{error}");
        assert!(matches!(locate(None, None), Err(NoTarget::NoStateDirectory)));
        std::fs::write(empty.path().join(iothub_wire::local::FILE_NAME), "{").unwrap();
        let error = locate(None, Some(empty.path())).unwrap_err();
        assert!(matches!(error, NoTarget::Unreadable { .. }), "{error}");
        assert!(locate(Some(&text("h")), Some(empty.path())).is_ok());
        assert!(matches!(locate(Some("x"), None), Err(NoTarget::ConnectionString(_))));
    }

    #[test]
    fn a_device_connects_to_the_port_of_mqtt() {
        let table = [(8883, "127.0.0.1"), (18883, "127.0.0.1:18883")];
        for (mqtt_port, expected) in table {
            let state = state("127.0.0.1:8443", mqtt_port);
            let target = locate(None, Some(state.path())).unwrap();
            assert_eq!(target.device_host().to_string(), expected);
        }
        let state = state("127.0.0.1:8443", 18883);
        let other = locate(Some(&text("127.0.0.2")), Some(state.path())).unwrap();
        assert_eq!(other.device_host().to_string(), "127.0.0.2");
        let same = locate(Some(&text("127.0.0.1:8443")), Some(state.path())).unwrap();
        assert_eq!(same.device_host().to_string(), "127.0.0.1:18883");
        let remote = locate(Some(&text("h:444")), None).unwrap();
        assert_eq!(remote.device_host().to_string(), "h");
    }
}
