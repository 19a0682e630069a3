//! An IoT hub inside a Rust test.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = iothub_testkit::Emulator::start().await?;
//! println!("connect to {}", emulator.connection_string());
//! emulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Operations fail as long as a guard lives:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use iothub_testkit::{Failure, Fault};
//! # let emulator = iothub_testkit::Emulator::start().await?;
//! let throttled = Fault::new(Failure::Throttled).of("updateTwin").times(1);
//! let guard = emulator.inject(throttled).ok_or("too many faults")?;
//! assert_eq!(guard.hits(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! Waiting for what should happen; what happened instead is in the message of the panic:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use serde_json::json;
//! # let emulator = iothub_testkit::Emulator::start().await?;
//! let device = emulator.device("dev1").await?;
//! println!("connect with {device}");
//! emulator.expect(json!({"kind": "created", "deviceId": "dev1"})).await?;
//! # Ok(())
//! # }
//! ```
//!
//! More hubs, one for each test, say, in the same emulator:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use iothub_testkit::Turn;
//! # use std::time::Duration;
//! # let emulator = iothub_testkit::Emulator::start().await?;
//! let hub = emulator.create_hub()?;
//! let (_, owner) = &hub.connection_strings[0];
//! println!("connect to {owner}");
//! emulator.turn_clock(&hub.name, Turn { advance: Duration::from_secs(3600), ..Turn::default() }).await?;
//! let taken = emulator.snapshot_hub(&hub.name).await?;
//! emulator.reset_hub(&hub.name).await?;
//! emulator.restore_hub(&hub.name, &taken).await?;
//! emulator.delete_hub(&hub.name).await?;
//! # Ok(())
//! # }
//! ```
//!
//! One with routes of its own:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use iothub_testkit::WantedHub;
//! # use serde_json::json;
//! # let emulator = iothub_testkit::Emulator::start().await?;
//! let routing = json!({
//!     "endpoints": [{"name": "alerts", "type": "event-hub"}],
//!     "routes": [{"name": "hot", "condition": "level = 'hot'", "endpointNames": ["alerts"]}],
//! });
//! let wanted = WantedHub { routing: Some(routing), ..WantedHub::default() };
//! let hub = emulator.create_hub_with(wanted)?;
//! let (name, alerts) = &hub.event_hubs[0];
//! println!("read {name} with {alerts}");
//! # assert_eq!(name, "alerts");
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "container")]
pub mod container;

use std::net::{IpAddr, SocketAddr};

use iothub_core::auth::Refusal;
use iothub_core::auth::sas::{self, SasToken};
use iothub_core::error::HubError;
pub use iothub_core::fault::preset::Preset;
pub use iothub_core::fault::{Edge, Failure, Fault};
use iothub_core::hub::Hub;
use iothub_core::ids::{DeviceId, Precondition};
use iothub_core::registry::identity::{Authentication, IdentityDraft};
use iothub_core::session::ServiceSession;
use iothub_emulator::Harness as _;
use iothub_emulator::StartError;
use iothub_emulator::config::HostName;
pub use iothub_emulator::config::{Config, Tier};
pub use iothub_emulator::{
    CertificateKind, ClockFacts, Expectation, HubFacts, HubRefusal, Turn, Unmet, WantedHub,
};
use iothub_wire::connection_string::{DeviceConnectionString, Host};
use serde_json::{Value, json};

/// The policy with all rights.
const OWNER: &str = "iothubowner";
/// The port that SDKs hard-code for MQTT over TLS.
const MQTTS_PORT: u16 = 8883;

/// A hub on free ports of 127.0.0.1, with a certificate authority of its own that is never written
/// to disk. It ends when dropped.
#[derive(Debug)]
pub struct Emulator(iothub_emulator::Emulator);

impl Emulator {
    /// Starts a hub. When this returns, every port serves.
    ///
    /// # Errors
    ///
    /// There are no free ports, or no random bytes.
    pub async fn start() -> Result<Self, StartError> {
        Self::start_with(|_| {}).await
    }

