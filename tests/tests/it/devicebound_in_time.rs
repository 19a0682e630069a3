//! Cloud-to-device messages on a clock that the test turns: locks, expiry, feedback, and a long
//! random run in which nothing is lost, comes twice, or comes too late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use iothub_core::auth::policy::{AccessRights, BUILT_IN, SharedAccessPolicy};
use iothub_core::auth::sas::{self, SasToken};
use iothub_core::auth::x509::NoAuthorities;
use iothub_core::auth::{DevicePrincipal, ServicePrincipal};
use iothub_core::devicebound::feedback::{FeedbackRecord, FeedbackStatus};
use iothub_core::devicebound::{Delivery, LockToken, Outgoing, Settlement};
use iothub_core::error::HubError;
use iothub_core::event::{Message, SystemProperty};
use iothub_core::hub::{Hub, Ports};
use iothub_core::ids::{DeviceId, IdentityId, Precondition};
use iothub_core::limits;
use iothub_core::random::Random;
use iothub_core::route::Wiring;
use iothub_core::session::{
    Assurance, Channel, Connect, Connected, DeviceRequest, Downlink, ServiceSession,
};
use iothub_core::time::{Clock, ManualClock, Timestamp};
use iothub_store::memory::{MemoryEventLog, MemoryRecords};
use iothub_store::memory_table::MemoryTable;
use iothub_tests::{FAR_FUTURE, key};
use iothub_wire::json::identity::parse_draft;
use serde_json::json;
use tokio::time::timeout;

const LOCK: Duration = limits::DEVICEBOUND_LOCK_TIME;
const TTL: Duration = limits::DEVICEBOUND_DEFAULT_TTL;

/// A hub with one device, on a clock that stands.
struct Bench {
    clock: Arc<ManualClock>,
    hub: Hub,
    service: ServiceSession,
    device: DeviceId,
}

impl Bench {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_700_000_000)));
        let (name, rights) = BUILT_IN[0];
        let policy = SharedAccessPolicy {
            name: name.to_owned(),
            primary: key(3),
            secondary: key(4),
            rights: AccessRights::of(rights),
        };
        let ports = Ports {
            records: Arc::new(MemoryRecords::default()),
            events: Arc::new(MemoryEventLog::new(4, 1024 * 1024)),
            consumer_groups: Vec::new(),
            routing: Wiring::default(),
            authorities: Arc::new(NoAuthorities),
            clock: clock.clone(),
            random: Arc::new(Random::seeded(1)),
            storage: None,
            configurations: Arc::new(MemoryTable::default()),
            jobs: Arc::new(MemoryTable::default()),
        };
        let hub = Hub::new("hub", vec![policy], None, ports);
        let principal = owner(&hub);
        let service = hub.service(principal);
        let device = DeviceId::parse("d1").unwrap();
        let keys = json!({"primaryKey": key(1).as_base64(), "secondaryKey": key(2).as_base64()});
        let document = json!({
            "deviceId": "d1",
            "authentication": {"type": "sas", "symmetricKey": keys},
        });
        let draft = parse_draft(document.as_object().unwrap().clone(), &device).unwrap();
        service.put_device(&device, &draft, &Precondition::None).await.unwrap();
        Self { clock, hub, service, device }
    }

    async fn principal(&self) -> DevicePrincipal {
        let token = sas::sign("hub%2Fdevices%2Fd1", FAR_FUTURE, None, &key(1));
        let id = IdentityId::from(self.device.clone());
        self.hub.authenticate_device(&id, &SasToken::parse(&token).unwrap()).await.unwrap()
    }

    /// The device, as it asks over HTTPS.
    async fn request(&self) -> DeviceRequest {
        self.hub.device_request(self.principal().await)
    }

    /// The device, as it listens over MQTT with a session that stays.
    async fn connect(&self) -> Connected {
        let connect = Connect { persistent: true, ..Connect::default() };
        let connected = self.hub.device(self.principal().await, connect).await.unwrap();
        connected.session.subscribe(Channel::Devicebound, Assurance::AtLeastOnce);
        connected
    }

    async fn send(&self, id: &str, expiry: Option<Timestamp>) -> Result<(), HubError> {
        let message = Message {
            system: vec![(SystemProperty::MessageId, id.to_owned())],
            application: vec![("iothub-ack".to_owned(), Some("full".to_owned()))],
            body: id.to_owned().into(),
        };
        self.service.send_devicebound(&self.device, Outgoing::new(message, expiry)?).await
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Turns the clock step by step while `future` waits, a few times at most.
    async fn turn_until<T>(&self, step: Duration, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        for _ in 0..5 {
            if let Some(output) = soon(future.as_mut()).await {
                return output;
            }
            self.wait(step);
        }
        panic!("nothing came, however late it is");
    }

    /// All feedback that there is, and that the coming seconds bring.
    async fn feedback(&self) -> Vec<FeedbackRecord> {
        self.wait(limits::FEEDBACK_BATCH_TIME);
        let mut records = Vec::new();
        while let Some(delivery) = soon(self.service.receive_feedback()).await {
            let delivery = delivery.unwrap();
            records.extend(delivery.batch.records.iter().cloned());
            let token = delivery.lock_token;
            assert_eq!(self.service.settle_feedback(token, Settlement::Complete), Ok(true));
            assert_eq!(self.service.settle_feedback(token, Settlement::Complete), Ok(false));
        }
        records
    }

    async fn outcomes(&self) -> Vec<(String, FeedbackStatus)> {
        let records = self.feedback().await.into_iter();
        records.map(|record| (record.original_message_id.unwrap(), record.status)).collect()
    }
}

