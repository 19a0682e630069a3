//! A simulated IoT device: it keeps a twin in agreement with its back end and sends telemetry.
//!
//! The device does what the device of Azure's twin tutorial does. It reports an initial
//! configuration, takes a desired one as pending, applies it after a while, reports it as done, and
//! sends telemetry as often as the configuration says. A [`Script`] gives it other properties,
//! messages and responses. It speaks to anything that speaks IoT Hub's MQTT: the emulator of this
//! repository, or the service itself.
//!
//! # Layout
//!
//! * [`behavior`]: what the device does, as a value without I/O: documents in, actions out.
//! * [`telemetry`]: what it sends and when, a value too.
//! * `methods`: how it answers direct methods, a value too.
//! * [`Script`]: the TOML file that changes them; every mistake of a file is found at once.
//! * [`Options`], [`Identity`]: who the device is, where its hub is, whom it trusts.
//! * [`Device`]: connects, and connects again; `session` is one connection; `requests` and `outbox`
//!   hold what waits for an answer.
//! * `transport`: the wire. Nothing outside of it knows that it is MQTT.
//! * [`Event`]: what a device tells whoever runs it. The program `device-sim` only parses
//!   arguments and prints these.
//!
//! ```no_run
//! use std::sync::Arc;
//! use device_sim::{Device, Identity, Options, Roots, Script, Security, SystemClock};
//! use iothub_wire::connection_string::DeviceConnectionString;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "HostName=127.0.0.1;DeviceId=d1;SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
//! let identity = Identity::from(DeviceConnectionString::parse(text)?);
//! let mut roots = Roots::default();
//! roots.add_pem(&std::fs::read("ca.pem")?)?;
//! let mut options = Options::new(identity, Security::Tls(roots), Arc::new(SystemClock));
//! options.script = Script::parse("[configuration]\nsendFrequency = \"10s\"")?;
//! let stop = tokio::time::sleep(std::time::Duration::from_secs(60));
//! Device::new(options)?.run(|event| println!("{event:?}"), stop).await?;
//! # Ok(())
//! # }
//! ```

mod backoff;
pub mod behavior;
mod clock;
mod configuration;
mod device;
mod document;
mod error;
mod event;
mod methods;
mod options;
mod outbox;
mod requests;
mod script;
mod session;
mod span;
pub mod telemetry;
mod transport;

pub use clock::SystemClock;
pub use configuration::{ConfigId, Configuration, InvalidConfiguration};
pub use device::Device;
pub use document::{InvalidDocument, Properties, Section, Twin};
pub use error::Error;
pub use event::Event;
pub use methods::Method;
pub use options::{Identity, Options, Transport};
pub use script::{Mistake, Mistakes, Script};
pub use span::{InvalidSpan, Span};
pub use transport::tls::{ClientCertificate, InvalidCertificate, InvalidRoots, Roots, Security};
