//! Where a hub's records and events live: in memory.
//!
//! A backend keeps no rules. `iothub_core::store` says what it must do.

#[cfg(test)]
mod conformance;
pub mod memory;
pub mod memory_table;
