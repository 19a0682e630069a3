//! Counts.

use iothub_core::session::RegistryStatistics;
use serde_json::json;

/// How many devices there are.
pub fn registry(statistics: RegistryStatistics) -> String {
    let RegistryStatistics { enabled, disabled } = statistics;
    json!({
        "totalDeviceCount": enabled + disabled,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": disabled,
    })
    .to_string()
}

/// How many devices are connected.
pub fn service(connected: usize) -> String {
    json!({ "connectedDeviceCount": connected }).to_string()
}
