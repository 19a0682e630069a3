//! Reads the document of a hub. Every mistake in it is told with its place, so each part is read by
//! itself: what one holds is no reason to pass over the next.

use std::collections::BTreeMap;

use iothub_core::configuration::{
    Configuration, ConfigurationDraft, ConfigurationId, TargetStatus, Targeting,
};
use iothub_core::error::HubError;
use iothub_core::ids::{DeviceId, ETag, GenerationId, ModuleId};
use iothub_core::limits;
use iothub_core::registry::identity::{Authentication, IdentityDraft};
use iothub_core::snapshot::{
    ConfigurationHistory, DeviceParts, IdentityHistory, ModuleParts, Restoring, Snapshot,
    check_configuration, check_identity, check_module_count,
};
use iothub_core::store::{ModuleRecord, Record};
use iothub_core::time::Timestamp;
use iothub_core::twin::{Document, Metadata, SectionDraft, Twin, TwinDraft};
use serde_json::Value;
use serde_json::value::RawValue;

use super::VERSION;
use super::body::{Body, Lists, count};
use super::members::is_countable;
use super::mistakes::{Mistakes, Place};
use crate::json::configuration::{priority, queries};
use crate::json::identity::{parse_authentication, parse_iot_edge, parse_scopes, parse_status};
use crate::json::{object_member, text_member};

const HUB: &[&str] = &["version", "devices", "configurations", "routing"];
const DEVICE: &[&str] = &[
    "deviceId",
    "status",
    "statusReason",
    "authentication",
    "capabilities",
    "deviceScope",
    "parentScopes",
    "twin",
    "modules",
    "generationId",
    "etag",
    "statusUpdatedTime",
];
const MODULE: &[&str] =
    &["moduleId", "managedBy", "authentication", "twin", "generationId", "etag"];
const AUTHENTICATION: &[&str] = &["type", "symmetricKey", "x509Thumbprint"];
const KEYS: &[&str] = &["primaryKey", "secondaryKey"];
const THUMBPRINTS: &[&str] = &["primaryThumbprint", "secondaryThumbprint"];
const TWIN: &[&str] = &[
    "tags",
    "properties",
    "modelId",
    "version",
    "etag",
    "configurations",
    "configurationSettings",
];
const PROPERTIES: &[&str] = &["desired", "reported"];
const CONFIGURATION: &[&str] = &[
    "id",
    "schemaVersion",
    "labels",
    "content",
    "targetCondition",
    "priority",
    "metrics",
    "createdTimeUtc",
    "lastUpdatedTimeUtc",
    "etag",
];
const METRICS: &[&str] = &["queries"];
const HUB_LISTS: Lists = &["devices", "configurations"];
const DEVICE_LISTS: Lists = &["modules"];
const NO_LISTS: Lists = &[];
const TIME: &str = "a time such as \"2026-01-31T12:00:00Z\"";

/// Reads the document of a hub: one that was taken of another, or a shorter one in which what is
/// left out is as with something new.
///
/// # Errors
///
/// Every mistake with its place, or, if there are very many, the first of them.
pub fn parse(document: &RawValue, restoring: Restoring<'_>) -> Result<Snapshot, Vec<String>> {
    let mut reader = Reader { restoring, mistakes: Mistakes::default(), parts: 0 };
    let snapshot = reader.hub(document);
    reader.mistakes.read_or_told(snapshot)
}

pub(super) struct Reader<'a> {
    pub(super) restoring: Restoring<'a>,
    pub(super) mistakes: Mistakes,
    /// Devices, modules and configurations so far.
    pub(super) parts: usize,
}

