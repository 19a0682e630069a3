//! Shared access policies: a name, two keys, and the rights that they give.

use super::sas::SymmetricKey;

/// Something that a shared access policy may allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccessRight {
    /// Read the identity registry.
    RegistryRead,
    /// Change the identity registry.
    RegistryWrite,
    /// Use what back ends use: twins, methods, messages, events.
    ServiceConnect,
    /// Use what devices use.
    DeviceConnect,
}

/// A set of access rights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessRights(u8);

impl AccessRights {
    /// The set of these rights. Writing the registry implies reading it.
    pub fn of(rights: &[AccessRight]) -> Self {
        let bits = rights.iter().map(|&right| match right {
            AccessRight::RegistryWrite => bit(right) | bit(AccessRight::RegistryRead),
            _ => bit(right),
        });
        Self(bits.fold(0, |set, bits| set | bits))
    }

    /// Whether the set has this right.
    pub fn contains(self, right: AccessRight) -> bool {
        self.0 & bit(right) != 0
    }
}

fn bit(right: AccessRight) -> u8 {
    match right {
        AccessRight::RegistryRead => 1,
        AccessRight::RegistryWrite => 2,
        AccessRight::ServiceConnect => 4,
        AccessRight::DeviceConnect => 8,
    }
}

/// A shared access policy of a hub.
#[derive(Clone, Debug)]
pub struct SharedAccessPolicy {
    /// Stands in tokens as `skn`.
    pub name: String,
    /// Either key signs.
    pub primary: SymmetricKey,
    /// Either key signs.
    pub secondary: SymmetricKey,
    /// What a token of this policy may do.
    pub rights: AccessRights,
}

/// The policies that every hub has from the start, with their rights.
pub const BUILT_IN: [(&str, &[AccessRight]); 5] = [
    (
        "iothubowner",
        &[
            AccessRight::RegistryRead,
            AccessRight::RegistryWrite,
            AccessRight::ServiceConnect,
            AccessRight::DeviceConnect,
        ],
    ),
    ("service", &[AccessRight::ServiceConnect]),
    ("device", &[AccessRight::DeviceConnect]),
    ("registryRead", &[AccessRight::RegistryRead]),
    ("registryReadWrite", &[AccessRight::RegistryRead, AccessRight::RegistryWrite]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_implies_reading() {
        let rights = AccessRights::of(&[AccessRight::RegistryWrite]);
        assert!(rights.contains(AccessRight::RegistryRead));
        assert!(!rights.contains(AccessRight::ServiceConnect));
    }
}
