use proptest::prelude::*;

use super::*;

const MAX: usize = 1024;

fn read_bytes(bytes: &[u8]) -> Result<Option<Packet>, Violation> {
    read(&mut BytesMut::from(bytes), MAX)
}

fn connect(name: &[u8], level: u8, flags: u8, strings: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, string) in std::iter::once(&name).chain(strings).enumerate() {
        body.extend(u16::try_from(string.len()).unwrap().to_be_bytes());
        body.extend(*string);
        if index == 0 {
            body.extend([level, flags, 0, 60]);
        }
    }
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

#[test]
fn a_connect_is_read() {
    let bytes = connect(
        b"MQTT",
        4,
        0b1100_0100,
        &[b"d", b"devices/d/messages/events/", b"bye", b"u", b"p"],
    );
    let expected = Connect {
        client_id: "d".to_owned(),
        user_name: "u".to_owned(),
        password: "p".to_owned(),
        keep_alive: 60,
        clean_session: false,
        will: Some(Publish {
            topic: "devices/d/messages/events/".to_owned(),
            qos: Qos::AtMostOnce,
            id: 0,
            retain: false,
            duplicate: false,
            payload: Bytes::from_static(b"bye"),
        }),
    };
    assert_eq!(read_bytes(&bytes), Ok(Some(Packet::Connect(Box::new(expected)))));
}

#[test]
fn other_versions_are_told_apart() {
    let table = [
        (connect(b"MQTT", 5, 2, &[b"d"]), Ok(Some(Packet::UnsupportedVersion(5)))),
        (connect(b"MQTT", 3, 2, &[b"d"]), Ok(Some(Packet::UnsupportedVersion(3)))),
        (connect(b"MQIsdp", 3, 2, &[b"d"]), Ok(Some(Packet::UnsupportedVersion(3)))),
        (connect(b"HTTP", 4, 2, &[b"d"]), Err(Violation::ProtocolName("HTTP".to_owned()))),
        (connect(b"MQTT", 4, 3, &[b"d"]), Err(Violation::ConnectFlags)),
        (connect(b"MQTT", 4, 0b0100_0010, &[b"d", b"p"]), Err(Violation::PasswordWithoutUser)),
    ];
    for (bytes, expected) in table {
        assert_eq!(read_bytes(&bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn a_publish_is_read_with_its_packet_id() {
    let publish = |qos, id, payload: &'static [u8]| {
        let payload = Bytes::from_static(payload);
        Packet::Publish(Publish {
            topic: "ab".to_owned(),
            qos,
            id,
            retain: false,
            duplicate: false,
            payload,
        })
    };
    let table: [(&[u8], Packet); 3] = [
        (b"\x30\x05\x00\x02abx", publish(Qos::AtMostOnce, 0, b"x")),
        (b"\x32\x07\x00\x02ab\x01\x02x", publish(Qos::AtLeastOnce, 0x0102, b"x")),
        (b"\x34\x06\x00\x02ab\x00\x07", publish(Qos::ExactlyOnce, 7, b"")),
    ];
    for (bytes, expected) in table {
        assert_eq!(read_bytes(bytes), Ok(Some(expected)), "{bytes:02x?}");
    }
}

#[test]
fn broken_packets_are_violations() {
    let malformed = |what: &str| Violation::Malformed(what.to_owned());
    let table: [(&[u8], Violation); 11] = [
        (b"\x80\x05", Violation::HeaderFlags(0x80)),
        (b"\xc1\x00", Violation::HeaderFlags(0xc1)),
        (b"\x82\x06\x00\x00\x00\x01a\x00", Violation::PacketId),
        (b"\x82\x02\x00\x01", malformed("Empty Subscription")),
        (b"\xa2\x02\x00\x01", Violation::Filters(0)),
        (b"\x30\xff\xff\xff\x7f", Violation::TooLarge { bytes: 268_435_455, max: MAX }),
        (
            b"\x30\xff\xff\xff\xff\x01",
            Violation::Malformed("Remaining length is malformed".to_owned()),
        ),
        (b"\x30\x04\x00\x02\xff\xfe", Violation::TopicEncoding),
        (b"\xc0\x01x", malformed("PINGREQ has 1 bytes, expected 0")),
        (b"\xe0\x01x", malformed("DISCONNECT has 1 bytes, expected 0")),
        (b"\x40\x03\x00\x01x", malformed("PUBACK has 3 bytes, expected 2")),
    ];
    for (bytes, expected) in table {
        assert_eq!(read_bytes(bytes), Err(expected), "{bytes:02x?}");
    }
}

#[test]
fn packets_that_no_client_sends_are_named() {
    let table: [(&[u8], &str); 4] = [
        (b"\x20\x02\x00\x00", "CONNACK"),
        (b"\x62\x02\x00\x01", "PUBREL"),
        (b"\x50\x02\x00\x01", "PUBREC"),
        (b"\xd0\x00", "PINGRESP"),
    ];
    for (bytes, expected) in table {
        assert_eq!(read_bytes(bytes), Ok(Some(Packet::Unexpected(expected))), "{bytes:02x?}");
    }
}

/// device-protocol K2.
#[test]
fn answers_have_the_documented_bytes() {
    type Write = fn(&mut BytesMut);
    let table: [(Write, &[u8]); 10] = [
        (|out| write_connack(out, ConnackCode::Accepted, false), &[0x20, 2, 0, 0]),
        (|out| write_connack(out, ConnackCode::Accepted, true), &[0x20, 2, 1, 0]),
        (|out| write_connack(out, ConnackCode::NotAuthorized, false), &[0x20, 2, 0, 5]),
        (|out| write_connack(out, ConnackCode::ServerUnavailable, false), &[0x20, 2, 0, 3]),
        (|out| write_connack(out, ConnackCode::UnacceptableVersion, false), &[0x20, 2, 0, 1]),
        (|out| write_suback(out, 2, &[Qos::AtMostOnce, Qos::AtMostOnce]), &[0x90, 4, 0, 2, 0, 0]),
        (|out| write_suback(out, 1, &[Qos::ExactlyOnce]), &[0x90, 3, 0, 1, 1]),
        (|out| write_puback(out, 5), &[0x40, 2, 0, 5]),
        (write_pingresp, &[0xd0, 0]),
        (|out| write_publish(out, "ab".to_owned(), "x".to_owned()), b"\x30\x05\x00\x02abx"),
    ];
    for (write, expected) in table {
        let mut output = BytesMut::new();
        write(&mut output);
        assert_eq!(&output[..], expected);
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_is_read_twice(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = read(&mut input, MAX) {}
    }

    #[test]
    fn broken_bodies_do_not_panic(first in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        let _ = read_bytes(&bytes);
    }
}
