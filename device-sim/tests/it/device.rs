//! The library: a device in this process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use device_sim::{Device, Error, Event, Identity, Options, Roots, Script, Security, SystemClock};
use iothub_core::time::{Clock, ManualClock, Timestamp};
use iothub_wire::connection_string::DeviceConnectionString;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};

use crate::fake_hub::{FakeHub, PATIENCE};

struct Running {
    events: Arc<Mutex<Vec<Event>>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Waits until the device has told enough: what the hub has seen, the device need not know yet.
    fn wait(&self, what: &str, ready: impl Fn(&[Event]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events.lock().unwrap().clone();
            if ready(&events) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what}; {events:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    async fn stop(self) -> Vec<Event> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        let events = self.events.lock().unwrap();
        assert_eq!(events.last(), Some(&Event::Stopped));
        events.clone()
    }
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

fn is_sent(event: &Event) -> bool {
    matches!(event, Event::TelemetrySent { .. })
}

fn is_reported(event: &Event) -> bool {
    matches!(event, Event::Reported { .. })
}

/// A clock that stands until a test turns it.
fn standing(options: &mut Options) -> Arc<ManualClock> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_893_456_000)));
    options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    clock
}

fn options(hub: &FakeHub) -> Options {
    let connection_string = DeviceConnectionString::parse(&hub.connection_string()).unwrap();
    let identity = Identity::from(connection_string);
    let mut options = Options::new(identity, Security::Plain, Arc::new(SystemClock));
    options.apply_delay = Duration::from_millis(100);
    options
}

