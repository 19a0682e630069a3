//! What the tests of a hub begin with.

use std::sync::Arc;

use iothub_core::auth::policy::{AccessRight, AccessRights, SharedAccessPolicy};
use iothub_core::auth::sas::{SasToken, SymmetricKey, sign};
use iothub_core::auth::x509::NoAuthorities;
use iothub_core::hub::Ports;
use iothub_core::random::Random;
use iothub_core::route::Wiring;
use iothub_core::time::ManualClock;
use iothub_store::memory::{MemoryEventLog, MemoryRecords};
use iothub_store::memory_table::MemoryTable;

/// All in memory, by this clock; a test replaces what it looks into.
pub(crate) fn ports(clock: &Arc<ManualClock>) -> Ports {
    Ports {
        records: Arc::new(MemoryRecords::default()),
        events: Arc::new(MemoryEventLog::new(1, 1024)),
        consumer_groups: Vec::new(),
        routing: Wiring::default(),
        configurations: Arc::new(MemoryTable::default()),
        jobs: Arc::new(MemoryTable::default()),
        authorities: Arc::new(NoAuthorities),
        clock: clock.clone(),
        random: Arc::new(Random::seeded(1)),
        storage: None,
    }
}

/// A policy with these rights, and a token of it.
pub(crate) fn owner(rights: &[AccessRight]) -> (SharedAccessPolicy, SasToken) {
    let key = SymmetricKey::from_bytes([7; 32]);
    let token = SasToken::parse(&sign("hub", 4_000_000_000, Some("owner"), &key)).unwrap();
    let policy = SharedAccessPolicy {
        name: "owner".to_owned(),
        primary: key.clone(),
        secondary: key,
        rights: AccessRights::of(rights),
    };
    (policy, token)
}
