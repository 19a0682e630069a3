//! Faults, from outside: what clients see of them.

use std::time::{Duration, Instant};

use iothub_testkit::{FaultGuard, Preset};
use iothub_tests::mqtt::{
    ACCEPTED, Connection, PATIENCE, PINGREQ, RESUMED, UNAVAILABLE, publish, publish_with, subscribe,
};
use iothub_tests::{Device, FAR_FUTURE, Hub};
use serde_json::{Value, json};

use crate::amqp::{
    Client, NULL, attach, data, described, flow, list, open_device, open_for_devices, text,
    transfer,
};
use crate::harness::admin;

/// Adds a fault to the first hub.
fn add(hub: &Hub, fault: &Value) -> Value {
    let (status, added) = admin(hub, "POST /hubs/emulator/faults", &fault.to_string());
    assert_eq!(status, 201, "{added}");
    added
}

/// Waits until every fault has struck once, where no answer tells of it.
fn await_hits(hub: &Hub) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let faults = admin(hub, "GET /hubs/emulator/faults", "").1;
        if faults.as_array().unwrap().iter().all(|fault| fault["hits"] == 1) {
            return;
        }
        assert!(Instant::now() < deadline, "{faults}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the hub shows these connections.
fn await_connections(hub: &Hub, wanted: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = admin(hub, "GET /hubs/emulator/connections", "").1;
        if wanted(&shown) {
            return;
        }
        assert!(Instant::now() < deadline, "{shown}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_fault_begins_and_ends_by_the_clock_of_the_hub() {
    let hub = Hub::start();
    admin(&hub, "POST /hubs/emulator/clock", r#"{"frozen": true}"#);
    add(&hub, &json!({"operation": "query", "error": "throttled", "after": 10, "duration": 60}));
    let query = |status| {
        let body = r#"{"query": "SELECT * FROM devices"}"#;
        hub.rest.send("POST", "/devices/query", &[], Some(body)).expect(status);
    };
    for (advance, status) in [(0, 200), (9, 200), (1, 429), (59, 429), (1, 200)] {
        let turn = json!({ "advance": advance }).to_string();
        assert_eq!(admin(&hub, "POST /hubs/emulator/clock", &turn).0, 200);
        query(status);
    }
}

#[test]
fn the_will_of_a_client_that_was_cut_off_comes_when_the_clock_is_turned() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connect = device.connect().keep_alive(60);
    connect.will = Some((EVENTS.to_owned(), b"gone".to_vec(), 1));
    let mut connection = hub.connect_as(&connect, ACCEPTED);
    let advance = |seconds: u32| {
        let turn = json!({ "advance": seconds }).to_string();
        assert_eq!(admin(&hub, "POST /hubs/emulator/clock", &turn).0, 200);
    };
    let connected = || admin(&hub, "GET /hubs/emulator/connections", "").1 != json!([]);
    // The clock alone cuts nobody off: clients keep alive by their own.
    advance(600);
    connection.expect_alive();
    add(&hub, &json!({"operation": "sendEvent", "error": "halfOpen", "count": 1}));
    connection.send(&publish_with(0x32, 1, EVENTS, b"x"));
    await_hits(&hub);
    connection.expect_silence(Duration::from_millis(100));
    advance(80);
    assert!(connected());
    advance(20);
    await_connections(&hub, |shown| *shown == json!([]));
    let will = &hub.await_events(1)[0];
    assert_eq!(will.message.body, "gone");
}

const EVENTS: &str = "devices/d1/messages/events/";

/// What MQTT goes over: a plain connection, one with TLS, and a WebSocket.
fn connections() -> [fn(&Hub) -> Connection; 3] {
    [Hub::open, Hub::open_tls, |hub| hub.open_https().over_websocket("/$iothub/websocket")]
}

#[test]
fn a_connection_is_reset() {
    let hub = Hub::start();
    let device = hub.device("d1");
    for open in connections() {
        add(&hub, &json!({"operation": "sendEvent", "error": "reset", "count": 1}));
        let mut connection = open(&hub);
        connection.send(&device.connect().bytes());
        connection.expect(ACCEPTED);
        connection.send(&publish_with(0x32, 1, EVENTS, b"x"));
        connection.expect_reset();
    }
    assert!(hub.events().is_empty());
    hub.connect(&device).expect_alive();
}

#[test]
fn a_connection_goes_silent_and_the_hub_does_not_notice() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    add(&hub, &json!({"operation": "sendEvent", "error": "halfOpen", "count": 1}));
    connection.send(&publish_with(0x32, 1, EVENTS, b"x"));
    connection.send(PINGREQ);
    await_hits(&hub);
    hub.desire(&device, r#"{"n": 1}"#);
    connection.expect_silence(Duration::from_millis(300));
    let shown = admin(&hub, "GET /hubs/emulator/connections", "").1;
    assert_eq!(shown[0]["deviceId"], "d1");
    assert!(hub.events().is_empty());
    // Who comes back takes its place.
    hub.connect(&device).expect_alive();

    // A client that is silent for one and a half of its keep-alive is gone for the hub too.
    add(&hub, &json!({"operation": "readTwin", "error": "halfOpen", "count": 1}));
    let mut connection = hub.connect_as(&device.connect().keep_alive(1), ACCEPTED);
    connection.send(&publish("$iothub/twin/GET/?$rid=1", b""));
    connection.expect_closed();
    await_connections(&hub, |shown| *shown == json!([]));
}

#[test]
fn a_client_is_not_let_in() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let ports = [
        ("acceptMqtt", hub.emulator.mqtt_addr().unwrap()),
        ("acceptMqtt", hub.emulator.mqtts_addr()),
        ("acceptAmqp", hub.emulator.amqp_addr().unwrap()),
        ("acceptAmqp", hub.emulator.amqps_addr()),
        ("acceptHttps", hub.emulator.https_addr()),
    ];
    for (operation, address) in ports {
        add(&hub, &json!({"operation": operation, "error": "reset", "count": 1}));
        Connection::plain(address).expect_reset();
        add(&hub, &json!({"operation": operation, "error": "halfOpen", "count": 1}));
        let mut connection = Connection::plain(address);
        connection.send(&device.connect().bytes());
        await_hits(&hub);
        connection.expect_silence(Duration::from_millis(200));
    }
    for error in ["reset", "halfOpen"] {
        add(&hub, &json!({"operation": "connect", "error": error, "count": 1}));
        let mut connection = hub.open();
        connection.send(&device.connect().bytes());
        match error {
            "reset" => connection.expect_reset(),
            _ => connection.expect_silence(Duration::from_millis(200)),
        }
        await_hits(&hub);
    }
    hub.connect(&device).expect_alive();
    await_hits(&hub);
}

#[test]
fn answers_over_mqtt_are_lost_late_or_garbled() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    add(&hub, &json!({"error": "answerLost", "device": "d1", "count": 2}));
    connection.send(&publish_with(0x32, 1, EVENTS, b"x"));
    connection.send(&publish("$iothub/twin/PATCH/properties/reported/?$rid=1", br#"{"n": 1}"#));
    connection.expect_alive();
    assert_eq!(hub.await_events(1).len(), 1, "the event is there");
    assert_eq!(hub.twin(&device)["properties"]["reported"]["n"], 1);

    add(&hub, &json!({"error": "answerLate", "delay": 0.3, "device": "d1", "count": 2}));
    for (packet, answer) in [
        (publish_with(0x32, 2, EVENTS, b"x"), "puback"),
        (publish("$iothub/twin/GET/?$rid=2", b""), "twin"),
    ] {
        let begun = Instant::now();
        connection.send(&packet);
        let came = connection.read();
        assert!(
            begun.elapsed() >= Duration::from_millis(300),
            "{answer} after {:?}",
            begun.elapsed()
        );
        assert_eq!(came.bytes[0], if answer == "puback" { 0x40 } else { 0x30 });
    }

    add(&hub, &json!({"error": "answerCorrupt", "device": "d1", "count": 2}));
    connection.send(&publish_with(0x32, 3, EVENTS, b"x"));
    connection.expect(&[0x40, 2, 0x40, 3]);
    connection.send(&publish("$iothub/twin/GET/?$rid=3", b""));
    let answer = connection.read().publish();
    assert!(answer.topic.starts_with("$iothub/twin/res/200/?$rid=3"), "{answer:?}");
    assert!(serde_json::from_str::<Value>(&answer.payload).is_err(), "{answer:?}");
}

#[test]
fn any_status_is_answered() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect_twin(&device);
    add(&hub, &json!({"operation": "updateTwin", "device": "d1", "status": 412}));
    connection.send(&publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b"{}"));
    let topic = connection.read().publish().topic;
    assert!(topic.starts_with("$iothub/twin/res/412/?$rid=1"), "{topic}");

    add(&hub, &json!({"route": "GET /devices/{id}", "status": 504}));
    let refused = hub.rest.get("/devices/d1").expect(504);
    assert_eq!(refused.header("iothub-errorcode"), Some("GatewayTimeout"));
    hub.rest.get("/devices").expect(200);
    hub.rest.get("/twins/d1").expect(200);
    // One that no throttle knows.
    add(&hub, &json!({"route": "GET /statistics/devices", "status": 418}));
    hub.rest.get("/statistics/devices").expect(418);
}

