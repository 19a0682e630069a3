//! The texts and JSON of IoT Hub, parsed once at the edge of the program: past this crate there are
//! no topic strings and no loose JSON.
//!
//! * [`topic`]: what devices publish and subscribe to, and what the hub publishes.
//! * [`connect`]: the user name of an MQTT CONNECT. [`api_version`]: what depends on it.
//! * [`properties`]: the property bag behind an event's topic.
//! * [`devicebound`]: the topic of a cloud-to-device message. [`headers`]: messages over HTTPS.
//! * [`json`]: the bodies of REST and of twin messages.
//! * [`connection_string`], [`local`]: what clients are configured with.

pub mod api_version;
pub mod connect;
pub mod connection_string;
pub mod devicebound;
pub mod headers;
pub mod json;
pub mod local;
pub mod properties;
pub mod topic;
