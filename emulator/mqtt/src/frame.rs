//! Bytes to packets and back, by rumqttd's reader and writer of MQTT 3.1.1. No other file names
//! that crate.
//!
//! Its reader is lenient where the specification is not (reserved bits, packet ids of zero) and
//! keeps a publish's packet id to itself, so the fixed header is looked at here first.

use bytes::{BufMut, Bytes, BytesMut};
use iothub_core::limits;
use rumqttd::protocol::v4::{FixedHeader, V4, check};
use rumqttd::protocol::{
    ConnAck, ConnectReturnCode, Error, Packet as Wire, PingResp, Protocol, PubAck, PubAckReason,
    Publish as WirePublish, QoS, SubAck, SubscribeReasonCode, UnsubAck,
};

use crate::violation::Violation;

/// A packet from a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Packet {
    Connect(Box<Connect>),
    /// A CONNECT of a protocol version that is not spoken here.
    UnsupportedVersion(u8),
    Publish(Publish),
    Puback {
        id: u16,
    },
    Subscribe {
        id: u16,
        filters: Vec<(String, Qos)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Pingreq,
    Disconnect,
    /// A packet that no client of IoT Hub sends.
    Unexpected(&'static str),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) user_name: String,
    pub(crate) password: String,
    pub(crate) keep_alive: u16,
    pub(crate) clean_session: bool,
    pub(crate) will: Option<Publish>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) qos: Qos,
    /// Zero at QoS 0.
    pub(crate) id: u16,
    pub(crate) retain: bool,
    /// Whether the client has sent it before.
    pub(crate) duplicate: bool,
    pub(crate) payload: Bytes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::enum_variant_names, reason = "these are MQTT's own names")]
pub(crate) enum Qos {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// The return code of a CONNACK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnackCode {
    Accepted,
    UnacceptableVersion,
    ServerUnavailable,
    NotAuthorized,
}

