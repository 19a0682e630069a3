//! Where events go, and the events that the hub makes itself, as readers of event hubs see them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iothub_core::auth::policy::AccessRight;
use iothub_core::auth::sas::SasToken;
use iothub_core::event::{Event, EventSource, Message, SystemProperty};
use iothub_core::hub::{Hub, Ports};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId, Precondition};
use iothub_core::journal::What;
use iothub_core::registry::identity::{IdentityDraft, ModuleDraft};
use iothub_core::route::properties::{
    EndpointKind, EndpointProperties, EnrichmentProperties, RouteProperties, RoutingProperties,
};
use iothub_core::route::{Outlet, Routing, Sink};
use iothub_core::session::{Connect, Connected, ServiceSession};
use iothub_core::store::{Answer, EventLog, StoreError};
use iothub_core::time::{ManualClock, Timestamp};
use iothub_core::twin::{Dialect, Document, SectionPatch, TwinPatch, TwinReplacement};
use iothub_store::memory::MemoryEventLog;
use serde_json::{Value, json};

/// Keeps what it gets, unless it fails.
#[derive(Default)]
struct Kept(Mutex<Vec<Arc<Event>>>, AtomicBool);

impl Sink for Kept {
    fn take(&self, event: Arc<Event>) -> Answer<'_, ()> {
        let fails = self.1.load(Ordering::Relaxed);
        if !fails {
            self.0.lock().unwrap().push(event);
        }
        let outcome = if fails { Err(StoreError::Full) } else { Ok(()) };
        Box::pin(std::future::ready(outcome))
    }
}

struct Fixture {
    hub: Hub,
    clock: Arc<ManualClock>,
    token: SasToken,
    outside: Arc<Kept>,
}

fn id(device: &str, module: Option<&str>) -> IdentityId {
    let device = DeviceId::parse(device).unwrap();
    IdentityId { device, module: module.map(|module| ModuleId::parse(module).unwrap()) }
}

fn object(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

impl Fixture {
    fn new(properties: &RoutingProperties) -> Self {
        let outside = Arc::new(Kept::default());
        let wiring = Routing::new(properties).unwrap().wired(|endpoint| match &endpoint.kind {
            EndpointKind::EventHub { partitions, .. } => {
                Outlet::EventHub(Arc::new(MemoryEventLog::new(*partitions, 1 << 20)))
            }
            _ => Outlet::Sink(outside.clone()),
        });
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let (policy, token) = common::owner(&[
            AccessRight::RegistryRead,
            AccessRight::RegistryWrite,
            AccessRight::ServiceConnect,
            AccessRight::DeviceConnect,
        ]);
        let ports = Ports {
            events: Arc::new(MemoryEventLog::new(2, 1 << 20)),
            routing: wiring,
            ..common::ports(&clock)
        };
        let hub = Hub::new("myhub", vec![policy], None, ports);
        Self { hub, clock, token, outside }
    }

    fn service(&self) -> ServiceSession {
        self.hub.service(self.hub.authenticate_service(&[], &self.token).unwrap())
    }

    async fn create(&self, device: &str) {
        let draft = IdentityDraft::default();
        let device = DeviceId::parse(device).unwrap();
        self.service().put_device(&device, &draft, &Precondition::None).await.unwrap();
    }

    async fn connect(&self, id: &IdentityId, model: Option<&str>) -> Connected {
        let principal = self.hub.authenticate_device(id, &self.token).await.unwrap();
        let connect = Connect { model_id: model.map(str::to_owned), ..Connect::default() };
        self.hub.device(principal, connect).await.unwrap()
    }

    async fn send(&self, connected: &Connected, properties: &[(&str, &str)]) {
        let application = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
            .collect();
        let message = Message { application, body: "{}".into(), ..Message::default() };
        connected.session.send_event(message).await.unwrap();
    }

    /// What an event hub holds, partition by partition.
    async fn events(&self, event_hub: &str) -> Vec<Arc<Event>> {
        let log: &dyn EventLog = &*self.hub.event_hub(event_hub).unwrap().log;
        let mut events = Vec::new();
        for partition in 0..log.partitions() {
            let read = log.read(partition, 0, 100).await.unwrap();
            events.extend(read.into_iter().map(|logged| logged.event));
        }
        events
    }

    async fn operations(&self) -> Vec<(String, Value)> {
        self.events("myhub").await.iter().map(|event| (operation(event), body(event))).collect()
    }
}

fn property<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    let application = &event.message.application;
    application.iter().find(|(known, _)| known == name)?.1.as_deref()
}

