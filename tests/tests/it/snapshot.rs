//! A hub that is taken, put back, and begun with what a file says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use iothub_core::auth::sas::SymmetricKey;
use iothub_core::auth::sas::sign;
use iothub_core::limits;
use iothub_tests::mqtt::{ACCEPTED, Connection, PATIENCE, publish};
use iothub_tests::{Device, FAR_FUTURE, Hub, key, subscribe_twin};
use iothub_wire::connection_string::encode;
use serde_json::{Value, json};

use crate::harness::{admin, admin_text};

const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/seed.toml");

fn get(connection: &mut Connection) -> String {
    connection.send(&publish("$iothub/twin/GET/?$rid=get", b""));
    connection.expect_publish("$iothub/twin/res/200/?$rid=get")
}

fn report(connection: &mut Connection, patch: &str, version: u64) {
    connection.send(&publish("$iothub/twin/PATCH/properties/reported/?$rid=1", patch.as_bytes()));
    let topic = format!("$iothub/twin/res/204/?$rid=1&$version={version}");
    assert_eq!(connection.expect_publish(&topic), "");
}

fn take(hub: &Hub) -> Value {
    let (status, document) = admin(hub, "GET /hubs/emulator/snapshot", "");
    assert_eq!(status, 200, "{document}");
    document
}

/// Asks for a restore. A process takes in one document after another, and refuses those that wait
/// for long; so the hubs of this one do not ask at once.
fn ask_restore(hub: &Hub, name: &str, document: &str) -> (u16, Value) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    admin(hub, &format!("POST /hubs/{name}/restore"), document)
}

fn restore(hub: &Hub, document: &Value) {
    let (status, facts) = ask_restore(hub, "emulator", &document.to_string());
    assert_eq!((status, &facts["name"]), (200, &json!("emulator")), "{facts}");
}

/// What of a twin does not depend on who is connected.
fn lasting(mut twin: Value) -> Value {
    let members = twin.as_object_mut().unwrap();
    for name in ["connectionState", "lastActivityTime", "cloudToDeviceMessageCount"] {
        members.remove(name).unwrap();
    }
    twin
}

fn started_with(seed: &str) -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed");
    std::fs::write(&path, seed).unwrap();
    Hub::start_with(|config| config.seed = Some(path))
}

