//! The MQTT topics of IoT Hub: what a device may publish, what it may subscribe to, and what the
//! hub publishes.
//!
//! A topic is parsed once, at the edge. Past this module there are no topic strings.
//!
//! ```
//! use iothub_wire::topic::{RequestId, UplinkTopic};
//!
//! let topic = UplinkTopic::parse("$iothub/twin/GET/?$rid=getTwin")?;
//! assert_eq!(topic, UplinkTopic::GetTwin { rid: RequestId::new("getTwin") });
//! # Ok::<(), iothub_wire::topic::InvalidTopic>(())
//! ```

use std::fmt;

use iothub_core::ids::{DeviceId, IdentityId, InvalidId, ModuleId};
use iothub_core::method::{CallId, MethodName};
use iothub_core::session::Channel;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// A topic that a device publishes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UplinkTopic {
    /// `devices/{id}[/modules/{id}]/messages/events/{properties}`
    Event {
        /// Whom the topic names; the edge compares it with who connected.
        sender: IdentityId,
        /// The property bag, still encoded.
        properties: String,
    },
    /// `$iothub/twin/GET/?$rid={rid}`
    GetTwin {
        /// Comes back in the answer.
        rid: RequestId,
    },
    /// `$iothub/twin/PATCH/properties/reported/?$rid={rid}[&$version={version}]`
    PatchReported {
        /// Comes back in the answer.
        rid: RequestId,
        /// The version that the section must have.
        version: Option<u64>,
    },
    /// `$iothub/methods/res/{status}/?$rid={rid}`
    MethodResponse {
        /// Comes from the call being answered.
        rid: RequestId,
        /// What the device's handler returned; not an HTTP status.
        status: i32,
    },
}

/// A topic that the hub publishes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DownlinkTopic {
    /// `$iothub/twin/PATCH/properties/desired/?$version={version}`
    DesiredPatch {
        /// The version of the desired section after the patch.
        version: u64,
    },
    /// `$iothub/methods/POST/{name}/?$rid={rid}`
    MethodCall {
        /// Which method.
        name: MethodName,
        /// Comes back in the answer.
        id: CallId,
    },
    /// `$iothub/twin/res/{status}/?$rid={rid}`, with `&$version={version}` after a patch
    TwinResponse {
        /// The request being answered.
        rid: RequestId,
        /// 200, 204, or an error.
        status: u16,
        /// The version of the reported section after the patch.
        version: Option<u64>,
    },
}

/// What MQTT has wildcards for may stand in the name of a method, and not in a topic.
const NOT_IN_A_TOPIC: AsciiSet = CONTROLS.add(b'#').add(b'+');

/// A request id: whatever text the peer chose, compared but never interpreted.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestId(String);

/// Why a topic was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidTopic {
    /// An id in it is not one.
    #[error("topic names no device: {0}")]
    Id(#[from] InvalidId),
    /// It has no `$rid`.
    #[error("topic has no $rid")]
    MissingRequestId,
    /// Its status is not a number.
    #[error("topic has status {0:?}, expected a number")]
    Status(String),
    /// Its version is not a number.
    #[error("topic has $version {0:?}, expected a number")]
    Version(String),
    /// No IoT Hub topic begins like that.
    #[error("{0:?} is not an IoT Hub topic")]
    Unknown(String),
}

/// Why a topic filter was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidFilter {
    /// It is for somebody else.
    #[error("filter {filter:?} is not for {id}")]
    Foreign {
        /// The filter.
        filter: String,
        /// Who asked.
        id: IdentityId,
    },
    /// IoT Hub has no such filter.
    #[error("{0:?} is not an IoT Hub topic filter")]
    Unknown(String),
}

impl UplinkTopic {
    /// Parses the topic of a PUBLISH that a device sent.
    ///
    /// # Errors
    ///
    /// Names the part that is wrong; the edge closes the connection, as IoT Hub does.
    pub fn parse(topic: &str) -> Result<Self, InvalidTopic> {
        if let Some(query) = topic.strip_prefix("$iothub/twin/GET/?") {
            return Ok(Self::GetTwin { rid: request_id(query)? });
        }
        if let Some(query) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?") {
            return Ok(Self::PatchReported { rid: request_id(query)?, version: version(query)? });
        }
        if let Some((status, query)) =
            topic.strip_prefix("$iothub/methods/res/").and_then(|rest| rest.split_once("/?"))
        {
            let status = status.parse().map_err(|_| InvalidTopic::Status(status.to_owned()))?;
            return Ok(Self::MethodResponse { rid: request_id(query)?, status });
        }
        event(topic).unwrap_or_else(|| Err(InvalidTopic::Unknown(topic.to_owned())))
    }
}

