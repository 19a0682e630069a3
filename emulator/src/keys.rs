//! The keys of the shared access policies that every hub begins with.
//!
//! The well-known ones say in plain text what they are. The primary key of `iothubowner` is the
//! base64 of the 32 bytes `emulator.iothubowner.primary....`, that of `service` the base64 of
//! `emulator.service.primary........`, and so on: the word `emulator`, the policy and the rank,
//! with dots between them and dots up to 32 bytes. They protect nothing, on purpose: whoever
//! reaches a local emulator may as well read its documentation.

use iothub_core::auth::policy::{self, AccessRights, SharedAccessPolicy};
use iothub_core::auth::sas::SymmetricKey;
use iothub_core::random::Random;

use crate::config::HubKeys;

/// The policies that every hub has from the start, with their keys.
pub fn built_in_policies(keys: HubKeys, random: &Random) -> Vec<SharedAccessPolicy> {
    let key = |policy, rank| match keys {
        HubKeys::WellKnown => well_known(policy, rank),
        HubKeys::Random => SymmetricKey::generate(random),
    };
    let policies = policy::BUILT_IN.iter().map(|(name, rights)| SharedAccessPolicy {
        name: (*name).to_owned(),
        primary: key(name, "primary"),
        secondary: key(name, "secondary"),
        rights: AccessRights::of(rights),
    });
    policies.collect()
}

/// The well-known key of a policy; `rank` is `primary` or `secondary`.
pub fn well_known(policy: &str, rank: &str) -> SymmetricKey {
    let text = format!("emulator.{policy}.{rank}");
    let mut bytes = [b'.'; 32];
    // The longest name does not fit with its rank in full: the cut still tells which it is.
    for (byte, character) in bytes.iter_mut().zip(text.bytes()) {
        *byte = character;
    }
    SymmetricKey::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn well_known_keys_say_what_they_are() {
        let table = [
            ("iothubowner", "emulator.iothubowner.primary....", "emulator.iothubowner.secondary.."),
            ("service", "emulator.service.primary........", "emulator.service.secondary......"),
            ("device", "emulator.device.primary.........", "emulator.device.secondary......."),
            (
                "registryRead",
                "emulator.registryRead.primary...",
                "emulator.registryRead.secondary.",
            ),
            (
                "registryReadWrite",
                "emulator.registryReadWrite.prima",
                "emulator.registryReadWrite.secon",
            ),
        ];
        let keys = built_in_policies(HubKeys::WellKnown, &Random::seeded(1));
        assert_eq!(keys.len(), table.len());
        for (keys, (policy, primary, secondary)) in keys.iter().zip(table) {
            assert_eq!(keys.name, policy);
            assert_eq!(keys.primary.as_base64(), STANDARD.encode(primary));
            assert_eq!(keys.secondary.as_base64(), STANDARD.encode(secondary));
        }
    }

    /// Written out because documents and other people's tests hold it.
    #[test]
    fn the_owner_s_key_never_changes() {
        assert_eq!(
            well_known("iothubowner", "primary").as_base64(),
            "ZW11bGF0b3IuaW90aHVib3duZXIucHJpbWFyeS4uLi4="
        );
    }

    #[test]
    fn random_keys_differ_from_each_other() {
        let keys = built_in_policies(HubKeys::Random, &Random::seeded(1));
        let all: Vec<_> = keys.iter().flat_map(|keys| [&keys.primary, &keys.secondary]).collect();
        for (index, key) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != key), "{index}");
        }
    }
}
