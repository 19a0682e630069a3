//! The emulator's image in a Docker engine, as testcontainers runs it: for tests that want what
//! ships, or other containers beside it.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = iothub_testkit::container::Container::start().await?;
//! println!("back ends connect with {}", hub.connection_string());
//! std::fs::write("ca.pem", hub.ca_pem())?;
//! # Ok(())
//! # }
//! ```
//!
//! The image is `iothub-emulator:latest`, which the repository's Dockerfile builds; another can be
//! named with the variable `IOTHUB_EMULATOR_IMAGE` (`name:tag`).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use iothub_emulator::{OWNER, keys};
use iothub_wire::connection_string::{Host, ServiceConnectionString};
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::{ExecCommand, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _, TestcontainersError};

/// The variable that names another image.
const IMAGE_VARIABLE: &str = "IOTHUB_EMULATOR_IMAGE";
/// What SDKs hard-code, and the harness.
const PORTS: [&str; 4] = ["8883/tcp", "5671/tcp", "443/tcp", "8088/tcp"];

/// How long a container may take to be ready: it does in a second, but not on a machine that does
/// much else.
const START_TIME: Duration = Duration::from_secs(180);

/// An emulator in a container, published with the ports that SDKs hard-code on an address of its
/// own, such as `127.9.3.17`. It is removed when dropped.
#[derive(Debug)]
pub struct Container {
    _running: ContainerAsync<GenericImage>,
    address: Ipv4Addr,
    ca_pem: String,
}

impl Container {
    /// Starts a container. When this returns, its emulator is ready.
    ///
    /// # Errors
    ///
    /// There is no Docker engine, it has no such image, or the emulator does not become ready.
    pub async fn start() -> Result<Self, TestcontainersError> {
        let image = std::env::var(IMAGE_VARIABLE).unwrap_or_default();
        let (name, tag) = image.rsplit_once(':').unwrap_or(("iothub-emulator", "latest"));
        let address = own_address();
        let host = address.to_string();
        let running = GenericImage::new(name, tag)
            .with_wait_for(WaitFor::healthcheck())
            .with_startup_timeout(START_TIME)
            .with_env_var("IOTHUB_EMULATOR_HOSTNAME", &host)
            .with_host_config_modifier(move |config| config.port_bindings = Some(bindings(&host)))
            .start()
            .await?;
        let command = ExecCommand::new(["/iothub-emulator", "ca", "show"]);
        let shown = running.exec(command).await?.stdout_to_vec().await?;
        let ca_pem = String::from_utf8_lossy(&shown).into_owned();
        Ok(Self { _running: running, address, ca_pem })
    }

    /// Where its ports are.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The connection string of the policy with all rights.
    pub fn connection_string(&self) -> String {
        let host = Host { name: self.address.to_string(), port: None };
        let key = keys::well_known(OWNER, "primary");
        ServiceConnectionString { host, policy: OWNER.to_owned(), key }.to_string()
    }

    /// The certificate of the authority to trust, in PEM with a description before it.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

fn bindings(address: &str) -> HashMap<String, Option<Vec<PortBinding>>> {
    let bind = |port: &str| {
        let host_port = port.split('/').next().map(str::to_owned);
        let binding = PortBinding { host_ip: Some(address.to_owned()), host_port };
        (port.to_owned(), Some(vec![binding]))
    };
    PORTS.into_iter().map(bind).collect()
}

/// An address of 127.0.0.0/8 that no other container of this process has.
fn own_address() -> Ipv4Addr {
    static LAST: AtomicU8 = AtomicU8::new(0);

    let process = std::process::id().to_be_bytes();
    let [.., second, third] = process;
    Ipv4Addr::new(127, second | 0x80, third, LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(2))
}
