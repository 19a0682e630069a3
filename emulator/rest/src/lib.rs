//! The HTTPS edge: what back ends speak.
//!
//! * `router.rs`: the routes, one line each. `path.rs` brings the paths that clients send into the
//!   form that the routes have.
//! * `devices.rs`, `modules.rs`, `query.rs`, `twins.rs`, `statistics.rs`: the operations.
//! * `extract.rs`: what operations take from a request. `auth.rs`: who asks. `etag.rs`: If-Match.
//! * `throttle.rs`: which of the hub's throttles an operation counts for.
//! * `error.rs`: how an error looks, and the headers that every answer has; the one place.

mod auth;
mod devices;
mod digital_twins;
mod error;
mod etag;
mod extract;
mod methods;
mod modules;
mod path;
mod query;
mod router;
mod statistics;
mod throttle;
mod twins;
mod unread;

pub use router::{EMULATED, NOT_EMULATED, Service, service};
