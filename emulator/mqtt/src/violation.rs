//! What ends a connection: one variant per sentence that a client can break, named by its number
//! in MQTT 3.1.1 where the sentence is MQTT's.

use iothub_wire::topic::{InvalidFilter, InvalidTopic};

/// A rule that the client broke. The hub closes the connection without another word.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Violation {
    /// The packet cannot be read.
    #[error("packet is malformed: {0}")]
    Malformed(String),
    /// The packet is larger than the hub takes.
    #[error("packet has {bytes} bytes, expected at most {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// Reserved bits of the fixed header.
    #[error("[MQTT-2.2.2-2] fixed header {0:#04x} has reserved bits set wrongly")]
    HeaderFlags(u8),
    /// A duplicate of what is sent but once.
    #[error("[MQTT-3.3.1-2] DUP is set at QoS 0")]
    DuplicateAtMostOnce,
    /// A packet id of zero.
    #[error("[MQTT-2.3.1-1] packet id is zero")]
    PacketId,
    /// Something else came before CONNECT.
    #[error("[MQTT-3.1.0-1] first packet is not CONNECT")]
    NotConnect,
    /// CONNECT came twice.
    #[error("[MQTT-3.1.0-2] second CONNECT")]
    SecondConnect,
    /// The protocol has another name.
    #[error("[MQTT-3.1.2-1] protocol name is {0:?}, expected \"MQTT\"")]
    ProtocolName(String),
    /// Reserved bit of the connect flags.
    #[error("[MQTT-3.1.2-3] reserved connect flag is set")]
    ConnectFlags,
    /// A password came without a user name.
    #[error("[MQTT-3.1.2-22] password without user name")]
    PasswordWithoutUser,
    /// A topic that is not text.
    #[error("[MQTT-3.3.2-1] topic is not UTF-8")]
    TopicEncoding,
    /// A publish to no topic of IoT Hub.
    #[error("{0}")]
    Topic(#[from] InvalidTopic),
    /// A publish in somebody else's name.
    #[error("topic is for {0}, which is not who connected")]
    ForeignTopic(String),
    /// QoS 2, which IoT Hub does not support.
    #[error("publish with QoS 2, which IoT Hub does not support")]
    ExactlyOnce,
    /// A subscription to nothing of IoT Hub.
    #[error("{0}")]
    Filter(#[from] InvalidFilter),
    /// A SUBSCRIBE or UNSUBSCRIBE with no or too many filters.
    #[error("[MQTT-3.8.3-3] packet has {0} filters")]
    Filters(usize),
    /// A packet that only a server sends, or that belongs to QoS 2.
    #[error("client sent {0}")]
    Unexpected(&'static str),
    /// An event that the hub does not take.
    #[error("{0}")]
    Event(String),
}
