//! x
mod behavior;
mod configuration;
mod document;
mod event;
mod script;
mod span;
mod telemetry;