/// The next packet in `input`, or none if it is not complete yet.
///
/// # Errors
///
/// Names what the client broke. `max` bounds the packet before its body has been read.
pub(crate) fn read(input: &mut BytesMut, max: usize) -> Result<Option<Packet>, Violation> {
    let header = match check(input.iter(), max) {
        Ok(header) => header,
        Err(Error::InsufficientBytes(_)) => {
            // Wrong bits need not wait for the rest.
            return input.first().map_or(Ok(()), |first| check_flags(*first)).map(|()| None);
        }
        Err(Error::PayloadSizeLimitExceeded(bytes)) => {
            return Err(Violation::TooLarge { bytes, max });
        }
        Err(why) => return Err(Violation::Malformed(why.to_string())),
    };
    check_flags(header.byte1)?;
    check_length(header.byte1, header.remaining_len)?;
    let body = input.get(header.fixed_header_len..header.frame_length()).unwrap_or_default();
    let publish_id = publish_id(&header, body);
    if header.byte1 >> 4 == CONNECT
        && let Some(level) = unsupported_version(body)?
    {
        return Ok(Some(Packet::UnsupportedVersion(level)));
    }
    let packet = V4.read_mut(input, max).map_err(|why| Violation::Malformed(why.to_string()))?;
    convert(packet, &header, publish_id).map(Some)
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

fn check_flags(byte1: u8) -> Result<(), Violation> {
    let expected = match byte1 >> 4 {
        // DUP has no meaning at QoS 0.
        PUBLISH if byte1 & 0b1110 == 0b1000 => return Err(Violation::DuplicateAtMostOnce),
        PUBLISH => return Ok(()),
        // PUBREL, SUBSCRIBE, UNSUBSCRIBE
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    if byte1 & 0x0f == expected { Ok(()) } else { Err(Violation::HeaderFlags(byte1)) }
}

/// Packets that are always of one length: the reader takes longer ones too.
fn check_length(byte1: u8, length: usize) -> Result<(), Violation> {
    let (name, expected) = match byte1 >> 4 {
        PUBACK => ("PUBACK", 2),
        PINGREQ => ("PINGREQ", 0),
        DISCONNECT => ("DISCONNECT", 0),
        _ => return Ok(()),
    };
    if length == expected {
        return Ok(());
    }
    Err(Violation::Malformed(format!("{name} has {length} bytes, expected {expected}")))
}

/// The packet id of a publish at QoS 1 or 2, which stands behind the topic.
fn publish_id(header: &FixedHeader, body: &[u8]) -> u16 {
    if header.byte1 >> 4 != PUBLISH || header.byte1 & 0b0110 == 0 {
        return 0;
    }
    let at = body.first_chunk().map_or(0, |length| 2 + usize::from(u16::from_be_bytes(*length)));
    body.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |id| u16::from_be_bytes(*id))
}

/// The level of a CONNECT, unless it is 4. Level 3 of MQTT had another name.
fn unsupported_version(body: &[u8]) -> Result<Option<u8>, Violation> {
    let malformed = || Violation::Malformed("CONNECT ends early".to_owned());
    let (length, rest) = body.split_first_chunk().ok_or_else(malformed)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (name, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let [level, flags, ..] = rest else { return Err(malformed()) };
    match (name, level) {
        (b"MQTT", 4) => check_connect_flags(*flags).map(|()| None),
        (b"MQTT" | b"MQIsdp", level) => Ok(Some(*level)),
        _ => Err(Violation::ProtocolName(String::from_utf8_lossy(name).into_owned())),
    }
}

fn check_connect_flags(flags: u8) -> Result<(), Violation> {
    if flags & 1 != 0 {
        return Err(Violation::ConnectFlags);
    }
    if flags & 0b0100_0000 != 0 && flags & 0b1000_0000 == 0 {
        return Err(Violation::PasswordWithoutUser);
    }
    Ok(())
}

fn convert(packet: Wire, header: &FixedHeader, publish_id: u16) -> Result<Packet, Violation> {
    Ok(match packet {
        Wire::Connect(connect, _, will, _, login) => {
            let (user_name, password) =
                login.map(|login| (login.username, login.password)).unwrap_or_default();
            let will = will
                .map(|will| {
                    Ok::<_, Violation>(Publish {
                        topic: text(&will.topic)?,
                        qos: qos(will.qos),
                        id: 0,
                        retain: will.retain,
                        duplicate: false,
                        payload: will.message,
                    })
                })
                .transpose()?;
            Packet::Connect(Box::new(Connect {
                client_id: connect.client_id,
                user_name,
                password,
                keep_alive: connect.keep_alive,
                clean_session: connect.clean_session,
                will,
            }))
        }
        Wire::Publish(publish, _) => Packet::Publish(Publish {
            topic: text(&publish.topic)?,
            qos: match header.byte1 & 0b0110 {
                0b0000 => Qos::AtMostOnce,
                0b0010 => Qos::AtLeastOnce,
                _ => Qos::ExactlyOnce,
            },
            id: publish_id,
            retain: publish.retain,
            duplicate: header.byte1 & 0b1000 != 0,
            payload: publish.payload,
        }),
        Wire::PubAck(puback, _) => Packet::Puback { id: nonzero(puback.pkid)? },
        Wire::Subscribe(subscribe, _) => Packet::Subscribe {
            id: nonzero(subscribe.pkid)?,
            filters: bounded(
                subscribe.filters.into_iter().map(|filter| (filter.path, qos(filter.qos))),
            )?,
        },
        Wire::Unsubscribe(unsubscribe, _) => Packet::Unsubscribe {
            id: nonzero(unsubscribe.pkid)?,
            filters: bounded(unsubscribe.filters.into_iter())?,
        },
        Wire::PingReq(_) => Packet::Pingreq,
        Wire::Disconnect(..) => Packet::Disconnect,
        Wire::ConnAck(..) => Packet::Unexpected("CONNACK"),
        Wire::PingResp(_) => Packet::Unexpected("PINGRESP"),
        Wire::SubAck(..) => Packet::Unexpected("SUBACK"),
        Wire::UnsubAck(..) => Packet::Unexpected("UNSUBACK"),
        Wire::PubRec(..) => Packet::Unexpected("PUBREC"),
        Wire::PubRel(..) => Packet::Unexpected("PUBREL"),
        Wire::PubComp(..) => Packet::Unexpected("PUBCOMP"),
    })
}

fn text(bytes: &[u8]) -> Result<String, Violation> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Violation::TopicEncoding)
}