fn run(options: Options) -> Running {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let device = Device::new(options).unwrap();
    let seen = Arc::clone(&events);
    let task =
        tokio::spawn(device.run(move |event| seen.lock().unwrap().push(event), async move {
            stopped.await.unwrap();
        }));
    Running { events, stop, task }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_answered_as_the_script_says() {
    let hub = FakeHub::start();
    let mut options = options(&hub);
    let clock = standing(&mut options);
    let script = "telemetry = []\n[methods]\nslow = { status = -7, payload = { a = 1 }, delay = \"200ms\" }\nping = {}";
    options.script = Script::parse(script).unwrap();
    let device = run(options);
    hub.wait("the first report", |state| state.reported.contains_key("configId"));
    hub.call("$iothub/methods/POST/slow/?$rid=1", "{\"b\":2}");
    hub.call("$iothub/methods/POST/ping/?$rid=2&x=y", "");
    hub.call("$iothub/methods/POST/other/?$rid=a%20", "null");
    hub.wait("the two that are quick", |state| state.telemetry.len() == 2);
    clock.advance(Duration::from_millis(200));
    hub.wait("three answers", |state| state.telemetry.len() == 3);
    let answer = |rest: &str, body| (format!("$iothub/methods/res/{rest}"), body);
    let unknown = json!({"details": "method name unknown"});
    let expected = [
        answer("200/?$rid=2&x=y", json!(null)),
        answer("404/?$rid=a%20", unknown),
        answer("-7/?$rid=1", json!({"a": 1})),
    ];
    assert_eq!(hub.state().telemetry, expected);
    let events = device.stop().await;
    let called = Event::MethodCalled { name: "slow".to_owned(), payload: json!({"b": 2}) };
    assert!(events.contains(&called), "{events:?}");
}

fn five_minutes() -> Value {
    json!({"configId": 2, "sendFrequency": "5m"})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial() {
    let hub = FakeHub::start();
    let device = run(options(&hub));
    hub.wait("the first report", |state| state.reported.contains_key("configId"));
    hub.change_desired(&five_minutes());
    hub.wait("success", |state| state.reported.get("status") == Some(&json!("Success")));
    hub.wait("the first message", |state| !state.telemetry.is_empty());
    device.wait("three answers", |events| count(events, is_reported) == 3);
    let events = device.stop().await;

    hub.wait("DISCONNECT", |state| state.disconnects == 1);
    let state = hub.state();
    let connect = &state.connects[0];
    assert_eq!(connect.client_id, "d1");
    assert_eq!(
        connect.user_name,
        "127.0.0.1/d1/?api-version=2021-04-12&DeviceClientType=device-sim%2F0.1.0"
    );
    assert!(connect.password.starts_with("SharedAccessSignature sr=127.0.0.1%2Fdevices%2Fd1&sig="));
    // User name and password, no will, no clean session.
    assert_eq!((connect.flags, connect.keep_alive), (0xc0, 60));
    let filters = [
        "$iothub/twin/res/#",
        "$iothub/twin/PATCH/properties/desired/#",
        "$iothub/methods/POST/#",
        "devices/d1/messages/devicebound/#",
    ];
    assert_eq!(state.filters, filters);
    assert_eq!(
        state.patches,
        [
            json!({"configId": 1, "sendFrequency": "24h"}),
            json!({"pendingConfig": five_minutes(), "status": "Pending"}),
            json!({"configId": 2, "sendFrequency": "5m", "pendingConfig": null, "status": "Success"}),
        ]
    );
    let (topic, body) = &state.telemetry[0];
    assert_eq!(topic, "devices/d1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8");
    assert_eq!(body.get("messageId"), Some(&json!(1)));
    let versions: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Reported { version, .. } => *version,
            _ => None,
        })
        .collect();
    assert_eq!(versions, [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_follows_the_frequency() {
    let hub = FakeHub::start();
    let device = run(options(&hub));
    hub.wait("the first message", |state| !state.telemetry.is_empty());
    hub.change_desired(&json!({"configId": 2, "sendFrequency": "20ms"}));
    hub.wait("many messages", |state| state.telemetry.len() > 10);
    device.wait("as many acknowledgements", |events| count(events, is_sent) > 10);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_offline_is_applied_after_the_reconnect() {
    let hub = FakeHub::start();
    let device = run(options(&hub));
    hub.wait("the first report", |state| state.patches.len() == 1);
    hub.state().hang_up = true;
    hub.change_desired(&five_minutes());
    hub.wait("success", |state| state.reported.get("configId") == Some(&json!(2)));
    let events = device.stop().await;
    assert!(events.iter().any(|event| matches!(
        event,
        Event::Disconnected { reason, retry_in: Some(_) } if reason == "the hub closed the connection"
    )));
    assert_eq!(hub.state().connects.len(), 2);
    assert_eq!(hub.state().patches.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_telemetry_is_sent_again() {
    let hub = FakeHub::start();
    hub.state().withhold_acks = true;
    let device = run(options(&hub));
    hub.wait("the first message", |state| !state.telemetry.is_empty());
    {
        let mut state = hub.state();
        state.withhold_acks = false;
        state.hang_up = true;
    }
    hub.wait("the message again", |state| state.telemetry.len() == 2);
    let state = hub.state().telemetry.clone();
    assert_eq!(state[0], state[1]);
    device.wait("the acknowledgement", |events| count(events, is_sent) == 1);
    let events = device.stop().await;
    assert_eq!(count(&events, is_sent), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_renewed_by_a_clean_reconnect() {
    let hub = FakeHub::start();
    let mut options = options(&hub);
    let clock = standing(&mut options);
    options.token_ttl = Duration::from_secs(3600);
    let device = run(options);
    device.wait("the first report", |events| count(events, is_reported) == 1);
    clock.advance(Duration::from_secs(3500));
    hub.wait("the second connect", |state| state.connects.len() >= 2 && state.gets >= 2);
    let events = device.stop().await;
    let state = hub.state();
    assert!(state.disconnects >= 1);
    assert_ne!(state.connects[0].password, state.connects[1].password);
    // Nothing had changed, so nothing is reported twice.
    assert_eq!(state.patches.len(), 1);
    assert!(events.contains(&Event::TokenExpiring));
    assert!(!events.iter().any(|event| matches!(event, Event::Disconnected { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_a_test_turns_is_obeyed() {
    let hub = FakeHub::start();
    let mut options = options(&hub);
    let clock = standing(&mut options);
    options.token_ttl = Duration::from_secs(48 * 60 * 60);
    let device = run(options);
    hub.wait("the first message", |state| state.telemetry.len() == 1);
    assert!(hub.state().connects[0].password.ends_with("&se=1893628800"));
    clock.advance(Duration::from_secs(24 * 60 * 60));
    hub.wait("the next day's message", |state| state.telemetry.len() == 2);
    hub.change_desired(&five_minutes());
    hub.wait("pending", |state| state.reported.contains_key("pendingConfig"));
    clock.advance(Duration::from_millis(100));
    hub.wait("success", |state| state.reported.get("configId") == Some(&json!(2)));
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_first_ends_it_and_a_later_one_does_not() {
    let hub = FakeHub::start();
    hub.state().connack = 5;
    let result = Device::new(options(&hub)).unwrap().run(drop, std::future::pending()).await;
    let endpoint = format!("127.0.0.1:{}", hub.port);
    let identity = "d1".to_owned();
    assert_eq!(
        result,
        Err(Error::NotAuthorized { identity, endpoint, answer: "CONNACK 5".to_owned() })
    );

    hub.state().connack = 0;
    let device = run(options(&hub));
    hub.wait("a connection", |state| state.gets == 1);
    {
        let mut state = hub.state();
        state.connack = 5;
        state.hang_up = true;
    }
    hub.wait("a refused reconnect", |state| state.connects.len() >= 3);
    hub.state().connack = 0;
    hub.wait("the next connection", |state| state.gets == 2);
    let events = device.stop().await;
    assert!(events.iter().any(|event| matches!(event, Event::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_device_goes_on_trying() {
    let hub = FakeHub::start();
    hub.state().connack = 3;
    let device = run(options(&hub));
    hub.wait("a second try", |state| state.connects.len() == 2);
    hub.state().connack = 0;
    hub.wait("a connection", |state| state.gets == 1);
    device.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_reports_are_told() {
    let hub = FakeHub::start();
    let body = json!({"errorCode": 400_004, "message": "ErrorCode:ArgumentInvalid;no"});
    hub.state().refuse_patches = Some((400, body));
    let device = run(options(&hub));
    hub.wait("the first report", |state| state.patches.len() == 1);
    hub.change_desired(&five_minutes());
    hub.wait("success", |state| state.patches.len() == 3);
    let events = device.stop().await;
    assert!(events.contains(&Event::TwinRefused {
        operation: "report",
        status: 400,
        error_code: Some(400_004),
        message: "ErrorCode:ArgumentInvalid;no".to_owned(),
        retry_in: None,
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_followed() {
    let hub = FakeHub::start();
    let mut options = options(&hub);
    options.script = Script::parse(
        r#"
        reported = { firmware = "2" }
        [[telemetry]]
        properties = { kind = "a b" }
        body = { n = { counter = { start = 7 } } }
        [desired]
        fan = { apply-after = "50ms" }
        mode = { refuse = "fixed" }
        "#,
    )
    .unwrap();
    let device = run(options);
    hub.wait("the first message", |state| !state.telemetry.is_empty());
    hub.change_desired(&json!({"fan": 3, "mode": "x"}));
    hub.wait("the fan", |state| state.reported.get("fan") == Some(&json!(3)));
    device.stop().await;
    let state = hub.state();
    assert_eq!(state.patches[0], json!({"firmware": "2", "configId": 1, "sendFrequency": "24h"}));
    assert_eq!(state.reported.get("mode"), Some(&json!({"ac": 400, "av": 2, "ad": "fixed"})));
    assert!(state.telemetry[0].0.ends_with("&kind=a%20b"));
    assert_eq!(state.telemetry[0].1, json!({"n": 7}));
}

fn tls() -> (Arc<ServerConfig>, String) {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), signed.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_a_certificate_that_is_trusted() {
    let (config, pem) = tls();
    let hub = FakeHub::start_with(Some(config));
    let mut roots = Roots::default();
    roots.add_pem(pem.as_bytes()).unwrap();
    let mut trusting = options(&hub);
    trusting.security = Security::Tls(roots);
    let device = run(trusting);
    hub.wait("the first report", |state| state.patches.len() == 1);
    device.stop().await;
    hub.wait("DISCONNECT", |state| state.disconnects == 1);

    let (_, foreign) = tls();
    let mut roots = Roots::default();
    roots.add_pem(foreign.as_bytes()).unwrap();
    let mut wary = options(&hub);
    wary.security = Security::Tls(roots);
    let result = Device::new(wary).unwrap().run(drop, std::future::pending()).await;
    assert!(matches!(result, Err(Error::Certificate { unknown_issuer: true, .. })), "{result:?}");
}
