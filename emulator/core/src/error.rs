//! What can go wrong in a hub: one variant per error code of the service, carrying the facts.
//!
//! The number and the name belong to the service and stand here; how an error looks (an HTTP
//! status, a closed connection, an AMQP condition) is for each edge to say.

use std::time::Duration;

use crate::auth::Refusal;
use crate::configuration::ConfigurationId;
use crate::fault::line::Loss;
use crate::ids::{DeviceId, ETag, IdentityId, InvalidId, ModuleId};
use crate::job::JobId;
use crate::limits;
use crate::time::Timestamp;

/// The number and the name that the service gives an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ErrorCode {
    /// The status code that HTTP would use, times 1000, plus a count.
    pub number: u32,
    /// The name that stands in bodies and headers.
    pub name: &'static str,
}

/// An error that a caller of the hub can be told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Something in the request is not as it should be.
    #[error("{0}")]
    ArgumentInvalid(String),
    /// Something in the request is missing.
    #[error("{0}")]
    ArgumentNull(String),
    /// The api-version is missing or none.
    #[error("api-version is {0:?}, expected a date such as \"2021-04-12\"")]
    InvalidProtocolVersion(String),
    /// How many devices are asked for is no number.
    #[error("top is {0:?}, expected a number from 1 to {max}", max = limits::DEVICE_LIST)]
    DeviceInvalidResultCount(String),
    /// A device scope names no edge device.
    #[error("device scope {0:?} names no edge device of this hub")]
    InvalidDeviceScope(String),
    /// The same identity stands twice in a bulk request.
    #[error("{0} stands more than once in the request")]
    DeviceDefinedMultipleTimes(IdentityId),
    /// A bulk request has more identities than it may have.
    #[error("request has {0} identities, expected at most {max}", max = limits::BULK_ITEMS)]
    TooManyDevices(usize),
    /// A URI names no container of a storage account.
    #[error("{0}")]
    InvalidBlobContainer(String),
    /// Import and export jobs have nowhere to read and write.
    #[error("the hub has no storage; start the emulator with --storage-dir")]
    StorageNotConfigured,
    /// As many import and export jobs are at work as may be.
    #[error("job {0} is not done; one import or export job is at work at a time")]
    JobQuotaExceeded(String),
    /// There is no such job.
    #[error("{0}")]
    JobNotFound(String),
    /// A request to renew keys names none of the two.
    #[error("policyKey is {0:?}, expected \"primaryKey\" or \"secondaryKey\"")]
    InvalidPolicyKey(String),
    /// The caller may not do this.
    #[error("{0}")]
    Unauthorized(Refusal),
    /// A section of a twin would grow past its limit.
    #[error("'{section}' size should be less than {max} bytes.")]
    TwinTooLarge {
        /// The section, as the service spells it.
        section: &'static str,
        /// How much it may hold.
        max: usize,
    },
    /// There is no such device.
    #[error("{0}")]
    DeviceNotFound(DeviceId),
    /// The device has no such module.
    #[error("{0}")]
    ModuleNotFound(IdentityId),
    /// A device of that name exists already.
    #[error("A device with ID '{0}' is already registered.")]
    DeviceAlreadyExists(DeviceId),
    /// The device has a module of that name already.
    #[error("Device {device} already contains Module {module}.", device = .0.device, module = name(.0))]
    ModuleAlreadyExists(IdentityId),
    /// The device has as many modules as it may have.
    #[error("Device {0} has {max} modules, which is the most.", max = limits::MODULES_PER_DEVICE)]
    TooManyModules(DeviceId),
    /// Only the service writes this module.
    #[error("{0} is a system module, which only the service writes")]
    SystemModule(IdentityId),
    /// Others changed the same record faster than this change could be applied.
    #[error("Conflict")]
    Conflict(IdentityId),
    /// The identity has another version than the caller demands.
    #[error(
        "Precondition failed: Device version did not match, existingVersion:{existing} newVersion:{expected}", existing = .existing.decoded(), expected = .expected.decoded()
    )]
    DeviceVersionMismatch {
        /// What it has.
        existing: ETag,
        /// What was demanded.
        expected: ETag,
    },
    /// The twin has another version than the caller demands.
    #[error("ETag mismatch for device ID '{0}'")]
    TwinVersionMismatch(IdentityId),
    /// There is no such configuration.
    #[error("{0}")]
    ConfigurationNotFound(ConfigurationId),
    /// A configuration of that name exists already.
    #[error("A configuration with ID '{0}' exists already.")]
    ConfigurationAlreadyExists(ConfigurationId),
    /// There are as many configurations as there may be.
    #[error("the hub has {max} configurations, which is the most", max = limits::CONFIGURATIONS)]
    TooManyConfigurations,
    /// The configuration has another version than the caller demands.
    #[error("ETag mismatch for configuration ID '{0}'")]
    ConfigurationVersionMismatch(ConfigurationId),
    /// The target condition of a configuration is no condition.
    #[error("{0}")]
    InvalidTargetCondition(String),
    /// The content of a configuration cannot be written into twins.
    #[error("{0}")]
    InvalidConfigurationContent(String),
    /// The content of a configuration never changes.
    #[error("content of configuration '{0}' cannot be modified")]
    ImmutableConfigurationContent(ConfigurationId),
    /// A metric of a configuration is no query.
    #[error("{0}")]
    InvalidMetricQuery(String),
    /// A job of that name exists already.
    #[error("A job with ID '{0}' exists already.")]
    JobAlreadyExists(JobId),
    /// There are as many jobs as there may be.
    #[error("the hub has {max} jobs that have not ended, which is the most", max = limits::JOBS)]
    TooManyJobs,
    /// The job has ended, so that nothing more can be done with it.
    #[error("job '{0}' has ended")]
    JobHasEnded(JobId),
    /// The time of a job was over before it could finish with a device.
    #[error("the job's time was over")]
    JobTimedOut,
    /// The reported properties have another version than the device demands.
    #[error("reported properties have version {existing}, expected {expected}")]
    ReportedVersionMismatch {
        /// What they have.
        existing: u64,
        /// What was demanded.
        expected: u64,
    },
    /// The address of an AMQP link leads nowhere.
    #[error("{0}")]
    LinkAddress(String),
    /// The service has no such resource.
    #[error("{0}")]
    NotFound(String),
    /// The service has this operation, and the emulator has not.
    #[error("{0} is not emulated; docs/compat.md lists what is")]
    FeatureNotSupported(String),
    /// The resource does not know this method.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// The body of a request did not come in time.
    #[error("body did not come within {time:?}", time = limits::HTTP_BODY_TIME)]
    RequestTimedOut,
    /// The body of a request is too large.
    #[error("body has more than {max} bytes", max = limits::HTTP_BODY_BYTES)]
    BodyTooLarge,
    /// A message is too large.
    #[error("message has {bytes} bytes, expected at most {max}")]
    MessageTooLarge {
        /// How large it is: body and properties.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// As many cloud-to-device messages wait for the device as may.
    #[error("{max} messages wait for device {0}, which is the most", max = limits::DEVICEBOUND_QUEUE)]
    DeviceMaximumQueueDepthExceeded(DeviceId),
    /// A cloud-to-device message wants to wait for too long.
    #[error("message expires at {0}, expected at most {max:?} from now", max = limits::DEVICEBOUND_MAX_TTL)]
    InvalidMessageExpiryTime(Timestamp),
    /// The lock of a cloud-to-device message has ended, or never was.
    #[error("message of device {0} is not locked under this token")]
    DeviceMessageLockLost(DeviceId),
    /// An operation on a digital twin is none.
    #[error("{0}")]
    InvalidDigitalTwinPatch(String),
    /// An operation on a digital twin has a path that leads nowhere.
    #[error("path is {0:?}, expected /property, /component or /component/property")]
    InvalidDigitalTwinPatchPath(String),
    /// The payload of a direct method is too large.
    #[error("payload has {bytes} bytes, expected at most {max}", max = limits::METHOD_PAYLOAD_BYTES)]
    MethodPayloadTooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// The device is not connected, or does not listen to its methods.
    #[error("Timed out waiting for device to connect.")]
    DeviceNotOnline {
        /// How long the hub waited for it.
        waited: Duration,
    },
    /// The device did not answer a direct method in time.
    #[error("Timed out waiting for the response from device.")]
    MethodTimedOut,
    /// The device has as many direct methods to answer as it may have.
    #[error("device has {max} direct methods to answer, which is the most", max = limits::METHODS_IN_FLIGHT)]
    TooManyMethodsInFlight,
    /// The device left before it answered.
    #[error("Device unavailable")]
    DeviceConnectionClosedRemotely,
    /// The device connected again before it answered over its earlier connection.
    #[error("device connected again before it answered")]
    ConnectionForcefullyClosedOnNewConnection,
    /// What the device sent as the answer to a direct method is none.
    #[error("device sent a bad response: {0}")]
    BadDeviceResponse(String),
    /// The tier does not allow so many operations of this kind.
    #[error("The request has been throttled. Wait 10 seconds and try again. Operation type: {0}")]
    Throttled(&'static str),
    /// The messages of the day are used up.
    #[error(
        "Total number of messages exceeded the allocated quota. Max allowed message count: {quota}, current message count: {messages}"
    )]
    QuotaExceeded {
        /// How many the tier has.
        quota: u64,
        /// How many were sent.
        messages: u64,
    },
    /// The records cannot be reached.
    #[error("{0}")]
    ServiceUnavailable(String),
    /// A test wanted this status.
    #[error("a fault was injected")]
    Injected(u16),
    /// A test wanted the connection to break, so that nobody is told this.
    #[error("a fault broke the connection: {0:?}")]
    ConnectionLost(Loss),
}

