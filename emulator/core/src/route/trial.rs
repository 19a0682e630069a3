//! What would become of a message: which routes take it, and why the others do not.

mod input;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{BUILT_IN, Route, Routing, Target};
use crate::error::HubError;
use crate::event::{Event, EventSource};
use crate::ids::IdentityId;
use crate::query::message::{MessageAttribute, MessageDocument};
use crate::query::{Attribute, Path, RouteCondition, Subject as _};
use crate::random::Random;
use crate::registry::identity::{IdentityDraft, ModuleDraft};
use crate::registry::{self, modules};
use crate::store::Record;
use crate::time::Timestamp;
use crate::twin::{Dialect, Document, Twin, TwinReplacement};

pub use input::{TestInput, TestMistake, Tried};

/// What became of a message in a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What each route said, the fallback last if there is one.
    pub routes: Vec<Verdict>,
    /// The names of the endpoints that the message goes to.
    pub endpoints: Vec<String>,
}

/// What a route says of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The route.
    pub route: String,
    /// Whether it takes the message.
    pub matched: bool,
    /// Why, in a sentence.
    pub reason: String,
    /// The names in its condition and what they stand for.
    pub values: Vec<NamedValue>,
}

/// A name in a condition and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedValue {
    /// The name.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<Value>,
    /// Why it has none.
    pub missing: Option<String>,
}

impl Routing {
    /// Tries a message, of a sender with this record, without sending it.
    pub(super) fn try_message(&self, event: &Event, sender: Option<Arc<Record>>) -> Trial {
        let message = MessageDocument::new(event, sender);
        let mut routes: Vec<_> =
            self.routes.iter().map(|route| route.verdict(event.source, &message)).collect();
        let taken =
            routes.iter().find(|verdict| verdict.matched).map(|verdict| verdict.route.clone());
        routes.extend(self.fallback.as_ref().map(|fallback| match taken {
            Some(other) => Verdict {
                matched: false,
                reason: format!("the route {other:?} took the message"),
                ..fallback.verdict(event.source, &message)
            },
            None => fallback.verdict(event.source, &message),
        }));
        let targets = self.targets(event.source, &message);
        let endpoints = targets.into_iter().filter_map(|target| self.name_of(target));
        Trial { routes, endpoints: endpoints.map(str::to_owned).collect() }
    }

    /// What an endpoint is called.
    pub(super) fn name_of(&self, target: Target) -> Option<&str> {
        match target {
            Target::BuiltIn => Some(BUILT_IN),
            Target::Custom(index) => {
                self.properties.endpoints.get(index).map(|found| found.name.as_str())
            }
        }
    }
}

impl Route {
    fn verdict(&self, source: EventSource, message: &MessageDocument<'_>) -> Verdict {
        let verdict = try_condition(&self.name, &self.condition, message);
        let refused = |reason: String| Verdict { matched: false, reason, ..verdict.clone() };
        if !self.enabled {
            return refused("the route is disabled".to_owned());
        }
        if self.source != source {
            let (wanted, found) = (self.source.route_source(), source.route_source());
            return refused(format!("the route is for {wanted}, the message is one of {found}"));
        }
        verdict
    }
}

/// Tries a condition by itself.
fn try_condition(
    route: &str,
    condition: &RouteCondition,
    message: &MessageDocument<'_>,
) -> Verdict {
    let truth = condition.truth(message);
    let reason = match truth {
        Some(true) => "the condition is true",
        Some(false) => "the condition is false",
        None => "the condition is undefined, which counts as false",
    };
    Verdict {
        route: route.to_owned(),
        matched: truth == Some(true),
        reason: reason.to_owned(),
        values: condition.paths().into_iter().map(|path| named(path, message)).collect(),
    }
}

fn named(path: &Path, message: &MessageDocument<'_>) -> NamedValue {
    let value = message.value(path).into_json();
    let missing = value.is_none().then(|| why_missing(path, message));
    NamedValue { name: path.to_string(), value, missing }
}

fn why_missing(path: &Path, message: &MessageDocument<'_>) -> String {
    let Attribute::Message(attribute) = &path.attribute else { return String::new() };
    match attribute {
        MessageAttribute::Body => match message.body() {
            Err(why) => why.to_string(),
            Ok(_) if path.below.is_empty() => "the body itself cannot be asked for".to_owned(),
            Ok(_) => "the body has no such member; its names are case-sensitive".to_owned(),
        },
        MessageAttribute::Twin => {
            "twins have tags, properties.desired and properties.reported".to_owned()
        }
        one if one.is_of_twin() && !message.has_sender() => {
            "the sender's twin is not known".to_owned()
        }
        one if one.is_of_twin() => "the sender's twin has no such member".to_owned(),
        MessageAttribute::System(_) => "the message has no such system property".to_owned(),
        _ => "the message has no such application property".to_owned(),
    }
}

/// A sender with this twin: an object with `tags` and `properties`, whose other members are not
/// looked at.
///
/// # Errors
///
/// The twin breaks a rule of twins.
fn sender(id: &IdentityId, twin: &Document) -> Result<Record, HubError> {
    let now = Timestamp::NEVER;
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    let properties = object(twin.get("properties")).unwrap_or_default();
    // A twin as it is read has these in its sections.
    let section = |name: &str| {
        let mut section = object(properties.get(name))?;
        section.retain(|name, _| !name.starts_with('$'));
        Some(section)
    };
    let content = TwinReplacement { tags: object(twin.get("tags")), desired: section("desired") };
    let (filled, _) = Twin::new(now).replaced(content, Dialect::CURRENT, now)?;
    let reported = section("reported").unwrap_or_default();
    let filled = filled.reported(&reported, None, Dialect::CURRENT, now)?;
    let random = Random::seeded(0);
    let record = registry::create(&id.device, &IdentityDraft::default(), now, &random)?;
    let Some(module) = &id.module else { return Ok(Record { twin: filled, ..record }) };
    let record = modules::create(&record, module, &ModuleDraft::default(), now, &random)?;
    Ok(record.with_twin(id, filled))
}

impl fmt::Display for Trial {
    /// For people: a line for each route, and below it what the names in its condition stand for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Verdict { route, matched, reason, values } in &self.routes {
            let word = if *matched { "matches" } else { "does not match" };
            writeln!(f, "{route}: {word}, {reason}")?;
            for NamedValue { name, value, missing } in values {
                match (value, missing) {
                    (Some(value), _) => writeln!(f, "    {name} = {value}")?,
                    (None, why) => {
                        let why = why.as_deref().unwrap_or_default();
                        writeln!(f, "    {name} is undefined: {why}")?;
                    }
                }
            }
        }
        if self.endpoints.is_empty() {
            return Ok(());
        }
        writeln!(f, "goes to: {}", self.endpoints.join(", "))
    }
}
