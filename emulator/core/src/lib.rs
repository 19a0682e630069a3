//! What an IoT hub *is*: identities, twins, sessions, events, and who may do what. No socket, no
//! file, no wall clock.
//!
//! # Map
//!
//! * [`directory`]: the hubs of a process by host name. [`hub`]: one hub, the handle from which
//!   everything starts.
//! * [`auth`] turns a credential into a principal; a principal opens a session of its role:
//!   [`session`]. What a role may not do does not compile.
//! * [`query`]: the language in which back ends ask for many twins at once.
//! * [`registry`], [`twin`], [`event`], [`devicebound`], [`method`], [`digital_twin`]: the rules. Pure
//!   functions: what is there, a request and the time give what will be there, or a [`error::HubError`].
//! * [`configuration`]: what is written into many twins at once, by a condition. [`job`]: what is
//!   done with many devices, once.
//! * [`store`], [`table`], [`time`], [`random`]: the ports behind which records, documents, the clock
//!   and chance live.
//! * [`route`]: which endpoints an event goes to; `notice`: the events that the hub makes itself.
//! * [`readers`]: who reads an event hub, since some want to be alone.
//! * [`journal`]: what arrived and what was decided. [`fault`]: what tests let fail.
//! * [`throttle`]: the rates of a tier, for who asks for them.
//! * [`snapshot`]: a whole hub as a value, to be taken and to begin with.
//! * [`transfer`]: jobs that import and export the registry, and the port to their files.
//! * [`limits`]: every bound in one place. [`ids`]: small values that must not be mixed up.
//!
//! A change is decided on what was read, then committed against the revision that was read; if
//! another change came first, it is decided again. What follows from a commit (a device must be
//! told, a connection must end) is part of it, and reaches the device through its session in the
//! order of the commits.

pub mod auth;
pub mod configuration;
pub mod devicebound;
pub mod digital_twin;
pub mod directory;
pub mod error;
pub mod event;
pub mod fault;
pub mod hub;
pub mod ids;
pub mod job;
pub mod journal;
pub mod limits;
pub mod method;
mod notice;
pub mod query;
pub mod random;
pub mod readers;
pub mod registry;
pub mod route;
pub mod session;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod throttle;
pub mod time;
pub mod transfer;
pub mod twin;
