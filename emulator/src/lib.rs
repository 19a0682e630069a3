//! An Azure IoT hub on your machine, as a library.

pub mod banner;
pub mod bundle;
pub mod certificate;
pub mod clock;
pub mod config;
pub mod keys;
mod pem;
pub mod state_dir;
pub mod stop;
