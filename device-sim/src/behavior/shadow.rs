//! What a device means its reported properties to say.

use serde_json::Value;

use crate::document::Properties;

/// Top-level properties with their values; null where one was removed, so that a hub which still
/// has it can be told.
#[derive(Debug, Default)]
pub(super) struct Shadow(Properties);

impl Shadow {
    pub(super) fn properties(&self) -> &Properties {
        &self.0
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Takes over a patch whose members are whole values, which all of ours are.
    pub(super) fn merge(&mut self, patch: &Properties) {
        for (name, value) in patch {
            self.set(name, value.clone());
        }
    }

    /// The value of a property that is there.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}