#[test]
fn answers_over_https_are_lost_late_or_garbled() {
    let hub = Hub::start();
    hub.device("d1");
    let token = hub.owner.token(FAR_FUTURE);
    let ask = || {
        let mut connection = hub.open_https();
        let request = format!(
            "GET /devices/d1?api-version=2021-04-12 HTTP/1.1\r\nHost: {}\r\nAuthorization: {token}\r\n\r\n",
            hub.host()
        );
        connection.send(request.as_bytes());
        connection
    };
    add(&hub, &json!({"operation": "registry", "error": "answerLost", "count": 1}));
    let silent = || {
        let mut connection = ask();
        await_hits(&hub);
        connection.expect_silence(Duration::from_millis(300));
    };
    silent();
    add(&hub, &json!({"operation": "registry", "error": "reset", "count": 1}));
    ask().expect_reset();
    add(&hub, &json!({"operation": "registry", "error": "disconnect", "count": 1}));
    ask().expect_closed();
    add(&hub, &json!({"operation": "registry", "error": "halfOpen", "count": 1}));
    silent();
    add(&hub, &json!({"operation": "registry", "error": "answerLate", "delay": 0.3, "count": 1}));
    let begun = Instant::now();
    hub.rest.get("/devices/d1").expect(200);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    add(&hub, &json!({"operation": "registry", "error": "answerCorrupt", "count": 1}));
    let body = hub.rest.get("/devices/d1").expect(200).body;
    assert!(serde_json::from_str::<Value>(&body).is_err(), "{body}");
    hub.rest.get("/devices/d1").expect(200).json();
}

