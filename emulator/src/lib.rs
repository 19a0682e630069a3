//! An Azure IoT hub on your machine, as a library.

pub mod config;
