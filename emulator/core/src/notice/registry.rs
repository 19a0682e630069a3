//! A device or module was created or deleted.

use super::{JSON, Notice, twin_change};
use crate::event::EventSource;
use crate::ids::{GenerationId, IdentityId};
use crate::store::{Committed, Side};

/// Shows `tell` what came and what went; a device goes after its modules.
pub(super) fn notices(
    committed: &Committed<'_>,
    mut tell: impl FnMut(&IdentityId, GenerationId, Notice),
) {
    let (before, after) = (committed.before_sides(), committed.after_sides());
    let is_in = |sides: &[(IdentityId, Side<'_>)], id: &IdentityId, side: &Side<'_>| {
        sides.iter().any(|(other, found)| other == id && found.generation == side.generation)
    };
    for (id, side) in before.iter().rev().filter(|(id, side)| !is_in(&after, id, side)) {
        tell(id, side.generation, notice("deleteDeviceIdentity", id, side));
    }
    for (id, side) in after.iter().filter(|(id, side)| !is_in(&before, id, side)) {
        tell(id, side.generation, notice("createDeviceIdentity", id, side));
    }
}

fn notice(operation: &'static str, id: &IdentityId, side: &Side<'_>) -> Notice {
    Notice {
        source: EventSource::DeviceLifecycle,
        schema: "deviceLifecycleNotification",
        operation,
        content_type: JSON,
        body: twin_change::whole(id, side.twin),
    }
}