#[test]
fn answers_over_amqp_are_lost_and_connections_break() {
    let hub = Hub::start();
    hub.device("d1");
    let mut client = open_for_devices(&hub, &["d1"]);
    add(&hub, &json!({"operation": "sendEvent", "error": "answerLost", "count": 1}));
    client.send(&transfer(2, 7, &data(b"lost")));
    client.send(&transfer(2, 8, &data(b"told")));
    let outcome = client.await_answer(0x15);
    assert!(outcome.names(8) && !outcome.names(7), "{:?}", outcome.text);
    assert_eq!(hub.await_events(2).len(), 2);

    add(&hub, &json!({"operation": "sendEvent", "error": "halfOpen", "count": 1}));
    client.send(&transfer(2, 9, &data(b"x")));
    await_hits(&hub);
    client.expect_silence();
    let mut client = open_for_devices(&hub, &["d1"]);
    add(&hub, &json!({"operation": "sendEvent", "error": "reset", "count": 1}));
    client.send(&transfer(2, 9, &data(b"x")));
    client.expect_reset();
}

/// How often each fault of the first hub has struck.
fn hits(hub: &Hub) -> Vec<u64> {
    let faults = admin(hub, "GET /hubs/emulator/faults", "").1;
    faults.as_array().unwrap().iter().map(|fault| fault["hits"].as_u64().unwrap()).collect()
}

#[test]
fn a_client_of_mqtt_hears_nothing_late_or_nonsense_of_being_let_in() {
    let hub = Hub::start();
    let device = hub.device("d1");
    add(&hub, &json!({"operation": "connect", "error": "answerLost", "count": 1}));
    // Nobody over AMQP asks to be let in, and has an answer to lose.
    hub.device("d2");
    open_for_devices(&hub, &["d2"]);
    assert_eq!(hits(&hub), [0]);
    let mut connection = hub.open();
    connection.send(&device.connect().bytes());
    await_hits(&hub);
    connection.expect_silence(Duration::from_millis(300));
    // It is let in all the same.
    connection.send(PINGREQ);
    assert_eq!(connection.read().bytes, [0xd0, 0]);

    add(&hub, &json!({"operation": "connect", "error": "answerCorrupt", "count": 1}));
    hub.connect_as(&device.connect(), &[0x20, 2, 0xfe, 0x7f]);
    add(&hub, &json!({"operation": "connect", "error": "answerLate", "delay": 0.3, "count": 1}));
    let begun = Instant::now();
    hub.connect(&device).expect_alive();
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(hits(&hub), [1, 1, 1]);
}

