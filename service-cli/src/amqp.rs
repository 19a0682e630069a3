//! The service's side of AMQP: a connection with a claim that is renewed while it is used.

use std::sync::Arc;
use std::time::Duration;

use iothub_amqp_client::{Claims, Connection, Endpoint, Token, Via};
use iothub_core::auth::sas;
use iothub_wire::connection_string::{ServiceConnectionString, encode};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;

use crate::client::{io_failed, tls_failed};
use crate::clock::{self, Now};
use crate::error::{Error, ServiceError};
use crate::roots::Roots;

/// The port that the service has for AMQP over TLS.
pub const PORT: u16 = 5671;

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// A new token is shown this long after the last one.
const RENEWAL: Duration = Duration::from_secs(45 * 60);

/// A back end's way to one hub over AMQP.
#[derive(Clone)]
pub struct Amqp {
    pub(crate) hub: ServiceConnectionString,
    port: u16,
    tls: Arc<ClientConfig>,
    now: Now,
}

/// A connection that may be used; dropping it ends it.
pub(crate) struct Claimed {
    pub(crate) connection: Connection,
    /// Where the peer is, for messages.
    pub(crate) peer: String,
    _renewal: JoinSet<()>,
}

/// A node and who has it.
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What a token for it is signed for.
    pub(crate) resource: String,
}

impl Amqp {
    /// Connects with the first operation.
    ///
    /// # Errors
    ///
    /// None of the roots can be used.
    pub fn new(hub: ServiceConnectionString, port: u16, roots: &Roots) -> Result<Self, Error> {
        let tls = roots.for_tls().map_err(|why| tls_failed(hub.host.to_string(), &why))?;
        Ok(Self { hub, port, tls, now: clock::system() })
    }

    /// A connection to the hub itself.
    pub(crate) async fn open(&self) -> Result<Claimed, Error> {
        let host = self.hub.host.name.clone();
        self.open_at(&Place { resource: host.clone(), host, port: self.port }).await
    }

    pub(crate) async fn open_at(&self, place: &Place) -> Result<Claimed, Error> {
        let endpoint = Endpoint {
            host: place.host.clone(),
            port: place.port,
            via: Via::Tcp,
            tls: Some(Arc::clone(&self.tls)),
            certificate: false,
        };
        let peer = format!("{}:{}", place.host, place.port);
        let failed = |why| failed(&peer, why);
        let mut connection = endpoint.connect().await.map_err(failed)?;
        let mut claims = Claims::attach(&mut connection).await.map_err(failed)?;
        claims.put(self.token(&place.resource)).await.map_err(failed)?;
        let mut renewal = JoinSet::new();
        renewal.spawn(renew(self.clone(), claims, place.resource.clone()));
        Ok(Claimed { connection, peer, _renewal: renewal })
    }

    /// The port of this hub, for what its host says about itself.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn now(&self) -> iothub_core::time::Timestamp {
        (self.now)()
    }

    fn token(&self, resource: &str) -> Token {
        let expiry = self.now().after(TOKEN_LIFETIME).unix_seconds();
        let hub = &self.hub;
        Token {
            audience: resource.to_owned(),
            signature: sas::sign(&encode(resource), expiry, Some(&hub.policy), &hub.key),
        }
    }
}

/// Goes on until the peer no longer wants it; it then ends the connection itself.
async fn renew(amqp: Amqp, mut claims: Claims, resource: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        if claims.put(amqp.token(&resource)).await.is_err() {
            return;
        }
    }
}

impl Claimed {
    pub(crate) fn failed(&self, why: impl Into<iothub_amqp_client::Error>) -> Error {
        failed(&self.peer, why.into())
    }
}

/// What went wrong with AMQP, as this program says it.
pub(crate) fn failed(peer: &str, why: iothub_amqp_client::Error) -> Error {
    use iothub_amqp_client::Error as A;

    let hub = peer.to_owned();
    match why {
        A::Io(why) => io_failed(hub, &why),
        A::TimedOut { after, .. } => Error::TimedOut { hub, after },
        A::Refused(condition) => match service_error(&condition.description) {
            Some(error) => error.into(),
            None => Error::Refusal { hub, why: condition.to_string() },
        },
        A::Status { status, description } => {
            Error::Refusal { hub, why: format!("{description} (status {status})") }
        }
        other => Error::Unreachable { hub, why: other.to_string() },
    }
}

/// The document that the service puts into a condition's description, as it does into the body of
/// an answer over HTTP.
fn service_error(description: &str) -> Option<ServiceError> {
    let document: serde_json::Value = serde_json::from_str(description).ok()?;
    let number = document.get("errorCode")?.as_u64()?;
    let status = u16::try_from(number / 1000).ok()?;
    Some(ServiceError::parse(status, None, description))
}

#[cfg(test)]
mod tests {
    use iothub_amqp_client::Condition;

    use super::*;

    #[test]
    fn refusals_are_told_as_those_over_http() {
        let table = [
            (
                r#"{"errorCode":404001,"trackingId":"ab","message":"d1"}"#,
                "DeviceNotFound: d1 (404001)",
            ),
            ("no such group", "h:1 refuses: amqp:not-found: no such group"),
            ("", "h:1 refuses: amqp:not-found"),
            ("{}", "h:1 refuses: amqp:not-found: {}"),
        ];
        for (description, expected) in table {
            let condition = Condition {
                name: "amqp:not-found".to_owned(),
                description: description.to_owned(),
                info: Vec::new(),
            };
            assert_eq!(failed("h:1", condition.into()).to_string(), expected);
        }
    }
}
