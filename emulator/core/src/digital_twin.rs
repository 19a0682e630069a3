//! Digital twins: the twin of an IoT Plug and Play device, seen by the conventions of its model.
//!
//! Nothing of it is stored. [`document`] shows a twin's properties and components with what was
//! desired of each and how the device answered; [`parse_patch`] and `desired_patch` turn the
//! operations of a back end into a change of the desired properties. The hub does not read models:
//! what is a component says the mark `__t` in the twin.

use serde_json::{Map, Value};

use crate::error::HubError;
use crate::limits;
use crate::twin::{Document, Metadata, Section, Twin, merge};

/// Marks a component among the properties of a twin.
const MARK: &str = "__t";
const COMPONENT: &str = "c";
const METADATA: &str = "$metadata";

/// An operation of a JSON patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    target: Target,
    /// None removes.
    value: Option<Value>,
}

/// What an operation changes.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Target {
    /// A property of the root, or a whole component.
    Member(String),
    /// A property of a component.
    Property { component: String, property: String },
}

/// The digital twin of `id`.
pub fn document(id: &str, twin: &Twin) -> Document {
    let mut members = Document::new();
    members.insert("$dtId".to_owned(), id.into());
    let mut metadata = Map::new();
    let model = twin.model_id.as_deref().unwrap_or_default();
    metadata.insert("$model".to_owned(), model.into());
    let root = Level { desired: side(&twin.desired), reported: side(&twin.reported) };
    root.show(&mut members, &mut metadata, true);
    members.insert(METADATA.to_owned(), Value::Object(metadata));
    members
}

fn side(section: &Section) -> Option<(&Document, &Metadata)> {
    Some((&section.properties, &section.metadata))
}

/// The properties of the root or of a component, with their metadata.
struct Level<'a> {
    desired: Option<(&'a Document, &'a Metadata)>,
    reported: Option<(&'a Document, &'a Metadata)>,
}

impl<'a> Level<'a> {
    /// Adds what this level holds to `members`, and what is known of it to `metadata`.
    fn show(&self, members: &mut Document, metadata: &mut Document, components: bool) {
        for name in self.names() {
            let desired = member(self.desired, name);
            let reported = member(self.reported, name);
            let is_component = components && [desired, reported].into_iter().any(is_component);
            if is_component {
                members.insert(name.to_owned(), component(desired, reported));
                continue;
            }
            let (value, about) = property(desired, reported);
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
            metadata.insert(name.to_owned(), Value::Object(about));
        }
    }

    /// What was reported first, then what was only desired.
    fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let keys = |side: Option<(&'a Document, _)>| {
            side.into_iter().flat_map(|(properties, _)| properties.keys().map(String::as_str))
        };
        let reported = self.reported.map(|(properties, _)| properties);
        let is_new = move |name: &&str| !reported.is_some_and(|known| known.contains_key(*name));
        keys(self.reported).chain(keys(self.desired).filter(is_new)).filter(|name| *name != MARK)
    }
}

type Member<'a> = Option<(&'a Value, &'a Metadata)>;

fn member<'a>(side: Option<(&'a Document, &'a Metadata)>, name: &str) -> Member<'a> {
    let (properties, metadata) = side?;
    // What has no metadata of its own is as old as what it stands in.
    Some((properties.get(name)?, metadata.member(name).unwrap_or(metadata)))
}

fn is_component(member: Member<'_>) -> bool {
    member.is_some_and(|(value, _)| has_mark(value))
}

fn has_mark(value: &Value) -> bool {
    value.get(MARK).and_then(Value::as_str) == Some(COMPONENT)
}

fn component(desired: Member<'_>, reported: Member<'_>) -> Value {
    fn object<'a>(
        (value, metadata): (&'a Value, &'a Metadata),
    ) -> Option<(&'a Document, &'a Metadata)> {
        Some((value.as_object()?, metadata))
    }
    let level = Level { desired: desired.and_then(object), reported: reported.and_then(object) };
    let (mut members, mut metadata) = (Document::new(), Map::new());
    level.show(&mut members, &mut metadata, false);
    members.insert(METADATA.to_owned(), Value::Object(metadata));
    Value::Object(members)
}