fn operation(event: &Event) -> String {
    let about = id_text(&event.sender);
    format!("{} {about}", property(event, "opType").unwrap())
}

fn id_text(id: &IdentityId) -> String {
    let module = id.module.as_ref().map(|module| format!("/{}", module.as_str()));
    format!("{}{}", id.device, module.unwrap_or_default())
}

fn body(event: &Event) -> Value {
    serde_json::from_slice(&event.message.body).unwrap()
}

fn route(source: EventSource) -> RouteProperties {
    RouteProperties { source, ..RouteProperties::new(source.route_source(), "events") }
}

fn endpoint(name: &str, kind: EndpointKind) -> EndpointProperties {
    EndpointProperties { name: name.to_owned(), kind }
}

#[tokio::test]
async fn messages_go_where_their_routes_lead_and_else_to_the_fallback() {
    let alerts = RouteProperties {
        condition: "alert = 'yes'".to_owned(),
        endpoint_names: vec!["alerts".to_owned(), "web".to_owned()],
        ..RouteProperties::new("alerts", "alerts")
    };
    let again = RouteProperties { name: "again".to_owned(), ..alerts.clone() };
    let disabled = RouteProperties { is_enabled: false, ..RouteProperties::new("all", "alerts") };
    let properties = RoutingProperties {
        endpoints: vec![
            endpoint("alerts", EndpointKind::event_hub()),
            endpoint("web", EndpointKind::Webhook("http://127.0.0.1:1/".to_owned())),
        ],
        routes: vec![alerts, again, disabled],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    fixture.create("d").await;
    let connected = fixture.connect(&id("d", None), None).await;
    fixture.send(&connected, &[("alert", "yes")]).await;
    fixture.send(&connected, &[("alert", "no")]).await;
    let alert = |event: &Arc<Event>| property(event, "alert").unwrap().to_owned();
    let alerts: Vec<_> = fixture.events("ALERTS").await.iter().map(alert).collect();
    assert_eq!(alerts, ["yes"], "one copy, though two routes lead there");
    let fallback: Vec<_> = fixture.events("myhub").await.iter().map(alert).collect();
    assert_eq!(fallback, ["no"]);
    let outside: Vec<_> = fixture.outside.0.lock().unwrap().iter().map(alert).collect();
    assert_eq!(outside, ["yes"]);
}

#[tokio::test]
async fn without_a_fallback_what_no_route_takes_is_gone() {
    let alerts = RouteProperties {
        condition: "alert = 'yes'".to_owned(),
        ..RouteProperties::new("alerts", "events")
    };
    let mut properties = RoutingProperties { routes: vec![alerts], ..RoutingProperties::default() };
    properties.fallback_route.is_enabled = false;
    let fixture = Fixture::new(&properties);
    fixture.create("d").await;
    let connected = fixture.connect(&id("d", None), None).await;
    fixture.send(&connected, &[("alert", "no")]).await;
    assert!(fixture.events("myhub").await.is_empty());
    let noted = fixture.hub.journal().after(0, usize::MAX).into_iter().rev();
    let why = noted.into_iter().find_map(|entry| match &entry.what {
        What::Event { why, .. } => why.clone(),
        _ => None,
    });
    let expected = "alerts: does not match, the condition is false\n    alert = \"no\"\n";
    assert_eq!(why.as_deref(), Some(expected));
}

#[tokio::test]
async fn enrichments_are_added_on_the_way_to_their_endpoints() {
    let enrichment = |key: &str, value: &str, endpoint: &str| EnrichmentProperties {
        key: key.to_owned(),
        value: value.to_owned(),
        endpoint_names: vec![endpoint.to_owned()],
    };
    let both = RouteProperties {
        endpoint_names: vec!["events".to_owned(), "copy".to_owned()],
        ..RouteProperties::new("both", "events")
    };
    let properties = RoutingProperties {
        endpoints: vec![endpoint("copy", EndpointKind::event_hub())],
        routes: vec![both],
        enrichments: vec![
            enrichment("static", "text", "events"),
            enrichment("hub", "$iotHubName", "events"),
            enrichment("floor", "$twin.tags.floor", "events"),
            enrichment("nothing", "$twin.tags.nothing", "events"),
            enrichment("sent", "overwritten", "events"),
        ],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    fixture.create("d").await;
    let patch = TwinPatch {
        tags: Some(SectionPatch::Merge(object(json!({"floor": 3})))),
        ..TwinPatch::default()
    };
    let service = fixture.service();
    let none = Precondition::None;
    service.patch_twin(&id("d", None), &patch, Dialect::CURRENT, &none).await.unwrap();
    let connected = fixture.connect(&id("d", None), None).await;
    fixture.send(&connected, &[("sent", "by the device")]).await;
    let events = fixture.events("myhub").await;
    let found = |name: &str| property(&events[0], name);
    assert_eq!(found("static"), Some("text"));
    assert_eq!(found("hub"), Some("myhub"));
    assert_eq!(found("floor"), Some("3"));
    assert_eq!(found("nothing"), Some("$twin.tags.nothing"));
    assert_eq!(found("sent"), Some("overwritten"));
    let copy = fixture.events("copy").await;
    assert_eq!(
        copy[0].message.application,
        [("sent".to_owned(), Some("by the device".to_owned()))]
    );
}

#[tokio::test]
async fn without_a_route_the_hub_tells_of_nothing() {
    let fixture = Fixture::new(&RoutingProperties::default());
    fixture.create("d").await;
    drop(fixture.connect(&id("d", None), None).await);
    assert!(fixture.events("myhub").await.is_empty());
}

#[tokio::test]
async fn changes_of_twins_are_told_in_their_order() {
    let properties = RoutingProperties {
        routes: vec![route(EventSource::TwinChange)],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    fixture.create("d").await;
    let device = id("d", None);
    let connected = fixture.connect(&device, None).await;
    let (service, none) = (fixture.service(), Precondition::None);
    let patch = TwinPatch {
        tags: Some(SectionPatch::Merge(object(json!({"floor": 3})))),
        desired: Some(SectionPatch::Merge(object(json!({"a": {"b": 1, "c": 2}})))),
    };
    service.patch_twin(&device, &patch, Dialect::CURRENT, &none).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    let report = object(json!({"ok": true, "list": [1]}));
    connected.session.patch_reported(&report, None, Dialect::CURRENT).await.unwrap();
    let patch = TwinPatch {
        desired: Some(SectionPatch::Merge(object(json!({"a": {"b": null, "c": 3}})))),
        ..TwinPatch::default()
    };
    service.patch_twin(&device, &patch, Dialect::CURRENT, &none).await.unwrap();
    let content = TwinReplacement { desired: Some(object(json!({"z": 1}))), tags: None };
    service.replace_twin(&device, &content, Dialect::CURRENT, &none).await.unwrap();

    let events = fixture.events("myhub").await;
    let told: Vec<_> = events.iter().map(|event| operation(event)).collect();
    assert_eq!(told, ["updateTwin d", "updateTwin d", "updateTwin d", "replaceTwin d"]);
    let first = "2027-01-15T08:00:00Z";
    let second = "2027-01-15T08:00:01Z";
    assert_eq!(
        body(&events[0]),
        json!({
            "version": 3,
            "tags": {"floor": 3},
            "properties": {"desired": {
                "a": {"b": 1, "c": 2},
                "$metadata": {
                    "$lastUpdated": first, "$lastUpdatedVersion": 2,
                    "a": {
                        "$lastUpdated": first, "$lastUpdatedVersion": 2,
                        "b": {"$lastUpdated": first, "$lastUpdatedVersion": 2},
                        "c": {"$lastUpdated": first, "$lastUpdatedVersion": 2},
                    },
                },
                "$version": 2,
            }},
        })
    );
    assert_eq!(
        body(&events[1]),
        json!({
            "version": 4,
            "properties": {"reported": {
                "ok": true,
                "list": [1],
                "$metadata": {
                    "$lastUpdated": second,
                    "ok": {"$lastUpdated": second},
                    "list": {"$lastUpdated": second},
                },
                "$version": 2,
            }},
        })
    );
    let desired = &body(&events[2])["properties"]["desired"];
    assert_eq!(desired["a"], json!({"b": null, "c": 3}));
    assert_eq!(body(&events[3])["properties"]["desired"]["z"], json!(1));
    assert_eq!(body(&events[3])["deviceId"], json!("d"));

    let event = &events[0];
    assert_eq!(event.message.system(SystemProperty::ContentType), Some("application/json"));
    assert_eq!(event.message.system(SystemProperty::ContentEncoding), Some("utf-8"));
    assert_eq!(event.message.system(SystemProperty::UserId), Some("myhub"));
    assert_eq!(event.message.system(SystemProperty::CorrelationId).map(str::len), Some(16));
    let names: Vec<_> = event.message.application.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["hubName", "deviceId", "operationTimestamp", "iothub-message-schema", "opType"];
    assert_eq!(names, expected);
    assert_eq!(property(event, "iothub-message-schema"), Some("twinChangeNotification"));
}

#[tokio::test]
async fn identities_that_come_and_go_are_told_with_their_twins() {
    let properties = RoutingProperties {
        routes: vec![route(EventSource::DeviceLifecycle)],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    fixture.create("d").await;
    let (service, none) = (fixture.service(), Precondition::None);
    let (device, module) = (DeviceId::parse("d").unwrap(), ModuleId::parse("m").unwrap());
    let draft = ModuleDraft::default();
    service.put_module(&device, &module, &draft, &none).await.unwrap();
    service.delete_module(&device, &module, &none).await.unwrap();
    service.put_module(&device, &module, &draft, &none).await.unwrap();
    service.delete_device(&device, &none).await.unwrap();
    let told = fixture.operations().await;
    let operations: Vec<_> = told.iter().map(|(operation, _)| operation.as_str()).collect();
    let expected = [
        "createDeviceIdentity d",
        "createDeviceIdentity d/m",
        "deleteDeviceIdentity d/m",
        "createDeviceIdentity d/m",
        "deleteDeviceIdentity d/m",
        "deleteDeviceIdentity d",
    ];
    assert_eq!(operations, expected);
    assert_eq!(told[0].1["etag"], json!("AAAAAAAAAAE="));
    assert_eq!(told[0].1["version"], json!(2));
    assert_eq!(told[0].1["properties"]["desired"]["$version"], json!(1));
    assert_eq!(told[1].1["moduleId"], json!("m"));
    let events = fixture.events("myhub").await;
    assert_eq!(property(&events[1], "moduleId"), Some("m"));
}

#[tokio::test]
async fn connections_are_told_when_they_begin_and_end_and_not_when_they_are_taken_over() {
    let properties = RoutingProperties {
        routes: vec![route(EventSource::DeviceConnectionState)],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    let hub = fixture.hub.clone();
    let work = tokio::spawn(async move { hub.work().await });
    fixture.create("d").await;
    let device = id("d", None);
    let first = fixture.connect(&device, None).await;
    let second = fixture.connect(&device, None).await;
    drop(first);
    drop(second);
    drop(fixture.connect(&device, None).await);
    let mut told = fixture.operations().await;
    while told.len() < 4 {
        tokio::task::yield_now().await;
        told = fixture.operations().await;
    }
    let operations: Vec<_> = told.iter().map(|(operation, _)| operation.as_str()).collect();
    let expected =
        ["deviceConnected d", "deviceDisconnected d", "deviceConnected d", "deviceDisconnected d"];
    assert_eq!(operations, expected);
    let numbers: Vec<_> =
        told.iter().map(|(_, body)| body["sequenceNumber"].as_str().unwrap().to_owned()).collect();
    assert!(numbers.is_sorted() && numbers.iter().all(|number| number.len() == 64), "{numbers:?}");
    work.abort();
}

#[tokio::test]
async fn a_notice_that_an_endpoint_refused_is_not_told_again_to_those_that_have_it() {
    let both = RouteProperties {
        source: EventSource::DeviceLifecycle,
        endpoint_names: vec!["events".to_owned(), "web".to_owned()],
        ..RouteProperties::new("both", "events")
    };
    let web = EndpointKind::Webhook("http://127.0.0.1:1/".to_owned());
    let properties = RoutingProperties {
        endpoints: vec![endpoint("web", web)],
        routes: vec![both],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    fixture.outside.1.store(true, Ordering::Relaxed);
    fixture.create("d1").await;
    fixture.create("d2").await;
    let told = async || fixture.events("myhub").await.len();
    assert_eq!(told().await, 1, "the second waits behind the first");
    fixture.outside.1.store(false, Ordering::Relaxed);
    fixture.create("d3").await;
    assert_eq!(told().await, 3);
    let outside = fixture.outside.0.lock().unwrap();
    let outside: Vec<_> = outside.iter().map(|event| id_text(&event.sender)).collect();
    assert_eq!(outside, ["d1", "d2", "d3"]);
}

#[tokio::test]
async fn digital_twins_tell_of_their_changes_as_json_patches() {
    let properties = RoutingProperties {
        routes: vec![route(EventSource::DigitalTwinChange)],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    fixture.create("d").await;
    let connected = fixture.connect(&id("d", None), Some("dtmi:com:example:Thermostat;1")).await;
    for (temperature, component) in [(34.9, 29.1), (35.5, 29.1)] {
        let report = object(json!({
            "maxTemp": temperature,
            "thermostat1": {"__t": "c", "max": component},
        }));
        connected.session.patch_reported(&report, None, Dialect::CURRENT).await.unwrap();
        fixture.clock.advance(Duration::from_secs(1));
    }
    let events = fixture.events("myhub").await;
    let kind = events[0].message.system(SystemProperty::ContentType);
    assert_eq!(kind, Some("application/json-patch+json"));
    let operation = |event: usize, path: &str| {
        let operations = body(&events[event]);
        let operations = operations.as_array().unwrap();
        operations.iter().find(|one| one["path"] == path).cloned().unwrap()
    };
    assert_eq!(operation(0, "/maxTemp"), json!({"op": "add", "path": "/maxTemp", "value": 34.9}));
    let metadata = operation(0, "/$metadata/maxTemp");
    assert_eq!(metadata["value"], json!({"lastUpdateTime": "2027-01-15T08:00:00Z"}));
    assert_eq!(operation(0, "/thermostat1")["op"], "add");
    assert_eq!(operation(1, "/maxTemp")["op"], "replace");
    let time = operation(1, "/thermostat1/$metadata/max/lastUpdateTime");
    assert_eq!(time["value"], "2027-01-15T08:00:01Z");
}

#[tokio::test]
async fn the_twin_of_the_sender_can_decide_where_its_changes_go() {
    let properties = RoutingProperties {
        routes: vec![RouteProperties {
            condition: "is_defined($body.properties.reported.ok) AND $twin.tags.floor = 3"
                .to_owned(),
            ..route(EventSource::TwinChange)
        }],
        ..RoutingProperties::default()
    };
    let fixture = Fixture::new(&properties);
    for (device, floor) in [("one", 3), ("two", 4)] {
        fixture.create(device).await;
        let patch = TwinPatch {
            tags: Some(SectionPatch::Merge(object(json!({"floor": floor})))),
            ..TwinPatch::default()
        };
        let (service, device) = (fixture.service(), id(device, None));
        let none = Precondition::None;
        service.patch_twin(&device, &patch, Dialect::CURRENT, &none).await.unwrap();
        let connected = fixture.connect(&device, None).await;
        let report = object(json!({"ok": true}));
        connected.session.patch_reported(&report, None, Dialect::CURRENT).await.unwrap();
    }
    let told: Vec<_> = fixture.operations().await.into_iter().map(|(told, _)| told).collect();
    assert_eq!(told, ["updateTwin one"]);
}
