//! What is wrong with a document, and where: `devices[3].twin.tags: …`.

use std::fmt;

use iothub_core::error::HubError;
use iothub_core::limits;
use serde_json::Value;

use crate::json::unexpected;

/// The path to a part of a document; empty for the document itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn member(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{self}.{name}")) }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{self}[{index}]"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The mistakes found so far. Of very many only the first are kept.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    told: Vec<String>,
    more: usize,
}

impl Mistakes {
    pub(super) fn add(&mut self, mistake: String) {
        if self.told.len() < limits::SNAPSHOT_MISTAKES {
            self.told.push(mistake);
        } else {
            self.more += 1;
        }
    }

    /// A part breaks a rule.
    pub(super) fn rule(&mut self, place: &Place, why: impl fmt::Display) {
        if place.0.is_empty() {
            self.add(why.to_string());
        } else {
            self.add(format!("{place}: {why}"));
        }
    }

    /// The same, if it does.
    pub(super) fn check(&mut self, place: &Place, checked: Result<(), HubError>) {
        if let Err(why) = checked {
            self.rule(place, why);
        }
    }

    /// A part has a value that it may not have.
    pub(super) fn value(&mut self, place: &Place, found: fmt::Arguments<'_>, expected: &str) {
        self.add(format!("{place} is {found}, expected {expected}"));
    }

    /// A part is of another kind than it should be.
    pub(super) fn form(&mut self, place: &Place, found: &Value, expected: &str) {
        let place = if place.0.is_empty() { "the document" } else { &place.0 };
        self.add(unexpected(place, found, expected).to_string());
    }

    /// A member that was read; the error begins with its name.
    pub(super) fn member<T: Default>(&mut self, place: &Place, read: Result<T, HubError>) -> T {
        read.unwrap_or_else(|why| {
            self.add(place.member(&why.to_string()).to_string());
            T::default()
        })
    }

    /// What was read, if there was nothing wrong with it.
    pub(super) fn read_or_told<T>(mut self, read: T) -> Result<T, Vec<String>> {
        if self.told.is_empty() {
            return Ok(read);
        }
        if self.more > 0 {
            self.told.push(format!("and {} more mistakes", self.more));
        }
        Err(self.told)
    }
}
