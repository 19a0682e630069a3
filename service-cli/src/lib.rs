//! The service side of IoT Hub: what a back end does, as a library and as the program `service-cli`.
//!
//! ```text
//!   main.rs, args.rs      what was asked
//!   commands/             one file per noun: what is done about it
//!   output.rs             how the answer looks
//!  ---------------------- the library, which knows no terminal
//!   locate                which hub: named, or the emulator of this machine
//!   client, query         one method per operation of the REST API
//!   amqp, devicebound     cloud-to-device messages and their feedback
//!   events                what devices send, live
//!   roots                 which certificates are trusted
//!   error, codes          what the service says when it refuses
//!   bulk                  identities from a file and into one
//!   twin, diff            reading a twin; what changed between two
//!   configure             the tutorial's back end: ask, then wait until the device agrees, or watch
//!   harness               what only an emulator can be asked
//!   route                 the arguments of `route test`, which `iothub-emulator` takes too
//! ```
//!
//! Every call blocks. In an asynchronous program, call from a thread that may block (Tokio's
//! `spawn_blocking`).
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use iothub_core::ids::DeviceId;
//! use iothub_wire::connection_string::ServiceConnectionString;
//! use service_cli::{Change, Client, Options, Roots, configure, diff};
//!
//! let hub = ServiceConnectionString::parse("HostName=127.0.0.1;SharedAccessKeyName=…")?;
//! let roots = Roots::none().and_pem_file("ca.pem".as_ref())?;
//! let client = Client::new(hub, Options::new(roots));
//! let change = Change { config_id: None, send_frequency: "5m".to_owned() };
//! let device = DeviceId::parse("dev1")?;
//! let outcome = configure(&client, &device, &change, Duration::from_secs(30), |_| ())?;
//! print!("{}", diff::between(&outcome.before, &outcome.after).plain());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod amqp;
pub mod bulk;
pub mod client;
pub mod clock;
mod codes;
pub mod configure;
pub mod devicebound;
pub mod diff;
mod documents;
pub mod error;
pub mod events;
pub mod harness;
pub mod locate;
pub mod query;
pub mod roots;
pub mod route;
pub mod twin;

pub use amqp::Amqp;
pub use client::{Client, Options};
pub use configure::{Change, Outcome, Progress, configure};
pub use error::{Error, ServiceError};
pub use roots::Roots;
pub use twin::Twin;
