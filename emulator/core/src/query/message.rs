//! Messages as documents: what the conditions of routes can name, and what that is for one message.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::eval::Subject;
use super::path::{Attribute, Path};
use super::value::Datum;
use crate::event::{Event, OpaqueBody, SystemProperty};
use crate::ids::ModuleId;
use crate::store::Record;
use crate::twin::{Section, Twin};

/// Something of a message that a condition can name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MessageAttribute {
    /// `$body`
    Body,
    /// `$twin.tags`
    Tags,
    /// `$twin.properties.desired`
    Desired,
    /// `$twin.properties.reported`
    Reported,
    /// `$twin` and what twins do not have.
    Twin,
    /// A property that the service gives a meaning to.
    System(SystemName),
    /// A property of the application, as it was written.
    Property(String),
}

/// A system property, as conditions name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SystemName {
    /// One that the sender may set.
    Sent(SystemProperty),
    /// `$connectionDeviceId`
    DeviceId,
    /// `$connectionModuleId`
    ModuleId,
    /// `$connectionAuthMethod`
    AuthMethod,
    /// `$connectionDeviceGenerationId`
    GenerationId,
    /// `$enqueuedTime`
    EnqueuedTime,
    /// `$dt-dataschema`
    ModelId,
}

/// Names compare without case.
const SYSTEM_NAMES: [(&str, SystemName); 16] = [
    ("$contentType", SystemName::Sent(SystemProperty::ContentType)),
    ("$contentEncoding", SystemName::Sent(SystemProperty::ContentEncoding)),
    ("$messageId", SystemName::Sent(SystemProperty::MessageId)),
    ("$correlationId", SystemName::Sent(SystemProperty::CorrelationId)),
    ("$userId", SystemName::Sent(SystemProperty::UserId)),
    ("$to", SystemName::Sent(SystemProperty::To)),
    ("$creationTimeUtc", SystemName::Sent(SystemProperty::CreationTime)),
    ("$iothub-creation-time-utc", SystemName::Sent(SystemProperty::CreationTime)),
    ("$iothub-interface-id", SystemName::Sent(SystemProperty::InterfaceId)),
    ("$dt-subject", SystemName::Sent(SystemProperty::Component)),
    ("$dt-dataschema", SystemName::ModelId),
    ("$connectionDeviceId", SystemName::DeviceId),
    ("$connectionModuleId", SystemName::ModuleId),
    ("$connectionAuthMethod", SystemName::AuthMethod),
    ("$connectionDeviceGenerationId", SystemName::GenerationId),
    ("$enqueuedTime", SystemName::EnqueuedTime),
];

impl MessageAttribute {
    /// As routes name it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Body => "$body",
            Self::Tags => "$twin.tags",
            Self::Desired => "$twin.properties.desired",
            Self::Reported => "$twin.properties.reported",
            Self::Twin => "$twin",
            Self::System(system) => SYSTEM_NAMES
                .iter()
                .find_map(|(name, known)| (known == system).then_some(*name))
                .unwrap_or_default(),
            Self::Property(name) => name,
        }
    }

    /// Whether it is of the sender's twin.
    pub fn is_of_twin(&self) -> bool {
        matches!(self, Self::Tags | Self::Desired | Self::Reported)
    }
}

/// What a condition wrote.
pub(crate) fn path(segments: &[String]) -> Path {
    let (attribute, below) = attribute(segments);
    Path { attribute: Attribute::Message(attribute), below: below.to_vec() }
}

fn attribute(segments: &[String]) -> (MessageAttribute, &[String]) {
    let is = |name: &str, known: &str| name.eq_ignore_ascii_case(known);
    let property = || (MessageAttribute::Property(segments.join(".")), &[] as &[String]);
    match segments {
        [first, below @ ..] if is(first, "$body") => (MessageAttribute::Body, below),
        [first, tags, below @ ..] if is(first, "$twin") && is(tags, "tags") => {
            (MessageAttribute::Tags, below)
        }
        [first, properties, section, below @ ..]
            if is(first, "$twin") && is(properties, "properties") && is(section, "desired") =>
        {
            (MessageAttribute::Desired, below)
        }
        [first, properties, section, below @ ..]
            if is(first, "$twin") && is(properties, "properties") && is(section, "reported") =>
        {
            (MessageAttribute::Reported, below)
        }
        [first, below @ ..] if is(first, "$twin") => (MessageAttribute::Twin, below),
        [only] => SYSTEM_NAMES
            .iter()
            .find(|(name, _)| is(only, name))
            .map_or_else(property, |(_, system)| (MessageAttribute::System(*system), &[])),
        _ => property(),
    }
}

/// A message that goes to an endpoint, and what is known of its sender.
pub struct MessageDocument<'e> {
    event: &'e Event,
    /// Where the sender's twin is; none if nobody asks for it, or there is no such sender.
    sender: Option<Arc<Record>>,
    /// Parsed when it is first asked for, and then once for all routes.
    body: OnceCell<Result<Value, OpaqueBody>>,
}

impl<'e> MessageDocument<'e> {
    /// A message of this sender.
    pub fn new(event: &'e Event, sender: Option<Arc<Record>>) -> Self {
        Self { event, sender, body: OnceCell::new() }
    }

