//! What a running emulator leaves in its state directory, so that tools on the same machine find
//! it and nothing has to be typed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file in the state directory.
pub const FILE_NAME: &str = "emulator.json";
/// The certificate authority's certificate in the state directory.
pub const CA_FILE_NAME: &str = "ca.pem";
/// The environment variable that names the state directory.
pub const STATE_DIR_VARIABLE: &str = "IOTHUB_EMULATOR_STATE_DIR";

/// Where a running emulator is and how to be let in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LocalEmulator {
    /// The connection string of the policy `iothubowner`; with a port if HTTPS is not on 443.
    pub connection_string: String,
    /// The port of MQTT over TLS.
    pub mqtt_port: u16,
    /// The port of AMQP over TLS.
    #[serde(default = "amqps_port")]
    pub amqp_port: u16,
    /// The name of the hub's Event Hubs-compatible endpoint.
    #[serde(default)]
    pub event_hub: String,
    /// Where the harness is, as a URL.
    #[serde(default)]
    pub harness: String,
    /// The certificate to trust, in PEM.
    pub ca_file: PathBuf,
    /// The process, so that a stale file can be told from a live one.
    pub pid: u32,
}

/// What an emulator that did not say has.
fn amqps_port() -> u16 {
    5671
}

impl LocalEmulator {
    /// What is written to the state directory.
    pub fn to_json(&self) -> String {
        // Texts and numbers under text keys: that cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads what an emulator wrote to `state_dir`; none if there is nothing to read.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not what an emulator writes.
    pub fn read(state_dir: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::read(state_dir.join(FILE_NAME)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where the state directory is unless something else was said: `$IOTHUB_EMULATOR_STATE_DIR`, or
/// `iothub-emulator` in the user's directory for state (XDG; `%LOCALAPPDATA%` on Windows).
pub fn default_state_dir(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(STATE_DIR_VARIABLE).or_else(|| {
        let state = set("XDG_STATE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local").join("state")))
            .or_else(|| set("LOCALAPPDATA"))?;
        Some(state.join("iothub-emulator"))
    })
}

/// Whether a host name is this machine's loopback without asking a name server.
pub fn is_loopback(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_follows_the_environment() {
        let table: [(&[(&str, &str)], Option<&str>); 5] = [
            (&[("HOME", "/h")], Some("/h/.local/state/iothub-emulator")),
            (&[("HOME", "/h"), ("XDG_STATE_HOME", "/x")], Some("/x/iothub-emulator")),
            (&[("HOME", "/h"), (STATE_DIR_VARIABLE, "/s")], Some("/s")),
            (&[("HOME", "/h"), (STATE_DIR_VARIABLE, "")], Some("/h/.local/state/iothub-emulator")),
            (&[], None),
        ];
        for (variables, expected) in table {
            let look_up = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(default_state_dir(look_up), expected.map(PathBuf::from), "{variables:?}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        let table = [
            ("127.0.0.1", true),
            ("127.3.2.1", true),
            ("localhost", true),
            ("Hub.LocalHost", true),
            ("Hub.LOCALHOST.", true),
            ("10.0.0.1", false),
            ("127.0.0.1.example.test", false),
            ("localhost.example.test", false),
            ("hub.azure-devices.net", false),
        ];
        for (name, expected) in table {
            assert_eq!(is_loopback(name), expected, "{name}");
        }
    }
}
