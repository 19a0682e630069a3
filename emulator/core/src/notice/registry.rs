//! A device or module was created or deleted.

use super::{About, JSON, Notice, twin_change};
use crate::event::EventSource;
use crate::ids::IdentityId;
use crate::store::{Committed, Side};

/// What came and what went; a device goes after its modules.
pub(super) fn notices(committed: &Committed<'_>) -> Vec<About> {
    let (before, after) = (committed.before_sides(), committed.after_sides());
    let is_in = |sides: &[(IdentityId, Side<'_>)], id: &IdentityId, side: &Side<'_>| {
        sides.iter().any(|(other, found)| other == id && found.generation == side.generation)
    };
    let about = |operation, (id, side): &(IdentityId, Side<'_>)| {
        (id.clone(), side.generation, notice(operation, id, side))
    };
    let gone = before.iter().rev().filter(|(id, side)| !is_in(&after, id, side));
    let come = after.iter().filter(|(id, side)| !is_in(&before, id, side));
    gone.map(|side| about("deleteDeviceIdentity", side))
        .chain(come.map(|side| about("createDeviceIdentity", side)))
        .collect()
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
