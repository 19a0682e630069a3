//! What a configuration writes, and where: into the twin of each device, of each module, or into
//! the modules of edge devices.

use std::collections::BTreeMap;

use serde_json::Value;

use super::settings::lay_over;
use crate::error::HubError;
use crate::ids::ModuleId;
use crate::limits;
use crate::query::Source;
use crate::twin::{Dialect, Document};

/// Where the paths of a content start.
const DESIRED: &str = "properties.desired";
/// The module whose content tells a whole deployment from a layer.
pub(crate) const EDGE_AGENT: &str = "$edgeAgent";
/// The other module that a whole deployment writes.
const EDGE_HUB: &str = "$edgeHub";

/// What a configuration writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// As the caller gave it, to be shown again.
    source: Document,
    pub(super) kind: Kind,
}

/// The same, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Desired properties of devices.
    Device(Document),
    /// Desired properties of modules.
    Module(Document),
    /// A deployment, or a layer of one.
    Edge(Deployment),
}

/// What an edge device gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) modules: BTreeMap<ModuleId, ModuleContent>,
}

/// What one of its modules gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModuleContent {
    /// All of its desired properties.
    pub(crate) whole: Option<Document>,
    /// Some of them, laid over what there is.
    pub(crate) parts: Document,
}

impl Content {
    /// Reads a content; none if it says nothing.
    ///
    /// # Errors
    ///
    /// It has several parts, or something in it cannot be written into a twin.
    pub fn parse(source: Document) -> Result<Option<Self>, HubError> {
        let mut found = None;
        for (name, value) in &source {
            let kind = match (name.as_str(), value) {
                ("deviceContent" | "moduleContent" | "modulesContent", Value::Null) => continue,
                ("deviceContent" | "moduleContent" | "modulesContent", Value::Object(content))
                    if content.is_empty() =>
                {
                    continue;
                }
                ("deviceContent", Value::Object(content)) => Kind::Device(properties(content)?),
                ("moduleContent", Value::Object(content)) => Kind::Module(properties(content)?),
                ("modulesContent", Value::Object(content)) => {
                    Kind::Edge(Deployment::parse(content)?)
                }
                ("deviceContent" | "moduleContent" | "modulesContent", _) => {
                    return invalid(&format!("{name} is no object"));
                }
                // Members of newer or older versions, such as C#'s contentType.
                _ => continue,
            };
            if found.replace(kind).is_some() {
                return invalid(
                    "content has several of deviceContent, moduleContent and modulesContent, expected one",
                );
            }
        }
        Ok(found.map(|kind| Self { source, kind }))
    }

    /// As the caller gave it.
    pub fn source(&self) -> &Document {
        &self.source
    }

    /// Whether it is for edge devices.
    pub fn is_edge(&self) -> bool {
        matches!(self.kind, Kind::Edge(_))
    }

    /// Whether it is for modules.
    pub fn is_module(&self) -> bool {
        matches!(self.kind, Kind::Module(_))
    }

    /// Which twins its target condition is about.
    pub(super) fn source_of_targets(&self) -> Source {
        if self.is_module() { Source::Modules } else { Source::Devices }
    }

    /// What it gives edge devices, if it is for those.
    pub(crate) fn deployment(&self) -> Option<&Deployment> {
        match &self.kind {
            Kind::Edge(deployment) => Some(deployment),
            Kind::Device(_) | Kind::Module(_) => None,
        }
    }

    /// What it says, whatever else a client sent back with it.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Deployment {
    /// Whether it stands on its own rather than on another.
    pub(crate) fn is_whole(&self) -> bool {
        self.modules
            .iter()
            .any(|(id, content)| id.as_str() == EDGE_AGENT && content.whole.is_some())
    }

    fn parse(content: &Document) -> Result<Self, HubError> {
        let mut modules = BTreeMap::new();
        for (name, value) in content {
            let id = ModuleId::parse(name)
                .map_err(|why| HubError::InvalidConfigurationContent(why.to_string()))?;
            let Value::Object(value) = value else {
                return invalid(&format!("content of module {name} is no object"));
            };
            modules.insert(id, ModuleContent::parse(value)?);
        }
        let deployment = Self { modules };
        let has_hub = deployment
            .modules
            .iter()
            .any(|(id, content)| id.as_str() == EDGE_HUB && content.whole.is_some());
        if deployment.is_whole() && !has_hub {
            return invalid("modulesContent has $edgeAgent, but not the properties of $edgeHub");
        }
        Ok(deployment)
    }
}

impl ModuleContent {
    fn parse(content: &Document) -> Result<Self, HubError> {
        let mut parsed = Self::default();
        let mut parts = Document::new();
        for (path, value) in content {
            match (path.as_str(), value) {
                (DESIRED, Value::Object(value)) => {
                    parsed.whole = Some(properties_at_root(value)?);
                }
                _ => {
                    parts.insert(path.clone(), value.clone());
                }
            }
        }
        parsed.parts = properties(&parts)?;
        Ok(parsed)
    }
}

