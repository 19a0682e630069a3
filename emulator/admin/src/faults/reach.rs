//! What is wrong with a fault that can never strike, and what it could be instead.

use iothub_core::fault::reach::RequestKind;
use iothub_core::fault::{Edge, Failure, Fault, OPERATIONS};
use iothub_core::ids::DeviceId;

use super::FAILURES;

/// Why a fault can never strike; none if it can.
pub(super) fn mistake(fault: &Fault, requests: &[RequestKind]) -> Option<String> {
    if fault.can_strike(requests) {
        return None;
    }
    let no_device = fault.device.as_deref().and_then(no_device);
    let no_route = fault.route.as_deref().and_then(|route| no_route(route, requests));
    Some(no_device.or(no_route).unwrap_or_else(|| contradiction(fault, requests)))
}

fn no_device(pattern: &str) -> Option<String> {
    let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
    let why = (!beginning.is_empty()).then(|| DeviceId::parse(beginning).err()).flatten()?;
    Some(format!("device is {pattern:?}, which is the id of none: {why}"))
}

/// That there is no such route, and those which may be meant: of the paths that it is an example of,
/// or else all.
fn no_route(route: &str, requests: &[RequestKind]) -> Option<String> {
    if requests.iter().any(|request| request.route == route) {
        return None;
    }
    let all = || requests.iter().map(|request| request.route.as_str());
    let mut meant: Vec<_> = all().filter(|known| is_example(route, known)).collect();
    if meant.is_empty() {
        meant = all().collect();
    }
    Some(format!("route is {route:?}, expected one of {}", meant.join(", ")))
}

/// Whether the path of a route is what the path of another stands for: `/devices/d1` is an example of
/// `/devices/{id}`.
fn is_example(route: &str, of: &str) -> bool {
    let path = |route: &str| -> Vec<String> {
        let path = route.split_once(' ').map_or("", |(_, path)| path);
        path.trim_end_matches('/').split('/').map(str::to_owned).collect()
    };
    let (example, known) = (path(route), path(of));
    let alike = |(one, other): (&String, &String)| other.starts_with('{') || one == other;
    example.len() == known.len() && example.iter().zip(&known).all(alike)
}

/// That what the fault is about never happens at once, and what would, with one part changed.
fn contradiction(fault: &Fault, requests: &[RequestKind]) -> String {
    let given = given(fault).join(" and ");
    let instead = instead(fault, requests);
    let instead =
        if instead.is_empty() { "fewer of them".to_owned() } else { instead.join("; or ") };
    format!("nothing has {given} at once, expected {instead}")
}

fn given(fault: &Fault) -> Vec<String> {
    let failure = fault.failure.map(|failure| match failure {
        Failure::Status(status) => format!("status {status}"),
        failure => format!("error {:?}", name_of(failure)),
    });
    let named = |name: &str, value: Option<&str>| value.map(|value| format!("{name} {value:?}"));
    let given = [
        named("operation", fault.operation),
        named("protocol", fault.edge.map(Edge::name)),
        named("device", fault.device.as_deref()),
        named("route", fault.route.as_deref()),
        failure,
    ];
    given.into_iter().flatten().collect()
}

fn name_of(failure: Failure) -> &'static str {
    let found = FAILURES.iter().find(|(_, one)| *one == failure);
    found.map_or("status", |(name, _)| name)
}

/// The changes of one part that would let it strike.
fn instead(fault: &Fault, requests: &[RequestKind]) -> Vec<String> {
    let strikes = |change: &dyn Fn(&mut Fault)| {
        let mut changed = fault.clone();
        change(&mut changed);
        changed.can_strike(requests)
    };
    let mut instead = Vec::new();
    let mut offer = |name: &str, values: Vec<&str>| {
        if !values.is_empty() {
            instead.push(format!("{name} {}", values.join(", ")));
        }
    };
    if fault.operation.is_some() {
        let could = |name: &&'static str| strikes(&|fault| fault.operation = Some(*name));
        offer("operation", OPERATIONS.into_iter().filter(could).collect());
    }
    if fault.edge.is_some() {
        let could = |edge: &Edge| strikes(&|fault| fault.edge = Some(*edge));
        offer("protocol", Edge::ALL.into_iter().filter(could).map(Edge::name).collect());
    }
    if fault.failure.is_some() {
        let could = |failure| strikes(&|fault| fault.failure = Some(failure));
        let could = FAILURES.iter().filter(|(_, failure)| could(*failure)).map(|(name, _)| *name);
        offer("error", could.collect());
    }
    if fault.device.is_some() && strikes(&|fault| fault.device = None) {
        instead.push("no device".to_owned());
    }
    if fault.route.is_some() && strikes(&|fault| fault.route = None) {
        instead.push("no route".to_owned());
    }
    instead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_can_never_strike_says_what_could() {
        let request = |route: &str, operation| RequestKind { route: route.to_owned(), operation };
        let requests = [
            request("GET /devices", Some("registry")),
            request("GET /devices/{id}", Some("registry")),
            request("PUT /devices/{id}", Some("registry")),
            request("GET /twins/{id}", Some("readTwin")),
        ];
        let (reset, unavailable) = (Fault::new(Failure::Reset), Fault::new(Failure::Unavailable));
        let table = [
            (
                unavailable.clone().at("GET /foo"),
                "route is \"GET /foo\", expected one of GET /devices, GET /devices/{id}, PUT /devices/{id}, GET /twins/{id}",
            ),
            (
                unavailable.clone().at("GET /devices/d1/"),
                "route is \"GET /devices/d1/\", expected one of GET /devices/{id}, PUT /devices/{id}",
            ),
            (
                Fault::new(Failure::Status(500)).at("GET /devices").of("connect"),
                "nothing has operation \"connect\" and route \"GET /devices\" and status 500 at once, expected operation registry; or no route",
            ),
            (
                reset.clone().of("acceptMqtt").by("d1"),
                "nothing has operation \"acceptMqtt\" and device \"d1\" and error \"reset\" at once, \
                 expected operation connect, sendEvent, readTwin, updateTwin, receiveDevicebound; or no device",
            ),
            (
                unavailable.clone().of("acceptMqtt"),
                "nothing has operation \"acceptMqtt\" and error \"unavailable\" at once, \
                 expected operation connect, sendEvent, readTwin, updateTwin, sendDevicebound, registry; or error reset, halfOpen",
            ),
            (
                unavailable.clone().of("receiveDevicebound").over(Edge::Mqtt),
                "nothing has operation \"receiveDevicebound\" and protocol \"mqtt\" and error \"unavailable\" at once, \
                 expected operation connect, sendEvent, readTwin, updateTwin; or error disconnect, reset, halfOpen, answerLost, answerLate, answerCorrupt",
            ),
            (
                reset.of("connect").over(Edge::Https).by("d1"),
                "nothing has operation \"connect\" and protocol \"https\" and device \"d1\" and error \"reset\" at once, \
                 expected protocol mqtt, amqp",
            ),
            (
                unavailable.by("a b*"),
                "device is \"a b*\", which is the id of none: id has the character ' ', expected",
            ),
        ];
        for (fault, expected) in table {
            let mistake = mistake(&fault, &requests).unwrap();
            assert!(mistake.starts_with(expected), "{mistake}");
        }
        assert_eq!(mistake(&Fault::new(Failure::Reset), &requests), None);
    }
}
