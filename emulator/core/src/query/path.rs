//! Names and what they stand for in each source. A path is resolved once, when the query is
//! parsed, so that looking it up in a document compares no attribute names.

use std::borrow::Cow;

use super::message::MessageAttribute;

/// What a query reads from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The twins of devices: `devices`.
    Devices,
    /// The twins of modules: `devices.modules`.
    Modules,
    /// What jobs did to each device: `devices.jobs`.
    Jobs,
}

/// A member of a document, however deep.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// The member of the document itself.
    pub attribute: Attribute,
    /// The way from there.
    pub below: Vec<String>,
}

/// A member of a document itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Attribute {
    /// One that twins have.
    Twin(TwinAttribute),
    /// One that messages have.
    Message(MessageAttribute),
    /// A member of something else than a twin, or one that twins do not have; as it was written.
    Other(String),
}

/// What a twin document has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TwinAttribute {
    /// `deviceId`
    DeviceId,
    /// `moduleId`
    ModuleId,
    /// `etag`
    ETag,
    /// `deviceEtag`
    DeviceETag,
    /// `status`
    Status,
    /// `statusReason`
    StatusReason,
    /// `statusUpdateTime`
    StatusUpdateTime,
    /// `connectionState`
    ConnectionState,
    /// `lastActivityTime`
    LastActivityTime,
    /// `cloudToDeviceMessageCount`
    CloudToDeviceMessageCount,
    /// `authenticationType`
    AuthenticationType,
    /// `x509Thumbprint`
    X509Thumbprint,
    /// `modelId`
    ModelId,
    /// `version`
    Version,
    /// `tags`
    Tags,
    /// `properties`
    Properties,
    /// `properties.desired`
    Desired,
    /// `properties.reported`
    Reported,
    /// `capabilities`
    Capabilities,
    /// `deviceScope`
    DeviceScope,
    /// `parentScopes`
    ParentScopes,
    /// `configurations`
    Configurations,
}

/// The spelling of answers; queries may use any case. The registry's own name of the status time is
/// known too, since the IoT Explorer asks for it.
const TWIN_ATTRIBUTES: [(&str, TwinAttribute); 21] = [
    ("deviceId", TwinAttribute::DeviceId),
    ("moduleId", TwinAttribute::ModuleId),
    ("etag", TwinAttribute::ETag),
    ("deviceEtag", TwinAttribute::DeviceETag),
    ("status", TwinAttribute::Status),
    ("statusReason", TwinAttribute::StatusReason),
    ("statusUpdateTime", TwinAttribute::StatusUpdateTime),
    ("statusUpdatedTime", TwinAttribute::StatusUpdateTime),
    ("connectionState", TwinAttribute::ConnectionState),
    ("lastActivityTime", TwinAttribute::LastActivityTime),
    ("cloudToDeviceMessageCount", TwinAttribute::CloudToDeviceMessageCount),
    ("authenticationType", TwinAttribute::AuthenticationType),
    ("x509Thumbprint", TwinAttribute::X509Thumbprint),
    ("modelId", TwinAttribute::ModelId),
    ("version", TwinAttribute::Version),
    ("tags", TwinAttribute::Tags),
    ("properties", TwinAttribute::Properties),
    ("capabilities", TwinAttribute::Capabilities),
    ("deviceScope", TwinAttribute::DeviceScope),
    ("parentScopes", TwinAttribute::ParentScopes),
    ("configurations", TwinAttribute::Configurations),
];

/// Members below an attribute whose names belong to the service and not to the user.
const TWIN_MEMBERS: [(TwinAttribute, &str); 3] = [
    (TwinAttribute::Capabilities, "iotEdge"),
    (TwinAttribute::X509Thumbprint, "primaryThumbprint"),
    (TwinAttribute::X509Thumbprint, "secondaryThumbprint"),
];

/// Why a path cannot be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TwinInJobs;

impl Source {
    /// The name that queries use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Modules => "devices.modules",
            Self::Jobs => "devices.jobs",
        }
    }

    /// Resolves what a query wrote; `alias` is the name that it gave the source.
    pub(super) fn resolve(
        self,
        mut segments: &[String],
        alias: Option<&str>,
    ) -> Result<Path, TwinInJobs> {
        // What stands alone is a name even if it is spelled like the source.
        if let [first, rest @ ..] = segments
            && !rest.is_empty()
            && (alias == Some(first) || first.eq_ignore_ascii_case("devices"))
        {
            segments = self.without_collection(rest);
        }
        let (name, below) =
            segments.split_first().map_or(("", segments), |(name, below)| (name.as_str(), below));
        match self {
            Self::Jobs
                if ["tags", "properties"].iter().any(|twin| name.eq_ignore_ascii_case(twin)) =>
            {
                Err(TwinInJobs)
            }
            Self::Jobs => {
                Ok(Path { attribute: Attribute::Other(name.to_owned()), below: below.to_vec() })
            }
            Self::Devices | Self::Modules => Ok(twin_path(name, below)),
        }
    }

    /// What follows `devices`: the same, without the rest of the source's name.
    fn without_collection(self, segments: &[String]) -> &[String] {
        let collection = self.name().strip_prefix("devices.");
        match segments {
            [first, rest @ ..]
                if !rest.is_empty()
                    && collection.is_some_and(|name| first.eq_ignore_ascii_case(name)) =>
            {
                rest
            }
            _ => segments,
        }
    }
}