#[test]
fn a_client_whose_connack_is_late_can_be_sent_away_meanwhile() {
    let hub = Hub::start();
    let device = hub.device("d1");
    add(&hub, &json!({"operation": "connect", "error": "answerLate", "delay": 3600, "count": 1}));
    let mut connection = hub.open();
    connection.send(&device.connect().bytes());
    await_connections(&hub, |shown| shown[0]["deviceId"] == "d1");
    connection.expect_silence(Duration::from_millis(300));
    assert_eq!(admin(&hub, "DELETE /hubs/emulator/connections/d1", "").0, 204);
    connection.expect_closed();
}

#[test]
fn a_back_end_over_amqp_hears_nothing_of_what_it_sent() {
    let hub = Hub::start();
    hub.device("d1");
    let mut client = open_for_devices(&hub, &[]);
    client.send(&attach(2, false, "/messages/devicebound"));
    client.await_answer(0x12);
    client.expect(0x13);
    let to = list(&[NULL, NULL, &text("/devices/d1/messages/devicebound")]);
    let message = [described(0x73, &to), data(b"x")].concat();
    let mut send = |delivery| client.send(&transfer(2, delivery, &message));
    add(&hub, &json!({"operation": "sendDevicebound", "error": "answerLost", "count": 1}));
    send(7);
    send(8);
    let outcome = client.await_answer(0x15);
    assert!(outcome.names(8) && !outcome.names(7), "{:?}", outcome.text);
    let waiting = hub.rest.get("/devices/d1").expect(200).json();
    assert_eq!(waiting["cloudToDeviceMessageCount"], 2);
    // What has no connection, as a request of the harness, is not struck either.
    add(&hub, &json!({"operation": "sendDevicebound", "error": "reset", "count": 1}));
    assert_eq!(admin(&hub, "POST /hubs/emulator/devicebound/d1", "{}").0, 202);
    assert_eq!(hits(&hub), [1, 0]);
    client.send(&transfer(2, 9, &message));
    client.expect_reset();

    let mut client = open_for_devices(&hub, &[]);
    client.send(&attach(2, false, "/messages/devicebound"));
    client.await_answer(0x12);
    client.expect(0x13);
    add(&hub, &json!({"operation": "sendDevicebound", "error": "disconnect", "count": 1}));
    client.send(&transfer(2, 9, &message));
    client.expect_end();
}

/// A device over MQTT that listens to cloud-to-device messages, with a session that lasts.
fn listen_over_mqtt(hub: &Hub, device: &Device) -> Connection {
    let mut connection = hub.connect_as(&device.connect().persistent(), ACCEPTED);
    let filter = format!("devices/{}/messages/devicebound/#", device.id);
    connection.send(&subscribe(9, &[(&filter, 1)]));
    connection.expect(&[0x90, 3, 0, 9, 1]);
    connection
}

/// A device over AMQP with credit for cloud-to-device messages.
fn listen_over_amqp(hub: &Hub, device: &Device) -> Client {
    let mut client = open_device(hub, device, FAR_FUTURE);
    client.send(&flow(2, 10));
    client
}

fn strike_next_message(hub: &Hub, fault: &Value) {
    let mut fault = fault.clone();
    fault["operation"] = "receiveDevicebound".into();
    fault["count"] = 1.into();
    add(hub, &fault);
}

const A_LOCK_LATER: &str = r#"{"advance": 61}"#;