/// What a client subscribes to with `filter`.
///
/// # Errors
///
/// It is none of the documented filters, or for somebody else than `id`; the edge closes the
/// connection, as IoT Hub does.
pub fn parse_filter(filter: &str, id: &IdentityId) -> Result<Channel, InvalidFilter> {
    match filter {
        "$iothub/twin/res/#" => return Ok(Channel::TwinResponses),
        "$iothub/twin/PATCH/properties/desired/#" => return Ok(Channel::DesiredProperties),
        "$iothub/methods/POST/#" => return Ok(Channel::Methods),
        _ => {}
    }
    let unknown = || InvalidFilter::Unknown(filter.to_owned());
    let (device, rest) = filter
        .strip_prefix("devices/")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(unknown)?;
    // Microsoft's embedded SDK leaves its own name to a wildcard.
    let is_own = device == id.device.as_str() || device == "+";
    let (is_own, channel) = match rest.strip_prefix("modules/") {
        None if rest == "messages/devicebound/#" => {
            (is_own && id.module.is_none(), Channel::Devicebound)
        }
        None => return Err(unknown()),
        Some(rest) => {
            let (module, rest) = rest.split_once('/').ok_or_else(unknown)?;
            // The cloud sends nothing to modules here, but SDKs subscribe and expect to succeed.
            if !matches!(rest, "#" | "inputs/#" | "messages/devicebound/#") {
                return Err(unknown());
            }
            let is_module = id.module.as_ref().is_some_and(|id| id.as_str() == module);
            (is_own && is_module, Channel::Inputs)
        }
    };
    if is_own {
        return Ok(channel);
    }
    Err(InvalidFilter::Foreign { filter: filter.to_owned(), id: id.clone() })
}

impl fmt::Display for DownlinkTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DesiredPatch { version } => {
                write!(f, "$iothub/twin/PATCH/properties/desired/?$version={version}")
            }
            Self::MethodCall { name, id } => {
                let name = utf8_percent_encode(name.as_str(), &NOT_IN_A_TOPIC);
                write!(f, "$iothub/methods/POST/{name}/?$rid={id}")
            }
            Self::TwinResponse { rid, status, version } => {
                write!(f, "$iothub/twin/res/{status}/?$rid={rid}")?;
                version.map_or(Ok(()), |version| write!(f, "&$version={version}"))
            }
        }
    }
}

