//! The HTTPS edge: what back ends speak, and devices that do not stay connected.
//!
//! * `router.rs`: the routes, one line each. `path.rs` brings the paths that clients send into the
//!   form that the routes have.
//! * `devices.rs`, `modules.rs`, `query.rs`, `twins.rs`, `statistics.rs`: the operations.
//! * `bulk.rs`, `transfer.rs`: many identities at once, in a request or by a job.
//! * `device_api.rs`: what devices do. `commands.rs`: their queues, as back ends see them.
//! * `extract.rs`: what operations take from a request. `auth.rs`: who asks. `etag.rs`: If-Match.
//! * `throttle.rs`: which of the hub's throttles an operation counts for.
//! * `error.rs`: how an error looks, and the headers that every answer has; the one place.

mod auth;
mod bulk;
mod commands;
mod configurations;
mod device_api;
mod devices;
mod digital_twins;
mod error;
mod etag;
mod extract;
mod jobs;
mod methods;
mod modules;
mod path;
mod query;
mod router;
mod statistics;
mod throttle;
mod transfer;
mod twins;
mod unread;

pub use router::{EMULATED, NOT_EMULATED, Service, request_kinds, service};
