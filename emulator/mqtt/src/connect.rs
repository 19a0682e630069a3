//! CONNECT to an admitted device, or to the code of a refusal.

use std::time::Duration;

use iothub_core::auth::sas::SasToken;
use iothub_core::auth::x509::CertificateChain;
use iothub_core::auth::{DevicePrincipal, Refusal};
use iothub_core::directory::Directory;
use iothub_core::error::HubError;
use iothub_core::event::Message;
use iothub_core::fault::line::Line;
use iothub_core::fault::{AnswerFault, Edge};
use iothub_core::hub::Hub;
use iothub_core::ids::IdentityId;
use iothub_core::limits;
use iothub_core::session::{self, Connected, Protocol};
use iothub_core::throttle::Operation;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::connect::{InvalidUserName, UserName, is_client_id_of};
use iothub_wire::topic::UplinkTopic;

use crate::frame::{ConnackCode, Connect, Publish, Qos};
use crate::session::message;

/// A device that may talk to the hub now.
pub(crate) struct Admitted {
    pub(crate) hub: Hub,
    pub(crate) connected: Connected,
    pub(crate) api_version: Option<ApiVersion>,
    pub(crate) silence: Duration,
    pub(crate) will: Option<Message>,
    /// What happens to the answer.
    pub(crate) fault: Option<AnswerFault>,
}

/// Why a CONNECT is refused. The client sees the code alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectRefusal {
    #[error("{0}")]
    UserName(#[from] InvalidUserName),
    #[error("client id is {client_id:?}, but the user name names {id}")]
    ClientId { client_id: String, id: IdentityId },
    #[error("{id}: {why}")]
    Credential { id: IdentityId, why: Refusal },
    #[error("{id}: will is for topic {topic:?}, expected the device's own events at QoS 0 or 1")]
    Will { id: IdentityId, topic: String },
    #[error("{id}: {why}")]
    Hub { id: IdentityId, why: HubError },
}

impl ConnectRefusal {
    /// Who is refused, as far as that was said.
    pub(crate) fn id(&self) -> Option<&IdentityId> {
        match self {
            Self::UserName(_) => None,
            Self::ClientId { id, .. }
            | Self::Credential { id, .. }
            | Self::Will { id, .. }
            | Self::Hub { id, .. } => Some(id),
        }
    }

    /// The hub answers 5 to whatever is wrong with a credential, and 3 to a device that is
    /// disabled: iot-sdk-c issues 314 and 2300.
    pub(crate) fn code(&self) -> ConnackCode {
        match self {
            Self::Credential { why: Refusal::Disabled(_), .. } | Self::Hub { .. } => {
                ConnackCode::ServerUnavailable
            }
            _ => ConnackCode::NotAuthorized,
        }
    }
}

/// Checks a CONNECT and opens the session of its device.
pub(crate) async fn admit(
    connect: Connect,
    shown: Option<CertificateChain>,
    directory: &Directory,
    line: &dyn Line,
) -> Result<Admitted, ConnectRefusal> {
    let name = UserName::parse(&connect.user_name)?;
    let id = name.id;
    if !is_client_id_of(&connect.client_id, &id) {
        return Err(ConnectRefusal::ClientId { client_id: connect.client_id, id });
    }
    let will = connect.will.map(|will| will_message(will, &id)).transpose()?;
    let refused = |why| ConnectRefusal::Credential { id: id.clone(), why };
    let failed = |error| match error {
        HubError::Unauthorized(why) => refused(why),
        why => ConnectRefusal::Hub { id: id.clone(), why },
    };
    let credential = Credential::of(&connect.password, shown).map_err(refused)?;
    let hub = credential.hub(&name.host, directory).map_err(refused)?;
    let admitted = hub.admit_of(Operation::Connect, Some(&id), Edge::Mqtt, line).await;
    let fault = admitted.map_err(failed)?;
    let principal = credential.check(hub, &id).await.map_err(failed)?;
    let options = session::Connect {
        persistent: !connect.clean_session,
        model_id: name.model_id,
        protocol: Protocol::Mqtt,
    };
    Ok(Admitted {
        hub: hub.clone(),
        connected: hub.device(principal, options).await.map_err(failed)?,
        api_version: name.api_version,
        silence: silence(connect.keep_alive),
        will,
        fault,
    })
}

/// What a client shows of itself.
enum Credential {
    Token(SasToken),
    Certificate(CertificateChain),
}

impl Credential {
    /// Who sends no password authenticates with a certificate. A certificate beside a password
    /// does not count.
    fn of(password: &str, shown: Option<CertificateChain>) -> Result<Self, Refusal> {
        if password.is_empty() {
            return shown.map(Self::Certificate).ok_or(Refusal::NoCredential);
        }
        Ok(Self::Token(SasToken::parse(password)?))
    }

    /// The hub that the client means.
    fn hub<'a>(&self, host: &str, directory: &'a Directory) -> Result<&'a Hub, Refusal> {
        match self {
            Self::Token(token) => directory.find_for(host, token),
            Self::Certificate(_) => directory.find(host),
        }
    }

    async fn check(&self, hub: &Hub, id: &IdentityId) -> Result<DevicePrincipal, HubError> {
        match self {
            Self::Token(token) => hub.authenticate_device(id, token).await,
            Self::Certificate(chain) => hub.authenticate_device_by_certificate(id, chain).await,
        }
    }
}

/// How long the client may be silent: one and a half times its keep-alive, up to the hub's own
/// bound, which also holds for clients that want none.
fn silence(keep_alive: u16) -> Duration {
    let wanted = Duration::from_secs(u64::from(keep_alive)) * 3 / 2;
    if wanted.is_zero() { limits::MQTT_SILENCE } else { wanted.min(limits::MQTT_SILENCE) }
}

fn will_message(will: Publish, id: &IdentityId) -> Result<Message, ConnectRefusal> {
    match UplinkTopic::parse(&will.topic) {
        Ok(UplinkTopic::Event { sender, properties })
            if sender == *id && will.qos != Qos::ExactlyOnce =>
        {
            let mut message = message(&properties, &will.payload, will.retain);
            message.application.push(("iothub-MessageType".to_owned(), Some("Will".to_owned())));
            Ok(message)
        }
        _ => Err(ConnectRefusal::Will { id: id.clone(), topic: will.topic }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_one_and_a_half_keep_alives_within_the_hub_s_bound() {
        let table =
            [(0, 1767.0), (1, 1.5), (60, 90.0), (1177, 1765.5), (1178, 1767.0), (65535, 1767.0)];
        for (keep_alive, expected) in table {
            assert_eq!(silence(keep_alive), Duration::from_secs_f64(expected), "{keep_alive}");
        }
    }
}
