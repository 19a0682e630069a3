//! Direct methods over time: the hub's own clock fires every time-out, and a test turns it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use iothub_core::auth::policy::AccessRight;
use iothub_core::auth::sas::SasToken;
use iothub_core::error::HubError;
use iothub_core::hub::Hub;
use iothub_core::ids::{DeviceId, IdentityId, Precondition};
use iothub_core::limits;
use iothub_core::method::{MethodAnswer, MethodCall, MethodRequest, Payload, Timeouts};
use iothub_core::registry::identity::IdentityDraft;
use iothub_core::session::{
    Assurance, Channel, CloseReason, Connect, Connected, Downlink, DownlinkReceiver, ServiceSession,
};
use iothub_core::time::{ManualClock, Timestamp};
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    hub: Hub,
    clock: Arc<ManualClock>,
    token: SasToken,
}

type Call = JoinHandle<Result<MethodAnswer, HubError>>;

/// A hub with the device `d`.
async fn fixture() -> Fixture {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000)));
    let (policy, token) = common::owner(&[
        AccessRight::RegistryRead,
        AccessRight::RegistryWrite,
        AccessRight::ServiceConnect,
        AccessRight::DeviceConnect,
    ]);
    let hub = Hub::new("hub", vec![policy], None, common::ports(&clock));
    let fixture = Fixture { hub, clock, token };
    let draft = IdentityDraft::default();
    let created = fixture.service().put_device(&device(), &draft, &Precondition::None).await;
    created.unwrap();
    fixture
}

fn device() -> DeviceId {
    DeviceId::parse("d").unwrap()
}

fn request(response: i64, connect: i64) -> MethodRequest {
    let timeouts = Timeouts { response: Some(response), connect: Some(connect) };
    MethodRequest::new("m", Payload::default(), timeouts).unwrap()
}

impl Fixture {
    fn service(&self) -> ServiceSession {
        self.hub.service(self.hub.authenticate_service(&[], &self.token).unwrap())
    }

    async fn connect(&self) -> Connected {
        let id: IdentityId = device().into();
        let principal = self.hub.authenticate_device(&id, &self.token).await.unwrap();
        self.hub.device(principal, Connect::default()).await.unwrap()
    }

    async fn listen(&self) -> Connected {
        let connected = self.connect().await;
        connected.session.subscribe(Channel::Methods, Assurance::AtMostOnce);
        connected
    }

    /// Starts a call, which waits for whatever it waits for when this returns.
    async fn call(&self, request: MethodRequest) -> Call {
        let service = self.service();
        let call =
            tokio::spawn(async move { service.invoke_method(&device().into(), &request).await });
        settle().await;
        call
    }

