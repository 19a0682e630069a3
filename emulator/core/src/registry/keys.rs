//! New keys for old ones. Pure; the sessions commit.

use std::sync::Arc;

use super::identity::{Authentication, SymmetricKeys};
use crate::auth::sas::SymmetricKey;
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::random::Random;
use crate::store::Record;

/// One of the two keys of an identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhichKey {
    /// The first.
    Primary,
    /// The other.
    Secondary,
}

/// The record with a new key for the device, or for the module that `id` names; and its keys.
pub(crate) fn renew(
    record: &Record,
    id: &IdentityId,
    which: WhichKey,
    random: &Random,
) -> Result<(Record, SymmetricKeys), HubError> {
    let mut record = record.clone();
    let (authentication, version) = match &id.module {
        None => (&mut record.identity.authentication, &mut record.identity.version),
        Some(module) => {
            let found = record.modules.get_mut(module);
            let module = Arc::make_mut(found.ok_or_else(|| HubError::not_found(id))?);
            (&mut module.identity.authentication, &mut module.identity.version)
        }
    };
    let Authentication::Sas(keys) = authentication else {
        return Err(HubError::ArgumentInvalid(format!("{id} has no symmetric keys")));
    };
    let key = match which {
        WhichKey::Primary => &mut keys.primary,
        WhichKey::Secondary => &mut keys.secondary,
    };
    *key = SymmetricKey::generate(random);
    *version += 1;
    let keys = keys.clone();
    Ok((record, keys))
}

#[cfg(test)]
mod tests {
    use super::super::identity::{AuthenticationDraft, AuthenticationKind, IdentityDraft};
    use super::*;
    use crate::ids::DeviceId;
    use crate::time::Timestamp;

    fn device(kind: AuthenticationKind) -> (IdentityId, Record) {
        let id = DeviceId::parse("d").unwrap();
        let authentication = AuthenticationDraft { kind: Some(kind), ..Default::default() };
        let draft = IdentityDraft { authentication: Some(authentication), ..Default::default() };
        let now = Timestamp::from_unix_seconds(1);
        (id.clone().into(), super::super::create(&id, &draft, now, &Random::seeded(1)).unwrap())
    }

    #[test]
    fn one_key_changes_and_the_version_rises() {
        let (id, before) = device(AuthenticationKind::Sas);
        let Authentication::Sas(old) = &before.identity.authentication else { panic!() };
        let (after, new) = renew(&before, &id, WhichKey::Secondary, &Random::seeded(2)).unwrap();
        assert_eq!(new.primary, old.primary);
        assert_ne!(new.secondary, old.secondary);
        assert_eq!(after.identity.version, before.identity.version + 1);
        assert_eq!(after.identity.authentication, Authentication::Sas(new));
    }

    #[test]
    fn what_has_no_keys_gets_none() {
        let (id, record) = device(AuthenticationKind::CertificateAuthority);
        let renewed = renew(&record, &id, WhichKey::Primary, &Random::seeded(2));
        assert_eq!(renewed, Err(HubError::ArgumentInvalid("d has no symmetric keys".to_owned())));
    }
}