fn owner(hub: &Hub) -> ServicePrincipal {
    let token = sas::sign("hub", FAR_FUTURE, Some(BUILT_IN[0].0), &key(3));
    hub.authenticate_service(&[], &SasToken::parse(&token).unwrap()).unwrap()
}

/// What a future has now: the clock stands, so waiting longer brings nothing.
async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_millis(1), future).await.ok()
}

async fn next(connected: &mut Connected) -> Option<Delivery> {
    match soon(connected.receiver.next()).await? {
        Downlink::Devicebound(delivery) => Some(delivery),
        other => panic!("{other:?} came, expected a message"),
    }
}

fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.message.body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_lock_ends_after_a_minute_and_the_message_comes_again() {
    let bench = Bench::start().await;
    let device = bench.request().await;
    bench.send("a", None).await.unwrap();
    let first = device.receive_devicebound(LOCK).unwrap();
    bench.wait(LOCK - Duration::from_secs(1));
    assert!(device.receive_devicebound(LOCK).is_none());
    bench.wait(Duration::from_secs(1));
    let second = device.receive_devicebound(LOCK).unwrap();
    assert_ne!(second.lock_token, first.lock_token);
    let lost = device.settle_devicebound(first.lock_token, Settlement::Complete);
    assert_eq!(lost, Err(HubError::DeviceMessageLockLost(bench.device.clone())));
    device.settle_devicebound(second.lock_token, Settlement::Complete).unwrap();
    assert_eq!(bench.outcomes().await, [("a".to_owned(), FeedbackStatus::Success)]);
}

#[tokio::test]
async fn every_end_of_a_message_is_told() {
    let bench = Bench::start().await;
    let device = bench.request().await;
    for id in ["taken", "refused", "abandoned", "late", "purged"] {
        let expiry = (id == "late").then(|| bench.now().after(Duration::from_secs(120)));
        bench.send(id, expiry).await.unwrap();
    }
    let taken = device.receive_devicebound(LOCK).unwrap();
    device.settle_devicebound(taken.lock_token, Settlement::Complete).unwrap();
    let refused = device.receive_devicebound(LOCK).unwrap();
    device.settle_devicebound(refused.lock_token, Settlement::Reject).unwrap();
    for _ in 0..limits::DEVICEBOUND_MAX_DELIVERIES {
        let abandoned = device.receive_devicebound(LOCK).unwrap();
        assert_eq!(body(&abandoned), "abandoned");
        device.settle_devicebound(abandoned.lock_token, Settlement::Abandon).unwrap();
    }
    bench.wait(Duration::from_secs(120));
    assert_eq!(bench.service.purge_devicebound(&bench.device).await, Ok(1));
    let expected = [
        ("taken", FeedbackStatus::Success),
        ("refused", FeedbackStatus::Rejected),
        ("abandoned", FeedbackStatus::DeliveryCountExceeded),
        ("late", FeedbackStatus::Expired),
        ("purged", FeedbackStatus::Purged),
    ];
    let owned = expected.map(|(id, status)| (id.to_owned(), status));
    assert_eq!(bench.outcomes().await, owned);
}