    /// The body, if it is one that can be looked into.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn body(&self) -> Result<&Value, &OpaqueBody> {
        self.body.get_or_init(|| self.event.message.json()).as_ref()
    }

    /// Whether it is known who sent it.
    pub fn has_sender(&self) -> bool {
        self.sender.is_some()
    }

    fn twin(&self) -> Option<&Twin> {
        self.sender.as_ref()?.twin_of(&self.event.sender)
    }

    /// What the body has at the end of `path`; nothing, if that is the body itself.
    fn body_value(&self, path: &[String]) -> Datum<'_> {
        match self.body() {
            Ok(Value::Object(members)) => match path.split_first() {
                None => Datum::Undefined,
                Some((name, below)) => {
                    members.get(name).map_or(Datum::Undefined, |member| in_json(member, below))
                }
            },
            Ok(items @ Value::Array(_)) if path.len() > 1 => in_json(items, path),
            _ => Datum::Undefined,
        }
    }

    fn system(&self, name: SystemName) -> Option<Cow<'_, str>> {
        let event = self.event;
        match name {
            SystemName::Sent(property) => event.message.system(property).map(Cow::Borrowed),
            SystemName::DeviceId => Some(event.sender.device.as_str().into()),
            SystemName::ModuleId => {
                event.sender.module.as_ref().map(|module| module.as_str().into())
            }
            SystemName::AuthMethod => event.auth_method_json().map(Cow::Owned),
            SystemName::GenerationId => Some(event.generation.to_string().into()),
            SystemName::EnqueuedTime => Some(event.enqueued.to_string().into()),
            SystemName::ModelId => event.model_id.as_deref().map(Cow::Borrowed),
        }
    }

    fn property(&self, name: &str) -> Datum<'_> {
        let application = &self.event.message.application;
        let found = application.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match found {
            None => Datum::Undefined,
            Some((_, value)) => Datum::text(value.as_deref().unwrap_or_default()),
        }
    }
}

impl Subject for MessageDocument<'_> {
    fn value(&self, path: &Path) -> Datum<'_> {
        let Attribute::Message(attribute) = &path.attribute else { return Datum::Undefined };
        let below = path.below.as_slice();
        let twin = || self.twin();
        match attribute {
            MessageAttribute::Body => self.body_value(below),
            MessageAttribute::Tags => twin()
                .and_then(|twin| twin.tags.as_ref())
                .map_or(Datum::Undefined, |tags| in_twin(tags, below)),
            MessageAttribute::Desired => {
                twin().map_or(Datum::Undefined, |twin| in_section(&twin.desired, below))
            }
            MessageAttribute::Reported => {
                twin().map_or(Datum::Undefined, |twin| in_section(&twin.reported, below))
            }
            MessageAttribute::Twin => Datum::Undefined,
            MessageAttribute::System(system) => match self.system(*system) {
                Some(value) => Datum::Text(value),
                // The documents: a name that no system property has is that of an application's.
                None => self.property(attribute.name()),
            },
            MessageAttribute::Property(name) => self.property(name),
        }
    }

    fn key(&self) -> (&str, &str) {
        let sender = &self.event.sender;
        (sender.device.as_str(), sender.module.as_ref().map_or("", ModuleId::as_str))
    }
}

/// Members by their exact names, items by their index.
fn in_json<'a>(value: &'a Value, path: &[String]) -> Datum<'a> {
    let found = path.iter().try_fold(value, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    });
    found.map_or(Datum::Undefined, Datum::of)
}

/// Members of a twin, whose names compare without case in routes.
fn in_twin<'a>(object: &'a Map<String, Value>, path: &[String]) -> Datum<'a> {
    let member = |object: &'a Map<String, Value>, name: &String| {
        let exact = object.get(name);
        exact.or_else(|| {
            object
                .iter()
                .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
        })
    };
    let Some((first, rest)) = path.split_first() else { return Datum::Undefined };
    let found = rest.iter().try_fold(member(object, first), |value, name| match value {
        Some(Value::Object(members)) => Some(member(members, name)),
        Some(Value::Array(items)) => Some(items.get(name.parse::<usize>().ok()?)),
        _ => None,
    });
    found.flatten().map_or(Datum::Undefined, Datum::of)
}

fn in_section<'a>(section: &'a Section, path: &[String]) -> Datum<'a> {
    match path {
        [name] if name.eq_ignore_ascii_case("$version") => Datum::Number(section.version.into()),
        [name, path @ ..] if name.eq_ignore_ascii_case("$metadata") => {
            section.metadata.find(path).map_or(Datum::Undefined, Datum::from_json)
        }
        path => in_twin(&section.properties, path),
    }
}

impl fmt::Display for Path {
    /// As a condition writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.attribute {
            Attribute::Message(attribute) => f.write_str(attribute.name())?,
            Attribute::Twin(attribute) => f.write_str(attribute.name())?,
            Attribute::Other(name) => f.write_str(name)?,
        }
        for name in &self.below {
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                write!(f, "[{name}]")?;
            } else {
                write!(f, ".{name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