impl HubError {
    /// The code that the service gives this error.
    pub fn code(&self) -> ErrorCode {
        let (number, name) = match self {
            Self::ArgumentInvalid(_) => (400_004, "ArgumentInvalid"),
            Self::ArgumentNull(_) => (400_005, "ArgumentNull"),
            Self::InvalidProtocolVersion(_) => (400_001, "InvalidProtocolVersion"),
            Self::DeviceInvalidResultCount(_) => (400_002, "DeviceInvalidResultCount"),
            Self::InvalidDeviceScope(_) => (400_028, "InvalidDeviceScope"),
            Self::DeviceDefinedMultipleTimes(_) => (400_011, "DeviceDefinedMultipleTimes"),
            Self::TooManyDevices(_) => (413_002, "TooManyDevices"),
            Self::InvalidBlobContainer(_) => (400_008, "BlobContainerValidationError"),
            Self::StorageNotConfigured => (400_014, "DefaultStorageEndpointNotConfigured"),
            Self::JobQuotaExceeded(_) => (403_003, "JobQuotaExceeded"),
            Self::JobNotFound(_) => (404_002, "JobNotFound"),
            Self::InvalidPolicyKey(_) => (400_035, "InvalidPolicyKey"),
            Self::Unauthorized(Refusal::MissingRight { .. }) => (401_003, "IotHubUnauthorized"),
            Self::Unauthorized(_) => (401_002, "IotHubUnauthorizedAccess"),
            Self::TwinTooLarge { .. } => (403_100, "DeviceModelMaxPropertiesExceeded"),
            Self::DeviceNotFound(_) => (404_001, "DeviceNotFound"),
            Self::ModuleNotFound(_) => (404_010, "ModuleNotFound"),
            Self::DeviceAlreadyExists(_) => (409_001, "DeviceAlreadyExists"),
            Self::ModuleAlreadyExists(_) => (409_301, "ModuleAlreadyExistsOnDevice"),
            Self::TooManyModules(_) => (413_003, "TooManyModulesOnDevice"),
            Self::SystemModule(_) => (401_100, "SystemModuleModifyUnauthorizedAccess"),
            Self::Conflict(_) => (409_002, "LinkCreationConflict"),
            Self::DeviceVersionMismatch { .. }
            | Self::TwinVersionMismatch(_)
            | Self::ConfigurationVersionMismatch(_)
            | Self::ReportedVersionMismatch { .. } => (412_001, "PreconditionFailed"),
            Self::ConfigurationNotFound(_) => (404_301, "ConfigurationNotFound"),
            Self::ConfigurationAlreadyExists(_) => (409_401, "ConfigurationAlreadyExists"),
            Self::TooManyConfigurations => (413_101, "ConfigurationCountLimitExceeded"),
            Self::InvalidTargetCondition(_) => (400_401, "InvalidConfigurationTargetCondition"),
            Self::InvalidConfigurationContent(_) => (400_402, "InvalidConfigurationContent"),
            Self::ImmutableConfigurationContent(_) => {
                (400_403, "CannotModifyImmutableConfigurationContent")
            }
            Self::InvalidMetricQuery(_) => (400_404, "InvalidConfigurationCustomMetricsQuery"),
            Self::JobAlreadyExists(_) => (409_104, "JobAlreadyExists"),
            Self::TooManyJobs => (403_003, "JobQuotaExceeded"),
            Self::JobHasEnded(_) => (405_102, "OperationNotAllowedInCurrentState"),
            Self::JobTimedOut => (500_008, "GenericTimeout"),
            Self::LinkAddress(_) => (404_006, "LinkAddressNotFound"),
            Self::NotFound(_) => (404_000, "GenericNotFound"),
            Self::FeatureNotSupported(_) => (404_013, "FeatureNotSupported"),
            Self::MethodNotAllowed(_) => (405_000, "GenericMethodNotAllowed"),
            Self::RequestTimedOut => (400_024, "RequestTimedOut"),
            Self::BodyTooLarge => (413_000, "GenericRequestEntityTooLarge"),
            Self::MessageTooLarge { .. } | Self::MethodPayloadTooLarge { .. } => {
                (413_001, "MessageTooLarge")
            }
            Self::InvalidDigitalTwinPatch(_) => (400_507, "InvalidDigitalTwinPatch"),
            Self::InvalidDigitalTwinPatchPath(_) => (400_508, "InvalidDigitalTwinPatchPath"),
            Self::DeviceNotOnline { .. } => (404_103, "DeviceNotOnline"),
            Self::MethodTimedOut => (504_101, "GatewayTimeout"),
            Self::TooManyMethodsInFlight => (403_800, "DeviceMaximumInflightMethodExceeded"),
            Self::DeviceConnectionClosedRemotely => (404_104, "DeviceConnectionClosedRemotely"),
            Self::ConnectionForcefullyClosedOnNewConnection => {
                (400_027, "ConnectionForcefullyClosedOnNewConnection")
            }
            Self::BadDeviceResponse(_) => (502_001, "InvalidResponseWhileProxying"),
            Self::DeviceMaximumQueueDepthExceeded(_) => {
                (403_004, "DeviceMaximumQueueDepthExceeded")
            }
            Self::InvalidMessageExpiryTime(_) => (403_009, "InvalidMessageExpiryTime"),
            Self::DeviceMessageLockLost(_) => (412_002, "DeviceMessageLockLost"),
            Self::Throttled(_) => (429_001, "ThrottlingException"),
            Self::QuotaExceeded { .. } => (403_002, "IotHubQuotaExceeded"),
            Self::ServiceUnavailable(_) | Self::ConnectionLost(_) => {
                (503_001, "ServiceUnavailable")
            }
            Self::Injected(status) => injected(*status),
        };
        ErrorCode { number, name }
    }