#[test]
fn a_restored_device_goes_on_where_it_was() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.rest.put("/devices/d1/modules/m", r#"{"managedBy": "me"}"#).expect(200);
    hub.desire(&device, r#"{"a": {"b": 1.1}, "c": [1]}"#);
    hub.desire(&device, r#"{"c": null}"#);
    let mut connection = hub.connect_twin(&device);
    report(&mut connection, r#"{"x": 1e-7, "y": {"z": "ü"}}"#, 2);
    let seen = get(&mut connection);
    let (twin, identity) = (hub.twin(&device), hub.rest.get("/devices/d1").expect(200).json());
    let module = hub.rest.get("/devices/d1/modules/m").expect(200).json();
    let taken = take(&hub);

    hub.rest.delete("/devices/d1").expect(204);
    connection.expect_closed();
    hub.device("other");
    restore(&hub, &taken);

    hub.rest.get("/devices/other").expect(404);
    assert_eq!(lasting(hub.twin(&device)), lasting(twin));
    let restored = hub.rest.get("/devices/d1").expect(200).json();
    for member in ["etag", "generationId", "authentication", "statusUpdatedTime"] {
        assert_eq!(restored[member], identity[member], "{member}");
    }
    assert_eq!(hub.rest.get("/devices/d1/modules/m").expect(200).json()["etag"], module["etag"]);
    let mut connection = hub.connect_twin(&device);
    assert_eq!(get(&mut connection), seen);
    report(&mut connection, r#"{"x": 2}"#, 3);
    let desired = hub.desire(&device, r#"{"a": 1}"#)["properties"]["desired"].clone();
    assert_eq!(desired["$version"], 4);
    connection.expect_publish("$iothub/twin/PATCH/properties/desired/?$version=4");
}

#[test]
fn restoring_ends_connections_and_keeps_the_hub_s_keys() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    let before = admin(&hub, "GET /hubs/emulator", "").1;
    restore(&hub, &take(&hub));
    connection.expect_closed();
    assert_eq!(admin(&hub, "GET /hubs/emulator", "").1, before);
    hub.connect(&device).expect_alive();
}

#[test]
fn what_configurations_wrote_is_known_afterwards() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.rest.patch("/twins/d1", r#"{"tags": {"floor": 1}}"#).expect(200);
    let content = json!({"deviceContent": {"properties.desired.a": {"b": 1}}});
    let configuration = json!({"id": "c", "content": content, "targetCondition": "tags.floor = 1"});
    hub.rest.put("/configurations/c", &configuration.to_string()).expect(200);
    let applied = |twin: &Value| twin["configurations"]["c"]["status"] == "Applied";
    let twin = await_twin(&hub, &device, applied);
    let taken = take(&hub);
    restore(&hub, &taken);
    // Nothing is written again: what was applied is known to be.
    assert_eq!(await_twin(&hub, &device, applied), twin);
    assert_eq!(take(&hub), taken);
    hub.rest.delete("/configurations/c").expect(204);
    let gone = |twin: &Value| twin["properties"]["desired"].get("a").is_none();
    await_twin(&hub, &device, gone);
}

fn await_twin(hub: &Hub, device: &Device, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let twin = lasting(hub.twin(device));
        if wanted(&twin) {
            return twin;
        }
        assert!(Instant::now() < deadline, "{twin}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_document_with_mistakes_changes_nothing_and_tells_each() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    let taken = take(&hub);
    let restore = |body: &str| ask_restore(&hub, "emulator", body);
    let wrong = json!({"devices": [{"deviceId": "good"}, {"deviceId": "a b"}, {"deviceId": 1}]});
    let (status, answer) = restore(&wrong.to_string());
    assert_eq!((status, &answer["error"]), (400, &json!("InvalidSnapshot")));
    let message = answer["message"].as_str().unwrap();
    let places = ["devices[1].deviceId is \"a b\": ", "; devices[2].deviceId is a number"];
    assert!(places.iter().all(|place| message.contains(place)), "{message}");
    let table = [
        ("", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "the document is an array, expected an object"),
        (r#"{"version": 2}"#, "version is 2, expected 1"),
    ];
    for (body, expected) in table {
        let (status, answer) = restore(body);
        assert_eq!((status, &answer["message"]), (400, &json!(expected)), "{body}");
    }
    let nowhere = admin(&hub, "POST /hubs/none/restore", "{}");
    assert_eq!((nowhere.0, &nowhere.1["error"]), (404, &json!("HubNotFound")));
    assert_eq!(admin(&hub, "GET /hubs/none/snapshot", "").0, 404);
    connection.expect_alive();
    assert_eq!(take(&hub), taken);
}

#[test]
fn a_document_is_bounded_and_that_before_it_comes() {
    let hub = Hub::start();
    let mut socket = TcpStream::connect(hub.emulator.admin_addr()).unwrap();
    let head = "POST /hubs/emulator/restore HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    write!(socket, "{head}\r\nContent-Length: {}\r\n\r\n", (64 << 20) + 1).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("the body has more than 67108864 bytes"), "{answer}");
}

/// A restore of which the head is sent, and as much of the body.
fn begun(hub: &Hub, name: &str, announced: usize, body: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(hub.emulator.admin_addr()).unwrap();
    let head =
        format!("POST /hubs/{name}/restore HTTP/1.1\r\nHost: localhost\r\nConnection: close");
    write!(socket, "{head}\r\nContent-Length: {announced}\r\n\r\n").unwrap();
    socket.write_all(body).unwrap();
    socket
}

#[test]
fn who_stalls_holds_up_nobody() {
    let hub = Hub::start();
    let started = Instant::now();
    let stalled = begun(&hub, "emulator", 1000, b"{");
    restore(&hub, &json!({"devices": [{"deviceId": "d1"}]}));
    hub.rest.get("/devices/d1").expect(200);
    let mut answer = String::new();
    begun(&hub, "none", 1000, b"").read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    // Before the one that stalls was given up.
    assert!(started.elapsed() < limits::HTTP_BODY_TIME, "{:?}", started.elapsed());
    drop(stalled);
}

#[test]
fn a_large_document_of_nothing_but_mistakes_is_not_read_to_its_end() {
    let hub = Hub::start();
    let zeros = format!("{{\"devices\": [0{}]}}", ", 0".repeat(1_000_000));
    let (status, answer) = ask_restore(&hub, "emulator", &zeros);
    let message = answer["message"].as_str().unwrap();
    assert_eq!(status, 400, "{message}");
    assert!(message.ends_with("; and more: after 1000 mistakes the rest is not read"), "{message}");
}

#[test]
fn the_example_is_what_the_hub_begins_with_and_is_reset_to() {
    let hub = Hub::start_with(|config| config.seed = Some(Path::new(SEED).to_owned()));
    let beginning = take(&hub);
    let devices = beginning["devices"].as_array().unwrap();
    let ids: Vec<_> = devices.iter().map(|one| one["deviceId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["gateway-1", "retired-1", "thermostat-1"]);
    assert_eq!(hub.rest.get("/devices/retired-1").expect(200).json()["status"], "disabled");
    let camera = hub.rest.get("/twins/gateway-1/modules/camera").expect(200).json();
    assert_eq!(camera["properties"]["desired"]["fps"], 5);

    let device = Device { id: "thermostat-1".to_owned(), host: hub.host().to_owned() };
    let key = SymmetricKey::parse("dGhlcm1vc3RhdC0xLnByaW1hcnkuLi4u").unwrap();
    let mut connect = device.connect();
    connect.password = Some(sign(&encode(&device.resource()), FAR_FUTURE, None, &key));
    let mut connection = hub.connect_as(&connect, ACCEPTED);
    subscribe_twin(&mut connection);
    let configured = |twin: &Value| twin["properties"]["desired"]["unit"] == "celsius";
    let twin = await_twin(&hub, &device, configured);
    assert_eq!(twin["tags"], json!({"building": 43, "floor": 2}));
    assert!(get(&mut connection).contains(r#""sendFrequency":"5m""#));

    hub.rest.delete("/devices/gateway-1").expect(204);
    hub.device("more");
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    connection.expect_closed();
    hub.rest.get("/devices/more").expect(404);
    let key = |hub: &Value| hub["devices"][0]["authentication"]["symmetricKey"].clone();
    assert_eq!(key(&take(&hub)), key(&beginning), "made up once");
    // What others bring does not change what it began with.
    restore(&hub, &json!({"devices": [{"deviceId": "x"}]}));
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    assert_eq!(key(&take(&hub)), key(&beginning));
}

#[test]
fn a_seed_can_be_a_snapshot() {
    let hub = Hub::start();
    hub.desire(&hub.device("d1"), r#"{"a": 1}"#);
    let taken = take(&hub);
    assert_eq!(take(&started_with(&taken.to_string())), taken);
}

#[test]
fn a_hub_that_is_made_can_begin_with_something_too() {
    let hub = Hub::start();
    let seed = json!({"devices": [{"deviceId": "d1", "twin": {"tags": {"a": 1}}}]});
    let made = admin(&hub, "POST /hubs", &json!({"name": "made", "seed": seed}).to_string());
    assert_eq!(made.0, 201, "{}", made.1);
    let take = || admin(&hub, "GET /hubs/made/snapshot", "").1;
    let beginning = take();
    assert_eq!(beginning["devices"][0]["twin"]["tags"], json!({"a": 1}));
    assert_eq!(ask_restore(&hub, "made", "{}").0, 200);
    assert_eq!(take()["devices"], json!([]));
    assert_eq!(admin(&hub, "POST /hubs/made/reset", "").0, 200);
    assert_eq!(take(), beginning);

    let wrong = r#"{"name": "other", "seed": {"device": []}}"#;
    let (status, answer) = admin(&hub, "POST /hubs", wrong);
    let expected =
        "seed: there is no field \"device\", expected version, devices, configurations or routing";
    assert_eq!((status, &answer["message"]), (400, &json!(expected)));
    let (status, answer) = admin(&hub, "POST /hubs", r#"{"seed": 1}"#);
    let expected = "seed: the document is a number, expected an object";
    assert_eq!((status, &answer["message"]), (400, &json!(expected)));
    assert_eq!(admin(&hub, "GET /hubs/other", "").0, 404);
}

#[test]
fn ten_thousand_devices_are_taken_and_put_back() {
    let keys = json!({"primaryKey": key(1).as_base64(), "secondaryKey": key(2).as_base64()});
    let device = |number: usize| {
        let desired = json!({"interval": number, "mode": {"fan": "auto", "target": 21.5}});
        json!({
            "deviceId": format!("device-{number:05}"),
            "authentication": {"type": "sas", "symmetricKey": keys},
            "twin": {
                "tags": {"building": number % 50, "site": "north"},
                "properties": {"desired": desired, "reported": {"firmware": "1.2.3"}},
            },
        })
    };
    let document = json!({"devices": (0..10_000).map(device).collect::<Vec<_>>()});
    let hub = Hub::start();
    let started = Instant::now();
    restore(&hub, &document);
    let restored = started.elapsed();
    let (_, taken) = admin_text(&hub, "GET /hubs/emulator/snapshot", "");
    let took = started.elapsed() - restored;
    println!("restored in {restored:?}, taken in {took:?}: {} bytes", taken.len());
    assert_eq!(ask_restore(&hub, "emulator", &taken).0, 200);
    assert_eq!(admin_text(&hub, "GET /hubs/emulator/snapshot", "").1, taken);
    let statistics = hub.rest.get("/statistics/devices").expect(200).json();
    assert_eq!(statistics["totalDeviceCount"], 10_000);
    let device = Device { id: "device-09999".to_owned(), host: hub.host().to_owned() };
    hub.connect(&device).expect_alive();
}
