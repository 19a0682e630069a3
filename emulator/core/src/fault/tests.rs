use super::*;
use crate::ids::DeviceId;

const NOW: Timestamp = Timestamp::NEVER;

fn of(operation: Operation, id: Option<&IdentityId>) -> Target<'_> {
    Target { operation: Some(name_of(operation)), id, ..Target::default() }
}

fn fault() -> Fault {
    Fault::new(Failure::Throttled)
}

fn id(text: &str) -> IdentityId {
    DeviceId::parse(text).unwrap().into()
}

#[test]
fn a_fault_strikes_what_it_is_about() {
    let about = |operation, device: Option<&str>| Fault {
        operation,
        device: device.map(str::to_owned),
        ..fault()
    };
    let table = [
        (about(None, None), Operation::Query, None, true),
        (about(Some("query"), None), Operation::Query, None, true),
        (about(Some("query"), None), Operation::Job, None, false),
        (about(None, Some("d1")), Operation::Connect, Some("d1"), true),
        (about(None, Some("d1")), Operation::Connect, Some("d12"), false),
        (about(None, Some("d*")), Operation::SendEvent(7), Some("d12"), true),
        (about(Some("sendEvent"), Some("e*")), Operation::SendEvent(7), Some("d12"), false),
        (about(None, Some("*")), Operation::Connect, None, false),
    ];
    for (fault, operation, device, expected) in table {
        let faults = Faults::default();
        assert_eq!(faults.strike(&of(operation, None), || NOW), None);
        faults.add(fault.clone(), NOW).unwrap();
        let device = device.map(id);
        let strike = faults.strike(&of(operation, device.as_ref()), || NOW);
        assert_eq!(strike.is_some(), expected, "{fault:?} {operation:?} {device:?}");
        assert_eq!(faults.list()[0].hits, u64::from(expected));
    }
}

#[test]
fn a_fault_strikes_as_often_as_it_is_to_and_is_removed() {
    let faults = Faults::default();
    let added = faults.add(Fault { count: Some(2), ..fault() }, NOW).unwrap();
    let struck =
        (0..5).filter(|_| faults.strike(&of(Operation::Query, None), || NOW).is_some()).count();
    assert_eq!((struck, faults.list()[0].hits), (2, 2));
    assert!(faults.remove(added.id) && !faults.remove(added.id));
    assert_eq!(faults.list(), []);
}

#[test]
fn chance_is_the_same_each_time() {
    let strikes = || {
        let faults = Faults::default();
        faults.add(Fault { percent: 30, seed: 9, ..fault() }, NOW).unwrap();
        let strikes =
            (0..1000).map(|_| faults.strike(&of(Operation::Query, None), || NOW).is_some());
        strikes.collect::<Vec<_>>()
    };
    let first = strikes();
    assert_eq!(first, strikes());
    let count = first.iter().filter(|struck| **struck).count();
    assert!((200..400).contains(&count), "{count}");
}

#[test]
fn faults_are_bounded() {
    let faults = Faults::default();
    for _ in 0..limits::FAULTS {
        assert!(faults.add(fault(), NOW).is_some());
    }
    assert_eq!(faults.add(fault(), NOW), None);
}

#[test]
fn every_operation_has_a_name() {
    let all = [
        Operation::Connect,
        Operation::SendEvent(0),
        Operation::ReadTwin,
        Operation::UpdateTwin,
        Operation::SendDevicebound,
        Operation::ReceiveDevicebound,
        Operation::InvokeMethod(0),
        Operation::Registry,
        Operation::Query,
        Operation::Job,
        Operation::Configuration,
    ];
    let ports = Edge::ALL.map(Edge::accepting);
    assert_eq!([&all.map(name_of)[..], &ports].concat(), OPERATIONS);
}

#[test]
fn a_fault_strikes_in_its_time() {
    let seconds = |seconds| NOW.after(Duration::from_secs(seconds));
    let faults = Faults::default();
    let after = Duration::from_secs(2);
    faults.add(Fault { after, ..fault() }.lasting(Duration::from_secs(3)), NOW).unwrap();
    for (second, expected) in [(0, false), (1, false), (2, true), (4, true), (5, false)] {
        let strike = faults.strike(&of(Operation::Query, None), || seconds(second));
        assert_eq!(strike.is_some(), expected, "after {second} s");
    }
}