    /// That the record of `id` is not there: a device's or a module's.
    pub fn not_found(id: &IdentityId) -> Self {
        match id.module {
            None => Self::DeviceNotFound(id.device.clone()),
            Some(_) => Self::ModuleNotFound(id.clone()),
        }
    }
}

/// The code that the service gives most errors of a status, or the general one.
fn injected(status: u16) -> (u32, &'static str) {
    match status {
        400 => (400_000, "GenericBadRequest"),
        401 => (401_002, "IotHubUnauthorizedAccess"),
        403 => (403_000, "GenericForbidden"),
        404 => (404_001, "DeviceNotFound"),
        405 => (405_000, "GenericMethodNotAllowed"),
        409 => (409_000, "GenericConflict"),
        412 => (412_001, "PreconditionFailed"),
        413 => (413_001, "MessageTooLarge"),
        429 => (429_001, "ThrottlingException"),
        500 => (500_001, "ServerError"),
        503 => (503_001, "ServiceUnavailable"),
        504 => (504_101, "GatewayTimeout"),
        other => (u32::from(other) * 1000, "Generic"),
    }
}

fn name(id: &IdentityId) -> &str {
    id.module.as_ref().map_or("", ModuleId::as_str)
}

impl From<InvalidId> for HubError {
    fn from(why: InvalidId) -> Self {
        Self::ArgumentInvalid(why.to_string())
    }
}
