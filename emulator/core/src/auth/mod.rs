//! Who somebody is and what they may do.
//!
//! A credential goes in, a principal comes out: [`DevicePrincipal`] or [`ServicePrincipal`]. Both
//! are made here only, by a check that succeeded, and each opens the session of its own role.

pub mod policy;
pub mod sas;
pub mod x509;

use policy::{AccessRight, AccessRights, SharedAccessPolicy};
use sas::SasToken;
use x509::CertificateFault;

use crate::ids::{GenerationId, IdentityId};
use crate::limits;
use crate::registry::identity::{Authentication, Status};
use crate::store::Record;
use crate::time::Timestamp;

/// A device or module that proved who it is.
#[derive(Clone, Debug)]
pub struct DevicePrincipal {
    id: IdentityId,
    generation: GenerationId,
    method: AuthMethod,
    connection_ends: Option<Timestamp>,
}

/// A back end that proved which policy it acts under.
#[derive(Clone, Debug)]
pub struct ServicePrincipal {
    policy: String,
    rights: AccessRights,
}

/// How a device authenticated; stamped on its events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthMethod {
    /// A token of the device's own key.
    DeviceKey,
    /// A token of a shared access policy.
    Policy,
    /// A certificate.
    Certificate,
}

/// Why somebody was not let in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No credential came.
    #[error("Authorization header missing")]
    Missing,
    /// The token cannot be read.
    #[error("{0}")]
    Malformed(#[from] sas::InvalidToken),
    /// The token, or the caller, names a hub that is not here.
    #[error("token is for host {0:?}, which is not this hub")]
    Hub(String),
    /// The hub has no such device or module.
    #[error("hub does not contain the device {0}")]
    UnknownIdentity(IdentityId),
    /// The hub has no such policy.
    #[error("hub has no shared access policy {0:?}")]
    UnknownPolicy(String),
    /// A service call came with a token of no policy.
    #[error("token names no shared access policy")]
    NoPolicy,
    /// The token is for something else.
    #[error("token is for {0:?}, which does not cover what was asked for")]
    Scope(String),
    /// The signature was made with another key.
    #[error("signature does not match a key of {0}")]
    Signature(String),
    /// The token has ended.
    #[error("token expired at {0}")]
    Expired(Timestamp),
    /// The identity authenticates in another way.
    #[error("device {0} does not authenticate with symmetric keys")]
    WrongMethod(IdentityId),
    /// The identity authenticates in another way.
    #[error("device {0} does not authenticate with certificates")]
    NoCertificateDevice(IdentityId),
    /// Neither a token nor a certificate came.
    #[error("neither a token nor a certificate came")]
    NoCredential,
    /// The tokens that came are those of others.
    #[error("no token came for device {0}, only for others")]
    NoTokenFor(IdentityId),
    /// A test asked for this.
    #[error("a fault was injected")]
    Injected,
    /// The certificate is not that of the identity. In a box, since it tells more than the others.
    #[error("{0}")]
    Certificate(Box<CertificateFault>),
    /// The credential is good but the device is disabled.
    #[error("device {0} is disabled")]
    Disabled(IdentityId),
    /// The policy does not allow this.
    #[error("authorization rule {policy:?} does not allow access for {right:?}")]
    MissingRight {
        /// The policy of the token.
        policy: String,
        /// What it would have needed.
        right: AccessRight,
    },
}

impl From<CertificateFault> for Refusal {
    fn from(fault: CertificateFault) -> Self {
        Self::Certificate(Box::new(fault))
    }
}

impl DevicePrincipal {
    /// The device or module.
    pub fn id(&self) -> &IdentityId {
        &self.id
    }

    /// Which identity of that name.
    pub fn generation(&self) -> GenerationId {
        self.generation
    }

    /// How it authenticated.
    pub fn method(&self) -> AuthMethod {
        self.method
    }

    /// When a connection of this principal must end, if its credential does.
    pub fn connection_ends(&self) -> Option<Timestamp> {
        self.connection_ends
    }
}

impl ServicePrincipal {
    /// Fails unless the policy has `right`.
    ///
    /// # Errors
    ///
    /// Names the policy and the right.
    pub fn require(&self, right: AccessRight) -> Result<(), Refusal> {
        if self.rights.contains(right) {
            return Ok(());
        }
        Err(Refusal::MissingRight { policy: self.policy.clone(), right })
    }
}

/// What an identity is checked by. A module has the status of its device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials<'a> {
    pub(crate) generation: GenerationId,
    pub(crate) authentication: &'a Authentication,
    pub(crate) status: Status,
}

impl<'a> Credentials<'a> {
    /// Those of `id` in the record of its device.
    pub(crate) fn of(record: &'a Record, id: &IdentityId) -> Option<Self> {
        let status = record.identity.status;
        match &id.module {
            None => Some(Self {
                generation: record.identity.generation,
                authentication: &record.identity.authentication,
                status,
            }),
            Some(module) => record.modules.get(module).map(|module| Self {
                generation: module.identity.generation,
                authentication: &module.identity.authentication,
                status,
            }),
        }
    }
}