fn nonzero(id: u16) -> Result<u16, Violation> {
    if id == 0 { Err(Violation::PacketId) } else { Ok(id) }
}

fn bounded<T>(filters: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, Violation> {
    match filters.len() {
        1..=limits::MQTT_FILTERS => Ok(filters.collect()),
        count => Err(Violation::Filters(count)),
    }
}

fn qos(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}

pub(crate) fn write_connack(output: &mut BytesMut, code: ConnackCode, session_present: bool) {
    let code = match code {
        ConnackCode::Accepted => ConnectReturnCode::Success,
        ConnackCode::UnacceptableVersion => ConnectReturnCode::RefusedProtocolVersion,
        ConnackCode::ServerUnavailable => ConnectReturnCode::ServiceUnavailable,
        ConnackCode::NotAuthorized => ConnectReturnCode::NotAuthorized,
    };
    write(output, Wire::ConnAck(ConnAck { session_present, code }, None));
}

/// A CONNACK with flags and a return code that there are none of.
pub(crate) fn write_corrupt_connack(output: &mut BytesMut) {
    output.put_slice(&[0x20, 0x02, 0xfe, 0x7f]);
}

/// The refusal that a client of MQTT 5 understands: unsupported protocol version.
pub(crate) fn write_connack_of_5(output: &mut BytesMut) {
    output.put_slice(&[0x20, 0x03, 0x00, 0x84, 0x00]);
}

pub(crate) fn write_puback(output: &mut BytesMut, id: u16) {
    write(output, Wire::PubAck(PubAck { pkid: id, reason: PubAckReason::Success }, None));
}

pub(crate) fn write_suback(output: &mut BytesMut, id: u16, granted: &[Qos]) {
    let return_codes = granted
        .iter()
        .map(|qos| match qos {
            Qos::AtMostOnce => SubscribeReasonCode::Success(QoS::AtMostOnce),
            Qos::AtLeastOnce | Qos::ExactlyOnce => SubscribeReasonCode::Success(QoS::AtLeastOnce),
        })
        .collect();
    write(output, Wire::SubAck(SubAck { pkid: id, return_codes }, None));
}

pub(crate) fn write_unsuback(output: &mut BytesMut, id: u16) {
    write(output, Wire::UnsubAck(UnsubAck { pkid: id, reasons: Vec::new() }, None));
}

pub(crate) fn write_pingresp(output: &mut BytesMut) {
    write(output, Wire::PingResp(PingResp));
}

/// A publish at QoS 0, as twin messages are.
pub(crate) fn write_publish(output: &mut BytesMut, topic: String, payload: impl Into<Bytes>) {
    write(output, Wire::Publish(WirePublish::new(Bytes::from(topic), payload.into(), false), None));
}

/// A publish at QoS 1. A topic longer than MQTT allows is not written.
pub(crate) fn write_acknowledged_publish(
    output: &mut BytesMut,
    id: u16,
    duplicate: bool,
    topic: &str,
    payload: &[u8],
) {
    let Ok(topic_length) = u16::try_from(topic.len()) else { return };
    // The one public way to such a packet: the form in which rumqttd keeps packets on disk.
    let mut stored = BytesMut::with_capacity(5 + topic.len() + payload.len());
    stored.put_u8(if duplicate { 0b1010 } else { 0b0010 });
    stored.put_u16(id);
    stored.put_u16(topic_length);
    stored.put_slice(topic.as_bytes());
    stored.put_slice(payload);
    write(output, Wire::Publish(WirePublish::deserialize(stored.freeze()), None));
}

/// The packets above are all that is written, and none of them is too long or of MQTT 5, which is
/// what rumqttd's writer can fail on.
fn write(output: &mut BytesMut, packet: Wire) {
    if let Err(why) = V4.write(packet, output) {
        debug_assert!(false, "a packet could not be written: {why}");
    }
}

#[cfg(test)]
mod tests;
