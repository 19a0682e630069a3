//! The connection below a protocol, as far as a fault can break it.

use std::fmt;

/// How a connection breaks without a word of its protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// It is reset: both sides notice at once.
    Reset,
    /// It is closed: both sides notice, as if the other had gone.
    Closed,
    /// Nothing comes through any more, and nobody is told.
    Silence,
}

/// What can break a connection. The edge that serves it learns of that as it would of a network's
/// failure: from its reads and writes.
pub trait Line: fmt::Debug + Send + Sync {
    /// Breaks it.
    fn lose(&self, loss: Loss);
    /// Whether nothing comes through it any more.
    fn is_silent(&self) -> bool;
}

/// A connection that nothing breaks, such as one inside a process.
#[derive(Clone, Copy, Debug)]
pub struct Unbreakable;

impl Line for Unbreakable {
    fn lose(&self, _: Loss) {}

    fn is_silent(&self) -> bool {
        false
    }
}
