//! The names and numbers of the service's errors, for answers that carry only one of the two.
//!
//! The emulator's own errors have theirs from `iothub_core::error`. This table is kept apart: it
//! has what only Azure answers with, and what it says of the emulator is a second opinion.

/// Those that the registry, twins, statistics, authentication and throttling may answer with.
const CODES: [(u32, &str); 46] = [
    (400_000, "GenericBadRequest"),
    (400_001, "InvalidProtocolVersion"),
    (400_002, "DeviceInvalidResultCount"),
    (400_003, "InvalidOperation"),
    (400_004, "ArgumentInvalid"),
    (400_005, "ArgumentNull"),
    (400_006, "IotHubFormatError"),
    (400_012, "DeserializationError"),
    (400_013, "BulkRegistryOperationFailure"),
    (400_023, "EtagDoesNotMatch"),
    (400_024, "RequestTimedOut"),
    (400_028, "InvalidDeviceScope"),
    (400_027, "ConnectionForcefullyClosedOnNewConnection"),
    (401_000, "GenericUnauthorized"),
    (401_001, "IotHubNotFound"),
    (401_002, "IotHubUnauthorizedAccess"),
    (401_003, "IotHubUnauthorized"),
    (403_000, "GenericForbidden"),
    (403_001, "IotHubSuspended"),
    (403_002, "IotHubQuotaExceeded"),
    (403_010, "OperationNotAvailableInCurrentTier"),
    (403_100, "DeviceModelMaxPropertiesExceeded"),
    (404_000, "GenericNotFound"),
    (404_001, "DeviceNotFound"),
    (404_010, "ModuleNotFound"),
    (404_013, "FeatureNotSupported"),
    (403_800, "DeviceMaximumInflightMethodExceeded"),
    (404_103, "DeviceNotOnline"),
    (404_104, "DeviceConnectionClosedRemotely"),
    (405_000, "GenericMethodNotAllowed"),
    (409_001, "DeviceAlreadyExists"),
    (409_002, "LinkCreationConflict"),
    (409_102, "DeviceLocked"),
    (409_301, "ModuleAlreadyExistsOnDevice"),
    (412_001, "PreconditionFailed"),
    (413_001, "MessageTooLarge"),
    (413_002, "TooManyDevices"),
    (415_101, "IncompatibleDataType"),
    (429_001, "ThrottlingException"),
    (429_002, "ThrottleBacklogLimitExceeded"),
    (429_003, "ThrottlingBacklogTimeout"),
    (500_001, "ServerError"),
    (502_001, "InvalidResponseWhileProxying"),
    (503_001, "ServiceUnavailable"),
    (503_005, "ServerBusy"),
    (504_101, "GatewayTimeout"),
];

/// The number of the error called `name`.
pub(crate) fn number(name: &str) -> Option<u32> {
    CODES.iter().find_map(|(number, known)| (*known == name).then_some(*number))
}

/// The name of error `number`.
pub(crate) fn name(number: u32) -> Option<&'static str> {
    CODES.iter().find_map(|(known, name)| (*known == number).then_some(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        for (code, text) in CODES {
            assert_eq!(number(text), Some(code));
            assert_eq!(name(code), Some(text));
        }
        assert_eq!(number("Nonsense"), None);
        assert_eq!(name(1), None);
    }
}
