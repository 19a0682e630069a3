//! Hubs of tests with routes of their own.

use std::net::SocketAddr;

use iothub_core::route::properties::{EndpointKind, EndpointProperties, RouteProperties};
use iothub_tests::mqtt::{ACCEPTED, Connection, publish_with};
use iothub_tests::{Device, FAR_FUTURE, Hub};
use iothub_wire::connection_string::ServiceConnectionString;
use serde_json::{Value, json};

use crate::amqp::{Client, attach, flow};
use crate::harness::{admin, put_device, rest};

/// Hot messages go to an event hub of their own.
fn alerts() -> Value {
    json!({
        "endpoints": [
            {"name": "alerts", "type": "event-hub", "partitions": 2, "consumerGroups": ["team"]},
        ],
        "routes": [{
            "name": "hot",
            "source": "DeviceMessages",
            "condition": "$body.t > 30",
            "endpointNames": ["alerts"],
            "isEnabled": true,
        }],
        "fallbackRoute": {
            "name": "$fallback",
            "source": "DeviceMessages",
            "condition": "true",
            "endpointNames": ["events"],
            "isEnabled": true,
        },
        "enrichments": [{"key": "hub", "value": "$iothubname", "endpointNames": ["alerts"]}],
    })
}

fn make(hub: &Hub, wanted: &Value) -> Value {
    let (status, made) = admin(hub, "POST /hubs", &wanted.to_string());
    assert_eq!(status, 201, "{made}");
    made
}

fn refused(hub: &Hub, request: &str, body: &Value) -> String {
    let (status, answer) = admin(hub, request, &body.to_string());
    assert_eq!((status, &answer["error"]), (400, &json!("InvalidSnapshot")), "{answer}");
    answer["message"].as_str().unwrap().to_owned()
}

fn restore(hub: &Hub, name: &str, document: &Value) -> Value {
    let (status, facts) = admin(hub, &format!("POST /hubs/{name}/restore"), &document.to_string());
    assert_eq!(status, 200, "{facts}");
    facts
}

fn take(hub: &Hub, name: &str) -> Value {
    admin(hub, &format!("GET /hubs/{name}/snapshot"), "").1
}

fn address(made: &Value, port: &str) -> SocketAddr {
    let port = made["ports"][port].as_u64().unwrap();
    format!("{}:{port}", made["address"].as_str().unwrap()).parse().unwrap()
}

/// Connects a device that is put into the registry of a hub that was made.
fn connect(hub: &Hub, made: &Value) -> Connection {
    put_device(&rest(hub, made), "d1");
    let host = made["hostName"].as_str().unwrap().to_owned();
    let mut connection = Connection::plain(address(made, "mqtt"));
    connection.send(&Device { id: "d1".to_owned(), host }.connect().bytes());
    connection.expect(ACCEPTED);
    connection
}

fn send(connection: &mut Connection, number: u8, temperature: i64) {
    let topic = "devices/d1/messages/events/$.ct=application%2Fjson&$.ce=utf-8";
    let body = json!({"t": temperature}).to_string();
    connection.send(&publish_with(0x32, number.into(), topic, body.as_bytes()));
    connection.expect(&[0x40, 2, 0, number]);
}

/// Where an event went, as the journal has it.
fn went_to(hub: &Hub, name: &str, temperature: i64) -> Value {
    let body = json!({"match": {"kind": "event", "body": {"t": temperature}}});
    let (status, entry) =
        admin(hub, &format!("POST /hubs/{name}/journal/expect"), &body.to_string());
    assert_eq!(status, 200, "{entry}");
    entry["endpoints"].clone()
}

