//! Messages over HTTPS: their properties are headers.

use bytes::Bytes;
use iothub_core::devicebound::Delivery;
use iothub_core::event::{Message, SystemProperty};

use crate::devicebound::date;

/// What stands before the name of a property of the application.
const APPLICATION: &str = "iothub-app-";

/// The system properties that have a header.
const SYSTEM: [(&str, SystemProperty); 11] = [
    ("iothub-messageid", SystemProperty::MessageId),
    ("iothub-correlationid", SystemProperty::CorrelationId),
    ("iothub-userid", SystemProperty::UserId),
    ("iothub-to", SystemProperty::To),
    ("iothub-contenttype", SystemProperty::ContentType),
    ("iothub-contentencoding", SystemProperty::ContentEncoding),
    ("iothub-expiry", SystemProperty::Expiry),
    ("iothub-creationtimeutc", SystemProperty::CreationTime),
    ("iothub-interface-id", SystemProperty::InterfaceId),
    ("iothub-messageschema", SystemProperty::MessageSchema),
    ("dt-subject", SystemProperty::Component),
];

/// The message of an event. Headers that are not the message's are left alone, the `Content-Type`
/// of the request among them.
pub fn event<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, body: Bytes) -> Message {
    let mut message = Message { body, ..Message::default() };
    for (name, value) in headers {
        if let Some(name) = strip_application(name) {
            message.application.push((name.to_owned(), Some(value.to_owned())));
        } else if let Some(property) = system_property(name) {
            message.system.push((property, value.to_owned()));
        }
    }
    message
}

/// The headers of a cloud-to-device message, but for its lock token.
pub fn devicebound(delivery: &Delivery) -> Vec<(String, String)> {
    let message = &delivery.message;
    let mut headers = vec![
        ("iothub-sequencenumber".to_owned(), delivery.sequence_number.to_string()),
        ("iothub-enqueuedtime".to_owned(), date(message.enqueued)),
        ("iothub-deliverycount".to_owned(), delivery.delivery_count.to_string()),
    ];
    for (name, property) in SYSTEM {
        if let Some(value) = message.system(property) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    if let Some(expiry) = message.expiry {
        headers.push(("iothub-expiry".to_owned(), date(expiry)));
    }
    if let Some(ack) = message.ack {
        headers.push(("iothub-ack".to_owned(), ack.to_string()));
    }
    for (name, value) in &message.message.application {
        headers.push((format!("{APPLICATION}{name}"), value.clone().unwrap_or_default()));
    }
    headers
}

fn strip_application(name: &str) -> Option<&str> {
    let (prefix, name) = name.split_at_checked(APPLICATION.len())?;
    (prefix.eq_ignore_ascii_case(APPLICATION) && !name.is_empty()).then_some(name)
}

fn system_property(name: &str) -> Option<SystemProperty> {
    let mut system = SYSTEM.iter();
    system.find_map(|(header, property)| header.eq_ignore_ascii_case(name).then_some(*property))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iothub_core::devicebound::{Ack, DeviceboundMessage, LockToken};
    use iothub_core::ids::{DeviceId, GenerationId};
    use iothub_core::session::Assurance;
    use iothub_core::time::Timestamp;

    use super::*;

    #[test]
    fn the_headers_of_an_event_become_its_properties() {
        let headers = [
            ("Content-Type", "application/json"),
            ("IoTHub-MessageId", "m1"),
            ("iothub-contenttype", "text/plain"),
            ("iothub-app-Color", "red"),
            ("IOTHUB-APP-x", ""),
            ("iothub-app-", "nameless"),
            ("é", "short and not ASCII"),
            ("dt-subject", "thermostat1"),
        ];
        let message = event(headers.into_iter(), Bytes::from_static(b"hello"));
        let system = [
            (SystemProperty::MessageId, "m1"),
            (SystemProperty::ContentType, "text/plain"),
            (SystemProperty::Component, "thermostat1"),
        ];
        assert_eq!(message.system, system.map(|(name, value)| (name, value.to_owned())));
        let application = [("Color", "red"), ("x", "")];
        let owned = application.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(message.application, owned);
        assert_eq!(message.body, "hello");
    }

    #[test]
    fn a_cloud_to_device_message_has_the_documented_headers() {
        let at = Timestamp::from_ticks(637_134_336_000_000_000);
        let to = (SystemProperty::To, "/devices/d1/messages/deviceBound".to_owned());
        let message = DeviceboundMessage {
            device: DeviceId::parse("d1").unwrap(),
            generation: GenerationId::at(at),
            message: Message {
                system: vec![to, (SystemProperty::MessageId, "m1".to_owned())],
                application: vec![("color".to_owned(), Some("red".to_owned()))],
                body: Bytes::new(),
            },
            expiry: Some(at),
            ack: Some(Ack::Full),
            enqueued: at,
        };
        let delivery = Delivery {
            message: Arc::new(message),
            sequence_number: 17,
            lock_token: LockToken::new([0; 16]),
            delivery_count: 0,
            redelivered: false,
            assurance: Assurance::AtLeastOnce,
        };
        let expected = [
            ("iothub-sequencenumber", "17"),
            ("iothub-enqueuedtime", "2020-01-01T00:00:00.0000000Z"),
            ("iothub-deliverycount", "0"),
            ("iothub-messageid", "m1"),
            ("iothub-to", "/devices/d1/messages/deviceBound"),
            ("iothub-expiry", "2020-01-01T00:00:00.0000000Z"),
            ("iothub-ack", "full"),
            ("iothub-app-color", "red"),
        ];
        let owned = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(devicebound(&delivery), owned);
    }
}