/// The properties that a map from paths to values describes.
fn properties(content: &Document) -> Result<Document, HubError> {
    let mut properties = Document::new();
    for (path, value) in content {
        let below = path.strip_prefix(DESIRED);
        let Some(below) = below.filter(|below| below.is_empty() || below.starts_with('.')) else {
            return invalid(&format!("content has the path {path:?}, expected {DESIRED:?} first"));
        };
        // A deeper path breaks the rules of twins anyway, and must not become as deep a value.
        if below.split('.').count() > limits::TWIN_DEPTH + 2 {
            return invalid("content has a path that is deeper than twins may be");
        }
        let names: Vec<&str> = below.split('.').skip(1).collect();
        let nested = names.iter().rev().try_fold(value.clone(), |value, name| {
            let object = || Value::Object(Document::from_iter([((*name).to_owned(), value)]));
            (!name.is_empty()).then(object)
        });
        match nested {
            Some(Value::Object(nested)) if is_free(&properties, &nested) => {
                lay_over(&mut properties, &nested);
            }
            Some(Value::Object(_)) => {
                return invalid(&format!("content has the path {path:?} twice"));
            }
            _ => return invalid(&format!("content has no properties at {path:?}")),
        }
    }
    properties_at_root(&properties)
}

/// Whether two paths do not write the same property.
fn is_free(properties: &Document, nested: &Document) -> bool {
    nested.iter().all(|(key, value)| match (properties.get(key), value) {
        (None, _) => true,
        (Some(Value::Object(found)), Value::Object(value)) => is_free(found, value),
        (Some(_), _) => false,
    })
}

fn properties_at_root(properties: &Document) -> Result<Document, HubError> {
    match Dialect::CURRENT.check_patch(properties) {
        Ok(()) => Ok(properties.clone()),
        Err(why) => invalid(&why.to_string()),
    }
}

fn invalid<T>(message: &str) -> Result<T, HubError> {
    Err(HubError::InvalidConfigurationContent(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Option<Content>, HubError> {
        Content::parse(value.as_object().unwrap().clone())
    }

    #[test]
    fn paths_become_properties() {
        let content = json!({"deviceContent": {
            "properties.desired.water": {"temperature": 38},
            "properties.desired.water.pressure": 78,
            "properties.desired": {"mode": "x"},
        }});
        let expected = json!({"water": {"temperature": 38, "pressure": 78}, "mode": "x"});
        let parsed = parse(content).unwrap().unwrap();
        assert_eq!(parsed.kind, Kind::Device(expected.as_object().unwrap().clone()));
    }

    #[test]
    fn deployments_are_whole_or_layers() {
        let whole = json!({"modulesContent": {
            "$edgeAgent": {"properties.desired": {"modules": {}}},
            "$edgeHub": {"properties.desired": {"routes": {}}},
        }});
        let layer = json!({"modulesContent": {
            "$edgeAgent": {"properties.desired.modules.m": {"type": "docker"}},
            "m": {"properties.desired": {"a": 1}},
        }});
        for (content, is_whole) in [(whole, true), (layer, false)] {
            let parsed = parse(content).unwrap().unwrap();
            let Kind::Edge(deployment) = parsed.kind else { panic!("{parsed:?}") };
            assert_eq!(deployment.is_whole(), is_whole);
        }
    }

    #[test]
    fn what_says_nothing_is_none() {
        for empty in [json!({}), json!({"deviceContent": null, "modulesContent": {}})] {
            assert_eq!(parse(empty), Ok(None));
        }
    }

    #[test]
    fn bad_contents_are_refused() {
        let table = [
            json!({"deviceContent": 1}),
            json!({"deviceContent": {"tags.a": 1}}),
            json!({"deviceContent": {"properties.desiredx": 1}}),
            json!({"deviceContent": {"properties.reported.a": 1}}),
            json!({"deviceContent": {"properties.desired": 1}}),
            json!({"deviceContent": {"properties.desired.": 1}}),
            json!({"deviceContent": {"properties.desired..a": 1}}),
            json!({"deviceContent": {"properties.desired.a b": 1}}),
            json!({"deviceContent": {"properties.desired.a": {"$b": 1}}}),
            json!({"deviceContent": {"properties.desired.a": 1, "properties.desired.a.b": 1}}),
            json!({"deviceContent": {"properties.desired.a": 1}, "moduleContent": {"properties.desired.a": 1}}),
            json!({"deviceContent": {(format!("properties.desired{}", ".a".repeat(1000))): 1}}),
            json!({"modulesContent": {"a/b": {}}}),
            json!({"modulesContent": {"m": 1}}),
            json!({"modulesContent": {"$edgeAgent": {"properties.desired": {}}}}),
        ];
        for content in table {
            let found = parse(content.clone());
            assert!(
                matches!(found, Err(HubError::InvalidConfigurationContent(_))),
                "{content} {found:?}"
            );
        }
    }
}
