//! What the configurations make of a record: of the twin of the device, of the twins of its
//! modules, and of what an edge device runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::content::{Deployment, EDGE_AGENT, Kind, ModuleContent};
use super::settings::{lay_over, patch};
use super::{Configuration, ConfigurationId, TargetStatus, Targeting};
use crate::error::HubError;
use crate::hub::Decision;
use crate::ids::{IdentityId, ModuleId};
use crate::random::Random;
use crate::registry::modules::add_managed_module;
use crate::store::{Effect, Record};
use crate::time::Timestamp;
use crate::twin::{Dialect, Document, SectionPatch, Twin, TwinPatch, TwinReplacement};

/// What the rules need beside the record.
pub(crate) struct Applying<'a, Holds> {
    pub(crate) configurations: &'a [Arc<Configuration>],
    /// Whether a configuration is for the twin of the record that the id names.
    pub(crate) holds: Holds,
    pub(crate) now: Timestamp,
    pub(crate) random: &'a Random,
}

impl<Holds> Applying<'_, Holds>
where
    Holds: Fn(&Configuration, &IdentityId) -> bool,
{
    /// The record as the configurations want it; none if it is so already.
    pub(crate) fn to(&self, record: &Record) -> Option<Decision> {
        if self.configurations.is_empty() && !is_targeted(record) {
            return None;
        }
        let mut decision = Decision { record: record.clone(), effects: Vec::new() };
        let mut changed = self.device(&mut decision);
        // The modules of an edge device may come with its deployment.
        changed |= self.edge(&mut decision);
        changed |= self.modules(&mut decision);
        changed.then_some(decision)
    }

    fn device(&self, decision: &mut Decision) -> bool {
        let id = decision.record.identity.id.clone().into();
        let targeting = self.targeting(&id, |kind| match kind {
            Kind::Device(settings) => Some(settings),
            _ => None,
        });
        self.settings(decision, &id, &targeting)
    }

    fn modules(&self, decision: &mut Decision) -> bool {
        let modules: Vec<ModuleId> = decision.record.modules.keys().cloned().collect();
        let mut changed = false;
        for module in modules.into_iter().filter(|module| !module.as_str().starts_with('$')) {
            let device = decision.record.identity.id.clone();
            let id = IdentityId { device, module: Some(module) };
            let targeting = self.targeting(&id, |kind| match kind {
                Kind::Module(settings) => Some(settings),
                _ => None,
            });
            changed |= self.settings(decision, &id, &targeting);
        }
        changed
    }

    /// The configurations of one kind that are for a twin, the one that wins first.
    fn targeting<'c, T>(
        &'c self,
        id: &IdentityId,
        of_kind: impl Fn(&'c Kind) -> Option<&'c T>,
    ) -> Vec<(&'c Configuration, &'c T)> {
        let mut targeting: Vec<_> = self
            .configurations
            .iter()
            .filter_map(|one| Some((&**one, of_kind(&one.content.as_ref()?.kind)?)))
            .filter(|(configuration, _)| (self.holds)(configuration, id))
            .collect();
        targeting.sort_by_cached_key(|(configuration, _)| configuration.precedence());
        targeting
    }

    /// Writes into one twin what all that target it agree on, those of higher priority last. What
    /// does not fit stays out, the lowest priority first.
    fn settings(
        &self,
        decision: &mut Decision,
        id: &IdentityId,
        targeting: &[(&Configuration, &Document)],
    ) -> bool {
        let Some(twin) = decision.record.twin_of(id) else { return false };
        for fitting in (0..=targeting.len()).rev() {
            let applied = targeting.get(..fitting).unwrap_or_default();
            let mut settings = Document::new();
            for (_, over) in applied.iter().rev() {
                lay_over(&mut settings, over);
            }
            let statuses = targeting.iter().enumerate().map(|(index, (configuration, _))| {
                (configuration.id.clone(), status(index < fitting))
            });
            let wanted = Targeting { statuses: statuses.collect(), settings: Arc::new(settings) };
            if wanted == twin.configurations {
                return false;
            }
            if let Ok((twin, effects)) = self.retargeted(twin, wanted) {
                decision.effects.extend(effects.into_iter().map(|effect| (id.clone(), effect)));
                decision.record = decision.record.with_twin(id, twin);
                return true;
            }
        }
        false
    }

    fn retargeted(&self, twin: &Twin, wanted: Targeting) -> Result<(Twin, Vec<Effect>), HubError> {
        let before = &twin.configurations.settings;
        let patch = patch(before, &wanted.settings, &twin.desired.properties);
        let (mut twin, effects) = if patch.is_empty() {
            (twin.clone(), Vec::new())
        } else {
            let patch = TwinPatch { tags: None, desired: Some(SectionPatch::Merge(patch)) };
            twin.patched(&patch, Dialect::CURRENT, self.now)?
        };
        twin.configurations = wanted;
        Ok((twin, effects))
    }

    /// Gives an edge device the deployment of the highest priority, and the layers above it.
    fn edge(&self, decision: &mut Decision) -> bool {
        let device: IdentityId = decision.record.identity.id.clone().into();
        let Ok(agent) = ModuleId::parse(EDGE_AGENT) else { return false };
        let Some(before) = decision.record.modules.get(&agent) else { return false };
        let before = before.twin.configurations.clone();
        let targeting = if decision.record.identity.iot_edge {
            self.targeting(&device, |kind| match kind {
                Kind::Edge(deployment) => Some(deployment),
                _ => None,
            })
        } else {
            Vec::new()
        };
        let whole = targeting.iter().position(|(_, deployment)| deployment.is_whole());
        let layers = whole.map_or(0, |whole| whole + 1);
        let (applied, others) = targeting.split_at_checked(layers).unwrap_or_default();
        let wanted = stacked(applied);
        let settings = Arc::new(as_document(&wanted));
        let mut applied_now = true;
        if settings != before.settings && !applied.is_empty() {
            match deploy(&decision.record, &wanted, self.now, self.random) {
                Ok(deployed) => {
                    decision.record = deployed.record;
                    decision.effects.extend(deployed.effects);
                }
                Err(_) => applied_now = false,
            }
        }
        let applied = applied.iter().map(|(one, _)| (one.id.clone(), status(applied_now)));
        let others = others.iter().map(|(one, _)| (one.id.clone(), TargetStatus::Targeted));
        let statuses: BTreeMap<ConfigurationId, TargetStatus> = applied.chain(others).collect();
        let settings = if applied_now { settings } else { before.settings.clone() };
        let after = Targeting { statuses, settings };
        let id = IdentityId { device: device.device, module: Some(agent) };
        match decision.record.twin_of(&id) {
            Some(twin) if after != before => {
                let twin = Twin { configurations: after, ..twin.clone() };
                decision.record = decision.record.with_twin(&id, twin);
                true
            }
            _ => false,
        }
    }
}