impl Path {
    /// The name of this member in the answer, if the query gives it no other.
    pub fn name(&self) -> Cow<'_, str> {
        match (self.below.last(), &self.attribute) {
            (Some(last), _) => Cow::Borrowed(last),
            (None, Attribute::Other(name)) => Cow::Borrowed(name),
            (None, Attribute::Twin(attribute)) => Cow::Borrowed(attribute.name()),
            (None, Attribute::Message(attribute)) => Cow::Borrowed(attribute.name()),
        }
    }
}

impl TwinAttribute {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Reported => "reported",
            other => TWIN_ATTRIBUTES
                .iter()
                .find_map(|(name, attribute)| (*attribute == other).then_some(*name))
                .unwrap_or_default(),
        }
    }
}

fn twin_path(name: &str, below: &[String]) -> Path {
    let known = TWIN_ATTRIBUTES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let Some(&(_, attribute)) = known else {
        return Path { attribute: Attribute::Other(name.to_owned()), below: below.to_vec() };
    };
    if let (TwinAttribute::Properties, [section, below @ ..]) = (attribute, below) {
        let sections = [("desired", TwinAttribute::Desired), ("reported", TwinAttribute::Reported)];
        let section = sections.iter().find(|(name, _)| name.eq_ignore_ascii_case(section));
        if let Some(&(_, section)) = section {
            return Path { attribute: Attribute::Twin(section), below: below.to_vec() };
        }
    }
    let mut below = below.to_vec();
    if let Some(first) = below.first_mut()
        && let Some((_, known)) = TWIN_MEMBERS
            .iter()
            .find(|(of, known)| *of == attribute && known.eq_ignore_ascii_case(first))
    {
        *first = (*known).to_owned();
    }
    Path { attribute: Attribute::Twin(attribute), below }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(source: Source, path: &str) -> (Attribute, String) {
        let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
        let path = source.resolve(&segments, Some("c")).unwrap();
        (path.attribute, path.below.join("."))
    }

    #[test]
    fn paths_resolve() {
        let twin = |attribute, below: &str| (Attribute::Twin(attribute), below.to_owned());
        let other = |name: &str, below: &str| (Attribute::Other(name.to_owned()), below.to_owned());
        let table = [
            (Source::Devices, "deviceId", twin(TwinAttribute::DeviceId, "")),
            (Source::Devices, "DeviceID", twin(TwinAttribute::DeviceId, "")),
            (Source::Devices, "devices.deviceId", twin(TwinAttribute::DeviceId, "")),
            (Source::Devices, "c.deviceId", twin(TwinAttribute::DeviceId, "")),
            (Source::Devices, "devices", other("devices", "")),
            (Source::Devices, "devices.modules.moduleId", other("modules", "moduleId")),
            (Source::Modules, "devices.modules.moduleId", twin(TwinAttribute::ModuleId, "")),
            (Source::Modules, "devices.moduleId", twin(TwinAttribute::ModuleId, "")),
            (Source::Devices, "tags.Tags.x", twin(TwinAttribute::Tags, "Tags.x")),
            (Source::Devices, "properties", twin(TwinAttribute::Properties, "")),
            (Source::Devices, "properties.x", twin(TwinAttribute::Properties, "x")),
            (Source::Devices, "Properties.Reported.X", twin(TwinAttribute::Reported, "X")),
            (Source::Devices, "capabilities.iotedge", twin(TwinAttribute::Capabilities, "iotEdge")),
            (Source::Devices, "statusUpdatedTime", twin(TwinAttribute::StatusUpdateTime, "")),
            (Source::Devices, "nothing.x", other("nothing", "x")),
            (Source::Jobs, "devices.jobs.jobId", other("jobId", "")),
            (Source::Jobs, "jobId", other("jobId", "")),
        ];
        for (source, path, expected) in table {
            assert_eq!(resolved(source, path), expected, "{path} in {source:?}");
        }
    }

    #[test]
    fn jobs_know_no_twins() {
        let path = ["tags".to_owned(), "x".to_owned()];
        assert_eq!(Source::Jobs.resolve(&path, None), Err(TwinInJobs));
    }

    #[test]
    fn names_in_answers_are_the_service_s() {
        let table = [
            ("DEVICEID", "deviceId"),
            ("capabilities.IOTEDGE", "iotEdge"),
            ("tags.Location.Region", "Region"),
            ("properties.desired", "desired"),
            ("properties.desired.$version", "$version"),
            ("statusUpdatedTime", "statusUpdateTime"),
            ("Nothing", "Nothing"),
        ];
        for (path, expected) in table {
            let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
            assert_eq!(Source::Devices.resolve(&segments, None).unwrap().name(), expected);
        }
    }
}