#[test]
fn messages_over_mqtt_are_lost_late_or_garbled_or_end_the_connection() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = listen_over_mqtt(&hub, &device);
    strike_next_message(&hub, &json!({"error": "answerLost", "device": "d*"}));
    hub.send_text(&device, "lost");
    connection.expect_silence(Duration::from_millis(300));
    for (fault, text) in
        [(json!({"error": "answerLate", "delay": 0.3}), "late"), (json!({"delay": 0.3}), "slow")]
    {
        strike_next_message(&hub, &fault);
        let begun = Instant::now();
        hub.send_text(&device, text);
        assert_eq!(connection.read().publish().payload, text);
        assert!(begun.elapsed() >= Duration::from_millis(300), "{text}: {:?}", begun.elapsed());
    }
    strike_next_message(&hub, &json!({"error": "answerCorrupt"}));
    hub.send_text(&device, "[1,2]");
    assert_eq!(connection.read().publish().payload, "[1{");
    assert_eq!(hits(&hub), [1; 4]);
    // An error of the service is for who asks, and this device does not.
    strike_next_message(&hub, &json!({"error": "throttled"}));
    hub.send_text(&device, "fine");
    assert_eq!(connection.read().publish().payload, "fine");
    assert_eq!(hits(&hub), [1, 1, 1, 1, 0]);
    let receive = || hub.rest.get("/devices/d1/messages/devicebound");
    receive().expect(429);
    // What was lost is locked, as if it had arrived, and others get it afterwards.
    receive().expect(204);
    assert_eq!(admin(&hub, "POST /hubs/emulator/clock", A_LOCK_LATER).0, 200);
    assert_eq!(receive().expect(200).body, "lost");
}

#[test]
fn a_message_over_mqtt_that_breaks_the_connection_comes_again_on_the_next() {
    let hub = Hub::start();
    for (number, error) in ["disconnect", "reset", "halfOpen"].into_iter().enumerate() {
        let device = hub.device(&format!("d{number}"));
        let mut connection = listen_over_mqtt(&hub, &device);
        strike_next_message(&hub, &json!({ "error": error }));
        hub.send_text(&device, error);
        match error {
            "disconnect" => connection.expect_closed(),
            "reset" => connection.expect_reset(),
            _ => {
                await_hits(&hub);
                connection.expect_silence(Duration::from_millis(300));
            }
        }
        let mut connection = hub.connect_as(&device.connect().persistent(), RESUMED);
        let came = connection.read().publish();
        assert_eq!((came.first, came.payload.as_str()), (0x3a, error), "it may have come before");
    }
    assert_eq!(hits(&hub), [1; 3]);
}

#[test]
fn messages_over_amqp_are_lost_late_or_garbled_or_end_the_connection() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut client = listen_over_amqp(&hub, &device);
    strike_next_message(&hub, &json!({"error": "answerLost", "device": "d1"}));
    hub.send_text(&device, "lost");
    strike_next_message(&hub, &json!({"error": "answerLate", "delay": 0.3}));
    let begun = Instant::now();
    hub.send_text(&device, "[1,2]");
    let came = client.await_answer(0x14);
    assert!(came.text.contains("[1,2]"), "{}", came.text);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    strike_next_message(&hub, &json!({"error": "answerCorrupt"}));
    hub.send_text(&device, "[3,4]");
    let came = client.await_answer(0x14);
    assert!(came.text.contains("[3{"), "{}", came.text);
    assert_eq!(hits(&hub), [1; 3]);
    // What was lost is locked, as if it had arrived.
    hub.rest.get("/devices/d1/messages/devicebound").expect(204);
    assert_eq!(admin(&hub, "POST /hubs/emulator/clock", A_LOCK_LATER).0, 200);
    let came = client.await_answer(0x14);
    assert!(came.text.contains("lost"), "{}", came.text);

    for (number, error) in ["disconnect", "reset", "halfOpen"].into_iter().enumerate() {
        let device = hub.device(&format!("e{number}"));
        let mut client = listen_over_amqp(&hub, &device);
        strike_next_message(&hub, &json!({ "error": error }));
        hub.send_text(&device, error);
        match error {
            "disconnect" => {
                let detach = client.await_answer(0x16);
                assert!(detach.text.contains("amqp:link:detach-forced"), "{}", detach.text);
            }
            "reset" => client.expect_reset(),
            _ => {
                await_hits(&hub);
                client.expect_silence();
            }
        }
        let mut client = listen_over_amqp(&hub, &device);
        let came = client.await_answer(0x14);
        assert!(came.text.contains(error), "{}", came.text);
    }
    assert_eq!(hits(&hub), [1; 6]);
}

