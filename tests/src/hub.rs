//! A hub inside the test, behind plain blocking calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use iothub_core::auth::sas;
use iothub_core::devicebound::Outgoing;
use iothub_core::error::HubError;
use iothub_core::event::{Event, Message, SystemProperty};
use iothub_core::ids::DeviceId;
use iothub_core::limits;
use iothub_core::store::LoggedEvent;
use iothub_core::time::Timestamp;
use iothub_testkit::{Config, Emulator};
use iothub_wire::connection_string::{DeviceConnectionString, ServiceConnectionString, encode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{
    self, ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion,
};

use crate::certificate::Party;
use crate::mqtt::{ACCEPTED, Connect, Connection, PATIENCE, subscribe};
use crate::rest::Rest;
use crate::{FAR_FUTURE, key};

/// A hub of the test's own. It stops when dropped.
pub struct Hub {
    /// What a test asks in Rust: the event log, the addresses.
    pub emulator: Emulator,
    /// The back end, as the policy `iothubowner`.
    pub rest: Rest,
    /// The policy's connection string.
    pub owner: ServiceConnectionString,
    /// Runs the emulator's tasks while the test blocks; dropped last.
    runtime: Runtime,
}

/// A device that exists on the hub, with [`key`] 1 and 2.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// The hub's host name.
    pub host: String,
}