    /// Starts a hub whose configuration is changed first.
    ///
    /// # Errors
    ///
    /// As [`Emulator::start`], or the configuration does not allow a start.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Result<Self, StartError> {
        let mut config = Config {
            mqtts_port: 0,
            mqtt_port: Some(0),
            amqps_port: 0,
            amqp_port: Some(0),
            https_port: Some(0),
            admin_port: 0,
            ..Config::default()
        };
        change(&mut config);
        iothub_emulator::Emulator::start(&config).await.map(Self)
    }

    /// Starts a hub with the ports that SDKs hard-code, on an address of its own such as
    /// 127.0.0.9, so that several tests can have one each.
    ///
    /// # Errors
    ///
    /// As [`Emulator::start`], or the ports may not be bound.
    pub async fn start_at(address: IpAddr) -> Result<Self, StartError> {
        Self::start_with(|config| {
            config.bind = address;
            config.hostname = HostName::Address(address);
            config.mqtts_port = MQTTS_PORT;
            config.amqps_port = 5671;
            config.https_port = Some(443);
        })
        .await
    }

    /// The hub itself.
    pub fn hub(&self) -> Hub {
        self.0.hub()
    }

    /// A back end as the policy `iothubowner`, without a socket: for what a test does in Rust, such
    /// as sending cloud-to-device messages.
    ///
    /// # Errors
    ///
    /// The hub's configuration has no such policy.
    pub fn service(&self) -> Result<ServiceSession, Refusal> {
        let hub = self.hub();
        let owner = hub.policies().iter().find(|policy| policy.name == OWNER);
        let owner = owner.ok_or_else(|| Refusal::UnknownPolicy(OWNER.to_owned()))?;
        let expiry = hub.now().unix_seconds() + 3600;
        let token = SasToken::parse(&sas::sign(hub.name(), expiry, Some(OWNER), &owner.primary))?;
        Ok(hub.service(hub.authenticate_service(&[], &token)?))
    }

    /// Puts a device with a key into the registry of the first hub, and gives what it connects with;
    /// with the port of MQTT over TLS if that is not the one that SDKs hard-code.
    ///
    /// # Errors
    ///
    /// There is one already, or this is no id.
    pub async fn device(&self, id: &str) -> Result<DeviceConnectionString, HubError> {
        let device = DeviceId::parse(id)?;
        let service = self.service().map_err(HubError::Unauthorized)?;
        let draft = IdentityDraft::default();
        let view = service.put_device(&device, &draft, &Precondition::None).await?;
        let key = match &view.record.identity.authentication {
            Authentication::Sas(keys) => keys.primary.clone(),
            _ => return Err(HubError::ServiceUnavailable(format!("device {id} has no key"))),
        };
        let address = self.mqtts_addr();
        let port = (address.port() != MQTTS_PORT).then_some(address.port());
        let host = Host { name: address.ip().to_string(), port };
        Ok(DeviceConnectionString { host, device, module: None, key })
    }

    /// The connection string of the policy `iothubowner`, with the port of HTTPS.
    pub fn connection_string(&self) -> String {
        self.0.connection_string().to_owned()
    }

    /// The certificate to trust, in PEM.
    pub fn ca_pem(&self) -> String {
        self.0.certificates().authority().pem().to_owned()
    }

    /// Where MQTT over TLS is served.
    pub fn mqtts_addr(&self) -> SocketAddr {
        self.0.addresses().mqtts
    }

    /// Where MQTT without TLS is served.
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.0.addresses().mqtt
    }

    /// Where AMQP over TLS is served.
    pub fn amqps_addr(&self) -> SocketAddr {
        self.0.addresses().amqps
    }

    /// Where AMQP without TLS is served.
    pub fn amqp_addr(&self) -> Option<SocketAddr> {
        self.0.addresses().amqp
    }

    /// Where HTTPS is served.
    pub fn https_addr(&self) -> SocketAddr {
        self.0.addresses().https
    }

    /// Where the admin port is served.
    pub fn admin_addr(&self) -> SocketAddr {
        self.0.addresses().admin
    }

    /// Makes another hub, empty and with keys of its own; on Linux at an address of its own with
    /// the ports that SDKs hard-code. It ends with the emulator or with [`Emulator::delete_hub`].
    ///
    /// # Errors
    ///
    /// There are too many, or it cannot be served.
    pub fn create_hub(&self) -> Result<HubFacts, HubRefusal> {
        self.create_hub_with(WantedHub::default())
    }

    /// The same with a name, with what it begins with (a document as of [`Emulator::snapshot_hub`]),
    /// or with routes; its keys are its own in any case.
    ///
    /// # Errors
    ///
    /// As [`Emulator::create_hub`], or there is one of that name, or a document has mistakes.
    pub fn create_hub_with(&self, wanted: WantedHub) -> Result<HubFacts, HubRefusal> {
        self.0.hubs().create(WantedHub { random_keys: true, ..wanted })
    }

    /// Ends a hub that was made, and its connections.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub async fn delete_hub(&self, name: &str) -> Result<(), HubRefusal> {
        self.0.hubs().delete(name).await
    }

    /// All that a hub holds, as a JSON document: devices, twins, modules, configurations and routes.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub async fn snapshot_hub(&self, name: &str) -> Result<String, HubRefusal> {
        self.0.hubs().snapshot(name).await
    }

    /// Makes a hub hold what a document says; address and keys stay.
    ///
    /// # Errors
    ///
    /// There is no such hub, or the document has mistakes; then nothing has changed.
    pub async fn restore_hub(&self, name: &str, document: &str) -> Result<HubFacts, HubRefusal> {
        self.0.hubs().restore(name, document.to_owned().into()).await
    }

    /// Makes a hub what it was in the beginning; address and keys stay.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub async fn reset_hub(&self, name: &str) -> Result<HubFacts, HubRefusal> {
        self.0.hubs().reset(name).await
    }

    /// Turns the clock of a hub; when this returns, what was due until then has happened.
    ///
    /// # Errors
    ///
    /// There is no such hub, or its clock would go back.
    pub async fn turn_clock(&self, hub: &str, turn: Turn) -> Result<ClockFacts, HubRefusal> {
        self.0.hubs().turn_clock(hub, turn).await
    }

    /// Lets the TLS listeners of a hub show another certificate, from the next handshake on.
    ///
    /// # Errors
    ///
    /// There is no such hub, or the certificate cannot be made.
    pub fn show_certificate(&self, hub: &str, kind: CertificateKind) -> Result<(), HubRefusal> {
        self.0.hubs().show_certificate(hub, kind)
    }

    /// Lets operations of the first hub fail or take long until the guard is dropped; none if there
    /// are as many faults as there may be.
    pub fn inject(&self, fault: Fault) -> Option<FaultGuard> {
        let hub = self.hub();
        let added = hub.add_fault(fault)?;
        Some(FaultGuard { hub, id: added.id })
    }

    /// Waits some seconds until the journal of the first hub has an entry that has all of
    /// `pattern`, such as `{"kind": "reported", "deviceId": "dev1", "patch": {"fan": "on"}}`; the
    /// kinds and their fields are those of the harness API.
    ///
    /// # Errors
    ///
    /// None came in time. Printing the error prints the end of the journal.
    pub async fn expect(&self, pattern: Value) -> Result<Value, Box<Unmet>> {
        self.expect_as(Expectation::of(pattern)).await
    }

    /// The same, with a number of an entry behind which to look, and with another patience.
    ///
    /// # Errors
    ///
    /// As [`Emulator::expect`].
    pub async fn expect_as(&self, expectation: Expectation) -> Result<Value, Box<Unmet>> {
        iothub_emulator::expect(&self.hub(), expectation).await
    }

    /// Waits until a device sends an event with this body.
    ///
    /// # Panics
    ///
    /// None comes in time; the end of the journal is in the message.
    #[expect(clippy::panic, reason = "an assertion of a test")]
    pub async fn expect_event(&self, device: &str, body: Value) -> Value {
        let pattern = json!({ "kind": "event", "deviceId": device, "body": body });
        match self.expect(pattern).await {
            Ok(entry) => entry,
            Err(unmet) => panic!("{unmet}"),
        }
    }

    /// The same with the faults of a preset, until all guards are dropped.
    pub fn inject_preset(&self, preset: Preset, seed: u64) -> Option<Vec<FaultGuard>> {
        let hub = self.hub();
        let added = hub.add_preset(preset, seed)?;
        Some(added.iter().map(|one| FaultGuard { hub: hub.clone(), id: one.id }).collect())
    }

    /// Stops accepting, closes the sessions, and returns when the last one has ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// A fault in a hub, which ends when this is dropped.
#[derive(Debug)]
#[must_use = "the fault ends when its guard is dropped"]
pub struct FaultGuard {
    hub: Hub,
    id: u64,
}

impl FaultGuard {
    /// How many operations it has struck.
    pub fn hits(&self) -> u64 {
        let all = self.hub.faults();
        all.iter().find(|one| one.id == self.id).map(|one| one.hits).unwrap_or_default()
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.hub.remove_fault(self.id);
    }
}
