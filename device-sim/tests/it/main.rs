//! The device and its program against a hub of raw bytes.

// The attribute tells clippy that these modules are tests, helpers included.
#[cfg(test)]
mod device;
#[cfg(test)]
mod fake_hub;
#[cfg(test)]
mod program;