/// The value of a property, and what is known of it.
fn property(desired: Member<'_>, reported: Member<'_>) -> (Option<Value>, Document) {
    let mut about = Map::new();
    if let Some((value, metadata)) = desired {
        about.insert("desiredValue".to_owned(), value.clone());
        if let Some(version) = metadata.version() {
            about.insert("desiredVersion".to_owned(), version.into());
        }
    }
    let value = reported.map(|(value, _)| match Acknowledgement::of(value) {
        Some(acknowledgement) => acknowledgement.show(&mut about),
        None => value.clone(),
    });
    if let Some((_, metadata)) = reported.or(desired) {
        about.insert("lastUpdateTime".to_owned(), metadata.updated().to_string().into());
    }
    (value, about)
}

/// How a device answers a writable property: `{"value":…,"ac":…,"av":…,"ad":…}`.
struct Acknowledgement<'a> {
    value: &'a Value,
    code: &'a Value,
    version: &'a Value,
    description: Option<&'a Value>,
}

impl<'a> Acknowledgement<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        Some(Self {
            value: value.get("value")?,
            code: value.get("ac")?,
            version: value.get("av")?,
            description: value.get("ad"),
        })
    }

    fn show(&self, about: &mut Document) -> Value {
        about.insert("ackVersion".to_owned(), self.version.clone());
        about.insert("ackCode".to_owned(), self.code.clone());
        if let Some(description) = self.description {
            about.insert("ackDescription".to_owned(), description.clone());
        }
        self.value.clone()
    }
}

/// The operations of a JSON patch.
///
/// # Errors
///
/// It is no list of operations, or an operation breaks a rule of digital twins.
pub fn parse_patch(body: &Value) -> Result<Vec<Operation>, HubError> {
    let invalid = |why: &str| HubError::InvalidDigitalTwinPatch(why.to_owned());
    let operations = body.as_array().ok_or_else(|| invalid("patch is not an array"))?;
    operations.iter().map(Operation::parse).collect()
}

impl Operation {
    fn parse(operation: &Value) -> Result<Self, HubError> {
        let invalid = |why| HubError::InvalidDigitalTwinPatch(why);
        let text = |name| {
            let value = operation.get(name).and_then(Value::as_str);
            value.ok_or_else(|| invalid(format!("operation has no {name}")))
        };
        let target = Target::parse(text("path")?)?;
        let value = match text("op")? {
            "remove" => None,
            "add" | "replace" => {
                let value = operation.get("value").filter(|value| !value.is_null());
                let value = value.ok_or_else(|| invalid("operation has no value".to_owned()))?;
                check_value(value, 1)?;
                Some(value.clone())
            }
            other => {
                return Err(invalid(format!("op is {other:?}, expected add, replace or remove")));
            }
        };
        Ok(Self { target, value })
    }

    /// The change of the desired properties that this operation is.
    fn change(&self, desired: &Document) -> Document {
        match &self.target {
            Target::Member(name) => {
                let existing = desired.get(name);
                let value = match &self.value {
                    None => Value::Null,
                    Some(value) => replacement(existing, &marked(value)),
                };
                Document::from_iter([(name.clone(), value)])
            }
            Target::Property { component, property } => {
                let existing = desired.get(component);
                let known = existing.and_then(|component| component.get(property));
                let value = match &self.value {
                    // What nobody desires needs no component to be removed from.
                    None if known.is_none() => return Document::new(),
                    None => Value::Null,
                    Some(value) => replacement(known, value),
                };
                let members = [(MARK.to_owned(), COMPONENT.into()), (property.clone(), value)];
                Document::from_iter([(
                    component.clone(),
                    Value::Object(members.into_iter().collect()),
                )])
            }
        }
    }
}

