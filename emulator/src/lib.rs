//! An Azure IoT hub on your machine, as a library: [`Emulator::start`] over a [`config::Config`].
//!
//! This crate composes and holds no rule of the hub's. What a hub is stands in `iothub-core`; the
//! edges (`iothub-mqtt`, `iothub-rest`, `iothub-admin`) speak to the world.
//!
//! * `emulator.rs` starts and ends everything; `listener.rs`, `line.rs`, `tls.rs`, `http.rs`,
//!   `websocket.rs` and `drain.rs` serve ports.
//! * [`config`]: what it can be told. [`certificate`], [`bundle`], [`authorities`],
//!   [`state_dir`]: what it keeps.
//! * `seed.rs`: what hubs begin with, or become. `storage.rs`: the folder for import and export jobs.
//! * [`banner`], [`keys`], [`clock`], [`stop`]: what the binary needs besides.

pub mod authorities;
pub mod banner;
pub mod bundle;
pub mod certificate;
pub mod clock;
pub mod config;
mod drain;
mod emulator;
mod endpoints;
mod http;
mod hubs;
pub mod keys;
mod line;
mod listener;
mod pem;
mod seed;
mod served;
pub mod state_dir;
pub mod stop;
mod storage;
mod tls;
mod websocket;

pub use iothub_admin::{
    CertificateKind, ClockFacts, Expectation, HubFacts, HubRefusal, Hubs as Harness, Turn, Unmet,
    WantedHub, expect,
};

pub use emulator::{Addresses, Emulator, OWNER, StartError, reachable};
pub use seed::{SeedError, beginning};
