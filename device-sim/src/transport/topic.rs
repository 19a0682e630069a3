//! The topics and names of IoT Hub, as a device writes and reads them.

use iothub_wire::connection_string::encode;

use super::{API_VERSION, CONTENT_ENCODING, CONTENT_TYPE};
use crate::options::Identity;

/// Answers to twin requests.
pub(super) const TWIN_ANSWERS: &str = "$iothub/twin/res/#";
/// Changes of desired properties.
pub(super) const DESIRED_CHANGES: &str = "$iothub/twin/PATCH/properties/desired/#";

/// Cloud-to-device messages; modules get none.
pub(super) fn devicebound(identity: &Identity) -> Option<String> {
    let device = identity.device();
    identity.module().is_none().then(|| format!("devices/{device}/messages/devicebound/#"))
}

/// Direct methods.
pub(super) const METHODS: &str = "$iothub/methods/POST/#";

const CLIENT: &str = concat!("device-sim/", env!("CARGO_PKG_VERSION"));

/// A topic that the hub publishes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Downlink<'a> {
    /// `$iothub/twin/res/{status}/?$rid={rid}`, with `&$version={version}` after a patch.
    TwinAnswer { rid: &'a str, status: u16, version: Option<u64> },
    /// `$iothub/twin/PATCH/properties/desired/?$version={version}`; the body has the version too.
    DesiredChange,
    /// `devices/{device}/messages/devicebound/{properties}`
    Message { bag: &'a str },
    /// `$iothub/methods/POST/{name}/?$rid={rid}`; the answer repeats what stands after `$rid=`.
    MethodCall { name: &'a str, rid: &'a str },
}

impl<'a> Downlink<'a> {
    pub(super) fn parse(topic: &'a str) -> Option<Self> {
        if topic.starts_with("$iothub/twin/PATCH/properties/desired/") {
            return Some(Self::DesiredChange);
        }
        if let Some(rest) = topic.strip_prefix("devices/") {
            let (_, bag) = rest.split_once("/messages/devicebound/")?;
            return Some(Self::Message { bag });
        }
        if let Some(call) = topic.strip_prefix("$iothub/methods/POST/") {
            let (name, rid) = call.rsplit_once("/?$rid=")?;
            return Some(Self::MethodCall { name, rid });
        }
        let (status, query) = topic.strip_prefix("$iothub/twin/res/")?.split_once("/?")?;
        let field =
            |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        Some(Self::TwinAnswer {
            rid: field("$rid")?,
            status: status.parse().ok()?,
            version: field("$version").and_then(|version| version.parse().ok()),
        })
    }
}

pub(super) fn get_twin(rid: u64) -> String {
    format!("$iothub/twin/GET/?$rid={rid}")
}

pub(super) fn report(rid: u64) -> String {
    format!("$iothub/twin/PATCH/properties/reported/?$rid={rid}")
}

pub(super) fn method_answer(rid: &str, status: i32) -> String {
    format!("$iothub/methods/res/{status}/?$rid={rid}")
}

/// The topic of a telemetry message in JSON, with its property bag: the system properties for
/// content type and encoding first, as the SDKs order them.
pub(super) fn telemetry(identity: &Identity, properties: &[(String, String)]) -> String {
    let device = identity.device();
    let module = identity.module().map_or_else(String::new, |module| format!("/modules/{module}"));
    let system = [("$.ct", CONTENT_TYPE), ("$.ce", CONTENT_ENCODING)];
    let own = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let bag: Vec<_> = system
        .into_iter()
        .chain(own)
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!("devices/{device}{module}/messages/events/{}", bag.join("&"))
}

/// The client id: `{device}` or `{device}/{module}`, as it is.
pub(super) fn client_id(identity: &Identity) -> String {
    identity.to_string()
}

/// The user name: who, where, which version of the service, and which program.
pub(super) fn user_name(identity: &Identity) -> String {
    let host = &identity.host().name;
    let client = encode(CLIENT);
    format!("{host}/{identity}/?api-version={API_VERSION}&DeviceClientType={client}")
}

#[cfg(test)]
mod tests {
    use iothub_wire::connection_string::DeviceConnectionString;

    use super::*;

    fn identity(device: &str) -> Identity {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let text = format!("HostName=hub.test:18883;{device};SharedAccessKey={key}");
        DeviceConnectionString::parse(&text).unwrap().into()
    }

    #[test]
    fn names_are_those_that_the_sdks_send() {
        let device = identity("DeviceId=d1");
        assert_eq!(client_id(&device), "d1");
        assert_eq!(
            user_name(&device),
            "hub.test/d1/?api-version=2021-04-12&DeviceClientType=device-sim%2F0.1.0"
        );
        let module = identity("DeviceId=d1;ModuleId=m1");
        assert_eq!(client_id(&module), "d1/m1");
        assert!(user_name(&module).starts_with("hub.test/d1/m1/?api-version="));
    }

    #[test]
    fn telemetry_topics_carry_an_encoded_bag() {
        let bag = "%24.ct=application%2Fjson&%24.ce=utf-8";
        let own = [("kind".to_owned(), "a b/ü".to_owned())];
        let table = [
            ("DeviceId=d1", &own[..0], format!("devices/d1/messages/events/{bag}")),
            (
                "DeviceId=d1",
                &own[..],
                format!("devices/d1/messages/events/{bag}&kind=a%20b%2F%C3%BC"),
            ),
            (
                "DeviceId=d1;ModuleId=m1",
                &own[..0],
                format!("devices/d1/modules/m1/messages/events/{bag}"),
            ),
        ];
        for (device, properties, expected) in table {
            assert_eq!(telemetry(&identity(device), properties), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_topic_is_too_much(
            topic in r"(\$iothub/twin/res/|PATCH/properties/desired/|/\?|\$rid=|[0-9]+|&|é|.)*",
        ) {
            let _ = Downlink::parse(&topic);
        }

        #[test]
        fn answers_keep_their_request_id(rid in "[^&]+", status in 100_u16..600) {
            let topic = format!("$iothub/twin/res/{status}/?$rid={rid}&$version=3");
            let rid = rid.as_str();
            let answer = Downlink::TwinAnswer { rid, status, version: Some(3) };
            proptest::prop_assert_eq!(Downlink::parse(&topic), Some(answer));
        }
    }

    #[test]
    fn downlinks_parse() {
        let answer = |rid, status, version| Some(Downlink::TwinAnswer { rid, status, version });
        let table = [
            ("$iothub/twin/res/200/?$rid=1", answer("1", 200, None)),
            ("$iothub/twin/res/204/?$rid=4&$version=2", answer("4", 204, Some(2))),
            ("$iothub/twin/res/429/?$rid=x&retry-after=5", answer("x", 429, None)),
            ("$iothub/twin/PATCH/properties/desired/?$version=3", Some(Downlink::DesiredChange)),
            ("$iothub/twin/res/ok/?$rid=1", None),
            ("$iothub/twin/res/200/", None),
            ("$iothub/twin/res/200/?$version=1", None),
            (
                "devices/d1/messages/devicebound/%24.to=%2Fx&a=1",
                Some(Downlink::Message { bag: "%24.to=%2Fx&a=1" }),
            ),
            ("devices/d1/messages/events/", None),
            (
                "$iothub/methods/POST/reboot/?$rid=1",
                Some(Downlink::MethodCall { name: "reboot", rid: "1" }),
            ),
            (
                "$iothub/methods/POST/a/b/?$rid=1&x=2",
                Some(Downlink::MethodCall { name: "a/b", rid: "1&x=2" }),
            ),
            ("$iothub/methods/POST/reboot", None),
            ("", None),
        ];
        for (topic, expected) in table {
            assert_eq!(Downlink::parse(topic), expected, "{topic}");
        }
    }
}
