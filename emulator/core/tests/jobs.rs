//! Jobs over time and over many devices: the hub's own clock starts them, and a test turns it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use iothub_core::auth::policy::AccessRight;
use iothub_core::auth::sas::SasToken;
use iothub_core::configuration::{ConfigurationDraft, ConfigurationId};
use iothub_core::hub::{Hub, Ports};
use iothub_core::ids::{DeviceId, GenerationId, Precondition};
use iothub_core::job::{Action, Job, JobDraft, JobId, JobStatus};
use iothub_core::limits;
use iothub_core::registry::identity::{Authentication, DeviceIdentity, Status};
use iothub_core::session::{QueryRows, ServiceSession};
use iothub_core::store::{Change, Record, Records as _};
use iothub_core::time::{Clock as _, ManualClock, Timestamp};
use iothub_core::twin::{Document, SectionPatch, Twin, TwinPatch};
use iothub_store::memory::MemoryRecords;
use serde_json::json;

struct Fixture {
    hub: Hub,
    clock: Arc<ManualClock>,
    records: Arc<MemoryRecords>,
    token: SasToken,
}

impl Fixture {
    /// A hub at work, with so many devices.
    async fn with_devices(count: usize) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000)));
        let records = Arc::new(MemoryRecords::default());
        let (policy, token) = common::owner(&[
            AccessRight::RegistryRead,
            AccessRight::RegistryWrite,
            AccessRight::ServiceConnect,
        ]);
        let ports = Ports { records: records.clone(), ..common::ports(&clock) };
        let hub = Hub::new("hub", vec![policy], None, ports);
        let fixture = Self { hub, clock, records, token };
        for number in 0..count {
            fixture.add(&format!("d{number:06}")).await;
        }
        let hub = fixture.hub.clone();
        tokio::spawn(async move { hub.work().await });
        fixture
    }

    async fn add(&self, name: &str) {
        let identity = DeviceIdentity {
            id: DeviceId::parse(name).unwrap(),
            generation: GenerationId::at(Timestamp::NEVER),
            version: 1,
            status: Status::Enabled,
            status_reason: None,
            status_updated: Timestamp::NEVER,
            authentication: Authentication::None,
            iot_edge: false,
            device_scope: None,
            parent_scopes: Vec::new(),
        };
        let (id, twin) = (identity.id.clone(), Twin::new(Timestamp::NEVER));
        let record = Some(Arc::new(Record { identity, twin, modules: BTreeMap::new() }));
        let change = Change { id, expected: None, record, effects: Vec::new() };
        self.records.commit(change).await.unwrap();
    }

    fn service(&self) -> ServiceSession {
        self.hub.service(self.hub.authenticate_service(&[], &self.token).unwrap())
    }

    async fn create(&self, start: Option<Timestamp>) {
        let tags = json!({"touched": true}).as_object().unwrap().clone();
        let patch = TwinPatch { tags: Some(SectionPatch::Merge(tags)), desired: None };
        let draft = JobDraft {
            action: Action::UpdateTwin(patch),
            source: Document::new(),
            query_condition: "*".to_owned(),
            start,
            time_limit: None,
        };
        self.service().create_job(&id(), draft).await.unwrap();
    }

    async fn job_that(&self, is_as_expected: impl Fn(&Job) -> bool) -> Arc<Job> {
        loop {
            let job = self.service().job(&id()).await.unwrap();
            if is_as_expected(&job) {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn count(&self, query: &str) -> u64 {
        let page = self.service().query(query, 100, None).await.unwrap();
        let QueryRows::Raw(rows) = page.rows else { panic!("{page:?}") };
        rows[0]["n"].as_u64().unwrap()
    }
}

fn id() -> JobId {
    JobId::parse("j").unwrap()
}

#[tokio::test]
async fn a_job_over_100_000_devices_stops_half_way() {
    const DEVICES: usize = 100_000;
    let fixture = Fixture::with_devices(DEVICES).await;
    fixture.create(None).await;
    fixture.job_that(|job| job.counts().succeeded >= DEVICES / 4).await;
    let cancelled = fixture.service().cancel_job(&id()).await.unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);
    // Whatever was under way is done within one more piece, and nothing after it.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let job = fixture.service().job(&id()).await.unwrap();
    let counts = job.counts();
    assert!(counts.succeeded - cancelled.counts().succeeded <= limits::JOB_CHUNK, "{counts:?}");
    assert!(counts.succeeded < DEVICES, "{counts:?}");
    assert_eq!((counts.all, counts.failed, counts.pending), (DEVICES, 0, 0));
    let touched = "SELECT COUNT() AS n FROM devices WHERE tags.touched = true";
    assert_eq!(fixture.count(touched).await, counts.succeeded as u64);
}

#[tokio::test]
async fn the_clock_starts_a_job() {
    let fixture = Fixture::with_devices(1).await;
    fixture.create(Some(fixture.clock.now().after(Duration::from_secs(60)))).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.service().job(&id()).await.unwrap().status, JobStatus::Scheduled);
    fixture.clock.advance(Duration::from_secs(61));
    let job = fixture.job_that(|job| job.status.is_end()).await;
    assert_eq!((job.status, job.counts().succeeded), (JobStatus::Completed, 1));
    // After its time in the history it is forgotten.
    fixture.clock.advance(limits::JOB_HISTORY + Duration::from_secs(60));
    while fixture.service().job(&id()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_twins_follow_a_configuration_and_others_are_not_held_up() {
    const DEVICES: usize = 2_000;
    let fixture = Fixture::with_devices(DEVICES).await;
    let content = json!({"deviceContent": {"properties.desired.a": 1}});
    let draft = ConfigurationDraft {
        content: content.as_object().unwrap().clone(),
        target_condition: Some("deviceId < 'd001000'".to_owned()),
        ..ConfigurationDraft::default()
    };
    let id = ConfigurationId::parse("c").unwrap();
    let session = fixture.service();
    session.put_configuration(&id, &draft, &Precondition::None).await.unwrap();
    loop {
        let view = session.configuration(&id).await.unwrap();
        let counts: Vec<u64> = view.system.results.iter().map(|(_, count)| *count).collect();
        if counts == [1_000, 1_000] {
            break;
        }
        assert!(counts[1] < 1_000, "{counts:?}");
        tokio::task::yield_now().await;
    }
    session.delete_configuration(&id, &Precondition::Exists).await.unwrap();
    while fixture.count("SELECT COUNT() AS n FROM devices WHERE properties.desired.a = 1").await > 0
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_changes_without_a_write_is_found_by_the_clock() {
    let fixture = Fixture::with_devices(1).await;
    let content = json!({"deviceContent": {"properties.desired.a": 1}});
    let draft = ConfigurationDraft {
        content: content.as_object().unwrap().clone(),
        target_condition: Some("*".to_owned()),
        ..ConfigurationDraft::default()
    };
    let id = ConfigurationId::parse("c").unwrap();
    fixture.service().put_configuration(&id, &draft, &Precondition::None).await.unwrap();
    let configured = "SELECT COUNT() AS n FROM devices WHERE properties.desired.a = 1";
    while fixture.count(configured).await < 1 {
        tokio::task::yield_now().await;
    }
    // Nobody told the hub of this one.
    fixture.add("other").await;
    fixture.clock.advance(limits::CONFIGURATION_INTERVAL + Duration::from_secs(1));
    while fixture.count(configured).await < 2 {
        tokio::task::yield_now().await;
    }
}