impl Target {
    fn parse(path: &str) -> Result<Self, HubError> {
        let invalid = || HubError::InvalidDigitalTwinPatchPath(path.to_owned());
        let names: Vec<_> = path.strip_prefix('/').ok_or_else(invalid)?.split('/').collect();
        if !names.iter().all(|name| is_name(name)) {
            return Err(invalid());
        }
        match names.as_slice() {
            [name] => Ok(Self::Member((*name).to_owned())),
            [component, property] => Ok(Self::Property {
                component: (*component).to_owned(),
                property: (*property).to_owned(),
            }),
            _ => Err(invalid()),
        }
    }

    /// The property or component of the root that it is, or lies in.
    fn root(&self) -> &str {
        match self {
            Self::Member(name) | Self::Property { component: name, .. } => name,
        }
    }
}

/// What operations change of the desired properties of a twin.
///
/// # Errors
///
/// What they change does not follow the conventions yet: it has an array, a strange name, or too
/// many levels.
pub(crate) fn desired_patch(twin: &Twin, operations: &[Operation]) -> Result<Document, HubError> {
    let mut desired = twin.desired.properties.clone();
    let mut patch = Document::new();
    for operation in operations {
        let root = operation.target.root();
        for section in [&twin.desired, &twin.reported] {
            if let Some(existing) = section.properties.get(root) {
                check_value(existing, 1).map_err(|_| not_conformant(root))?;
            }
        }
        let change = operation.change(&desired);
        merge(&mut desired, &change);
        compose(&mut patch, change, Some(&twin.desired.properties));
    }
    Ok(patch)
}

fn not_conformant(name: &str) -> HubError {
    HubError::ArgumentInvalid(format!(
        "'{name}' exists within the device twin and is not digital twin conformant property. \
         Please refer to aka.ms/dtpatch to update this to be conformant."
    ))
}

/// A component comes with an empty `$metadata`, and lies in the twin with a mark.
fn marked(value: &Value) -> Value {
    let Some(members) = value.as_object().filter(|members| members.contains_key(METADATA)) else {
        return value.clone();
    };
    let mut component = members.clone();
    component.shift_remove(METADATA);
    component.insert(MARK.to_owned(), COMPONENT.into());
    Value::Object(component)
}

/// The merge patch that leaves nothing but `value` of what exists.
fn replacement(existing: Option<&Value>, value: &Value) -> Value {
    let (Some(Value::Object(existing)), Value::Object(members)) = (existing, value) else {
        return value.clone();
    };
    let gone = existing.keys().filter(|name| !members.contains_key(*name));
    let mut patch: Document = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in members {
        patch.insert(name.clone(), replacement(existing.get(name), value));
    }
    Value::Object(patch)
}

/// Adds a later merge patch to an earlier one for `original`: unlike in a merge, what removes
/// stays, and what comes in the place of something removed brings nothing of that back.
fn compose(patch: &mut Document, later: Document, original: Option<&Document>) {
    for (name, value) in later {
        let before = original.and_then(|original| original.get(&name));
        match (patch.get_mut(&name), value) {
            (Some(Value::Object(earlier)), Value::Object(later)) => {
                compose(earlier, later, before.and_then(Value::as_object));
            }
            (Some(_), value) => {
                patch.insert(name, replacement(before, &value));
            }
            (None, value) => {
                patch.insert(name, value);
            }
        }
    }
}

/// Fails for what no model can describe.
fn check_value(value: &Value, depth: usize) -> Result<(), HubError> {
    let invalid = |why: String| Err(HubError::InvalidDigitalTwinPatch(why));
    match value {
        Value::Array(_) => invalid("value has an array".to_owned()),
        Value::Object(_) if depth > limits::DIGITAL_TWIN_DEPTH => {
            invalid(format!("value has more than {} levels", limits::DIGITAL_TWIN_DEPTH))
        }
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            if name == MARK || name == METADATA {
                return Ok(());
            }
            if !is_name(name) {
                return invalid(format!("{name:?} is no name"));
            }
            check_value(value, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// A name of the Digital Twins Definition Language.
fn is_name(text: &str) -> bool {
    text.len() <= limits::DIGITAL_TWIN_NAME_CHARACTERS
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests;
