//! The emulator as a child process, and how the benches speak to it.

use std::net::SocketAddr;
use std::sync::Arc;

use iothub_tests::mqtt::{ACCEPTED, Connection};
use iothub_tests::program::Emulator;
use iothub_tests::rest::Rest;
use iothub_tests::{Device, key, subscribe_twin, trusting};
use iothub_wire::connection_string::ServiceConnectionString;
use serde_json::json;
use tokio_rustls::rustls::ClientConfig;

/// A running emulator with a back end and the means to connect devices.
pub(crate) struct Server {
    pub(crate) emulator: Emulator,
    pub(crate) rest: Rest,
    pub(crate) tls: Arc<ClientConfig>,
    host: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let emulator = Emulator::start();
        let local = &emulator.local;
        let owner = ServiceConnectionString::parse(&local.connection_string).unwrap();
        let authority = format!("{}:{}", owner.host.name, owner.host.port.unwrap_or(443));
        let ca = std::fs::read(&local.ca_file).unwrap();
        let (rest, tls) = (Rest::new(&authority, &owner, &ca), trusting(&ca));
        Self { rest, tls, host: owner.host.name, emulator }
    }

    pub(crate) fn device(&self, id: &str) -> Device {
        let keys = json!({
            "primaryKey": key(1).as_base64(),
            "secondaryKey": key(2).as_base64(),
        });
        let body = json!({
            "deviceId": id,
            "authentication": { "type": "sas", "symmetricKey": keys },
        });
        self.rest.put(&format!("/devices/{id}"), &body.to_string()).expect(200);
        Device { id: id.to_owned(), host: self.host.clone() }
    }

    /// Connects a device over TLS and subscribes it to everything about its twin.
    pub(crate) fn connect(&self, device: &Device) -> Connection {
        let address = SocketAddr::from(([127, 0, 0, 1], self.emulator.local.mqtt_port));
        let mut connection = Connection::tls(address, &self.host, self.tls.clone());
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        subscribe_twin(&mut connection);
        connection
    }

    pub(crate) fn desire(&self, device: &Device, desired: &str) {
        let body = format!(r#"{{"properties":{{"desired":{desired}}}}}"#);
        self.rest.patch(&format!("/twins/{}", device.id), &body).expect(200);
    }
}
