//! The topic on which a cloud-to-device message goes to its device, with its properties.

use iothub_core::devicebound::DeviceboundMessage;
use iothub_core::event::SystemProperty;
use iothub_core::time::Timestamp;

use crate::connection_string::encode;

/// The topic of a message: `devices/{id}/messages/devicebound/{bag}`.
///
/// The order is the service's own. Java looks for the first `%24`, C# wants a bag that is not empty
/// and neither can read a property without a value: there is always a system property, it comes
/// first, and what is empty is left out.
pub fn topic(message: &DeviceboundMessage) -> String {
    let mut topic = format!("devices/{}/messages/devicebound/", message.device);
    let mut separator = "";
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            topic.push_str(separator);
            topic.push_str(&encode(name));
            topic.push('=');
            topic.push_str(&encode(value));
            separator = "&";
        }
    };
    if let Some(expiry) = message.expiry {
        add("$.exp", &date(expiry));
    }
    for (property, name) in SYSTEM {
        add(name, message.system(property).unwrap_or_default());
    }
    if let Some(ack) = message.ack {
        add("iothub-ack", ack.as_str());
    }
    for (name, value) in &message.message.application {
        add(name, value.as_deref().unwrap_or_default());
    }
    topic
}

/// The system properties that a device gets, in the order observed.
const SYSTEM: [(SystemProperty, &str); 7] = [
    (SystemProperty::CorrelationId, "$.cid"),
    (SystemProperty::MessageId, "$.mid"),
    (SystemProperty::To, "$.to"),
    (SystemProperty::UserId, "$.uid"),
    (SystemProperty::ContentType, "$.ct"),
    (SystemProperty::ContentEncoding, "$.ce"),
    (SystemProperty::CreationTime, "$.ctime"),
];

/// A moment with all seven digits, which is the only form that C# reads.
pub fn date(at: Timestamp) -> String {
    let whole = Timestamp::from_ticks(at.ticks() - at.ticks() % TICKS_PER_SECOND).to_string();
    format!("{}.{:07}Z", whole.trim_end_matches('Z'), at.ticks() % TICKS_PER_SECOND)
}

const TICKS_PER_SECOND: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use iothub_core::devicebound::Ack;
    use iothub_core::event::Message;
    use iothub_core::ids::{DeviceId, GenerationId};
    use proptest::prelude::*;

    use super::*;
    use crate::properties::Properties;

    const AT: Timestamp = Timestamp::NEVER;

    fn message(
        system: &[(SystemProperty, &str)],
        application: &[(&str, Option<&str>)],
    ) -> DeviceboundMessage {
        let owned =
            |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
        DeviceboundMessage {
            device: DeviceId::parse("x").unwrap(),
            generation: GenerationId::at(AT),
            message: Message {
                system: system.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
                application: application.iter().map(owned).collect(),
                ..Message::default()
            },
            expiry: None,
            ack: None,
            enqueued: AT,
        }
    }

    #[test]
    fn topics_are_those_that_were_seen() {
        use SystemProperty::{ContentEncoding, ContentType, CorrelationId, MessageId, To};
        let to = (To, "/devices/x/messages/devicebound");
        let mut full = message(
            &[to, (MessageId, "m"), (CorrelationId, "c"), (ContentType, "application/json")],
            &[("method-name", Some("Commands:c2d"))],
        );
        full.expiry = Some(Timestamp::from_ticks(637_312_832_651_720_000));
        full.ack = Some(Ack::None);
        let table = [
            (
                full,
                "devices/x/messages/devicebound/%24.exp=2020-07-25T14%3A14%3A25.1720000Z&%24.cid=c&%24.mid=m&%24.to=%2Fdevices%2Fx%2Fmessages%2Fdevicebound&%24.ct=application%2Fjson&iothub-ack=none&method-name=Commands%3Ac2d",
            ),
            (
                message(
                    &[to, (ContentEncoding, "utf-8")],
                    &[("a", None), ("b", Some("")), ("c", Some("1 2"))],
                ),
                "devices/x/messages/devicebound/%24.to=%2Fdevices%2Fx%2Fmessages%2Fdevicebound&%24.ce=utf-8&c=1%202",
            ),
        ];
        for (message, expected) in table {
            assert_eq!(topic(&message), expected);
        }
    }

    #[test]
    fn dates_have_seven_digits() {
        let table = [
            (637_134_336_000_000_000, "2020-01-01T00:00:00.0000000Z"),
            (637_134_336_005_000_000, "2020-01-01T00:00:00.5000000Z"),
            (637_134_336_000_000_001, "2020-01-01T00:00:00.0000001Z"),
        ];
        for (ticks, expected) in table {
            assert_eq!(date(Timestamp::from_ticks(ticks)), expected);
        }
    }

    proptest! {
        /// What the sender set comes back from a parser, and nothing in it splits the topic.
        #[test]
        fn properties_survive_the_topic(name in "[^$]+", value in ".+", id in ".+") {
            let system = [(SystemProperty::To, "/to"), (SystemProperty::MessageId, id.as_str())];
            let topic = topic(&message(&system, &[(&name, Some(&value))]));
            let bag = topic.strip_prefix("devices/x/messages/devicebound/").unwrap();
            prop_assert!(bag.starts_with("%24.") && !bag.contains('/'));
            let parsed = Properties::parse(bag);
            prop_assert_eq!(parsed.system.first(), Some(&(SystemProperty::MessageId, id)));
            prop_assert_eq!(parsed.application, [(name, Some(value))]);
        }
    }
}