impl Hub {
    /// Starts a hub with nothing in it.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a hub whose configuration is changed first.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let emulator = runtime.block_on(Emulator::start_with(change)).unwrap();
        let owner = ServiceConnectionString::parse(&emulator.connection_string()).unwrap();
        let authority = format!("{}:{}", owner.host.name, emulator.https_addr().port());
        let rest = Rest::new(&authority, &owner, emulator.ca_pem().as_bytes());
        Self { emulator, rest, owner, runtime }
    }

    /// The host name, without a port.
    pub fn host(&self) -> &str {
        &self.owner.host.name
    }

    /// Creates a device.
    pub fn device(&self, id: &str) -> Device {
        let keys = json!({
            "primaryKey": key(1).as_base64(),
            "secondaryKey": key(2).as_base64(),
        });
        let body = json!({
            "deviceId": id,
            "authentication": { "type": "sas", "symmetricKey": keys },
        });
        self.rest.put(&format!("/devices/{}", encode(id)), &body.to_string()).expect(200);
        Device { id: id.to_owned(), host: self.host().to_owned() }
    }

    /// What the testkit gives of a device that it registers.
    pub fn register(&self, id: &str) -> DeviceConnectionString {
        self.runtime.block_on(self.emulator.device(id)).unwrap()
    }

    /// Opens a plain connection to the MQTT port.
    pub fn open(&self) -> Connection {
        Connection::plain(self.emulator.mqtt_addr().expect("the plain MQTT port is on"))
    }

    /// Opens a connection over TLS to the MQTT port.
    pub fn open_tls(&self) -> Connection {
        Connection::tls(self.emulator.mqtts_addr(), self.host(), self.tls_config())
    }

    /// Opens a connection over TLS to the HTTPS port.
    pub fn open_https(&self) -> Connection {
        Connection::tls(self.emulator.https_addr(), self.host(), self.tls_config())
    }

    /// A client that trusts this hub and nobody else.
    pub fn tls_config(&self) -> Arc<ClientConfig> {
        trusting(self.emulator.ca_pem().as_bytes())
    }

    /// A client that trusts this hub and nobody else, and shows these certificates.
    pub fn tls_config_of(
        &self,
        party: &Party,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let config = builder(self.emulator.ca_pem().as_bytes(), &[version]);
        Arc::new(config.with_client_cert_resolver(party.credential()))
    }

    /// Sends CONNECT on a new connection and expects this answer.
    pub fn connect_as(&self, connect: &Connect, answer: &[u8]) -> Connection {
        let mut connection = self.open();
        connection.send(&connect.bytes());
        connection.expect(answer);
        connection
    }

    /// Connects a device with a clean session.
    pub fn connect(&self, device: &Device) -> Connection {
        self.connect_as(&device.connect(), ACCEPTED)
    }

    /// Connects a device with a clean session, and subscribes it to the answers of twin requests
    /// and to desired changes.
    pub fn connect_twin(&self, device: &Device) -> Connection {
        let mut connection = self.connect(device);
        subscribe_twin(&mut connection);
        connection
    }

    /// The twin of a device, as the back end sees it.
    pub fn twin(&self, device: &Device) -> Value {
        self.rest.get(&format!("/twins/{}", encode(&device.id))).expect(200).json()
    }

    /// Patches the desired properties of a device; `desired` is JSON.
    pub fn desire(&self, device: &Device, desired: &str) -> Value {
        let body = format!(r#"{{"properties":{{"desired":{desired}}}}}"#);
        self.rest.patch(&format!("/twins/{}", encode(&device.id)), &body).expect(200).json()
    }

    /// Sends a cloud-to-device message.
    pub fn send(
        &self,
        device: &Device,
        message: Message,
        expiry: Option<Timestamp>,
    ) -> Result<(), HubError> {
        let service = self.emulator.service().unwrap();
        let id = DeviceId::parse(&device.id).unwrap();
        let outgoing = Outgoing::new(message, expiry)?;
        self.runtime.block_on(service.send_devicebound(&id, outgoing))
    }

    /// Sends a cloud-to-device message with a message id equal to its body, which asks for full
    /// feedback.
    pub fn send_text(&self, device: &Device, text: &str) {
        let message = Message {
            system: vec![(SystemProperty::MessageId, text.to_owned())],
            application: vec![("iothub-ack".to_owned(), Some("full".to_owned()))],
            body: text.to_owned().into(),
        };
        self.send(device, message, None).unwrap();
    }

    /// Every message that the hub took from devices, those of one device in their order.
    pub fn events(&self) -> Vec<Arc<Event>> {
        self.logged().into_iter().map(|(_, logged)| logged.event).collect()
    }

    /// The same with their places: their partitions, and their numbers and offsets there.
    pub fn logged(&self) -> Vec<(usize, LoggedEvent)> {
        let log = self.emulator.hub().events().clone();
        let mut events = Vec::new();
        for partition in 0..log.partitions() {
            let read = self.runtime.block_on(log.read(partition, 0, usize::MAX)).unwrap();
            events.extend(read.into_iter().map(|logged| (partition, logged)));
        }
        events
    }

    /// Waits until the hub has taken so many messages, and gives them.
    pub fn await_events(&self, count: usize) -> Vec<Arc<Event>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events();
            if events.len() >= count {
                return events;
            }
            assert!(Instant::now() < deadline, "{} messages came, expected {count}", events.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the hub has noticed that the device is away.
    pub fn await_absence(&self, device: &Device) {
        let deadline = Instant::now() + PATIENCE;
        while self.twin(device)["connectionState"] != "Disconnected" {
            assert!(Instant::now() < deadline, "{} is still connected", device.id);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many cloud-to-device messages wait for the device.
    pub fn await_waiting(&self, device: &Device, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown =
                self.rest.get(&format!("/devices/{}", encode(&device.id))).expect(200).json();
            let waiting = &shown["cloudToDeviceMessageCount"];
            if *waiting == count {
                return;
            }
            assert!(Instant::now() < deadline, "{waiting} messages wait, expected {count}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the hub gracefully and waits until it has, which must be sooner than it gives up
    /// anybody who keeps it waiting.
    pub fn stop(self) {
        let Self { emulator, runtime, .. } = self;
        let limit = limits::TLS_HANDSHAKE_TIME;
        let stopped = runtime.block_on(async { timeout(limit, emulator.stop()).await });
        assert!(stopped.is_ok(), "the hub did not stop within {limit:?}");
    }
}

/// A client that trusts these authorities and nobody else.
pub fn trusting(ca_pem: &[u8]) -> Arc<ClientConfig> {
    Arc::new(builder(ca_pem, rustls::DEFAULT_VERSIONS).with_no_client_auth())
}

fn builder(
    ca_pem: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

/// Subscribes to the answers of twin requests and to desired changes, at quality of service 0.
pub fn subscribe_twin(connection: &mut Connection) {
    let filters = [("$iothub/twin/res/#", 0), ("$iothub/twin/PATCH/properties/desired/#", 0)];
    connection.send(&subscribe(2, &filters));
    connection.expect(&[0x90, 4, 0, 2, 0, 0]);
}

impl Device {
    /// The user name of current SDKs.
    pub fn user_name(&self) -> String {
        self.user_name_of("2021-04-12")
    }

    /// The user name of a client of this api-version.
    pub fn user_name_of(&self, api_version: &str) -> String {
        format!("{}/{}/?api-version={api_version}", self.host, self.id)
    }

    /// The resource of this device's tokens, not encoded.
    pub fn resource(&self) -> String {
        format!("{}/devices/{}", self.host, self.id)
    }

    /// A token of this device's primary key.
    pub fn token(&self) -> String {
        sas::sign(&encode(&self.resource()), FAR_FUTURE, None, &key(1))
    }

    /// CONNECT with a clean session, as current SDKs do it.
    pub fn connect(&self) -> Connect {
        Connect::new(&self.id, &self.user_name(), &self.token())
    }

    /// CONNECT with a clean session, as a client of this api-version.
    pub fn connect_of(&self, api_version: &str) -> Connect {
        Connect::new(&self.id, &self.user_name_of(api_version), &self.token())
    }
}