#[test]
fn a_fault_strikes_one_protocol_and_leaves_the_others_alone() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.device("d2");
    let mut over_mqtt = hub.connect(&device);
    let mut over_amqp = open_for_devices(&hub, &["d2"]);
    let mut send_all = |protocol: &str| {
        add(&hub, &json!({"operation": "sendEvent", "protocol": protocol, "error": "answerLost"}));
        over_mqtt.send(&publish_with(0x32, 1, EVENTS, b"x"));
        over_amqp.send(&transfer(2, 7, &data(b"x")));
        over_mqtt.send(PINGREQ);
        let acknowledged = over_mqtt.read().bytes[0] == 0x40;
        if acknowledged {
            over_mqtt.read();
        }
        if protocol != "amqp" {
            over_amqp.await_answer(0x15);
        }
        let struck = hits(&hub);
        assert_eq!(admin(&hub, "DELETE /hubs/emulator/faults", "").0, 204);
        (acknowledged, struck)
    };
    assert_eq!(send_all("mqtt"), (false, vec![1]));
    assert_eq!(send_all("https"), (true, vec![0]));
    add(&hub, &json!({"protocol": "https", "error": "unavailable"}));
    hub.rest.get("/devices").expect(503);
    add(&hub, &json!({"operation": "connect", "protocol": "amqp", "error": "unavailable"}));
    hub.connect(&device).expect_alive();
    assert_eq!(hits(&hub), [1, 0]);
    let faults = admin(&hub, "GET /hubs/emulator/faults", "").1;
    assert_eq!(faults[0]["protocol"], "https", "{faults}");
    // A port is that of a protocol, whatever comes by it.
    add(&hub, &json!({"operation": "acceptHttps", "protocol": "https", "error": "reset"}));
    Connection::plain(hub.emulator.https_addr()).expect_reset();
}

#[test]
fn a_fault_that_can_never_strike_is_refused_and_every_route_can_be_struck() {
    let hub = Hub::start();
    let refused = |fault: Value| {
        let (status, answer) = admin(&hub, "POST /hubs/emulator/faults", &fault.to_string());
        assert_eq!((status, &answer["error"]), (400, &json!("InvalidFault")), "{answer}");
        answer["message"].as_str().unwrap().to_owned()
    };
    let message = refused(json!({"operation": "acceptMqtt", "device": "d1", "error": "reset"}));
    assert!(message.ends_with("or no device"), "{message}");
    let message =
        refused(json!({"operation": "connect", "protocol": "amqp", "error": "answerLost"}));
    assert!(message.contains("protocol mqtt"), "{message}");
    let message = refused(json!({"route": "GET /foo", "status": 418}));
    let (_, routes) = message.split_once("expected one of ").unwrap();
    let routes: Vec<_> = routes.split(", ").collect();
    assert!(routes.len() > 40, "{routes:?}");
    hub.device("d1");
    for route in routes {
        let id = add(&hub, &json!({"route": route, "status": 418}))["id"].clone();
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "d1").replace(['{', '}'], "");
        hub.rest.send(method, &path, &[], Some("{}")).expect(418);
        admin(&hub, &format!("DELETE /hubs/emulator/faults/{id}"), "");
    }
}

#[test]
fn a_hub_that_fails_over_is_away_for_a_minute() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    admin(&hub, "POST /hubs/emulator/clock", r#"{"frozen": true}"#);
    let added = add(&hub, &json!({"preset": "hub-failover", "seed": 7}));
    let seeds: Vec<_> = added.as_array().unwrap().iter().map(|one| one["seed"].clone()).collect();
    assert_eq!(seeds, [7, 8, 9]);
    connection.expect_closed();
    hub.connect_as(&device.connect(), UNAVAILABLE);
    hub.rest.get("/devices/d1").expect(503);
    admin(&hub, "POST /hubs/emulator/clock", r#"{"advance": 60}"#);
    hub.connect(&device).expect_alive();
    hub.rest.get("/devices/d1").expect(200);
}

#[test]
fn a_preset_strikes_the_same_each_time() {
    let round = |seed: u64| {
        let hub = Hub::start();
        let guards = hub.emulator.inject_preset(Preset::ThrottledS1, seed).unwrap();
        let statuses: Vec<_> = (0..40).map(|_| hub.rest.get("/devices").status).collect();
        let hits: u64 = guards.iter().map(FaultGuard::hits).sum();
        let throttled = statuses.iter().filter(|status| **status == 429).count();
        assert_eq!(hits, u64::try_from(throttled).unwrap());
        drop(guards);
        hub.rest.get("/devices").expect(200);
        assert_eq!(admin(&hub, "GET /hubs/emulator/faults", "").1, json!([]));
        statuses
    };
    let first = round(7);
    assert!(first.contains(&429) && first.contains(&200), "{first:?}");
    assert_eq!(first, round(7));
    assert_ne!(first, round(8));
}
