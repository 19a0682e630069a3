//! What a packet of an admitted device means. Pure: a packet gives an action, or a violation.

use bytes::Bytes;
use iothub_core::event::Message;
use iothub_core::ids::IdentityId;
use iothub_core::session::{Assurance, Channel};
use iothub_wire::properties::Properties;
use iothub_wire::topic::{RequestId, UplinkTopic, parse_filter};

use crate::frame::{Packet, Publish, Qos};
use crate::violation::Violation;

/// What the connection must do.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Answer a PINGREQ.
    Pong,
    /// Subscribe, and say what was granted.
    Subscribe { id: u16, channels: Vec<(Channel, Assurance)> },
    /// Unsubscribe; filters that are nobody's do nothing.
    Unsubscribe { id: u16, channels: Vec<Channel> },
    /// Carry out what was published, and acknowledge it under this id.
    Publish { acknowledge: Option<u16>, request: Request },
    /// Settle what was sent under this id.
    Acknowledged { id: u16 },
    /// End the connection as the client wishes.
    Disconnect,
}

/// What a device can publish.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Request {
    /// An event.
    Event { message: Message, duplicate: bool },
    /// Read the twin.
    GetTwin { rid: RequestId },
    /// Change the reported properties.
    PatchReported { rid: RequestId, version: Option<u64>, body: Bytes },
    /// The answer to a direct method.
    MethodResponse { rid: RequestId, status: i32, body: Bytes },
}

/// Decides what a packet means for the connection of `id`.
pub(crate) fn handle(packet: Packet, id: &IdentityId) -> Result<Action, Violation> {
    match packet {
        Packet::Publish(publish) => handle_publish(publish, id),
        Packet::Subscribe { id: packet_id, filters } => {
            let channels = filters
                .into_iter()
                .map(|(filter, qos)| Ok((parse_filter(&filter, id)?, assurance(qos))))
                .collect::<Result<_, Violation>>()?;
            Ok(Action::Subscribe { id: packet_id, channels })
        }
        Packet::Unsubscribe { id: packet_id, filters } => {
            let channels =
                filters.iter().filter_map(|filter| parse_filter(filter, id).ok()).collect();
            Ok(Action::Unsubscribe { id: packet_id, channels })
        }
        Packet::Pingreq => Ok(Action::Pong),
        Packet::Puback { id } => Ok(Action::Acknowledged { id }),
        Packet::Disconnect => Ok(Action::Disconnect),
        Packet::Connect(_) | Packet::UnsupportedVersion(_) => Err(Violation::SecondConnect),
        Packet::Unexpected(name) => Err(Violation::Unexpected(name)),
    }
}

/// The message of an event or a will. Its body is a copy: a slice would keep the whole buffer that
/// it was read into for as long as the log keeps the event.
pub(crate) fn message(bag: &str, body: &[u8], retain: bool) -> Message {
    let Properties { system, mut application } = Properties::parse(bag);
    if retain {
        // Nothing is retained; the application is told that the device asked for it.
        application.push(("mqtt-retain".to_owned(), Some("true".to_owned())));
    }
    Message { system, application, body: Bytes::copy_from_slice(body) }
}

fn handle_publish(publish: Publish, id: &IdentityId) -> Result<Action, Violation> {
    let acknowledge = match publish.qos {
        Qos::AtMostOnce => None,
        Qos::AtLeastOnce => Some(publish.id),
        Qos::ExactlyOnce => return Err(Violation::ExactlyOnce),
    };
    let request = match UplinkTopic::parse(&publish.topic)? {
        UplinkTopic::Event { sender, .. } if sender != *id => {
            return Err(Violation::ForeignTopic(sender.to_string()));
        }
        UplinkTopic::Event { properties, .. } => {
            let message = message(&properties, &publish.payload, publish.retain);
            Request::Event { message, duplicate: publish.duplicate }
        }
        UplinkTopic::GetTwin { rid } => Request::GetTwin { rid },
        UplinkTopic::PatchReported { rid, version } => {
            Request::PatchReported { rid, version, body: publish.payload }
        }
        UplinkTopic::MethodResponse { rid, status } => {
            Request::MethodResponse { rid, status, body: publish.payload }
        }
    };
    Ok(Action::Publish { acknowledge, request })
}

/// QoS 2 is granted as 1.
fn assurance(qos: Qos) -> Assurance {
    match qos {
        Qos::AtMostOnce => Assurance::AtMostOnce,
        Qos::AtLeastOnce | Qos::ExactlyOnce => Assurance::AtLeastOnce,
    }
}