impl RequestId {
    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the text as it came.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn request_id(query: &str) -> Result<RequestId, InvalidTopic> {
    field(query, "$rid").map(RequestId::new).ok_or(InvalidTopic::MissingRequestId)
}

fn version(query: &str) -> Result<Option<u64>, InvalidTopic> {
    let parse = |text: &str| text.parse().map_err(|_| InvalidTopic::Version(text.to_owned()));
    field(query, "$version").map(parse).transpose()
}

fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

/// None if the topic is of another kind.
fn event(topic: &str) -> Option<Result<UplinkTopic, InvalidTopic>> {
    let (device, rest) = topic.strip_prefix("devices/")?.split_once('/')?;
    let (module, rest) = match rest.strip_prefix("modules/") {
        Some(rest) => rest.split_once('/').map(|(module, rest)| (Some(module), rest))?,
        None => (None, rest),
    };
    let bag = match rest.strip_prefix("messages/events")? {
        "" => "",
        bag => bag.strip_prefix('/')?,
    };
    let sender = || {
        let module = module.map(ModuleId::parse).transpose()?;
        Ok::<_, InvalidId>(IdentityId { device: DeviceId::parse(device)?, module })
    };
    // Some SDKs put a question mark before the bag, some a slash behind it.
    let bag = bag.strip_prefix('?').unwrap_or(bag);
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    Some(
        sender()
            .map(|sender| UplinkTopic::Event { sender, properties: bag.to_owned() })
            .map_err(InvalidTopic::Id),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rid(text: &str) -> RequestId {
        RequestId::new(text)
    }

    fn id(device: &str, module: Option<&str>) -> IdentityId {
        IdentityId {
            device: DeviceId::parse(device).unwrap(),
            module: module.map(|module| ModuleId::parse(module).unwrap()),
        }
    }

    fn event_of(
        device: &str,
        module: Option<&str>,
        bag: &str,
    ) -> Result<UplinkTopic, InvalidTopic> {
        Ok(UplinkTopic::Event { sender: id(device, module), properties: bag.to_owned() })
    }

    #[test]
    fn uplinks_parse() {
        let patch = |text, version| Ok(UplinkTopic::PatchReported { rid: rid(text), version });
        let table = [
            ("$iothub/twin/GET/?$rid=1", Ok(UplinkTopic::GetTwin { rid: rid("1") })),
            ("$iothub/twin/GET/?$rid=getTwin", Ok(UplinkTopic::GetTwin { rid: rid("getTwin") })),
            ("$iothub/twin/GET/?x=1&$rid=2", Ok(UplinkTopic::GetTwin { rid: rid("2") })),
            ("$iothub/twin/GET/?", Err(InvalidTopic::MissingRequestId)),
            ("$iothub/twin/PATCH/properties/reported/?$rid=3", patch("3", None)),
            ("$iothub/twin/PATCH/properties/reported/?$rid=3&$version=4", patch("3", Some(4))),
            (
                "$iothub/twin/PATCH/properties/reported/?$rid=3&$version=x",
                Err(InvalidTopic::Version("x".to_owned())),
            ),
            (
                "$iothub/methods/res/-1/?$rid=a",
                Ok(UplinkTopic::MethodResponse { rid: rid("a"), status: -1 }),
            ),
            ("$iothub/methods/res/ok/?$rid=a", Err(InvalidTopic::Status("ok".to_owned()))),
            ("devices/a b/messages/events/", Err(InvalidId::Character(' ').into())),
            (
                "x/$iothub/twin/GET/?$rid=1",
                Err(InvalidTopic::Unknown("x/$iothub/twin/GET/?$rid=1".to_owned())),
            ),
            ("", Err(InvalidTopic::Unknown(String::new()))),
            (
                "devices/d/messages/eventsx",
                Err(InvalidTopic::Unknown("devices/d/messages/eventsx".to_owned())),
            ),
        ];
        for (topic, expected) in table {
            assert_eq!(UplinkTopic::parse(topic), expected, "{topic}");
        }
    }

    #[test]
    fn events_parse_in_every_form() {
        let table = [
            ("devices/d/messages/events", None, ""),
            ("devices/d/messages/events/", None, ""),
            ("devices/d/messages/events/a=1", None, "a=1"),
            ("devices/d/messages/events/a=1/", None, "a=1"),
            ("devices/d/messages/events/?a=1", None, "a=1"),
            ("devices/d/messages/events/a=x/y//", None, "a=x/y/"),
            ("devices/d/modules/m/messages/events/a=1/", Some("m"), "a=1"),
        ];
        for (topic, module, bag) in table {
            assert_eq!(UplinkTopic::parse(topic), event_of("d", module, bag), "{topic}");
        }
    }

    #[test]
    fn answers_have_the_documented_topics() {
        let answer = DownlinkTopic::TwinResponse { rid: rid("3"), status: 204, version: Some(6) };
        assert_eq!(answer.to_string(), "$iothub/twin/res/204/?$rid=3&$version=6");
        let answer = DownlinkTopic::TwinResponse { rid: rid("a%20"), status: 200, version: None };
        assert_eq!(answer.to_string(), "$iothub/twin/res/200/?$rid=a%20");
        let patch = DownlinkTopic::DesiredPatch { version: 4 };
        assert_eq!(patch.to_string(), "$iothub/twin/PATCH/properties/desired/?$version=4");
        let call = |name| DownlinkTopic::MethodCall {
            name: MethodName::parse(name).unwrap(),
            id: CallId::parse("7").unwrap(),
        };
        assert_eq!(call("c*m").to_string(), "$iothub/methods/POST/c*m/?$rid=7");
        assert_eq!(call("a#+%b").to_string(), "$iothub/methods/POST/a%23%2B%b/?$rid=7");
    }

    #[test]
    fn filters_parse() {
        let (device, module) = (id("d+1", None), id("d", Some("m")));
        let unknown = |filter: &str| Err(InvalidFilter::Unknown(filter.to_owned()));
        let foreign = |filter: &str, id: &IdentityId| {
            Err(InvalidFilter::Foreign { filter: filter.to_owned(), id: id.clone() })
        };
        let table = [
            (&device, "$iothub/twin/res/#", Ok(Channel::TwinResponses)),
            (&device, "$iothub/twin/PATCH/properties/desired/#", Ok(Channel::DesiredProperties)),
            (&device, "$iothub/methods/POST/#", Ok(Channel::Methods)),
            (&device, "devices/d+1/messages/devicebound/#", Ok(Channel::Devicebound)),
            (&device, "devices/+/messages/devicebound/#", Ok(Channel::Devicebound)),
            (
                &device,
                "devices/x/messages/devicebound/#",
                foreign("devices/x/messages/devicebound/#", &device),
            ),
            (&device, "devices/+/modules/m/#", foreign("devices/+/modules/m/#", &device)),
            (&module, "devices/d/modules/m/#", Ok(Channel::Inputs)),
            (&module, "devices/d/modules/m/inputs/#", Ok(Channel::Inputs)),
            (&module, "devices/d/modules/m/messages/devicebound/#", Ok(Channel::Inputs)),
            (
                &module,
                "devices/d/messages/devicebound/#",
                foreign("devices/d/messages/devicebound/#", &module),
            ),
            (&device, "#", unknown("#")),
            (&device, "", unknown("")),
            (&device, "$iothub/twin/res/200/#", unknown("$iothub/twin/res/200/#")),
            (&device, "devices/d+1/messages/events/#", unknown("devices/d+1/messages/events/#")),
        ];
        for (id, filter, expected) in table {
            assert_eq!(parse_filter(filter, id), expected, "{filter}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(topic in ".*", tail in ".*") {
            let _ = UplinkTopic::parse(&topic);
            let _ = UplinkTopic::parse(&format!("$iothub/twin/{tail}"));
            let _ = UplinkTopic::parse(&format!("devices/{tail}"));
            let _ = parse_filter(&format!("devices/{tail}"), &id("d", None));
        }
    }
}
