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

    /// What it is called where it has to be called something.
    fn or_document(&self) -> &str {
        if self.0.is_empty() { "the document" } else { &self.0 }
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

/// The mistakes found so far. Of very many only the first are kept, and only they are put into words.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    told: Vec<String>,
    more: bool,
}

impl Mistakes {
    pub(super) fn add(&mut self, mistake: impl fmt::Display) {
        if self.told.len() < limits::SNAPSHOT_MISTAKES {
            self.told.push(mistake.to_string());
        } else {
            self.more = true;
        }
    }

    /// Whether what comes next would not be told, so that it need not be read.
    pub(super) fn are_told(&self) -> bool {
        self.more
    }

    /// A part breaks a rule.
    pub(super) fn rule(&mut self, place: &Place, why: impl fmt::Display) {
        if place.0.is_empty() {
            self.add(why);
        } else {
            self.add(format_args!("{place}: {why}"));
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
        self.add(format_args!("{place} is {found}, expected {expected}"));
    }

    /// A part is of another kind than it should be.
    pub(super) fn form(&mut self, place: &Place, found: &Value, expected: &str) {
        self.add(unexpected(place.or_document(), found, expected));
    }

    /// A part cannot be read at all.
    pub(super) fn unread(&mut self, place: &Place, why: impl fmt::Display) {
        self.add(format_args!("{} cannot be read: {why}", place.or_document()));
    }

    /// A member that was read; the error begins with its name.
    pub(super) fn member<T: Default>(&mut self, place: &Place, read: Result<T, HubError>) -> T {
        read.unwrap_or_else(|why| {
            self.add(place.member(&why.to_string()));
            T::default()
        })
    }

    /// What was read, if there was nothing wrong with it.
    pub(super) fn read_or_told<T>(mut self, read: T) -> Result<T, Vec<String>> {
        if self.told.is_empty() {
            return Ok(read);
        }
        if self.more {
            let most = limits::SNAPSHOT_MISTAKES;
            self.told.push(format!("and more: after {most} mistakes the rest is not read"));
        }
        Err(self.told)
    }
}