impl Reader<'_> {
    fn hub(&mut self, document: &RawValue) -> Snapshot {
        let place = Place::default();
        let Some(mut body) = self.body(&place, document, HUB_LISTS) else {
            return Snapshot::default();
        };
        let version =
            body.members.get("version").filter(|version| version.as_u64() != Some(VERSION));
        if let Some(version) = version {
            // What another version means by the rest is not known.
            self.mistakes.add(format_args!("version is {version}, expected {VERSION}"));
            return Snapshot::default();
        }
        self.known(&place, &body.members, HUB);
        let list = |name| (place.member(name), body.list(name));
        let configurations = body.list("configurations").map_or(0, count);
        self.bounded(configurations, limits::CONFIGURATIONS, "configurations");
        Snapshot {
            devices: self.each(
                list("devices"),
                DEVICE_LISTS,
                ("deviceId", device_id),
                Self::device,
            ),
            configurations: self.each(
                list("configurations"),
                NO_LISTS,
                ("id", ConfigurationId::parse),
                Self::configuration,
            ),
            routing: self.routing(&place, &mut body.members),
        }
    }

    fn device(&mut self, place: &Place, id: Option<DeviceId>, body: Body<'_>) -> Option<Record> {
        let modules = (place.member("modules"), body.list("modules"));
        let mut body = body.members;
        self.known(place, &body, DEVICE);
        let identity = self.identity(place, &mut body);
        let authentication = self.authentication(place, &mut body);
        let history = self.history(place, &body);
        let twin = self.twin(place, &mut body);
        let modules = self.each(modules, NO_LISTS, ("moduleId", module_id), Self::module);
        let id = id?;
        let ids = modules.iter().map(|module| &module.identity.id);
        self.mistakes.check(place, check_module_count(&id, ids));
        let (authentication, twin) = (authentication?, twin?);
        let parts = DeviceParts { id, identity, authentication, history, twin, modules };
        Some(self.restoring.device(parts))
    }

    fn module(
        &mut self,
        place: &Place,
        id: Option<ModuleId>,
        Body { members: mut body, .. }: Body<'_>,
    ) -> Option<ModuleRecord> {
        self.known(place, &body, MODULE);
        let managed_by = self.mistakes.member(place, text_member(&body, "managedBy"));
        let authentication = self.authentication(place, &mut body);
        let history = self.history(place, &body);
        let twin = self.twin(place, &mut body);
        let (id, authentication, twin) = (id?, authentication?, twin?);
        let parts = ModuleParts { id, managed_by, authentication, history, twin };
        Some(self.restoring.module(parts))
    }

    /// What callers of the registry write, but for the authentication.
    fn identity(&mut self, place: &Place, body: &mut Document) -> IdentityDraft {
        let draft = IdentityDraft {
            status: self.mistakes.member(place, parse_status(body)),
            status_reason: self.mistakes.member(place, text_member(body, "statusReason")),
            authentication: None,
            iot_edge: self.mistakes.member(place, parse_iot_edge(body)),
            device_scope: self.mistakes.member(place, text_member(body, "deviceScope")),
            parent_scopes: self.mistakes.member(place, parse_scopes(body)),
        };
        self.mistakes.member(place, check_identity(&draft));
        draft
    }

    fn authentication(&mut self, place: &Place, body: &mut Document) -> Option<Authentication> {
        let found = self.mistakes.member(place, object_member(body, "authentication"));
        if let Some(found) = &found {
            let place = place.member("authentication");
            self.known(&place, found, AUTHENTICATION);
            for (name, known) in [("symmetricKey", KEYS), ("x509Thumbprint", THUMBPRINTS)] {
                if let Some(Value::Object(inner)) = found.get(name) {
                    self.known(&place.member(name), inner, known);
                }
            }
        }
        let draft = found.map(parse_authentication).transpose();
        let settled = draft.and_then(|draft| self.restoring.authentication(draft.as_ref()));
        self.mistakes.member(place, settled.map(Some))
    }

    fn history(&mut self, place: &Place, body: &Document) -> IdentityHistory {
        let version = |text: &str| ETag::new(text).identity_version().filter(is_countable);
        IdentityHistory {
            generation: self.parsed(place, body, "generationId", "a number", GenerationId::parse),
            version: self.parsed(place, body, "etag", "the ETag of an identity", version),
            status_updated: self.parsed(place, body, "statusUpdatedTime", TIME, Timestamp::parse),
        }
    }

    fn twin(&mut self, place: &Place, body: &mut Document) -> Option<Twin> {
        let body = self.mistakes.member(place, object_member(body, "twin"));
        let (place, mut body) = (place.member("twin"), body.unwrap_or_default());
        self.known(&place, &body, TWIN);
        let properties = self.mistakes.member(&place, object_member(&mut body, "properties"));
        let mut properties = properties.unwrap_or_default();
        let inner = place.member("properties");
        self.known(&inner, &properties, PROPERTIES);
        let writes = |text: &str| ETag::new(text).twin_writes().filter(is_countable);
        let draft = TwinDraft {
            tags: self.mistakes.member(&place, object_member(&mut body, "tags")),
            desired: self.section(&inner, &mut properties, "desired"),
            reported: self.section(&inner, &mut properties, "reported"),
            model_id: self.mistakes.member(&place, text_member(&body, "modelId")),
            version: self.count(&place, &mut body, "version"),
            service_writes: self.parsed(&place, &body, "etag", "the ETag of a twin", writes),
            configurations: self.targeting(&place, &mut body),
        };
        let mistakes = match self.restoring.twin(draft) {
            Ok(twin) => return Some(twin),
            Err(mistakes) => mistakes,
        };
        for (section, why) in mistakes {
            self.mistakes.rule(&place.member(section), why);
        }
        None
    }

    fn section(&mut self, place: &Place, body: &mut Document, name: &str) -> SectionDraft {
        let section = self.mistakes.member(place, object_member(body, name));
        let (place, mut properties) = (place.member(name), section.unwrap_or_default());
        let metadata = self.mistakes.member(&place, object_member(&mut properties, "$metadata"));
        let metadata = metadata.map(|metadata| Metadata::from_json(&metadata)).transpose();
        SectionDraft {
            version: self.count(&place, &mut properties, "$version"),
            metadata: metadata.unwrap_or_else(|why| {
                self.mistakes.rule(&place.member("$metadata"), why);
                None
            }),
            properties,
        }
    }

    fn targeting(&mut self, place: &Place, body: &mut Document) -> Targeting {
        let targeting = self.mistakes.member(place, object_member(body, "configurations"));
        let settings = self.mistakes.member(place, object_member(body, "configurationSettings"));
        let place = place.member("configurations");
        let mut statuses = BTreeMap::new();
        for (name, value) in targeting.unwrap_or_default() {
            let place = place.member(&name);
            let id = ConfigurationId::parse(&name).map_err(|why| self.mistakes.rule(&place, why));
            let Some(body) = self.object(&place, value) else { continue };
            let status =
                self.parsed(&place, &body, "status", "Targeted or Applied", TargetStatus::parse);
            statuses.extend(id.ok().zip(status));
        }
        Targeting::restored(statuses, settings.unwrap_or_default())
    }

    fn configuration(
        &mut self,
        place: &Place,
        id: Option<ConfigurationId>,
        Body { members: mut body, .. }: Body<'_>,
    ) -> Option<Configuration> {
        self.known(place, &body, CONFIGURATION);
        let metrics = self.mistakes.member(place, object_member(&mut body, "metrics"));
        let metrics = metrics.unwrap_or_default();
        self.known(&place.member("metrics"), &metrics, METRICS);
        let metrics = queries(metrics, "queries");
        let draft = ConfigurationDraft {
            schema_version: self.mistakes.member(place, text_member(&body, "schemaVersion")),
            labels: self.mistakes.member(place, object_member(&mut body, "labels")),
            content: self
                .mistakes
                .member(place, object_member(&mut body, "content"))
                .unwrap_or_default(),
            target_condition: self.mistakes.member(place, text_member(&body, "targetCondition")),
            priority: self.mistakes.member(place, priority(&body)),
            metrics: self.mistakes.member(&place.member("metrics"), metrics),
        };
        let version = |text: &str| ETag::new(text).identity_version().filter(is_countable);
        let history = ConfigurationHistory {
            version: self.parsed(place, &body, "etag", "the ETag of a configuration", version),
            created: self.parsed(place, &body, "createdTimeUtc", TIME, Timestamp::parse),
            updated: self.parsed(place, &body, "lastUpdatedTimeUtc", TIME, Timestamp::parse),
        };
        let checked = check_configuration(&draft);
        if !checked.is_empty() {
            checked.into_iter().for_each(|why| self.mistakes.rule(place, why));
            return None;
        }
        let made = self.restoring.configuration(id?, draft, history);
        made.map_err(|why| self.mistakes.rule(place, why)).ok()
    }
}

fn device_id(text: &str) -> Result<DeviceId, HubError> {
    Ok(DeviceId::parse(text)?)
}

fn module_id(text: &str) -> Result<ModuleId, HubError> {
    Ok(ModuleId::parse(text)?)
}