#[test]
fn what_is_over_makes_room() {
    let faults = Faults::default();
    let brief = || fault().lasting(Duration::from_secs(1));
    for _ in 0..limits::FAULTS {
        assert!(faults.add(brief(), NOW).is_some());
    }
    assert_eq!(faults.add(brief(), NOW), None);
    let later = NOW.after(Duration::from_secs(1));
    assert!(faults.add(brief(), later).is_some());
    assert_eq!(faults.list().len(), 1);
}

#[test]
fn a_route_is_struck_by_its_name_and_a_listener_too() {
    let request =
        |route| Target { operation: Some("registry"), route: Some(route), ..Target::default() };
    let accept = Target { operation: Some("acceptMqtt"), accepts: true, ..Target::default() };
    let table = [
        (fault().at("GET /devices"), request("GET /devices"), true),
        (fault().at("GET /devices"), request("PUT /devices"), false),
        (fault().at("GET /devices"), of(Operation::Registry, None), false),
        (fault().of("registry"), request("GET /devices"), true),
        (Fault::new(Failure::Reset), accept, false),
        (Fault::new(Failure::Reset).of("acceptMqtt"), accept, true),
        (Fault::new(Failure::Reset).of("acceptAmqp"), accept, false),
    ];
    for (fault, target, expected) in table {
        let faults = Faults::default();
        faults.add(fault.clone(), NOW).unwrap();
        let strike = faults.strike(&target, || NOW);
        assert_eq!(strike.is_some(), expected, "{fault:?} {target:?}");
    }
}

#[test]
fn a_late_answer_is_late_after_the_operation() {
    let second = Duration::from_secs(1);
    let strike = |failure| Strike { fault: 1, delay: second, failure };
    let table = [
        (None, second, None),
        (Some(Failure::Throttled), second, None),
        (Some(Failure::AnswerLost), second, Some(AnswerFault::Lost)),
        (Some(Failure::AnswerLate), Duration::ZERO, Some(AnswerFault::Late(second))),
    ];
    for (failure, before, answer) in table {
        let strike = strike(failure);
        assert_eq!((strike.before(), strike.answer()), (before, answer), "{failure:?}");
    }
}

#[test]
fn what_is_corrupted_is_no_json() {
    for body in ["", "{}", "1", "[1,2]", "\"text\"", "12", "{\"a\":{\"b\":1}}"] {
        let corrupted = corrupted(body.as_bytes());
        let read = serde_json::from_slice::<serde_json::Value>(&corrupted);
        assert!(read.is_err(), "{body} became {read:?}");
    }
}

#[test]
fn a_fault_strikes_what_comes_by_its_protocol() {
    let by = |edge| Target { edge, ..of(Operation::SendDevicebound, None) };
    let table = [
        (None, None, true),
        (None, Some(Edge::Amqp), true),
        (Some(Edge::Amqp), Some(Edge::Amqp), true),
        (Some(Edge::Mqtt), Some(Edge::Amqp), false),
        (Some(Edge::Mqtt), None, false),
    ];
    for (edge, came_by, expected) in table {
        let fault = Fault { edge, ..fault() };
        assert_eq!(fault.is_about(&by(came_by)), expected, "{edge:?} {came_by:?}");
    }
}

#[test]
fn what_an_operation_cannot_suffer_does_not_strike_it() {
    let target = |operation, edge| Target { operation, edge, ..Target::default() };
    let accepts = Target { accepts: true, ..target(Some("acceptMqtt"), Some(Edge::Mqtt)) };
    let (connect, send) = (Some("connect"), Some("sendDevicebound"));
    let receive = |edge| target(Some("receiveDevicebound"), Some(edge));
    let table = [
        (Failure::AnswerLost, target(connect, Some(Edge::Mqtt)), true),
        (Failure::AnswerLost, target(connect, Some(Edge::Amqp)), false),
        (Failure::Unavailable, target(connect, Some(Edge::Amqp)), true),
        (Failure::AnswerCorrupt, target(send, Some(Edge::Amqp)), true),
        (Failure::AnswerCorrupt, target(send, None), false),
        (Failure::Reset, target(send, None), false),
        (Failure::Status(500), target(send, None), true),
        (Failure::AnswerLost, receive(Edge::Mqtt), true),
        (Failure::Disconnect, receive(Edge::Amqp), true),
        (Failure::Throttled, receive(Edge::Mqtt), false),
        (Failure::Throttled, receive(Edge::Https), true),
        (Failure::HalfOpen, accepts, true),
        (Failure::Status(500), accepts, false),
    ];
    for (failure, target, expected) in table {
        assert_eq!(failure.can_befall(&target), expected, "{failure:?} {target:?}");
    }
}