#[cfg(test)]
mod tests {
    use iothub_core::ids::DeviceId;
    use iothub_wire::topic::InvalidFilter;

    use super::*;

    fn id() -> IdentityId {
        DeviceId::parse("d").unwrap().into()
    }

    fn publish(topic: &str, qos: Qos, retain: bool) -> Packet {
        let (payload, duplicate) = (Bytes::from_static(b"x"), false);
        Packet::Publish(Publish { topic: topic.to_owned(), qos, id: 7, retain, duplicate, payload })
    }

    fn subscribe(filter: &str, qos: Qos) -> Packet {
        Packet::Subscribe { id: 3, filters: vec![(filter.to_owned(), qos)] }
    }

    #[test]
    fn packets_become_actions() {
        let event =
            |retain| Request::Event { message: message("a=1", b"x", retain), duplicate: false };
        let table = [
            (Packet::Pingreq, Action::Pong),
            (Packet::Puback { id: 9 }, Action::Acknowledged { id: 9 }),
            (Packet::Disconnect, Action::Disconnect),
            (
                publish("devices/d/messages/events/a=1", Qos::AtLeastOnce, false),
                Action::Publish { acknowledge: Some(7), request: event(false) },
            ),
            (
                publish("devices/d/messages/events/a=1", Qos::AtMostOnce, true),
                Action::Publish { acknowledge: None, request: event(true) },
            ),
            (
                publish("$iothub/twin/GET/?$rid=1", Qos::AtMostOnce, false),
                Action::Publish {
                    acknowledge: None,
                    request: Request::GetTwin { rid: RequestId::new("1") },
                },
            ),
            (
                publish("$iothub/methods/res/-1/?$rid=2", Qos::AtLeastOnce, false),
                Action::Publish {
                    acknowledge: Some(7),
                    request: Request::MethodResponse {
                        rid: RequestId::new("2"),
                        status: -1,
                        body: Bytes::from_static(b"x"),
                    },
                },
            ),
            (
                subscribe("$iothub/twin/res/#", Qos::ExactlyOnce),
                Action::Subscribe {
                    id: 3,
                    channels: vec![(Channel::TwinResponses, Assurance::AtLeastOnce)],
                },
            ),
            (
                Packet::Unsubscribe {
                    id: 4,
                    filters: vec!["$iothub/twin/res/#".to_owned(), "x".to_owned()],
                },
                Action::Unsubscribe { id: 4, channels: vec![Channel::TwinResponses] },
            ),
        ];
        for (packet, expected) in table {
            assert_eq!(handle(packet.clone(), &id()), Ok(expected), "{packet:?}");
        }
    }

    #[test]
    fn a_wish_to_retain_becomes_a_property() {
        let message = message("", b"", true);
        assert_eq!(message.application, [("mqtt-retain".to_owned(), Some("true".to_owned()))]);
    }

    #[test]
    fn an_event_does_not_keep_the_buffer_that_it_came_in() {
        let buffer = Bytes::from(vec![0; 4096]);
        let body = message("", &buffer.slice(..1), false).body;
        assert!(!buffer.as_ptr_range().contains(&body.as_ptr()));
    }

    #[test]
    fn a_body_that_is_kept_keeps_nothing_else() {
        let read = Bytes::from(vec![b'x'; 4096]);
        let message = message("", &read.slice(..1), false);
        assert_eq!(message.body, "x");
        assert!(message.body.is_unique());
    }

    #[test]
    fn illegal_packets_are_violations() {
        let table = [
            (
                publish("devices/d/messages/events/", Qos::ExactlyOnce, false),
                Violation::ExactlyOnce,
            ),
            (
                publish("devices/e/messages/events/", Qos::AtMostOnce, false),
                Violation::ForeignTopic("e".to_owned()),
            ),
            (
                publish("devices/d/modules/m/messages/events/", Qos::AtMostOnce, false),
                Violation::ForeignTopic("d/m".to_owned()),
            ),
            (
                subscribe("#", Qos::AtMostOnce),
                Violation::Filter(InvalidFilter::Unknown("#".to_owned())),
            ),
            (Packet::Unexpected("PUBREL"), Violation::Unexpected("PUBREL")),
            (Packet::UnsupportedVersion(5), Violation::SecondConnect),
        ];
        for (packet, expected) in table {
            assert_eq!(handle(packet.clone(), &id()), Err(expected), "{packet:?}");
        }
    }
}
