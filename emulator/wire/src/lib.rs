//! IoT Hub's texts and JSON.
pub mod connection_string;
pub mod local;