#[test]
fn a_hub_that_was_made_has_routes_of_its_own_to_an_event_hub_that_is_read() {
    let hub = Hub::start();
    let made = make(&hub, &json!({"name": "routed", "routing": alerts()}));
    assert_eq!(admin(&hub, "GET /hubs/routed", "").1, made);
    let strings = &made["eventHubConnectionStrings"];
    let built_in = made["eventHubConnectionString"].as_str().unwrap();
    let expected = built_in.replace("EntityPath=routed", "EntityPath=alerts");
    assert_eq!(*strings, json!({ "alerts": expected }));

    let owner = made["connectionStrings"]["iothubowner"].as_str().unwrap();
    let token = ServiceConnectionString::parse(owner).unwrap().token(FAR_FUTURE);
    let mut reader = Client::open_at(address(&made, "amqp"), made["hostName"].as_str().unwrap());
    reader.claim("sb://h/alerts", &token);
    for (handle, partition) in [(2, 0), (3, 1)] {
        let place = format!("alerts/ConsumerGroups/team/Partitions/{partition}");
        reader.send(&attach(handle, true, &place));
        reader.await_answer(0x12);
        reader.send(&flow(handle, 100));
    }
    reader.send(&attach(4, true, "alerts/ConsumerGroups/others/Partitions/0"));
    assert!(reader.await_answer(0x16).text.contains("amqp:not-found"));

    let mut connection = connect(&hub, &made);
    send(&mut connection, 1, 29);
    send(&mut connection, 2, 31);
    let read = reader.await_answer(0x14).text;
    assert!(read.contains(r#"{"t":31}"#), "{read}");
    assert!(read.contains("routed"), "its enrichment is missing: {read}");
    assert_eq!(went_to(&hub, "routed", 29), json!(["events"]));
    assert_eq!(went_to(&hub, "routed", 31), json!(["alerts"]));
    // Others are as they were.
    assert_eq!(make(&hub, &json!({}))["eventHubConnectionStrings"], json!({}));
}

#[test]
fn routes_are_taken_put_back_and_kept() {
    let hub = Hub::start();
    let made = make(&hub, &json!({"name": "routed", "seed": {"routing": alerts()}}));
    let taken = take(&hub, "routed");
    assert_eq!(taken["routing"], alerts());
    // What a document does not mention stays.
    assert_eq!(restore(&hub, "routed", &json!({"devices": [{"deviceId": "d2"}]})), made);
    assert_eq!(take(&hub, "routed")["routing"], alerts());
    send(&mut connect(&hub, &made), 1, 31);
    assert_eq!(went_to(&hub, "routed", 31), json!(["alerts"]));

    let other = json!({"routing": {"endpoints": [{"name": "cold", "type": "event-hub"}], "routes": [
        {"name": "cold", "condition": "$body.t < 10", "endpointNames": ["cold", "events"]},
    ]}});
    let changed = restore(&hub, "routed", &other);
    assert!(changed["eventHubConnectionStrings"].get("cold").is_some(), "{changed}");
    assert!(changed["eventHubConnectionStrings"].get("alerts").is_none(), "{changed}");
    let mut connection = connect(&hub, &made);
    send(&mut connection, 1, 31);
    send(&mut connection, 2, 9);
    assert_eq!(went_to(&hub, "routed", 31), json!(["events"]));
    assert_eq!(went_to(&hub, "routed", 9), json!(["cold", "events"]));

    assert_eq!(admin(&hub, "POST /hubs/routed/reset", ""), (200, made.clone()));
    assert_eq!(take(&hub, "routed"), taken);
    // Into another hub, which has none.
    assert_eq!(take(&hub, "emulator")["routing"]["routes"], json!([]));
    restore(&hub, "emulator", &taken);
    assert_eq!(take(&hub, "emulator"), taken);
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    assert_eq!(take(&hub, "emulator")["routing"]["routes"], json!([]));
}

#[test]
fn every_mistake_is_told_and_no_hub_is_made() {
    let hub = Hub::start();
    let wanted = json!({
        "name": "wrong",
        "seed": {"devices": [{"deviceId": "a b"}]},
        "routing": {
            "endpoints": [{"name": "alerts", "type": "queue"}],
            "routes": [
                {"name": "r", "endpointNames": ["nowhere"]},
                {"name": "s", "condition": "x >", "endpointNames": ["alerts"]},
            ],
            "fallback": {},
        },
    });
    let told = refused(&hub, "POST /hubs", &wanted);
    let told: Vec<_> = told.split("; ").collect();
    let expected = [
        "seed: devices[0].deviceId is \"a b\": ",
        "routing: there is no field \"fallback\", expected endpoints, routes,",
        "routing.endpoints[0]: type is \"queue\", expected one of event-hub, folder, webhook",
        "routing: route \"r\" names the endpoint \"nowhere\", expected one of events, alerts",
        "routing: route \"s\" has a condition that cannot be read: ",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (mistake, expected) in told.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake:?}, expected {expected:?}");
    }
    let twice = json!({"name": "wrong", "routing": alerts(), "seed": {"routing": alerts()}});
    let told = refused(&hub, "POST /hubs", &twice);
    assert_eq!(told, "there are routing and seed.routing, expected one of them");
    assert_eq!(admin(&hub, "GET /hubs/wrong", "").0, 404);
}

#[test]
fn over_the_harness_no_folder_is_written_to_that_nobody_chose_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    let kind = EndpointKind::Folder(path.clone());
    let hub = Hub::start_with(|config| {
        config.routing.endpoints = vec![EndpointProperties { name: "archive".to_owned(), kind }];
        config.routing.routes = vec![RouteProperties::new("all", "archive")];
    });
    let to = |path: &str| {
        let endpoint = json!({"name": "archive", "type": "folder", "path": path});
        json!({"routing": {"endpoints": [endpoint]}})
    };
    let path = path.to_str().unwrap();
    let other = folder.path().join("other");
    let other = other.to_str().unwrap();
    let expected = "routing: endpoint \"archive\" is a folder that the hub did not begin with, and others are not taken here, since they are written to";
    assert_eq!(refused(&hub, "POST /hubs", &to(path)), expected);
    let told = refused(&hub, "POST /hubs", &json!({"seed": to(path)}));
    assert_eq!(told, format!("seed: {expected}"));
    assert_eq!(refused(&hub, "POST /hubs/emulator/restore", &to(other)), expected);
    // Its own snapshot goes back in, also after another that had none.
    let taken = take(&hub, "emulator");
    restore(&hub, "emulator", &json!({"routing": {}}));
    restore(&hub, "emulator", &taken);
    assert_eq!(take(&hub, "emulator"), taken);
    let device = hub.device("d1");
    send(&mut hub.connect(&device), 1, 31);
    assert_eq!(went_to(&hub, "emulator", 31), json!(["archive"]));
    // Which waits until the folder has it.
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    assert!(std::path::Path::new(path).exists());
    assert!(!std::path::Path::new(other).exists());
}

#[test]
fn a_seed_can_have_routes_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.toml");
    let archive = folder.path().join("archive");
    let seed = format!(
        "[[routing.endpoints]]\n\
         name = \"archive\"\n\
         type = \"folder\"\n\
         path = {:?}\n\
         [[routing.routes]]\n\
         name = \"all\"\n\
         endpointNames = [\"archive\", \"events\"]\n",
        archive.to_str().unwrap()
    );
    std::fs::write(&path, seed).unwrap();
    let hub = Hub::start_with(|config| config.seed = Some(path));
    let beginning = take(&hub, "emulator");
    assert_eq!(beginning["routing"]["endpoints"][0]["path"], json!(archive.to_str().unwrap()));
    restore(&hub, "emulator", &json!({"routing": {}}));
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    assert_eq!(take(&hub, "emulator"), beginning);
}
