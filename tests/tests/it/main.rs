//! A hub inside the test process, spoken to over real sockets on free ports. Each test has a hub
//! of its own.
//!
//! One module per subject; what they say is what IoT Hub was seen or is documented to do.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

mod admin;
mod amqp;
mod amqp_readers;
mod auth;
mod bulk;
mod configurations;
mod connect;
mod device_api;
mod devicebound;
mod devicebound_in_time;
mod digital_twin;
mod errors;
mod events;
mod fault_messages;
mod faults;
mod harness;
mod identity;
mod illegal;
mod jobs;
mod journal;
mod legacy;
mod load;
mod method;
mod modules;
mod policies;
mod query;
mod registry;
mod routes;
mod service_twin;
mod session;
mod shutdown;
mod snapshot;
mod telemetry;
mod throttle;
mod tls;
mod transfer;
mod twin;
mod websocket;
mod x509;
