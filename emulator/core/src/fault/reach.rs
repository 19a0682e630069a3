//! What a fault can strike at all, whatever clients do: so that whoever adds one that strikes nothing
//! can be told.

use super::{Edge, Fault, Target};
use crate::ids::{DeviceId, IdentityId};

/// What devices do over a connection.
const OF_DEVICES: [&str; 5] =
    ["connect", "sendEvent", "readTwin", "updateTwin", "receiveDevicebound"];
const SEND_DEVICEBOUND: Option<&str> = Some("sendDevicebound");

/// A kind of requests over HTTPS, as the edge knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestKind {
    /// Method and path, as in `GET /devices/{id}`.
    pub route: String,
    /// What faults call it, if it counts for an operation.
    pub operation: Option<&'static str>,
}

impl Fault {
    /// Whether there is anything that it is about; `requests` are all that there are over HTTPS.
    pub fn can_strike(&self, requests: &[RequestKind]) -> bool {
        let Some(id) = self.somebody() else { return false };
        let over_https = |request| Target::of_request(request);
        let mut targets = of_connections(&id).chain(requests.iter().map(over_https));
        targets.any(|target| self.is_about(&target))
    }

    /// A device that it is about; none if no id is like this.
    fn somebody(&self) -> Option<IdentityId> {
        let pattern = self.device.as_deref().unwrap_or("*");
        let text = pattern.strip_suffix('*').unwrap_or(pattern);
        let text = if text.is_empty() { "d" } else { text };
        DeviceId::parse(text).ok().map(Into::into)
    }
}

impl<'a> Target<'a> {
    fn of_request(request: &'a RequestKind) -> Self {
        let RequestKind { route, operation } = request;
        let edge = Some(Edge::Https);
        Self { operation: *operation, edge, route: Some(route), ..Self::default() }
    }
}

/// What happens on connections, apart from requests over HTTPS, and what the harness does.
fn of_connections(id: &IdentityId) -> impl Iterator<Item = Target<'_>> {
    let of_devices = [Edge::Mqtt, Edge::Amqp].into_iter().flat_map(move |edge| {
        OF_DEVICES.map(|operation| Target {
            operation: Some(operation),
            edge: Some(edge),
            id: Some(id),
            ..Target::default()
        })
    });
    let of_back_ends = [Some(Edge::Amqp), None].map(|edge| Target {
        operation: SEND_DEVICEBOUND,
        edge,
        ..Target::default()
    });
    let of_ports = Edge::ALL.map(|edge| Target {
        operation: Some(edge.accepting()),
        edge: Some(edge),
        accepts: true,
        ..Target::default()
    });
    of_devices.chain(of_back_ends).chain(of_ports)
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;

    #[test]
    fn only_what_happens_can_be_struck() {
        let requests = [
            RequestKind { route: "GET /devices".to_owned(), operation: Some("registry") },
            RequestKind { route: "GET /statistics".to_owned(), operation: None },
        ];
        let unavailable = || Fault::new(Failure::Unavailable);
        let table = [
            (unavailable(), true),
            (unavailable().at("GET /devices"), true),
            (unavailable().at("GET /statistics").over(Edge::Https), true),
            (unavailable().at("GET /foo"), false),
            (unavailable().at("GET /devices").of("registry"), true),
            (unavailable().at("GET /devices").of("connect"), false),
            (unavailable().at("GET /devices").over(Edge::Mqtt), false),
            (unavailable().at("GET /devices").by("d1"), false),
            (unavailable().of("registry").by("d1"), false),
            (unavailable().of("registry").over(Edge::Amqp), false),
            (unavailable().of("connect").over(Edge::Amqp).by("d*"), true),
            (unavailable().of("connect").over(Edge::Https), false),
            (unavailable().by("*"), true),
            (unavailable().by("no such id"), false),
            (unavailable().of("acceptMqtt"), false),
            (Fault::new(Failure::Reset).of("acceptMqtt"), true),
            (Fault::new(Failure::Reset).of("acceptMqtt").by("d1"), false),
            (Fault::new(Failure::Reset).of("acceptMqtt").over(Edge::Amqp), false),
            (unavailable().of("sendDevicebound").over(Edge::Amqp), true),
            (unavailable().of("receiveDevicebound").over(Edge::Mqtt), false),
        ];
        for (fault, expected) in table {
            assert_eq!(fault.can_strike(&requests), expected, "{fault:?}");
        }
    }
}
