//! An Azure IoT hub on your machine, as a library.

pub mod certificate;
pub mod clock;
pub mod config;
pub mod keys;
pub mod state_dir;
