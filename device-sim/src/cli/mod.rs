//! The command line of `device-sim`: arguments in, events out. All else is in the library.

pub(crate) mod args;
pub(crate) mod output;
pub(crate) mod setup;
pub(crate) mod stop;