/// Checks the token of a device or module against its identity and the hub's policies.
pub(crate) fn device(
    token: &SasToken,
    id: &IdentityId,
    identity: Option<Credentials<'_>>,
    policies: &[SharedAccessPolicy],
    now: Timestamp,
) -> Result<DevicePrincipal, Refusal> {
    let identity = identity.ok_or_else(|| Refusal::UnknownIdentity(id.clone()))?;
    let path = resource_path(id);
    let method = match token.policy() {
        Some(name) => {
            let policy = find(policies, name)?;
            check_right(policy, AccessRight::DeviceConnect)?;
            check_scope(
                token,
                token.resource().covers(&path) || token.resource().is_within(&path),
            )?;
            check_policy_key(token, policy)?;
            AuthMethod::Policy
        }
        None => {
            let Authentication::Sas(keys) = identity.authentication else {
                return Err(Refusal::WrongMethod(id.clone()));
            };
            check_scope(token, token.resource().is_within(&path))?;
            if !token.is_signed_with(&keys.primary) && !token.is_signed_with(&keys.secondary) {
                return Err(Refusal::Signature(format!("device {id}")));
            }
            AuthMethod::DeviceKey
        }
    };
    check_expiry(token, now)?;
    if identity.status == Status::Disabled {
        return Err(Refusal::Disabled(id.clone()));
    }
    Ok(DevicePrincipal {
        id: id.clone(),
        generation: identity.generation,
        method,
        connection_ends: Some(token.expiry().after(limits::TOKEN_EXPIRY_GRACE)),
    })
}

/// Checks the token of a back end that asks for the resource at `path`.
pub(crate) fn service(
    token: &SasToken,
    path: &[&str],
    policies: &[SharedAccessPolicy],
    now: Timestamp,
) -> Result<ServicePrincipal, Refusal> {
    let policy = find(policies, token.policy().ok_or(Refusal::NoPolicy)?)?;
    check_scope(token, token.resource().covers(path))?;
    check_policy_key(token, policy)?;
    check_expiry(token, now)?;
    Ok(ServicePrincipal { policy: policy.name.clone(), rights: policy.rights })
}

/// Checks the token of whoever reads the event hub of this name. Clients of Event Hubs sign with
/// the text of a key, those of the hub with its bytes.
pub(crate) fn events(
    token: &SasToken,
    event_hub: &str,
    policies: &[SharedAccessPolicy],
    now: Timestamp,
) -> Result<(), Refusal> {
    let policy = find(policies, token.policy().ok_or(Refusal::NoPolicy)?)?;
    check_right(policy, AccessRight::ServiceConnect)?;
    let named = token.resource().segments().get(1);
    let is_for = |name: &String| {
        name.eq_ignore_ascii_case(event_hub) || name.eq_ignore_ascii_case("messages")
    };
    check_scope(token, named.is_none_or(is_for))?;
    let keys = [&policy.primary, &policy.secondary];
    if !keys.iter().any(|key| token.is_signed_with_text_of(key)) {
        check_policy_key(token, policy)?;
    }
    check_expiry(token, now)
}

fn resource_path(id: &IdentityId) -> Vec<&str> {
    let mut path = vec!["devices", id.device.as_str()];
    if let Some(module) = &id.module {
        path.extend(["modules", module.as_str()]);
    }
    path
}

fn find<'a>(
    policies: &'a [SharedAccessPolicy],
    name: &str,
) -> Result<&'a SharedAccessPolicy, Refusal> {
    policies
        .iter()
        .find(|policy| policy.name == name)
        .ok_or_else(|| Refusal::UnknownPolicy(name.to_owned()))
}

fn check_right(policy: &SharedAccessPolicy, right: AccessRight) -> Result<(), Refusal> {
    if policy.rights.contains(right) {
        return Ok(());
    }
    Err(Refusal::MissingRight { policy: policy.name.clone(), right })
}

fn check_scope(token: &SasToken, covers: bool) -> Result<(), Refusal> {
    if covers { Ok(()) } else { Err(Refusal::Scope(token.resource().to_string())) }
}

fn check_policy_key(token: &SasToken, policy: &SharedAccessPolicy) -> Result<(), Refusal> {
    if token.is_signed_with(&policy.primary) || token.is_signed_with(&policy.secondary) {
        return Ok(());
    }
    Err(Refusal::Signature(format!("policy {}", policy.name)))
}

fn check_expiry(token: &SasToken, now: Timestamp) -> Result<(), Refusal> {
    if now < token.expiry().after(limits::CLOCK_SKEW) {
        return Ok(());
    }
    Err(Refusal::Expired(token.expiry()))
}

#[cfg(test)]
mod tests;
