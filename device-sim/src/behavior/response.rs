//! What a script says about single desired properties: apply, refuse, ignore or echo them.

use iothub_core::time::Timestamp;
use serde_json::{Value, json};

use super::Action;
use super::shadow::Shadow;
use crate::document::{Properties, difference};
use crate::event::Event;
use crate::span::Span;

/// What the device does when a desired property changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Response {
    /// Reports the desired value once this much time has passed.
    ApplyAfter(Span),
    /// Keeps its own value and reports why, in the form of IoT Plug and Play: `ac`, `av`, `ad`.
    Refuse(String),
    /// Does nothing.
    Ignore,
    /// Reports the desired value at once.
    Echo,
}

/// The properties that a script names, and how far each has got.
#[derive(Debug)]
pub(super) struct Responses(Vec<Named>);

/// What there is to respond to.
pub(super) struct Desired<'a> {
    /// All desired properties.
    pub(super) properties: &'a Properties,
    /// Those that changed, if the change is known.
    pub(super) patch: Option<&'a Properties>,
    /// The version of the desired section.
    pub(super) version: u64,
}

#[derive(Debug)]
struct Named {
    name: String,
    response: Response,
    /// The desired value that was dealt with last; null once it was removed.
    handled: Option<Value>,
    pending: Option<(Value, Timestamp)>,
}

impl Responses {
    pub(super) fn new(responses: Vec<(String, Response)>) -> Self {
        let named = |(name, response)| Named { name, response, handled: None, pending: None };
        Self(responses.into_iter().map(named).collect())
    }

    /// The properties that the script says something about.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|named| named.name.as_str())
    }

    pub(super) fn desired(
        &mut self,
        desired: &Desired<'_>,
        shadow: &mut Shadow,
        now: Timestamp,
    ) -> Vec<Action> {
        self.0.iter_mut().flat_map(|named| named.desired(desired, shadow, now)).collect()
    }

    pub(super) fn tick(&mut self, shadow: &mut Shadow, now: Timestamp) -> Vec<Action> {
        self.0.iter_mut().flat_map(|named| named.tick(shadow, now)).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|named| Some(named.pending.as_ref()?.1)).min()
    }
}

impl Named {
    fn desired(
        &mut self,
        desired: &Desired<'_>,
        shadow: &mut Shadow,
        now: Timestamp,
    ) -> Vec<Action> {
        let value = match desired.properties.get(&self.name) {
            Some(value) => value.clone(),
            // Never asked for, or no longer.
            None if self.handled.is_none() => return Vec::new(),
            None => Value::Null,
        };
        let repeated = self.handled.as_ref() == Some(&value);
        let named = desired.patch.is_some_and(|patch| patch.contains_key(&self.name));
        match &self.response {
            Response::Ignore => Vec::new(),
            Response::Refuse(_) if repeated && !named => Vec::new(),
            Response::Refuse(reason) => {
                let reason = reason.clone();
                self.handled = Some(value);
                self.refuse(reason, desired.version, shadow)
            }
            Response::Echo | Response::ApplyAfter(_) if repeated => Vec::new(),
            Response::Echo => self.apply(value, shadow),
            Response::ApplyAfter(span) => {
                let due = now.after(span.length());
                self.begin(value, due, shadow)
            }
        }
    }

    fn tick(&mut self, shadow: &mut Shadow, now: Timestamp) -> Vec<Action> {
        match self.pending.take_if(|(_, due)| *due <= now) {
            Some((value, _)) => self.apply(value, shadow),
            None => Vec::new(),
        }
    }

    fn begin(&mut self, value: Value, due: Timestamp, shadow: &Shadow) -> Vec<Action> {
        self.handled = Some(value.clone());
        // What already is so needs no time.
        self.pending = (shadow.get(&self.name) != Some(&value)).then_some((value, due));
        Vec::new()
    }

    fn apply(&mut self, value: Value, shadow: &mut Shadow) -> Vec<Action> {
        self.handled = Some(value.clone());
        if shadow.get(&self.name).unwrap_or(&Value::Null) == &value {
            return Vec::new();
        }
        let event = Event::PropertyApplied { name: self.name.clone(), value: value.clone() };
        self.report(event, value, shadow)
    }

    fn refuse(&self, reason: String, version: u64, shadow: &mut Shadow) -> Vec<Action> {
        if self.handled == Some(Value::Null) {
            // Nothing is asked for any more, so there is nothing to refuse.
            return Vec::new();
        }
        let mut answer = json!({ "ac": 400, "av": version, "ad": reason });
        if let Some(own) = shadow.get(&self.name) {
            // After a refusal the own value stands inside the answer to it.
            let own = own.get("ac").map_or(Some(own), |_| own.get("value"));
            if let (Some(own), Some(answer)) = (own.cloned(), answer.as_object_mut()) {
                answer.insert("value".to_owned(), own);
            }
        }
        let event = Event::PropertyRefused { name: self.name.clone(), reason };
        self.report(event, answer, shadow)
    }

    fn report(&self, event: Event, value: Value, shadow: &mut Shadow) -> Vec<Action> {
        let intended = Properties::from_iter([(self.name.clone(), value)]);
        // An object may have lost members, which only an explicit null tells the hub.
        let patch = difference(&intended, shadow.properties());
        shadow.merge(&intended);
        if patch.is_empty() {
            // Said before the program was started anew.
            return Vec::new();
        }
        vec![Action::Tell(event), Action::Report(patch)]
    }
}