#[tokio::test]
async fn who_waits_for_feedback_hears_of_an_expiry_that_nobody_else_notices() {
    let bench = Bench::start().await;
    bench.send("a", None).await.unwrap();
    let delivery = bench.turn_until(TTL, bench.service.receive_feedback()).await;
    let batch = delivery.unwrap().batch;
    let statuses: Vec<_> = batch.records.iter().map(|record| record.status).collect();
    assert_eq!(statuses, [FeedbackStatus::Expired]);
}

#[tokio::test]
async fn an_expiry_in_the_past_is_one_at_once() {
    let bench = Bench::start().await;
    bench.send("a", Some(Timestamp::from_unix_seconds(1))).await.unwrap();
    assert!(bench.request().await.receive_devicebound(LOCK).is_none());
    assert_eq!(bench.outcomes().await, [("a".to_owned(), FeedbackStatus::Expired)]);
}

#[tokio::test]
async fn a_connection_gets_what_a_request_let_go() {
    let bench = Bench::start().await;
    let mut connected = bench.connect().await;
    let device = bench.request().await;
    bench.send("a", None).await.unwrap();
    let by_request = device.receive_devicebound(LOCK).unwrap();
    assert!(next(&mut connected).await.is_none());
    device.settle_devicebound(by_request.lock_token, Settlement::Abandon).unwrap();
    let delivery = next(&mut connected).await.unwrap();
    assert_eq!((delivery.delivery_count, delivery.redelivered), (1, true));

    // And what it let go by waiting: the connection is woken by the clock.
    bench.send("b", None).await.unwrap();
    assert_eq!(body(&device.receive_devicebound(LOCK).unwrap()), "b");
    let downlink = bench.turn_until(LOCK, connected.receiver.next()).await;
    assert!(matches!(&downlink, Downlink::Devicebound(delivery) if body(delivery) == "b"));
}

#[tokio::test]
async fn a_connection_may_acknowledge_late_unless_somebody_else_came_first() {
    let bench = Bench::start().await;
    let mut connected = bench.connect().await;
    let device = bench.request().await;
    for id in ["a", "b"] {
        bench.send(id, None).await.unwrap();
    }
    let first = next(&mut connected).await.unwrap();
    let second = next(&mut connected).await.unwrap();
    bench.wait(LOCK);
    assert!(next(&mut connected).await.is_none(), "it has both already");
    let stolen = device.receive_devicebound(LOCK).unwrap();
    assert_eq!(body(&stolen), "a");
    connected.session.acknowledge_devicebound(first.sequence_number);
    connected.session.acknowledge_devicebound(second.sequence_number);
    device.settle_devicebound(stolen.lock_token, Settlement::Reject).unwrap();
    let expected = [("b", FeedbackStatus::Success), ("a", FeedbackStatus::Rejected)];
    assert_eq!(bench.outcomes().await, expected.map(|(id, status)| (id.to_owned(), status)));
}

#[tokio::test]
async fn a_connection_that_settles_locks_gets_a_message_again_when_its_lock_ends() {
    let bench = Bench::start().await;
    let mut connected = bench.connect().await;
    // Before the device listens, too: a link of AMQP gets whatever waits.
    bench.send("a", None).await.unwrap();
    connected.session.receive_devicebound(true);
    let first = next(&mut connected).await.unwrap();
    assert!(next(&mut connected).await.is_none());
    let downlink = bench.turn_until(LOCK, connected.receiver.next()).await;
    let Downlink::Devicebound(second) = downlink else { panic!("{downlink:?} came") };
    assert_eq!((body(&second).as_str(), second.redelivered), ("a", true));
    let lost = connected.session.settle_devicebound(first.lock_token, Settlement::Complete);
    assert_eq!(lost, Err(HubError::DeviceMessageLockLost(bench.device.clone())));
    connected.session.settle_devicebound(second.lock_token, Settlement::Complete).unwrap();
    assert_eq!(bench.outcomes().await, [("a".to_owned(), FeedbackStatus::Success)]);
}

