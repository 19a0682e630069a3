//! MQTT 3.1.1 by hand: bytes over a socket, written from the standard and not with the emulator's
//! own codec, so that a mistake there cannot hide itself.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long a test waits for what must come: a machine that does much else is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// PINGREQ.
pub const PINGREQ: &[u8] = &[0xC0, 0];
/// PINGRESP.
pub const PINGRESP: &[u8] = &[0xD0, 0];
/// DISCONNECT.
pub const DISCONNECT: &[u8] = &[0xE0, 0];
/// CONNACK: accepted, a new session.
pub const ACCEPTED: &[u8] = &[0x20, 2, 0, 0];
/// CONNACK: accepted, the session of before.
pub const RESUMED: &[u8] = &[0x20, 2, 1, 0];
/// CONNACK: unacceptable protocol version.
pub const BAD_VERSION: &[u8] = &[0x20, 2, 0, 1];
/// CONNACK: server unavailable, which is what a disabled device is told.
pub const UNAVAILABLE: &[u8] = &[0x20, 2, 0, 3];
/// CONNACK: not authorized.
pub const NOT_AUTHORIZED: &[u8] = &[0x20, 2, 0, 5];

/// A CONNECT packet to be.
#[derive(Clone, Debug)]
pub struct Connect {
    /// `MQTT`, unless a test says otherwise.
    pub protocol: &'static str,
    /// 4, unless a test says otherwise.
    pub level: u8,
    /// Whether the session of before is forgotten.
    pub clean: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// The client id.
    pub client_id: String,
    /// The user name, if any.
    pub user_name: Option<String>,
    /// The password, if any.
    pub password: Option<String>,
    /// Topic, payload and quality of service of the will, if any.
    pub will: Option<(String, Vec<u8>, u8)>,
}

impl Connect {
    /// A clean session with a keep-alive of a minute.
    pub fn new(client_id: &str, user_name: &str, password: &str) -> Self {
        Self {
            protocol: "MQTT",
            level: 4,
            clean: true,
            keep_alive: 60,
            client_id: client_id.to_owned(),
            user_name: Some(user_name.to_owned()),
            password: Some(password.to_owned()),
            will: None,
        }
    }

    /// With the session of before, and with one that stays.
    pub fn persistent(mut self) -> Self {
        self.clean = false;
        self
    }

    /// With this keep-alive, in seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// The packet.
    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut body = text(self.protocol);
        let mut payload = text(&self.client_id);
        if let Some((topic, message, qos)) = &self.will {
            flags |= 0x04 | qos << 3;
            payload.extend(text(topic));
            payload.extend(binary(message));
        }
        if let Some(user_name) = &self.user_name {
            flags |= 0x80;
            payload.extend(text(user_name));
        }
        if let Some(password) = &self.password {
            flags |= 0x40;
            payload.extend(text(password));
        }
        body.extend([self.level, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(payload);
        packet(0x10, &body)
    }
}

/// A packet of this first byte and this content.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// A PUBLISH at quality of service 0.
pub fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[text(topic), payload.to_vec()].concat())
}

/// A PUBLISH with a packet id; `first` is the first byte: 0x32 for quality of service 1.
pub fn publish_with(first: u8, packet_id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(first, &[&text(topic), &packet_id.to_be_bytes()[..], payload].concat())
}

/// A SUBSCRIBE of these filters.
pub fn subscribe(packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(text(filter));
        body.push(*qos);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE of these filters.
pub fn unsubscribe(packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xA2, &body)
}

/// A text with its length before it.
pub fn text(text: &str) -> Vec<u8> {
    binary(text.as_bytes())
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("MQTT texts have up to 65,535 bytes");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A packet as it came.
#[derive(Clone, Eq, PartialEq)]
pub struct Packet {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// How many of them come before its content.
    header: usize,
}

/// A PUBLISH as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    /// The first byte: 0x30 if nothing is set.
    pub first: u8,
    /// The topic.
    pub topic: String,
    /// The packet id, unless the quality of service is 0.
    pub packet_id: Option<u16>,
    /// The payload.
    pub payload: String,
}

impl Packet {
    /// Takes the first packet off `bytes`, if all of it is there.
    fn split_off(bytes: &mut &[u8]) -> Option<Self> {
        let mut length = 0;
        let mut header = 1;
        loop {
            let byte = *bytes.get(header)?;
            length |= usize::from(byte & 0x7F) << (7 * (header - 1));
            header += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (packet, rest) = bytes.split_at_checked(header + length)?;
        *bytes = rest;
        Some(Self { bytes: packet.to_vec(), header })
    }

    /// What comes after the remaining length.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.header..]
    }

    /// Reads it as a PUBLISH.
    pub fn publish(&self) -> Publish {
        let first = self.bytes[0];
        assert_eq!(first >> 4, 3, "came {self:?}, expected PUBLISH");
        let body = self.body();
        let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..end].to_vec()).unwrap();
        let with_id = first & 0b110 != 0;
        let packet_id = with_id.then(|| u16::from_be_bytes([body[end], body[end + 1]]));
        let payload = &body[if with_id { end + 2 } else { end }..];
        Publish { first, topic, packet_id, payload: String::from_utf8(payload.to_vec()).unwrap() }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(400)];
        write!(f, "{:02x?} = {:?}", shown, String::from_utf8_lossy(shown))
    }
}

