//! What an IoT hub is.
pub mod auth;
pub mod ids;
pub mod limits;
pub mod random;
pub mod time;
