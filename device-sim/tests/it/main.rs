//! The device and its program against a hub of raw bytes.

mod device;
mod fake_hub;
mod program;