/// A socket, with TLS or without.
pub(crate) trait Socket: Read + Write + Send {}

impl<S: Read + Write + Send> Socket for S {}

/// One connection to the hub.
pub struct Connection {
    pub(crate) socket: Box<dyn Socket>,
    /// The same socket, for what TLS does not pass through.
    tcp: TcpStream,
}

impl Connection {
    /// Opens a plain connection.
    pub fn plain(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_nodelay(true).unwrap();
        Self { socket: Box::new(tcp.try_clone().unwrap()), tcp }
    }

    /// Opens a connection over TLS, to a server that must be `name`.
    pub fn tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Self {
        let plain = Self::plain(address);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        let socket = StreamOwned::new(session, plain.tcp.try_clone().unwrap());
        Self { socket: Box::new(socket), tcp: plain.tcp }
    }

    /// Sends bytes. That the peer may have closed already shows when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).and_then(|()| self.socket.flush());
    }

    /// The next packet.
    pub fn read(&mut self) -> Packet {
        self.next_packet().expect("the hub closed the connection, a packet was expected")
    }

    /// Reads the next packet, which must have these bytes.
    pub fn expect(&mut self, bytes: &[u8]) {
        let packet = self.read();
        assert!(packet.bytes == bytes, "came {packet:?}, expected {bytes:02x?}");
    }

    /// Reads the next packet, which must be a PUBLISH at quality of service 0 on this topic, and
    /// gives its payload.
    pub fn expect_publish(&mut self, topic: &str) -> String {
        let publish = self.read().publish();
        assert_eq!((publish.first, publish.topic.as_str()), (0x30, topic), "{publish:?}");
        publish.payload
    }

    /// Waits until the hub has closed the connection; nothing may come before that.
    pub fn expect_closed(&mut self) {
        if let Some(packet) = self.next_packet() {
            panic!("came {packet:?}, expected the end of the connection");
        }
    }

    /// Whether the connection ends in this time; nothing may come.
    pub fn ends_within(&mut self, span: Duration) -> bool {
        self.tcp.set_read_timeout(Some(span)).unwrap();
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => panic!("a packet of type {:#04x} came, silence was expected", byte[0]),
            Err(error) => !is_late(error.kind()),
        }
    }

    /// Waits until the connection is reset; nothing may come before that, nor may it be closed.
    pub fn expect_reset(&mut self) {
        self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        match self.socket.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("came {other:?}, expected a reset"),
        }
    }

    /// Waits until the hub has closed the connection in good order: no reset, and with TLS its own
    /// goodbye.
    pub fn expect_goodbye(&mut self) {
        self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        match self.socket.read(&mut [0]) {
            Ok(0) => {}
            other => panic!("came {other:?}, expected the end of the connection"),
        }
    }

    /// Fails if anything comes in this time, the end of the connection included.
    pub fn expect_silence(&mut self, span: Duration) {
        self.tcp.set_read_timeout(Some(span)).unwrap();
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => panic!("the hub closed the connection, silence was expected"),
            Ok(_) => panic!("a packet of type {:#04x} came, silence was expected", byte[0]),
            Err(error) if is_late(error.kind()) => {}
            Err(error) => panic!("{error}, silence was expected"),
        }
    }

    /// Fails unless the connection is alive: a PINGREQ is answered, and nothing comes before that.
    pub fn expect_alive(&mut self) {
        self.send(PINGREQ);
        self.expect(PINGRESP);
    }

    /// Whether a PINGREQ is answered before the connection ends, whatever comes before that.
    pub fn answers(&mut self) -> bool {
        self.send(PINGREQ);
        while let Some(packet) = self.next_packet() {
            if packet.bytes == PINGRESP {
                return true;
            }
        }
        false
    }

    /// The next line, for what is not MQTT.
    pub fn read_line(&mut self) -> String {
        self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(self.byte().expect("the connection ended inside a line"));
        }
        String::from_utf8(line).unwrap()
    }

    /// Everything that comes until the connection ends, in whatever way it does.
    pub fn read_all(&mut self) -> Vec<u8> {
        self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = Vec::new();
        if let Err(error) = self.socket.read_to_end(&mut bytes) {
            assert!(!is_late(error.kind()), "the connection did not end within {PATIENCE:?}");
        }
        bytes
    }

    /// The topics of the whole PUBLISH packets until the connection ends.
    pub fn remaining_topics(&mut self) -> Vec<String> {
        let mut bytes = &self.read_all()[..];
        let mut topics = Vec::new();
        while let Some(packet) = Packet::split_off(&mut bytes) {
            topics.push(packet.publish().topic);
        }
        topics
    }

    /// Cuts the connection as a network would: no DISCONNECT is sent.
    pub fn cut(self) {
        drop(self);
    }

    /// The next packet, or none if the hub closed the connection.
    fn next_packet(&mut self) -> Option<Packet> {
        self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = vec![self.byte()?];
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte().expect("the connection ended inside a packet");
            bytes.push(byte);
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let header = bytes.len();
        bytes.resize(header + length, 0);
        self.socket.read_exact(&mut bytes[header..]).expect("the connection ended inside a packet");
        Some(Packet { bytes, header })
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            Err(error) if is_late(error.kind()) => panic!("nothing came within {PATIENCE:?}"),
            // a reset, or TLS that ends without saying so
            Err(_) => None,
        }
    }
}

fn is_late(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
