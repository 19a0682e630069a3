//! A device connected or disconnected.

use serde_json::json;

use super::{JSON, Notice};
use crate::event::EventSource;
use crate::time::Timestamp;

/// Ticks from the beginning of our time to that of Windows, whose ticks the service shows.
const WINDOWS_EPOCH: u64 = 504_911_232_000_000_000;

pub(super) fn notice(connected: bool, started: Timestamp, number: u64) -> Notice {
    Notice {
        source: EventSource::DeviceConnectionState,
        schema: "deviceConnectionStateNotification",
        operation: if connected { "deviceConnected" } else { "deviceDisconnected" },
        content_type: JSON,
        body: json!({ "sequenceNumber": sequence_number(started, number) }),
    }
}

/// 256 bits that grow with every change, as a text that grows too; those of another life of the hub
/// are less or more as it was earlier or later.
fn sequence_number(started: Timestamp, number: u64) -> String {
    let started = started.ticks().saturating_sub(WINDOWS_EPOCH);
    format!("{:016X}{started:016X}{:08X}{number:024X}", 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_grow_as_texts() {
        let start = Timestamp::from_unix_seconds(1_800_000_000);
        let later = Timestamp::from_unix_seconds(1_800_000_001);
        let numbers = [(start, 1), (start, 2), (start, 300), (later, 1)]
            .map(|(started, number)| sequence_number(started, number));
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert!(numbers.iter().all(|number| number.len() == 64));
    }
}
