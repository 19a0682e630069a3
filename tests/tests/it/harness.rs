//! The harness API: a hub for each test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use iothub_core::auth::sas::sign;
use iothub_tests::mqtt::{
    ACCEPTED, Connect, Connection, NOT_AUTHORIZED, PATIENCE, publish, publish_with,
};
use iothub_tests::program::Emulator;
use iothub_tests::rest::Rest;
use iothub_tests::{Device, FAR_FUTURE, Hub, key, trusting};
use iothub_wire::connection_string::{ServiceConnectionString, encode};
use serde_json::{Value, json};

/// Sends a request to the admin port; gives the status and the body.
fn ask(admin: SocketAddr, request: &str, headers: &str, body: &str) -> (u16, Value) {
    let (status, body) = ask_text(admin, request, headers, body);
    (status, serde_json::from_str(&body).unwrap_or_else(|_| Value::from(body)))
}

fn ask_text(admin: SocketAddr, request: &str, headers: &str, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(admin).unwrap();
    let length = body.len();
    write!(
        socket,
        "{request} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// As [`admin`], with the body as it came.
pub(crate) fn admin_text(hub: &Hub, request: &str, body: &str) -> (u16, String) {
    ask_text(hub.emulator.admin_addr(), request, "Host: localhost\r\n", body)
}

pub(crate) fn admin(hub: &Hub, request: &str, body: &str) -> (u16, Value) {
    ask(hub.emulator.admin_addr(), request, "Host: localhost\r\n", body)
}

/// Begins to follow something: its first line, and what comes after the head.
pub(crate) fn follow(hub: &Hub, request: &str) -> (String, BufReader<TcpStream>) {
    let mut socket = TcpStream::connect(hub.emulator.admin_addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    (head, reader)
}

/// A back end of a hub that the harness made.
pub(crate) fn rest(hub: &Hub, made: &Value) -> Rest {
    let text = made["connectionStrings"]["iothubowner"].as_str().unwrap();
    let owner = ServiceConnectionString::parse(text).unwrap();
    let authority = format!("{}:{}", owner.host.name, owner.host.port.unwrap_or(443));
    Rest::new(&authority, &owner, hub.emulator.ca_pem().as_bytes())
}

pub(crate) fn put_device(rest: &Rest, id: &str) {
    let keys = json!({"primaryKey": key(1).as_base64(), "secondaryKey": key(2).as_base64()});
    let body = json!({"deviceId": id, "authentication": {"type": "sas", "symmetricKey": keys}});
    rest.put(&format!("/devices/{id}"), &body.to_string()).expect(200);
}

#[test]
fn a_hub_that_was_made_serves_devices_and_back_ends_of_its_own() {
    let hub = Hub::start();
    hub.device("d1");
    let (status, made) = admin(&hub, "POST /hubs", r#"{"name": "my-hub", "keys": "random"}"#);
    assert_eq!((status, &made["name"]), (201, &json!("my-hub")), "{made}");
    assert_ne!(made["connectionStrings"]["iothubowner"], hub.emulator.connection_string());

    let back_end = rest(&hub, &made);
    back_end.get("/devices/d1").expect(404);
    put_device(&back_end, "d1");
    put_device(&back_end, "d2");
    hub.rest.get("/devices/d2").expect(404);

    let host = made["hostName"].as_str().unwrap().to_owned();
    let port = made["ports"]["mqtts"].as_u64().unwrap();
    let address: SocketAddr = format!("{host}:{port}").parse().unwrap();
    let device = Device { id: "d2".to_owned(), host };
    let tls = trusting(hub.emulator.ca_pem().as_bytes());
    let mut connection = Connection::tls(address, &device.host, tls);
    connection.send(&device.connect().bytes());
    connection.expect(ACCEPTED);

    let (status, all) = admin(&hub, "GET /hubs", "");
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!((status, names), (200, vec![json!("emulator"), json!("my-hub")]));
    assert_eq!(admin(&hub, "GET /hubs/my-hub", ""), (200, made));

    assert_eq!(admin(&hub, "DELETE /hubs/my-hub", ""), (204, json!("")));
    connection.expect_closed();
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(admin(&hub, "GET /hubs/my-hub", "").0, 404);
    hub.rest.get("/devices/d1").expect(200);
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_that_a_hub_has_left_is_not_the_next_one_s() {
    let host = || {
        let hub = Hub::start();
        let made = admin(&hub, "POST /hubs", r#"{"name": "my-hub"}"#).1;
        assert_eq!(admin(&hub, "DELETE /hubs/my-hub", "").0, 204);
        made["hostName"].clone()
    };
    assert_ne!(host(), host());
}

/// A port that is free at the emulator's address, as far as one can know.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[cfg(target_os = "linux")]
#[test]
fn a_hub_that_was_made_has_the_plain_ports_of_the_emulator_at_its_own_address() {
    let (mqtt, amqp) = (free_port(), free_port());
    let hub = Hub::start_with(|config| {
        (config.mqtt_port, config.amqp_port) = (Some(mqtt), Some(amqp));
    });
    for _ in 0..2 {
        let (status, made) = admin(&hub, "POST /hubs", "{}");
        assert_eq!(status, 201, "{made}");
        assert_eq!(made["ports"]["mqtt"], mqtt, "{made}");
        assert_eq!(made["ports"]["amqp"], amqp, "{made}");
        TcpStream::connect((made["address"].as_str().unwrap(), mqtt)).unwrap();
    }
}

#[test]
fn a_reset_hub_is_empty_and_where_it_was() {
    let hub = Hub::start();
    let (_, made) = admin(&hub, "POST /hubs", r#"{"keys": "random"}"#);
    let name = made["name"].as_str().unwrap();
    put_device(&rest(&hub, &made), "d1");
    assert_eq!(admin(&hub, &format!("POST /hubs/{name}/reset"), ""), (200, made.clone()));
    rest(&hub, &made).get("/devices/d1").expect(404);
    put_device(&rest(&hub, &made), "d1");

    // The first hub too, whose connections end.
    let device = hub.device("d1");
    let mut connection = hub.connect(&device);
    connection.send(&publish_with(0x32, 1, "devices/d1/messages/events/", b"x"));
    connection.expect(&[0x40, 2, 0, 1]);
    assert_eq!(hub.await_events(1).len(), 1);
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    connection.expect_closed();
    hub.rest.get("/devices/d1").expect(404);
    assert!(hub.events().is_empty());
    let device = hub.device("d1");
    hub.connect(&device).expect_alive();
}

#[test]
fn a_hub_is_never_away_while_it_is_reset() {
    let hub = Hub::start();
    let address = hub.emulator.mqtts_addr();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let resets: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                TcpStream::connect(address).expect("the port is open");
                assert_eq!(admin(&hub, "GET /hubs/emulator", "").0, 200);
                assert_eq!(admin(&hub, "POST /hubs", r#"{"name": "emulator"}"#).0, 409);
            }
        });
        let outcomes: Vec<_> = resets.into_iter().map(ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok));
    });
    let device = hub.device("d1");
    hub.connect(&device).expect_alive();
}

#[test]
fn devices_are_listed_with_what_they_connect_with() {
    let hub = Hub::start();
    hub.device("d1");
    hub.rest.put("/devices/d1/modules/m1", r#"{"deviceId": "d1", "moduleId": "m1"}"#).expect(200);
    let authority = r#"{"deviceId": "d2", "authentication": {"type": "certificateAuthority"}}"#;
    hub.rest.put("/devices/d2", authority).expect(200);
    let (status, all) = admin(&hub, "GET /hubs/emulator/devices", "");
    assert_eq!((status, all.as_array().unwrap().len()), (200, 3), "{all}");
    let host = hub.host();
    let string =
        |fill| format!("HostName={host};DeviceId=d1;SharedAccessKey={}", key(fill).as_base64());
    let expected = json!({
        "deviceId": "d1", "moduleId": null, "authentication": "sas",
        "connectionString": string(1), "secondaryConnectionString": string(2),
    });
    assert_eq!(all[0], expected);
    let module = all[1]["connectionString"].as_str().unwrap();
    assert!(module.starts_with(&format!("HostName={host};DeviceId=d1;ModuleId=m1;Shared")));
    assert_eq!(all[2]["connectionString"], json!(format!("HostName={host};DeviceId=d2;x509=true")));
    assert_eq!(admin(&hub, "GET /hubs/none/devices", "").0, 404);
}

#[test]
fn the_testkit_registers_a_device_that_connects() {
    let hub = Hub::start();
    let string = hub.register("d9");
    assert_eq!(string.host.port, Some(hub.emulator.mqtts_addr().port()));
    let name = format!("{}/d9/?api-version=2021-04-12", string.host.name);
    let connect = Connect::new("d9", &name, &string.token(FAR_FUTURE));
    hub.connect_as(&connect, ACCEPTED).expect_alive();
}

#[test]
fn what_cannot_be_done_is_said() {
    let hub = Hub::start();
    assert_eq!(admin(&hub, "POST /hubs", r#"{"name": "twice"}"#).0, 201);
    let table = [
        ("POST /hubs", r#"{"name": "twice"}"#, 409, "there is a hub \"twice\" already"),
        (
            "POST /hubs",
            "{",
            400,
            "the body is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "POST /hubs",
            r#"{"size": 1}"#,
            400,
            "there is no field \"size\", expected name, keys, seed or routing",
        ),
        ("GET /hubs/none", "", 404, "there is no hub \"none\""),
        ("GET /nothing", "", 404, "there is nothing at /nothing"),
        ("PUT /hubs", "", 405, "/hubs has no PUT"),
        ("GET /hubs/%ff", "", 400, "Invalid URL: Invalid UTF-8 in `name`"),
        (
            "POST /hubs/emulator/clock",
            r#"{"set": "9999-12-31T23:59:59Z"}"#,
            400,
            "the hub's clock cannot show 9999-12-31T23:59:59Z, only times up to 9000-01-01T00:00:00Z",
        ),
        ("DELETE /hubs/none", "", 404, "there is no hub \"none\""),
        ("POST /hubs/none/reset", "", 404, "there is no hub \"none\""),
        ("POST /hubs/emulator/devicebound/none", "{}", 404, "there is no device \"none\""),
        (
            "POST /hubs/emulator/devicebound/none",
            "{\"ttl\": 1}",
            400,
            "there is no field \"ttl\", expected body, properties, messageId, correlationId, userId, contentType, contentEncoding, ack or expiry",
        ),
        (
            "POST /hubs/emulator/devicebound/a%20b",
            "{}",
            400,
            "id has the character ' ', expected letters, digits or one of -:.+%_#*?!(),=@;$'",
        ),
        (
            "DELETE /hubs/emulator",
            "",
            409,
            "\"emulator\" is the hub that the emulator began with: it can be reset, not deleted",
        ),
    ];
    for (request, body, status, message) in table {
        let (found, answer) = admin(&hub, request, body);
        assert_eq!((found, &answer["message"]), (status, &json!(message)), "{request} {body}");
    }
    let (found, answer) = admin(&hub, "POST /hubs", &" ".repeat(2_000_000));
    let expected = (413, &json!("BodyTooLarge"));
    assert_eq!((found, &answer["error"]), expected, "{answer}");
    assert_eq!(admin(&hub, "POST /hubs/emulator/clock", "").0, 200);
}

#[test]
fn a_web_page_may_not_drive_the_harness() {
    let hub = Hub::start();
    let address = hub.emulator.admin_addr();
    let table = [
        ("Host: localhost\r\n", 201),
        ("Host: evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: localhost\r\nAuthorization: Bearer guessed\r\n", 401),
    ];
    for (headers, status) in table {
        assert_eq!(ask(address, "POST /hubs", headers, "").0, status, "{headers}");
    }
    // Whoever watches over the process need not know the token.
    assert_eq!(ask(address, "GET /ready", "Host: emulator\r\n", "").0, 200);
}

#[test]
fn the_description_is_that_of_what_is_served() {
    let hub = Hub::start();
    let (status, description) = admin(&hub, "GET /openapi.json", "");
    assert_eq!(status, 200);
    let mut tried = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let request =
                format!("{} {}", method.to_uppercase(), path.replace("{name}", "emulator"));
            tried += 1;
            if path.ends_with("/events") {
                // This one has no end.
                assert!(follow(&hub, &request).0.starts_with("HTTP/1.1 200 OK"));
                continue;
            }
            let (status, _) = admin(&hub, &request, "");
            let told = operation["responses"].as_object().unwrap();
            assert!(told.contains_key(&status.to_string()), "{request} answers {status}: {told:?}");
        }
    }
    assert_eq!(tried, 29);
    // What is not described is not served.
    for request in ["PUT /hubs", "PATCH /hubs/emulator", "GET /hubs/emulator/reset"] {
        assert_eq!(admin(&hub, request, "").0, 405, "{request}");
    }
}

#[test]
fn a_message_is_tried_on_the_routes_of_a_hub() {
    let hub = Hub::start();
    let test = |body: &Value| admin(&hub, "POST /hubs/emulator/routes/test", &body.to_string());
    let (status, outcome) = test(&json!({"message": {"body": "x"}}));
    let expected = json!({
        "routes": [
            {"route": "$fallback", "matched": true, "reason": "the condition is true", "values": []},
        ],
        "endpoints": ["events"],
    });
    assert_eq!((status, outcome), (200, expected));
    // The twin is that of the hub's own device, unless another one is given.
    hub.device("d1");
    hub.rest.send("PATCH", "/twins/d1", &[], Some(r#"{"tags": {"floor": 3}}"#)).expect(200);
    let asked = json!({
        "condition": "$twin.tags.floor = 3",
        "message": {"systemProperties": {"connectionDeviceId": "d1"}},
    });
    assert_eq!(test(&asked).1["routes"][0]["matched"], true);
    let mut other = asked;
    other["twin"] = json!({"tags": {"floor": 4}});
    assert_eq!(test(&other).1["routes"][0]["values"][0]["value"], 4);
    let table = [
        (json!({"condition": 1, "hub": "h"}), 400, "InvalidTest"),
        (json!({"condition": "a b"}), 400, "InvalidTest"),
        (json!({"twin": {"tags": {"a.b": 1}}}), 400, "InvalidTest"),
        (json!({"route": "none"}), 404, "RouteNotFound"),
    ];
    for (body, status, name) in table {
        let (found, answer) = test(&body);
        assert_eq!((found, &answer["error"]), (status, &json!(name)), "{body}: {answer}");
    }
}

#[test]
fn hubs_that_come_and_go_leave_nothing() {
    // A process of its own: in this one other tests open files too.
    let emulator = Emulator::start();
    let address = emulator.local.harness.strip_prefix("http://").unwrap().parse().unwrap();
    let admin = |request: &str| ask(address, request, "Host: localhost\r\n", "");
    let files = format!("/proc/{}/fd", emulator.local.pid);
    let open_files = || std::fs::read_dir(&files).map(Iterator::count).ok();
    let round = || {
        let (status, made) = admin("POST /hubs");
        assert_eq!(status, 201, "{made}");
        let gone = admin(&format!("DELETE /hubs/{}", made["name"].as_str().unwrap()));
        assert_eq!(gone.0, 204);
    };
    round();
    let before = open_files();
    for _ in 0..100 {
        round();
    }
    let grown = open_files().unwrap_or(0).saturating_sub(before.unwrap_or(0));
    assert!(grown < 50, "{grown} more files are open");
    assert_eq!(admin("GET /hubs").1.as_array().unwrap().len(), 1);
}

#[test]
fn a_clock_that_is_turned_lets_happen_what_is_due() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let turn = |body: &str| admin(&hub, "POST /hubs/emulator/clock", body);
    let (status, shown) = admin(&hub, "GET /hubs/emulator/clock", "");
    assert_eq!((status, &shown["frozen"]), (200, &json!(false)));

    // A message that nobody fetches waits for an hour.
    hub.send_text(&device, "x");
    let waiting = || {
        let identity = hub.rest.get("/devices/d1").expect(200).json();
        identity["cloudToDeviceMessageCount"].clone()
    };
    assert_eq!(turn(r#"{"advance": 3500}"#).0, 200);
    assert_eq!(waiting(), 1);
    assert_eq!(turn(r#"{"advance": 200}"#).0, 200);
    assert_eq!(waiting(), 0);

    // A connection lasts as long as its token, and a little longer.
    let now = hub.emulator.hub().now();
    let expiry = now.after(Duration::from_secs(7200)).unix_seconds();
    let mut connect = device.connect();
    connect.password = Some(sign(&encode(&device.resource()), expiry, None, &key(1)));
    let mut connection = hub.connect_as(&connect, ACCEPTED);
    assert_eq!(turn(r#"{"advance": 7100}"#).0, 200);
    connection.expect_alive();
    assert_eq!(turn(r#"{"advance": 1000}"#).0, 200);
    connection.expect_closed();

    assert_eq!(turn(r#"{"frozen": true}"#).1["frozen"], true);
    let shown = || admin(&hub, "GET /hubs/emulator/clock", "").1;
    assert_eq!(shown(), shown());
    assert_eq!(turn(r#"{"set": "2000-01-01T00:00:00Z"}"#).0, 409);
    assert_eq!(turn("{").0, 400);
    assert_eq!(admin(&hub, "GET /hubs/none/clock", "").0, 404);
}

#[test]
fn connections_are_seen_and_ended() {
    let hub = Hub::start();
    let list = || admin(&hub, "GET /hubs/emulator/connections", "").1;
    assert_eq!(list(), json!([]));
    let (one, other) = (hub.device("d1"), hub.device("d2"));
    let mut connection = hub.connect_twin(&one);
    let mut second = hub.connect(&other);
    hub.send_text(&one, "x");
    let all = list();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    let mut seen = all[0].clone();
    for time in ["since", "lastActivity"] {
        let text = seen.as_object_mut().unwrap().remove(time).unwrap();
        assert!(text.as_str().unwrap().ends_with('Z'), "{text}");
    }
    let expected = json!({
        "deviceId": "d1", "moduleId": null, "protocol": "mqtt", "waitingMessages": 1,
        "subscriptions": ["desiredProperties", "twinResponses"],
    });
    assert_eq!(seen, expected);

    let cut = |path: &str| admin(&hub, &format!("DELETE /hubs/emulator/connections/{path}"), "");
    assert_eq!(cut("d1").0, 204);
    connection.expect_closed();
    second.expect_alive();
    let (status, answer) = cut("none");
    assert_eq!((status, &answer["error"]), (404, &json!("NotConnected")));
    assert_eq!(cut("d2/m1").0, 404);
    assert_eq!(cut("a%20b").0, 404);
    hub.connect(&one).expect_alive();
}

#[test]
fn faults_strike_in_the_form_of_each_protocol() {
    let hub = Hub::start();
    let (device, other) = (hub.device("d1"), hub.device("e1"));
    let mut connection = hub.connect_twin(&device);
    let add = |body: &str| {
        let (status, added) = admin(&hub, "POST /hubs/emulator/faults", body);
        assert_eq!((status, &added["hits"]), (201, &json!(0)), "{added}");
        added["id"].clone()
    };
    // Over HTTPS, once.
    add(r#"{"operation": "query", "error": "throttled", "count": 1}"#);
    let query = || {
        hub.rest.send("POST", "/devices/query", &[], Some(r#"{"query": "SELECT * FROM devices"}"#))
    };
    assert!(
        query().expect(429).json()["Message"].as_str().unwrap().contains("ThrottlingException")
    );
    query().expect(200);

    // A twin operation over MQTT.
    let fault = add(r#"{"operation": "readTwin", "device": "d*", "error": "throttled"}"#);
    connection.send(&publish("$iothub/twin/GET/?$rid=1", b""));
    let topic = connection.read().publish().topic;
    assert!(topic.starts_with("$iothub/twin/res/429/?$rid=1"), "{topic}");
    let removed = admin(&hub, &format!("DELETE /hubs/emulator/faults/{fault}"), "");
    assert_eq!(removed.0, 204);
    connection.send(&publish("$iothub/twin/GET/?$rid=2", b""));
    assert!(connection.read().publish().topic.starts_with("$iothub/twin/res/200/?$rid=2"));

    // A message that is never acknowledged, since the connection ends.
    add(r#"{"operation": "sendEvent", "device": "d1", "error": "disconnect"}"#);
    let mut spared = hub.connect(&other);
    for (one, id) in [(&mut connection, "d1"), (&mut spared, "e1")] {
        one.send(&publish_with(0x32, 1, &format!("devices/{id}/messages/events/"), b"x"));
    }
    connection.expect_closed();
    spared.expect(&[0x40, 2, 0, 1]);

    // A connection that is refused.
    add(r#"{"operation": "connect", "device": "d1", "error": "unauthorized"}"#);
    hub.connect_as(&device.connect(), NOT_AUTHORIZED);
    let hits: Vec<_> = faults(&hub).iter().map(|fault| fault["hits"].clone()).collect();
    assert_eq!(hits, [1, 1, 1]);
    assert_eq!(admin(&hub, "DELETE /hubs/emulator/faults", "").0, 204);
    assert!(faults(&hub).is_empty());
    hub.connect(&device).expect_alive();
}

fn faults(hub: &Hub) -> Vec<Value> {
    admin(hub, "GET /hubs/emulator/faults", "").1.as_array().unwrap().clone()
}
