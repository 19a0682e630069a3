//! What a connection has proved: the tokens that it put, and the certificate that it showed.

use iothub_core::auth::sas::SasToken;
use iothub_core::auth::x509::CertificateChain;
use iothub_core::auth::{DevicePrincipal, Refusal, ServicePrincipal};
use iothub_core::error::HubError;
use iothub_core::hub::Hub;
use iothub_core::ids::IdentityId;
use iothub_core::limits;
use iothub_core::time::Timestamp;
use percent_encoding::percent_decode_str;

use crate::node::named_identity;

/// The credentials of a connection.
#[derive(Debug)]
pub(crate) struct Grants {
    /// Also those that have ended, so that it can be said that they have.
    tokens: Vec<Granted>,
    pub(crate) certificate: Option<CertificateChain>,
}

#[derive(Debug)]
struct Granted {
    audience: String,
    token: SasToken,
    /// Whom it proved to be, if that is a device or module.
    device: Option<DevicePrincipal>,
}

impl Granted {
    fn ends(&self) -> Timestamp {
        self.token.expiry().after(limits::TOKEN_EXPIRY_GRACE)
    }
}

impl Grants {
    /// Those of a client who showed this certificate, or none.
    pub(crate) fn new(certificate: Option<CertificateChain>) -> Self {
        Self { tokens: Vec::new(), certificate }
    }

    /// Takes a token for an audience, in the place of an earlier one for the same.
    pub(crate) async fn put(
        &mut self,
        hub: &Hub,
        audience: &str,
        text: &str,
    ) -> Result<(), HubError> {
        let token = SasToken::parse(text).map_err(|why| HubError::Unauthorized(why.into()))?;
        let audience = percent_decode_str(audience).decode_utf8_lossy().into_owned();
        let resource = token.resource().to_string();
        let id = named_identity(&audience).or_else(|| named_identity(&resource));
        let device = match id {
            Some(id) => Some(hub.authenticate_device(&id, &token).await?),
            None => {
                check_policy(hub, &token).map_err(HubError::Unauthorized)?;
                None
            }
        };
        self.tokens.retain(|granted| granted.audience != audience);
        self.make_room(hub.now())?;
        self.tokens.push(Granted { audience, token, device });
        Ok(())
    }

    /// Fails if there is no room for a token; one that has ended makes room.
    fn make_room(&mut self, now: Timestamp) -> Result<(), HubError> {
        let max = limits::AMQP_TOKENS;
        if self.tokens.len() < max {
            return Ok(());
        }
        let ended = self.tokens.iter().position(|granted| granted.ends() <= now);
        let full = format!("connection holds {max} tokens, which is the most");
        let ended = ended.ok_or(HubError::ArgumentInvalid(full))?;
        self.tokens.remove(ended);
        Ok(())
    }

    /// The device or module, if the connection proved to be it or may act for it.
    pub(crate) async fn device(
        &self,
        hub: &Hub,
        id: &IdentityId,
    ) -> Result<DevicePrincipal, HubError> {
        let mut refused = if self.tokens.is_empty() {
            Refusal::NoCredential
        } else {
            Refusal::NoTokenFor(id.clone())
        };
        for granted in &self.tokens {
            match granted.device.as_ref().filter(|principal| principal.id() == id) {
                Some(principal) if granted.ends() > hub.now() => return Ok(principal.clone()),
                Some(_) => refused = Refusal::Expired(granted.token.expiry()),
                None => {}
            }
        }
        for granted in self.tokens.iter().filter(|granted| granted.device.is_none()) {
            match hub.authenticate_device(id, &granted.token).await {
                Err(HubError::Unauthorized(why)) => refused = telling(refused, why),
                decided => return decided,
            }
        }
        match &self.certificate {
            Some(chain) => hub.authenticate_device_by_certificate(id, chain).await,
            None => Err(HubError::Unauthorized(refused)),
        }
    }

    /// The back end that may use the resource at `path`.
    pub(crate) fn service(&self, hub: &Hub, path: &[&str]) -> Result<ServicePrincipal, HubError> {
        self.first(|token| hub.authenticate_service(path, token))
    }

    /// Whether the connection may read an event hub.
    pub(crate) fn reader(&self, hub: &Hub, event_hub: &str) -> Result<(), HubError> {
        self.first(|token| hub.authenticate_reader(event_hub, token))
    }

    fn first<T>(&self, check: impl Fn(&SasToken) -> Result<T, Refusal>) -> Result<T, HubError> {
        let mut refused = Refusal::NoCredential;
        for granted in &self.tokens {
            match check(&granted.token) {
                Ok(principal) => return Ok(principal),
                Err(why) => refused = telling(refused, why),
            }
        }
        Err(HubError::Unauthorized(refused))
    }

    /// When the next token ends, grace included.
    pub(crate) fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.tokens.iter().map(Granted::ends).filter(|end| *end > now).min()
    }
}

/// What a client learns most from: that a token was good once, or why the last one is not.
fn telling(before: Refusal, last: Refusal) -> Refusal {
    if matches!(before, Refusal::Expired(_)) { before } else { last }
}

/// A token of a policy is for the hub, or for an event hub, whose clients sign differently.
fn check_policy(hub: &Hub, token: &SasToken) -> Result<(), Refusal> {
    let segments = token.resource().segments();
    let path: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    let Err(refused) = hub.authenticate_service(&path, token) else { return Ok(()) };
    let event_hub = path.first().copied().unwrap_or_else(|| hub.name());
    hub.authenticate_reader(event_hub, token).map_err(|why| match why {
        // A name that is no event hub's says less than what the hub made of the token.
        Refusal::Scope(_) => refused,
        why => why,
    })
}
