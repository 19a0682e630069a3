//! The addresses of links: relative paths or URIs, whose literal parts compare without case.

use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use percent_encoding::percent_decode_str;

/// What a link leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Node {
    /// `$cbs`
    Cbs,
    /// `$management`
    Management,
    /// `messages/events/…` of the hub, which leads on to its event hub.
    Redirect(String),
    /// `{event hub}/ConsumerGroups/{group}/Partitions/{n}`
    Partition { event_hub: String, group: String, partition: String },
    /// `{event hub}[/Partitions/{n}]`, where producers of Event Hubs write.
    Producer(String),
    /// `/messages/…` of back ends.
    Service(ServiceNode),
    /// `/devices/{d}/…` and `/devices/{d}/modules/{m}/…`
    Device(IdentityId, DeviceNode),
}

/// What a link of a back end is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ServiceNode {
    /// `devicebound`
    Devicebound,
    /// `serviceBound/feedback`
    Feedback,
    /// `serviceBound/filenotifications`
    FileNotifications,
}

/// What a link of a device is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DeviceNode {
    /// `messages/events`
    Events,
    /// `messages/devicebound`
    Devicebound,
    /// `twin`
    Twin,
    /// `methods/devicebound`
    Methods,
}

impl Node {
    /// Reads an address; none if it has none of the forms.
    pub(crate) fn parse(address: &str) -> Option<Self> {
        let path = match address.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => address,
        };
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let lower: Vec<String> = segments.iter().map(|one| one.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        Some(match (lower.as_slice(), segments.as_slice()) {
            (["$cbs"], _) => Self::Cbs,
            (["$management"] | [_, "$management"], _) => Self::Management,
            (["messages", "devicebound"], _) => Self::Service(ServiceNode::Devicebound),
            (["messages", "servicebound", "feedback"], _) => Self::Service(ServiceNode::Feedback),
            (["messages", "servicebound", "filenotifications"], _) => {
                Self::Service(ServiceNode::FileNotifications)
            }
            (["messages", "events", ..], [_, _, rest @ ..]) => Self::Redirect(rest.join("/")),
            (["devices", _, "modules", _, node @ ..], [_, device, _, module, ..]) => {
                Self::Device(identity(device, Some(module))?, DeviceNode::parse(node)?)
            }
            (["devices", _, node @ ..], [_, device, ..]) => {
                Self::Device(identity(device, None)?, DeviceNode::parse(node)?)
            }
            ([_, "consumergroups", _, "partitions", _], [event_hub, _, group, _, partition]) => {
                Self::Partition {
                    event_hub: (*event_hub).to_owned(),
                    group: decoded(group)?,
                    partition: (*partition).to_owned(),
                }
            }
            ([_] | [_, "partitions", _], [event_hub, ..]) => {
                Self::Producer((*event_hub).to_owned())
            }
            _ => return None,
        })
    }
}

impl ServiceNode {
    /// Whether the back end receives.
    pub(crate) fn receives(self) -> bool {
        self != Self::Devicebound
    }

    /// What a token has to cover.
    pub(crate) fn path(self) -> &'static [&'static str] {
        match self {
            Self::Devicebound => &["messages", "devicebound"],
            Self::Feedback | Self::FileNotifications => &["messages", "servicebound"],
        }
    }
}

impl DeviceNode {
    fn parse(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["messages", "events"] => Self::Events,
            ["messages", "devicebound"] => Self::Devicebound,
            ["twin"] => Self::Twin,
            ["methods", "devicebound"] => Self::Methods,
            _ => return None,
        })
    }
}

/// The device or module of these segments.
pub(crate) fn identity(device: &str, module: Option<&str>) -> Option<IdentityId> {
    let device = DeviceId::parse(&decoded(device)?).ok()?;
    let module = match module {
        Some(module) => Some(ModuleId::parse(&decoded(module)?).ok()?),
        None => None,
    };
    Some(IdentityId { device, module })
}

/// The device or module that an audience or the `to` of a message names, with or without a scheme
/// and a host.
pub(crate) fn named_identity(text: &str) -> Option<IdentityId> {
    let path = text.split_once("://").map_or(text, |(_, path)| path);
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let at = segments.iter().position(|one| one.eq_ignore_ascii_case("devices"))?;
    match segments.get(at + 1..)? {
        [device, modules, module, ..] if modules.eq_ignore_ascii_case("modules") => {
            identity(device, Some(module))
        }
        [device, ..] => identity(device, None),
        [] => None,
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_many_spellings() {
        let d1 = || identity("d1", None).unwrap();
        let partition = Node::Partition {
            event_hub: "eh".to_owned(),
            group: "$Default".to_owned(),
            partition: "0".to_owned(),
        };
        let table = [
            ("$cbs", Some(Node::Cbs)),
            ("$management", Some(Node::Management)),
            ("amqps://h:5671/eh/$management", Some(Node::Management)),
            ("/messages/devicebound", Some(Node::Service(ServiceNode::Devicebound))),
            ("amqps://h:5671/messages/deviceBound", Some(Node::Service(ServiceNode::Devicebound))),
            ("/messages/servicebound/Feedback", Some(Node::Service(ServiceNode::Feedback))),
            (
                "amqps://h/messages/events/$management",
                Some(Node::Redirect("$management".to_owned())),
            ),
            ("eh/ConsumerGroups/$Default/Partitions/0", Some(partition.clone())),
            ("amqps://h/eh/consumergroups/%24Default/partitions/0", Some(partition)),
            ("eh", Some(Node::Producer("eh".to_owned()))),
            ("/devices/d1/messages/events", Some(Node::Device(d1(), DeviceNode::Events))),
            (
                "amqps://h/devices/d1/messages/deviceBound",
                Some(Node::Device(d1(), DeviceNode::Devicebound)),
            ),
            ("/devices/d1/twin/", Some(Node::Device(d1(), DeviceNode::Twin))),
            (
                "/devices/d%201/modules/m/methods/devicebound",
                identity("d%201", Some("m")).map(|id| Node::Device(id, DeviceNode::Methods)),
            ),
            ("/devices/d1/other", None),
            ("", None),
            ("a/b/c", None),
        ];
        for (address, expected) in table {
            assert_eq!(Node::parse(address), expected, "{address}");
        }
    }

    #[test]
    fn audiences_name_identities() {
        let table = [
            ("h/devices/d1", Some(("d1", None))),
            ("amqps://h/devices/d1/modules/m", Some(("d1", Some("m")))),
            ("/devices/d1/messages/deviceBound", Some(("d1", None))),
            ("h", None),
            ("https://h", None),
        ];
        for (text, expected) in table {
            let expected = expected.and_then(|(device, module)| identity(device, module));
            assert_eq!(named_identity(text), expected, "{text}");
        }
    }
}
