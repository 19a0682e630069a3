use bytes::Bytes;

use super::properties::*;
use super::*;
use crate::event::{Event, Message};
use crate::ids::{DeviceId, GenerationId};
use crate::time::Timestamp;

fn endpoint(name: &str) -> EndpointProperties {
    EndpointProperties { name: name.to_owned(), kind: EndpointKind::event_hub() }
}

fn telemetry(application: &[(&str, &str)]) -> Event {
    Event {
        message: Message {
            application: application
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect(),
            body: Bytes::from_static(b"{}"),
            ..Message::default()
        },
        sender: DeviceId::parse("d").unwrap().into(),
        generation: GenerationId::at(Timestamp::NEVER),
        auth_method: None,
        enqueued: Timestamp::NEVER,
        model_id: None,
        source: EventSource::Telemetry,
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let route = |name: &str, endpoint: &str, condition: &str| RouteProperties {
        condition: condition.to_owned(),
        ..RouteProperties::new(name, endpoint)
    };
    let properties = RoutingProperties {
        endpoints: vec![
            endpoint("a b"),
            endpoint("events"),
            endpoint("twice"),
            endpoint("Twice"),
            EndpointProperties {
                name: "wide".to_owned(),
                kind: EndpointKind::EventHub {
                    partitions: 33,
                    consumer_groups: vec!["team".to_owned(), "a/b".to_owned()],
                },
            },
            EndpointProperties {
                name: "web".to_owned(),
                kind: EndpointKind::Webhook("ftp://x".to_owned()),
            },
        ],
        routes: vec![
            route("r", "nowhere", "true"),
            route("s", "events", "level >"),
            RouteProperties { endpoint_names: Vec::new(), ..route("t", "", "true") },
            RouteProperties { endpoint_names: vec!["x".to_owned(); 12], ..route("u", "", "true") },
        ],
        enrichments: vec![EnrichmentProperties {
            key: "not legal".to_owned(),
            value: "x".to_owned(),
            endpoint_names: vec!["elsewhere".to_owned()],
        }],
        fallback_route: FallbackRouteProperties::default(),
    };
    let mistakes: Vec<_> =
        Routing::new(&properties).unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "endpoint has the name \"a b\", expected 1 to 64",
        "two endpoints have the name \"Twice\"",
        "endpoint has the name \"events\", which the service keeps",
        "endpoint \"wide\" has 33 partitions, expected 2 to 32",
        "endpoint \"wide\" has the consumer group \"a/b\", expected 1 to 50 letters",
        "endpoint \"web\" has the url \"ftp://x\", expected http://… or https://…",
        "route \"r\" names the endpoint \"nowhere\", expected one of events, events, twice",
        "route \"s\" has a condition that cannot be read: SQL query parse failed",
        "route \"t\" names no endpoint",
        "route \"u\" names 12 endpoints, expected at most 11",
        "enrichment has the key \"not legal\", expected the name of a property",
        "enrichment \"not legal\" names the endpoint \"elsewhere\"",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake:?}, expected {expected:?}");
    }
}

#[test]
fn there_are_so_many_and_no_more() {
    let name = |index: usize| format!("n{index}");
    let properties = |count: usize| RoutingProperties {
        endpoints: (0..count).map(|index| endpoint(&name(index))).collect(),
        routes: (0..count * 10).map(|index| RouteProperties::new(&name(index), "events")).collect(),
        enrichments: (0..count)
            .map(|index| EnrichmentProperties {
                key: name(index),
                value: String::new(),
                endpoint_names: vec!["events".to_owned()],
            })
            .collect(),
        fallback_route: FallbackRouteProperties::default(),
    };
    assert!(Routing::new(&properties(10)).is_ok());
    let mistakes = Routing::new(&properties(11)).unwrap_err();
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "there are 11 endpoints, expected at most 10",
        "there are 110 routes, expected at most 100",
        "there are 11 enrichments, expected at most 10",
    ];
    assert_eq!(told, expected);
}

#[test]
fn very_many_names_are_not_compared() {
    let endpoints = (0..200_000).map(|index| endpoint(&format!("n{index}"))).collect();
    let routes = (0..200_000).map(|index| RouteProperties::new(&format!("n{index}"), "n199999"));
    let properties =
        RoutingProperties { endpoints, routes: routes.collect(), ..RoutingProperties::default() };
    // Some hours, if each were compared with each.
    let told = Routing::new(&properties).unwrap_err();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn an_endpoint_has_what_its_kind_has() {
    let draft = |kind: &str| EndpointDraft { kind: kind.to_owned(), ..EndpointDraft::default() };
    let path = Some("/x".into());
    let url = Some("http://x".to_owned());
    assert_eq!(draft("event-hub").settle().unwrap().kind, EndpointKind::event_hub());
    let table = [
        (draft("queue"), "type is \"queue\", expected one of event-hub, folder, webhook"),
        (draft("folder"), "path is missing"),
        (draft("webhook"), "url is missing"),
        (
            EndpointDraft { url, partitions: Some(2), ..draft("folder") },
            "an endpoint of type folder has no partitions; an endpoint of type folder has no url; path is missing",
        ),
        (
            EndpointDraft { path, consumer_groups: vec!["a".to_owned()], ..draft("webhook") },
            "an endpoint of type webhook has no consumer groups; an endpoint of type webhook has no path; url is missing",
        ),
    ];
    for (draft, expected) in table {
        let mistakes = draft.settle().unwrap_err();
        let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(told.join("; "), expected);
    }
}

#[test]
fn a_trial_says_why() {
    let properties = RoutingProperties {
        routes: vec![
            RouteProperties {
                condition: "level > 3 OR as_number(level) > 6".to_owned(),
                ..RouteProperties::new("high", "events")
            },
            RouteProperties {
                condition: "$body.t > 30 AND $twin.tags.x = 1 AND $messageId = 'm'".to_owned(),
                ..RouteProperties::new("hot", "events")
            },
            RouteProperties {
                source: EventSource::TwinChange,
                ..RouteProperties::new("twins", "events")
            },
        ],
        ..RoutingProperties::default()
    };
    let routing = Routing::new(&properties).unwrap();
    let trial = routing.try_message(&telemetry(&[("level", "7")]), None);
    let told: Vec<_> = trial
        .routes
        .iter()
        .map(|verdict| (verdict.route.as_str(), verdict.matched, verdict.reason.as_str()))
        .collect();
    let expected = [
        ("high", true, "the condition is true"),
        ("hot", false, "the condition is undefined, which counts as false"),
        ("twins", false, "the route is for TwinChangeEvents, the message is one of DeviceMessages"),
        ("$fallback", false, "the route \"high\" took the message"),
    ];
    assert_eq!(told, expected);
    assert_eq!(trial.endpoints, ["events"]);
    let missing: Vec<_> =
        trial.routes[1].values.iter().filter_map(|value| value.missing.as_deref()).collect();
    let expected = [
        "content type is \"\", expected \"application/json\"",
        "the sender's twin is not known",
        "the message has no such system property",
    ];
    assert_eq!(missing, expected);
    let other = routing.try_message(&telemetry(&[]), None);
    assert!(other.routes[3].matched, "{other:?}");
}