/// What became of a message, as far as the test saw.
#[derive(Debug)]
struct Sent {
    expires: Timestamp,
    completed: bool,
}

/// A back end, a request and a connection that comes and goes, at random on one clock.
#[tokio::test]
async fn nothing_is_lost_or_comes_twice_or_too_late() {
    let bench = Bench::start().await;
    let random = Random::seeded(20_261_123);
    let device = bench.request().await;
    let mut connected = Some(bench.connect().await);
    let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
    let mut locked: Vec<LockToken> = Vec::new();
    let mut in_flight: Vec<(u64, String)> = Vec::new();
    let mut outcomes: Vec<(String, FeedbackStatus)> = Vec::new();
    for step in 0..4000_u32 {
        match random.number(0..12) {
            0..=2 => {
                let life = Duration::from_secs(random.number(1..600));
                let (id, expires) = (step.to_string(), bench.now().after(life));
                match bench.send(&id, Some(expires)).await {
                    Ok(()) => drop(sent.insert(id, Sent { expires, completed: false })),
                    Err(HubError::DeviceMaximumQueueDepthExceeded(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            3..=4 => {
                if let Some(delivery) = device.receive_devicebound(LOCK) {
                    check_delivery(&sent, &delivery, bench.now());
                    locked.push(delivery.lock_token);
                }
            }
            5..=6 if !locked.is_empty() => {
                let at = usize::try_from(random.number(0..locked.len() as u64)).unwrap();
                let token = locked.swap_remove(at);
                let how = match random.number(0..3) {
                    0 => Settlement::Complete,
                    1 => Settlement::Reject,
                    _ => Settlement::Abandon,
                };
                // The lock may have ended meanwhile; a token works at most once.
                let _ended = device.settle_devicebound(token, how);
                assert!(device.settle_devicebound(token, how).is_err());
            }
            7..=8 => {
                if let Some(connected) = &mut connected
                    && let Some(delivery) = next(connected).await
                {
                    check_delivery(&sent, &delivery, bench.now());
                    in_flight.push((delivery.sequence_number, body(&delivery)));
                }
            }
            9 if !in_flight.is_empty() => {
                let (sequence_number, _) = in_flight.remove(0);
                if let Some(connected) = &connected {
                    connected.session.acknowledge_devicebound(sequence_number);
                }
            }
            10 => {
                // The old connection ends before the new one, or is taken over by it.
                if random.number(0..2) == 0 {
                    drop(connected.take());
                }
                connected = Some(bench.connect().await);
                in_flight.clear();
            }
            _ => bench.wait(Duration::from_secs(random.number(0..40))),
        }
        if step % 50 == 0 {
            note(&mut sent, &mut outcomes, bench.outcomes().await);
        }
    }
    // Longer than any lock and any life, but not than feedback waits.
    bench.wait(Duration::from_secs(700));
    // What is seen to have expired now is told a moment later.
    for _ in 0..2 {
        note(&mut sent, &mut outcomes, bench.outcomes().await);
    }
    assert_eq!(bench.service.device(&bench.device).await.unwrap().waiting, 0);
    assert_eq!(outcomes.len(), sent.len(), "one outcome for each message");
    assert!(sent.len() > 300, "{} messages were sent", sent.len());
    use FeedbackStatus::{Expired, Rejected, Success};
    for status in [Expired, Rejected, Success] {
        assert!(outcomes.iter().any(|(_, outcome)| *outcome == status), "{status:?}");
    }
}

fn check_delivery(sent: &BTreeMap<String, Sent>, delivery: &Delivery, now: Timestamp) {
    let message = sent.get(&body(delivery)).unwrap();
    assert!(!message.completed, "{} came after its end", body(delivery));
    assert!(now < message.expires, "{} came after its expiry", body(delivery));
}

/// Notes what came to an end; each message does so once.
fn note(
    sent: &mut BTreeMap<String, Sent>,
    outcomes: &mut Vec<(String, FeedbackStatus)>,
    news: Vec<(String, FeedbackStatus)>,
) {
    for (id, status) in news {
        let message = sent.get_mut(&id).unwrap();
        assert!(!message.completed, "{id} ended twice");
        message.completed = true;
        outcomes.push((id, status));
    }
}