/// The record of an edge device with a content written into its modules, without a configuration.
pub(crate) fn deploy_content(
    record: &Record,
    deployment: &Deployment,
    now: Timestamp,
    random: &Random,
) -> Result<Decision, HubError> {
    let wanted = deployment.modules.iter().map(|(id, content)| {
        let found = record.modules.get(id).map(|found| &found.twin.desired.properties);
        (id.clone(), over(found.cloned().unwrap_or_default(), content))
    });
    deploy(record, &wanted.collect(), now, random)
}

/// Gives modules these desired properties and no others, and creates those that there are not.
fn deploy(
    record: &Record,
    wanted: &BTreeMap<ModuleId, Document>,
    now: Timestamp,
    random: &Random,
) -> Result<Decision, HubError> {
    let mut record = record.clone();
    let mut effects = Vec::new();
    let named: Vec<ModuleId> = wanted.keys().cloned().chain(listed(wanted)).collect();
    for module in named {
        add_managed_module(&mut record, &module, now, random)?;
        let device = record.identity.id.clone();
        let id = IdentityId { device, module: Some(module) };
        let (Some(twin), Some(desired)) =
            (record.twin_of(&id), id.module.as_ref().and_then(|module| wanted.get(module)))
        else {
            continue;
        };
        if twin.desired.properties == *desired {
            continue;
        }
        let content = TwinReplacement { tags: twin.tags.clone(), desired: Some(desired.clone()) };
        let (twin, changes) = twin.replaced(content, Dialect::CURRENT, now)?;
        effects.extend(changes.into_iter().map(|effect| (id.clone(), effect)));
        record = record.with_twin(&id, twin);
    }
    Ok(Decision { record, effects })
}

/// The modules that the agent is told to run.
fn listed(wanted: &BTreeMap<ModuleId, Document>) -> Vec<ModuleId> {
    let agent = wanted.iter().find(|(id, _)| id.as_str() == EDGE_AGENT).map(|(_, agent)| agent);
    let modules = agent.and_then(|agent| agent.get("modules")).and_then(Value::as_object);
    modules.into_iter().flatten().filter_map(|(name, _)| ModuleId::parse(name).ok()).collect()
}

/// A deployment with its layers on it; they come with the one that wins first.
fn stacked(applied: &[(&Configuration, &Deployment)]) -> BTreeMap<ModuleId, Document> {
    let mut stack: BTreeMap<ModuleId, Document> = BTreeMap::new();
    for (_, deployment) in applied.iter().rev() {
        for (id, content) in &deployment.modules {
            let below = stack.remove(id).unwrap_or_default();
            stack.insert(id.clone(), over(below, content));
        }
    }
    stack
}

fn over(below: Document, content: &ModuleContent) -> Document {
    let mut properties = content.whole.clone().unwrap_or(below);
    lay_over(&mut properties, &content.parts);
    without_nulls(&mut properties);
    properties
}

/// What is to be gone is left out of a whole.
fn without_nulls(document: &mut Document) {
    document.retain(|_, value| !value.is_null());
    for value in document.values_mut() {
        if let Value::Object(object) = value {
            without_nulls(object);
        }
    }
}

fn as_document(wanted: &BTreeMap<ModuleId, Document>) -> Document {
    wanted.iter().map(|(id, desired)| (id.to_string(), Value::Object(desired.clone()))).collect()
}

fn status(applied: bool) -> TargetStatus {
    if applied { TargetStatus::Applied } else { TargetStatus::Targeted }
}

/// Whether a configuration has been at a record.
fn is_targeted(record: &Record) -> bool {
    let modules = record.modules.values().map(|module| &module.twin);
    std::iter::once(&record.twin)
        .chain(modules)
        .any(|twin| twin.configurations != Targeting::default())
}
