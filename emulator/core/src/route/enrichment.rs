//! Properties that are added to events on their way to an endpoint.

use super::Target;
use crate::event::Event;
use crate::query::message::{self, MessageDocument};
use crate::query::{Attribute, Datum, Path, Subject as _};

/// A property that is added to events on their way to some endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Enrichment {
    key: String,
    value: Value,
    targets: Vec<Target>,
}

/// Where the value of an enrichment comes from.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Static(String),
    HubName,
    /// A member of the sender's twin; what was written stands for one that is not there.
    Twin {
        path: Path,
        written: String,
    },
}

impl Enrichment {
    pub(super) fn new(key: &str, value: &str, targets: Vec<Target>) -> Self {
        Self { key: key.to_owned(), value: Value::new(value), targets }
    }

    pub(super) fn reads_twin(&self) -> bool {
        matches!(self.value, Value::Twin { .. })
    }

    pub(super) fn is_for(&self, target: Target) -> bool {
        self.targets.contains(&target)
    }

    /// The name and the value that `message` gets.
    pub(super) fn property(&self, hub: &str, message: &MessageDocument<'_>) -> (String, String) {
        let value = match &self.value {
            Value::Static(text) => text.clone(),
            Value::HubName => hub.to_owned(),
            Value::Twin { path, written } => match message.value(path) {
                Datum::Undefined => written.clone(),
                Datum::Text(text) => text.into_owned(),
                other => other.into_json().map_or_else(String::new, |value| value.to_string()),
            },
        };
        (self.key.clone(), value)
    }
}

impl Value {
    fn new(written: &str) -> Self {
        if written.eq_ignore_ascii_case("$iothubname") {
            return Self::HubName;
        }
        let segments: Vec<String> = written.split('.').map(str::to_owned).collect();
        let path = message::path(&segments);
        match &path.attribute {
            Attribute::Message(attribute) if attribute.is_of_twin() => {
                Self::Twin { path, written: written.to_owned() }
            }
            _ => Self::Static(written.to_owned()),
        }
    }
}

/// Sets a property of the application; one of that name that the sender set is gone.
pub(super) fn set(event: &mut Event, (name, value): (String, String)) {
    let application = &mut event.message.application;
    application.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
    application.push((name, Some(value)));
}