    async fn advance(&self, span: Duration) {
        self.clock.advance(span);
        settle().await;
    }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn next_call(receiver: &mut DownlinkReceiver) -> Arc<MethodCall> {
    match receiver.next().await {
        Downlink::MethodCall(call) => call,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_answered() {
    let fixture = fixture().await;
    let mut device = fixture.listen().await;
    let call = fixture.call(request(5, 0)).await;
    let received = next_call(&mut device.receiver).await;
    assert_eq!((received.id.to_string(), received.name.as_str()), ("1".to_owned(), "m"));
    device.session.answer_method(received.id, 404, Bytes::from_static(b"{\"a\":1}"));
    let answer = call.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.payload.as_str()), (404, "{\"a\":1}"));
}

#[tokio::test]
async fn a_device_has_its_time_to_answer_and_no_more() {
    let fixture = fixture().await;
    let mut device = fixture.listen().await;
    let call = fixture.call(request(5, 0)).await;
    let late = next_call(&mut device.receiver).await;
    fixture.advance(5 * SECOND - Duration::from_millis(1)).await;
    assert!(!call.is_finished());
    fixture.advance(Duration::from_millis(1)).await;
    assert_eq!(call.await.unwrap(), Err(HubError::MethodTimedOut));
    // The late answer is nobody's, and the next call is answered by its own.
    device.session.answer_method(late.id, 500, Bytes::new());
    let call = fixture.call(request(5, 0)).await;
    let next = next_call(&mut device.receiver).await;
    assert_eq!(next.id.to_string(), "2");
    device.session.answer_method(late.id, 500, Bytes::new());
    device.session.answer_method(next.id, 200, Bytes::new());
    assert_eq!(call.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn who_does_not_wait_is_told_at_once_that_nobody_listens() {
    let fixture = fixture().await;
    let offline = Err(HubError::DeviceNotOnline { waited: Duration::ZERO });
    assert_eq!(fixture.call(request(5, 0)).await.await.unwrap(), offline);
    let device = fixture.connect().await;
    assert_eq!(fixture.call(request(5, 0)).await.await.unwrap(), offline);
    device.session.subscribe(Channel::Methods, Assurance::AtMostOnce);
    device.session.unsubscribe(Channel::Methods);
    assert_eq!(fixture.call(request(5, 0)).await.await.unwrap(), offline);
}

#[tokio::test]
async fn who_waits_gets_a_device_that_connects_and_subscribes_in_time() {
    let fixture = fixture().await;
    let call = fixture.call(request(5, 10)).await;
    fixture.advance(9 * SECOND).await;
    let mut device = fixture.connect().await;
    settle().await;
    assert!(!call.is_finished());
    device.session.subscribe(Channel::Methods, Assurance::AtMostOnce);
    let received = next_call(&mut device.receiver).await;
    // The time for the answer begins when the device has the call.
    fixture.advance(4 * SECOND).await;
    device.session.answer_method(received.id, 200, Bytes::new());
    assert_eq!(call.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn who_waits_in_vain_is_told_how_long() {
    let fixture = fixture().await;
    let _deaf = fixture.connect().await;
    let call = fixture.call(request(5, 10)).await;
    fixture.advance(10 * SECOND - Duration::from_millis(1)).await;
    assert!(!call.is_finished());
    fixture.advance(Duration::from_millis(1)).await;
    let waited = 10 * SECOND;
    assert_eq!(call.await.unwrap(), Err(HubError::DeviceNotOnline { waited }));
}

#[tokio::test]
async fn a_device_that_leaves_ends_its_calls() {
    let fixture = fixture().await;
    let device = fixture.listen().await;
    let call = fixture.call(request(5, 10)).await;
    drop(device);
    assert_eq!(call.await.unwrap(), Err(HubError::DeviceConnectionClosedRemotely));
}

#[tokio::test]
async fn a_take_over_ends_calls_and_the_new_connection_counts_anew() {
    let fixture = fixture().await;
    let mut before = fixture.listen().await;
    let call = fixture.call(request(5, 0)).await;
    let first = next_call(&mut before.receiver).await;
    let mut after = fixture.listen().await;
    let taken_over = Err(HubError::ConnectionForcefullyClosedOnNewConnection);
    assert_eq!(call.await.unwrap(), taken_over);
    let call = fixture.call(request(5, 0)).await;
    let second = next_call(&mut after.receiver).await;
    assert_eq!(first.id, second.id);
    // The earlier connection may not answer the later one's calls.
    before.session.answer_method(second.id, 500, Bytes::new());
    drop(before);
    settle().await;
    assert!(!call.is_finished());
    after.session.answer_method(second.id, 200, Bytes::new());
    assert_eq!(call.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_device_that_is_deleted_is_not_waited_for() {
    let fixture = fixture().await;
    let call = fixture.call(request(5, 300)).await;
    fixture.service().delete_device(&device(), &Precondition::None).await.unwrap();
    assert_eq!(call.await.unwrap(), Err(HubError::DeviceNotFound(device())));
    let call = fixture.call(request(5, 300)).await;
    assert_eq!(call.await.unwrap(), Err(HubError::DeviceNotFound(device())));
}

#[tokio::test]
async fn answers_that_are_none_are_told_to_the_caller() {
    let fixture = fixture().await;
    let mut device = fixture.listen().await;
    for body in [Bytes::from_static(b"{"), Bytes::from(vec![b'1'; 200 * 1024])] {
        let call = fixture.call(request(5, 0)).await;
        let received = next_call(&mut device.receiver).await;
        device.session.answer_method(received.id, 200, body);
        assert!(matches!(call.await.unwrap(), Err(HubError::BadDeviceResponse(_))));
    }
}

#[tokio::test]
async fn a_burst_of_calls_is_refused_before_it_costs_the_connection() {
    let fixture = fixture().await;
    let mut device = fixture.listen().await;
    let mut calls = Vec::new();
    for _ in 0..limits::METHODS_IN_FLIGHT {
        calls.push(fixture.call(request(5, 0)).await);
    }
    let refused = fixture.call(request(5, 0)).await.await.unwrap();
    assert_eq!(refused, Err(HubError::TooManyMethodsInFlight));
    let mut received = Vec::new();
    for _ in 0..calls.len() {
        received.push(next_call(&mut device.receiver).await.id);
    }
    // In any order, each caller gets the answer to its own call.
    for (index, id) in received.iter().enumerate().rev() {
        device.session.answer_method(*id, i32::try_from(index).unwrap(), Bytes::new());
    }
    for (index, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap().status, i32::try_from(index).unwrap());
    }
}

#[tokio::test]
async fn calls_that_nobody_reads_cost_the_connection() {
    let fixture = fixture().await;
    let mut device = fixture.listen().await;
    for _ in 0..=limits::DOWNLINK_QUEUE {
        let call = fixture.call(request(5, 0)).await;
        call.abort();
        settle().await;
    }
    assert_eq!(device.receiver.closed().await, CloseReason::Backlog);
}
