//! AMQP by bytes written by hand: what no SDK would send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use iothub_core::auth::sas::sign;
use iothub_core::time::Timestamp;
use iothub_tests::mqtt::PATIENCE;
use iothub_tests::{Device, FAR_FUTURE, Hub, key};
use iothub_wire::connection_string::encode;
use serde_json::json;

use crate::harness::{admin, admin_text};

const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// What the service documents for open.
const MAX_FRAME: usize = 65_536;

pub(crate) const NULL: &[u8] = &[0x40];
pub(crate) const TRUE: &[u8] = &[0x41];
pub(crate) const FALSE: &[u8] = &[0x42];

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&[0xb1][..], &length(text.len()), text.as_bytes()].concat()
}

pub(crate) fn uint(number: u32) -> Vec<u8> {
    [&[0x70][..], &number.to_be_bytes()].concat()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

pub(crate) fn described(descriptor: u8, value: &[u8]) -> Vec<u8> {
    [&[0, 0x53, descriptor], value].concat()
}

pub(crate) fn list(fields: &[&[u8]]) -> Vec<u8> {
    let content = fields.concat();
    [&[0xd0][..], &length(content.len() + 4), &length(fields.len()), &content].concat()
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> Vec<u8> {
    let content: Vec<u8> =
        pairs.iter().flat_map(|(key, value)| [text(key), text(value)].concat()).collect();
    [&[0xd1][..], &length(content.len() + 4), &length(pairs.len() * 2), &content].concat()
}

pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&length(body.len() + 8)[..], &[2, kind, 0, 0], body].concat()
}

pub(crate) fn performative(descriptor: u8, fields: &[&[u8]]) -> Vec<u8> {
    frame(0, &described(descriptor, &list(fields)))
}

pub(crate) fn attach(handle: u32, receives: bool, address: &str) -> Vec<u8> {
    let name = text(&format!("link-{handle}"));
    let (source, target) =
        (described(0x28, &list(&[&text(address)])), described(0x29, &list(&[&text(address)])));
    let role = if receives { TRUE } else { FALSE };
    performative(0x12, &[&name, &uint(handle), role, NULL, NULL, &source, &target])
}

pub(crate) fn flow(handle: u32, credit: u32) -> Vec<u8> {
    let window = uint(1000);
    performative(
        0x13,
        &[&uint(1), &window, &uint(0), &window, &uint(handle), &uint(0), &uint(credit)],
    )
}

pub(crate) fn transfer(handle: u32, delivery: u32, message: &[u8]) -> Vec<u8> {
    let fields = list(&[&uint(handle), &uint(delivery), &[0xa0, 1, 1], NULL, FALSE, FALSE]);
    frame(0, &[described(0x14, &fields), message.to_vec()].concat())
}

fn put_token(name: &str, token: &str) -> Vec<u8> {
    let properties = map(&[("operation", "put-token"), ("name", name)]);
    [described(0x74, &properties), described(0x77, &text(token))].concat()
}

pub(crate) struct Client(TcpStream);

/// What a frame was: its performative's number, and all of it as text where it is text.
pub(crate) struct Answer {
    pub(crate) number: u8,
    pub(crate) text: String,
    frame: Vec<u8>,
}

impl Answer {
    /// Whether it names this delivery, which is small.
    pub(crate) fn names(&self, delivery: u8) -> bool {
        self.frame.windows(2).any(|pair| pair == [0x52, delivery])
    }

    /// The handle that it begins with, as a detach does.
    pub(crate) fn handle(&self) -> u32 {
        let at = match self.frame[7] {
            0xc0 => 10,
            0xd0 => 16,
            other => panic!("fields have the constructor {other:#04x}: {:02x?}", self.frame),
        };
        match self.frame[at] {
            0x43 => 0,
            0x52 => self.frame[at + 1].into(),
            0x70 => u32::from_be_bytes(self.frame[at + 1..at + 5].try_into().unwrap()),
            other => panic!("handle has the constructor {other:#04x}: {:02x?}", self.frame),
        }
    }
}

impl Client {
    fn connect(hub: &Hub) -> Self {
        Self::connect_at(hub.emulator.amqp_addr().unwrap())
    }

    fn connect_at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Without SASL, up to a session on channel 0.
    pub(crate) fn open(hub: &Hub) -> Self {
        Self::open_at(hub.emulator.amqp_addr().unwrap(), hub.host())
    }

    /// The same at another place.
    pub(crate) fn open_at(address: SocketAddr, host: &str) -> Self {
        let mut client = Self::connect_at(address);
        client.send(&AMQP);
        assert_eq!(client.take(8), AMQP);
        client.send(&performative(0x10, &[&text("me"), &text(host)]));
        client.send(&performative(0x11, &[NULL, &uint(0), &uint(1000), &uint(1000)]));
        client.expect(0x10);
        client.expect(0x11);
        client
    }

    /// Gives a token for the resource of this name, over links 0 and 1.
    pub(crate) fn claim(&mut self, resource: &str, token: &str) {
        self.send(&attach(0, false, "$cbs"));
        self.send(&attach(1, true, "$cbs"));
        self.send(&flow(1, 100));
        self.send(&transfer(0, 0, &put_token(resource, token)));
        assert!(self.await_answer(0x14).text.contains("OK"));
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let size = u32::from_be_bytes(self.take(4).try_into().unwrap());
        let size = usize::try_from(size).unwrap();
        assert!((8..=MAX_FRAME).contains(&size), "frame of {size} bytes");
        let frame = self.take(size - 4);
        Answer { number: frame[6], text: String::from_utf8_lossy(&frame).into_owned(), frame }
    }

    pub(crate) fn expect(&mut self, number: u8) -> Answer {
        let answer = self.answer();
        assert_eq!(answer.number, number, "{}", answer.text);
        answer
    }

    /// The next answer of this kind, whatever comes before it.
    pub(crate) fn await_answer(&mut self, number: u8) -> Answer {
        loop {
            let answer = self.answer();
            if answer.number == number {
                return answer;
            }
        }
    }

    pub(crate) fn expect_silence(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let came = self.0.read(&mut [0]).map_err(|error| error.kind());
        assert!(matches!(came, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{came:?}");
    }

    pub(crate) fn expect_reset(&mut self) {
        let end = self.0.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
    }

    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too: the hub need not read what it has refused.
        let _reset = self.0.read_to_end(&mut rest);
        assert_eq!(rest, [0; 0]);
    }
}

fn still_serves(hub: &Hub) {
    hub.rest.get("/statistics/devices").expect(200);
}

#[test]
fn another_protocol_is_told_which_one_is_spoken() {
    let hub = Hub::start();
    for header in [*b"AMQP\x02\x01\x00\x00", *b"AMQP\x00\x00\x09\x01", *b"GET / HT"] {
        let mut client = Client::connect(&hub);
        client.send(&header);
        assert_eq!(client.take(8), AMQP);
        client.expect_end();
    }
    still_serves(&hub);
}

#[test]
fn a_frame_that_breaks_the_rules_closes_the_connection_with_the_reason() {
    let hub = Hub::start();
    let deep = [&[0; 1000][..], &[0x40]].concat();
    let nulls = [&[0, 0x53, 0x12, 0xf0, 0, 0, 0, 5][..], &[0xff, 0xff, 0xff, 0xff, 0x40]].concat();
    let table: [(&str, Vec<u8>, &str); 7] = [
        ("a body of 4 GB", vec![0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0], "framing-error"),
        ("a body before its frame", vec![0, 0, 0, 8, 1, 0, 0, 0], "framing-error"),
        ("a truncated attach", frame(0, &described(0x12, &[0xc0, 200, 5])), "decode-error"),
        ("values inside values", frame(0, &deep), "decode-error"),
        ("4 billion nulls", frame(0, &nulls), "decode-error"),
        ("an unknown performative", performative(0x1f, &[]), "decode-error"),
        ("a second open", performative(0x10, &[&text("me")]), "not-allowed"),
    ];
    let mut bystander = Client::open(&hub);
    for (what, bytes, condition) in table {
        let mut client = Client::open(&hub);
        client.send(&bytes);
        let close = client.expect(0x18);
        assert!(close.text.contains(condition), "{what}: {}", close.text);
        client.expect_end();
    }
    bystander.send(&attach(0, true, "$cbs"));
    bystander.expect(0x12);
    still_serves(&hub);
}

#[test]
fn links_are_refused_with_the_documented_condition() {
    let hub = Hub::start();
    hub.device("d1");
    let table = [
        ("/nowhere/at/all", true, "amqp:not-found"),
        ("/devices/d1/messages/devicebound", true, "amqp:unauthorized-access"),
        ("/devices/nobody/messages/events", false, "amqp:unauthorized-access"),
        ("/messages/devicebound", false, "amqp:unauthorized-access"),
        ("/messages/devicebound", true, "amqp:not-allowed"),
        ("/messages/servicebound/feedback", true, "amqp:unauthorized-access"),
        ("emulator/ConsumerGroups/$Default/Partitions/0", true, "amqp:unauthorized-access"),
        ("other/ConsumerGroups/$Default/Partitions/0", true, "amqp:not-found"),
        ("emulator", false, "amqp:not-allowed"),
        ("other", false, "amqp:not-found"),
        ("other", true, "amqp:not-found"),
        ("other/Partitions/0", false, "amqp:not-found"),
        ("/messages/events/*", true, "amqp:link:redirect"),
    ];
    let mut client = Client::open(&hub);
    for (address, receives, condition) in table {
        client.send(&attach(0, receives, address));
        client.expect(0x12);
        let detach = client.expect(0x16);
        assert!(detach.text.contains(condition), "{address}: {}", detach.text);
    }
    let entity = format!("The messaging entity 'sb://{}/other' could not be found.", hub.host());
    let table = [
        ("/nowhere/at/all", true, "404006"),
        ("other/ConsumerGroups/$Default/Partitions/0", true, entity.as_str()),
        ("other", false, &entity),
    ];
    for (address, receives, words) in table {
        client.send(&attach(0, receives, address));
        client.expect(0x12);
        let detach = client.expect(0x16);
        assert!(detach.text.contains(words), "{address}: {}", detach.text);
    }
    // The journal has the reasons in plain words, and whom a link would have been for.
    for (device, reason) in [
        (json!({"deviceId": "nobody"}), "*"),
        (json!({"deviceId": "d1"}), "*"),
        (json!({}), "The link address '/nowhere/at/all' did not match*"),
    ] {
        let mut pattern = json!({"kind": "refused", "protocol": "amqp", "reason": reason});
        pattern.as_object_mut().unwrap().extend(device.as_object().unwrap().clone());
        let body = json!({"match": pattern, "timeout": 0}).to_string();
        let (status, entry) = admin(&hub, "POST /hubs/emulator/journal/expect", &body);
        assert_eq!(status, 200, "{entry}");
    }
}

#[test]
fn sasl_plain_takes_the_token_of_a_policy_and_nothing_else() {
    let hub = Hub::start();
    let token = hub.owner.token(FAR_FUTURE);
    let table = [
        (format!("\0iothubowner@sas.root.{}\0{token}", hub.host()), 0),
        (format!("\0iothubowner@sas.root.any-name\0{token}"), 0),
        (format!("\0service@sas.root.{}\0{token}", hub.host()), 1),
        (format!("\0iothubowner@sas.root.{}\0SharedAccessSignature sr=x", hub.host()), 1),
        ("\0iothubowner\0secret".to_owned(), 1),
        ("no parts".to_owned(), 1),
    ];
    for (response, code) in table {
        assert_eq!(sasl_plain(&hub, &response), code, "{response:?}");
    }
}

/// The code of the outcome.
fn sasl_plain(hub: &Hub, response: &str) -> u8 {
    let mut client = Client::connect(hub);
    client.send(&SASL);
    assert_eq!(client.take(8), SASL);
    let mechanisms = client.expect(0x40);
    assert!(mechanisms.text.contains("MSSBCBS"), "{}", mechanisms.text);
    let binary = [&[0xb0][..], &length(response.len()), response.as_bytes()].concat();
    let init = list(&[&[&[0xa3, 5][..], b"PLAIN"].concat(), &binary]);
    client.send(&frame(1, &described(0x41, &init)));
    let outcome = client.expect(0x44).frame;
    let code = outcome.windows(2).find(|pair| pair[0] == 0x50).unwrap();
    code[1]
}

#[test]
fn the_hub_of_sasl_plain_is_looked_at_where_hosts_are_strict() {
    let hub = Hub::start_with(|config| config.strict_hosts = true);
    let token = hub.owner.token(FAR_FUTURE);
    for (name, code) in [(hub.host(), 0), ("emulator", 0), ("Emulator", 0), ("any-name", 1)] {
        let response = format!("\0iothubowner@sas.root.{name}\0{token}");
        assert_eq!(sasl_plain(&hub, &response), code, "{name}");
    }
}

#[test]
fn a_client_that_takes_no_answers_is_told_and_others_do_not_notice() {
    let hub = Hub::start();
    let mut client = Client::open(&hub);
    client.send(&attach(0, false, "$cbs"));
    client.send(&attach(1, true, "$cbs"));
    client.await_answer(0x13);
    client.expect(0x12);
    // No credit for the link that answers come by.
    for delivery in 0..300 {
        client.send(&transfer(0, delivery, &put_token("h", "none")));
        if delivery % 40 == 0 {
            still_serves(&hub);
        }
    }
    let detach = client.await_answer(0x16);
    assert!(detach.text.contains("amqp:resource-limit-exceeded"), "{}", detach.text);
}

#[test]
fn a_wrong_token_is_an_answer_and_no_end() {
    let hub = Hub::start();
    hub.device("d1");
    let mut client = Client::open(&hub);
    client.send(&attach(0, false, "$cbs"));
    client.send(&attach(1, true, "$cbs"));
    client.send(&flow(1, 100));
    let expired = format!("SharedAccessSignature sr={}&sig=AAAA&se=1", hub.host());
    let nobody = format!("{expired}&x=y");
    for (delivery, (name, token, status)) in [
        ("h/devices/d1", "none", "SharedAccessSignature"),
        ("h/devices/d1", &expired, "does not cover what was asked for"),
        ("h/devices/nobody", &nobody, "not registered"),
        ("h", &expired, "policy"),
    ]
    .into_iter()
    .enumerate()
    {
        client.send(&transfer(0, u32::try_from(delivery).unwrap(), &put_token(name, token)));
        let answer = client.await_answer(0x14);
        assert!(answer.text.contains(status), "{name}: {}", answer.text);
    }
}

/// A device with a token that ends at this second, and a link for its messages.
pub(crate) fn open_device(hub: &Hub, device: &Device, expiry: u64) -> Client {
    let mut client = Client::open(hub);
    client.send(&attach(0, false, "$cbs"));
    client.send(&attach(1, true, "$cbs"));
    client.send(&flow(1, 100));
    let token = sign(&encode(&device.resource()), expiry, None, &key(1));
    client.send(&transfer(0, 0, &put_token(&device.resource(), &token)));
    let answer = client.await_answer(0x14);
    assert!(answer.text.contains("status-code"), "{}", answer.text);
    client.send(&attach(2, true, &format!("/devices/{}/messages/devicebound", device.id)));
    client.await_answer(0x12);
    client
}

#[test]
fn a_device_whose_connection_is_ended_is_told() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut client = open_device(&hub, &device, FAR_FUTURE);
    let (_, seen) = admin(&hub, "GET /hubs/emulator/connections", "");
    assert_eq!(seen[0]["protocol"], "amqp", "{seen}");
    assert_eq!(admin(&hub, "DELETE /hubs/emulator/connections/d1", "").0, 204);
    let detach = client.await_answer(0x16);
    assert!(detach.text.contains("amqp:link:detach-forced"), "{}", detach.text);
    assert_eq!(admin(&hub, "GET /hubs/emulator/connections", "").1, json!([]));
}

#[test]
fn a_token_that_ends_takes_its_links_with_it() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let expiry = hub.emulator.hub().now().after(Duration::from_secs(3600)).unix_seconds();
    let mut client = open_device(&hub, &device, expiry);
    let turn = |body: &str| assert_eq!(admin(&hub, "POST /hubs/emulator/clock", body).0, 200);
    turn(r#"{"advance": 3500}"#);
    assert_eq!(admin(&hub, "GET /hubs/emulator/connections", "").1[0]["deviceId"], "d1");
    turn(r#"{"advance": 1000}"#);
    let ended = client.await_answer(0x16);
    assert!(ended.text.contains("amqp:unauthorized-access"), "{}", ended.text);
    let expired = format!("token expired at {}", Timestamp::from_unix_seconds(expiry));
    assert!(ended.text.contains(&expired), "{}", ended.text);
    client.send(&attach(3, true, "/devices/d1/messages/devicebound"));
    let refused = client.await_answer(0x16);
    assert!(refused.text.contains(&expired), "{}", refused.text);
}

#[test]
fn a_link_is_refused_with_the_reason() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.device("d2");
    let mut client = open_device(&hub, &device, FAR_FUTURE);
    let fault = r#"{"operation": "connect", "device": "d2", "error": "unauthorized"}"#;
    client.send(&attach(3, true, "/devices/d2/messages/devicebound"));
    let refused = client.await_answer(0x16);
    assert!(refused.text.contains("no token came for device d2"), "{}", refused.text);
    assert_eq!(admin(&hub, "POST /hubs/emulator/faults", fault).0, 201);
    let mut client = open_for_devices(&hub, &[]);
    client.send(&attach(3, true, "/devices/d2/messages/devicebound"));
    let refused = client.await_answer(0x16);
    assert!(refused.text.contains("amqp:unauthorized-access"), "{}", refused.text);
    assert!(refused.text.contains("a fault was injected"), "{}", refused.text);
}

#[test]
fn connections_that_the_hub_ends_are_told_why() {
    let hub = Hub::start();
    let mut client = Client::open(&hub);
    assert_eq!(admin(&hub, "POST /hubs/emulator/reset", "").0, 200);
    let close = client.await_answer(0x18);
    assert!(close.text.contains("amqp:connection:forced"), "{}", close.text);
    assert!(close.text.contains("the hub was reset"), "{}", close.text);
    let mut client = Client::open(&hub);
    let (_, document) = admin_text(&hub, "GET /hubs/emulator/snapshot", "");
    assert_eq!(admin(&hub, "POST /hubs/emulator/restore", &document).0, 200);
    let close = client.await_answer(0x18);
    assert!(close.text.contains("the hub was restored"), "{}", close.text);
    let mut client = Client::open(&hub);
    let waiting = std::thread::spawn(move || client.await_answer(0x18).text);
    hub.stop();
    let close = waiting.join().unwrap();
    assert!(close.contains("the emulator stops"), "{close}");
}

#[test]
fn sessions_and_links_are_bounded() {
    let hub = Hub::start();
    let mut client = Client::open(&hub);
    let mut refused = 0;
    for handle in 0..5010 {
        client.send(&attach(handle, true, "$cbs"));
        client.expect(0x12);
        if handle >= 5000 {
            let detach = client.expect(0x16);
            assert!(detach.text.contains("amqp:resource-limit-exceeded"), "{}", detach.text);
            refused += 1;
        }
    }
    assert_eq!(refused, 10);
    still_serves(&hub);
}

#[test]
fn an_event_hub_has_the_partitions_and_groups_that_it_is_told_to_have() {
    let hub = Hub::start_with(|config| {
        config.event_partitions = 8;
        config.consumer_groups = vec!["readers".to_owned()];
    });
    let mut client = Client::open(&hub);
    client.claim("sb://h/emulator", &hub.owner.token(FAR_FUTURE));
    let address =
        |group: &str, number: u8| format!("emulator/ConsumerGroups/{group}/Partitions/{number}");
    let no_group = format!(
        "The messaging entity 'sb://{}/emulator/consumergroups/others' could not be found.",
        hub.host()
    );
    for (handle, group, partition, refusal) in [
        (2, "Readers", 7, None),
        (3, "$Default", 0, None),
        (4, "others", 0, Some(("amqp:not-found", no_group.as_str()))),
        (5, "readers", 8, Some(("com.microsoft:argument-out-of-range", "between 0 and 7"))),
    ] {
        client.send(&attach(handle, true, &address(group, partition)));
        client.await_answer(0x12);
        if let Some((condition, words)) = refusal {
            let detach = client.expect(0x16);
            assert!(detach.text.contains(condition), "{}", detach.text);
            assert!(detach.text.contains(words), "{}", detach.text);
        }
    }
    client.send(&performative(0x16, &[&uint(2), TRUE]));
    client.expect(0x16);
}

#[test]
fn messages_that_never_end_are_bounded() {
    let hub = Hub::start();
    let mut client = Client::open(&hub);
    let part = vec![0; 60_000];
    let mut refused = None;
    for handle in 0..20 {
        client.send(&attach(handle, false, "$cbs"));
        client.expect(0x12);
        client.expect(0x13);
    }
    for handle in 0..20 {
        for _ in 0..17 {
            let fields = list(&[&uint(handle), &uint(handle), &[0xa0, 1, 1], NULL, FALSE, TRUE]);
            client.send(&frame(0, &[described(0x14, &fields), part.clone()].concat()));
        }
        // What the hub thinks of it shows in the answer to something that it must answer.
        client.send(&performative(
            0x13,
            &[&uint(1), &uint(1000), &uint(0), &uint(1000), NULL, NULL, NULL, NULL, NULL, TRUE],
        ));
        let answer = client.answer();
        if answer.number == 0x16 {
            refused = Some(answer.text);
            break;
        }
        assert_eq!(answer.number, 0x13, "{}", answer.text);
    }
    assert!(refused.unwrap().contains("amqp:resource-limit-exceeded"));
    still_serves(&hub);
}

/// A client with the token of `iothubowner`, and links to the events of these devices.
pub(crate) fn open_for_devices(hub: &Hub, devices: &[&str]) -> Client {
    let mut client = Client::open(hub);
    client.claim(hub.host(), &hub.owner.token(FAR_FUTURE));
    for (handle, device) in (2..).zip(devices) {
        client.send(&attach(handle, false, &format!("/devices/{device}/messages/events")));
        client.await_answer(0x12);
        client.expect(0x13);
    }
    client
}

pub(crate) fn data(bytes: &[u8]) -> Vec<u8> {
    described(0x75, &[&[0xb0][..], &length(bytes.len()), bytes].concat())
}

#[test]
fn a_batch_is_several_events_and_a_connection_carries_several_devices() {
    let hub = Hub::start();
    hub.device("d1");
    hub.device("d2");
    let mut client = open_for_devices(&hub, &["d1", "d2"]);
    let batch = [data(&data(b"one")), data(&data(b"two"))].concat();
    let format = uint(0x8001_3700);
    let fields = list(&[&uint(2), &uint(1), &[0xa0, 1, 1], &format, FALSE, FALSE]);
    client.send(&frame(0, &[described(0x14, &fields), batch].concat()));
    client.await_answer(0x15);
    client.send(&transfer(3, 2, &data(b"three")));
    client.await_answer(0x15);
    let of = |device: &str| -> Vec<_> {
        let events = hub.events().into_iter();
        let own = events.filter(|event| event.sender.device.as_str() == device);
        own.map(|event| event.message.body.clone()).collect()
    };
    assert_eq!((of("d1"), of("d2")), (vec!["one".into(), "two".into()], vec!["three".into()]));
}

#[test]
fn a_body_that_has_no_bytes_is_rejected_and_not_kept_empty() {
    let hub = Hub::start();
    hub.device("d1");
    let mut client = open_for_devices(&hub, &["d1"]);
    client.send(&attach(3, false, "/messages/devicebound"));
    client.await_answer(0x12);
    client.expect(0x13);
    let to = described(0x73, &list(&[NULL, NULL, &text("/devices/d1/messages/devicebound")]));
    let batch = uint(0x8001_3700);
    let bodies = [
        ("map", described(0x77, &map(&[("a", "1")])), false),
        ("list", described(0x77, &list(&[TRUE])), false),
        ("sequence", described(0x76, &list(&[TRUE])), false),
        ("text", described(0x77, &text("text")), true),
        ("data", data(b"data"), true),
        ("nothing", Vec::new(), true),
    ];
    let mut delivery = 1;
    for (what, body, kept) in bodies {
        let in_a_batch = data(&body);
        for (handle, format, message) in [
            (2, NULL, body.clone()),
            (2, &batch, in_a_batch),
            (3, NULL, [to.clone(), body.clone()].concat()),
        ] {
            let fields =
                list(&[&uint(handle), &uint(delivery), &[0xa0, 1, 1], format, FALSE, FALSE]);
            client.send(&frame(0, &[described(0x14, &fields), message].concat()));
            let outcome = client.await_answer(0x15);
            let refused = outcome.text.contains("amqp:not-implemented");
            assert_eq!(refused, !kept, "{what} to {handle}: {}", outcome.text);
            delivery += 1;
        }
    }
    // A batch is its data sections; what else it has would be lost.
    let fields = list(&[&uint(2), &uint(delivery), &[0xa0, 1, 1], &batch, FALSE, FALSE]);
    client.send(&frame(0, &[described(0x14, &fields), described(0x77, &text("x"))].concat()));
    assert!(client.await_answer(0x15).text.contains("amqp:not-implemented"));
    let kept: Vec<_> = hub.events().iter().map(|event| event.message.body.clone()).collect();
    assert_eq!(kept, ["text", "text", "data", "data", "", ""]);
    let twin = hub.rest.get("/devices/d1").expect(200).json();
    assert_eq!(twin["cloudToDeviceMessageCount"], 3);
}

#[test]
fn an_event_that_is_too_large_is_rejected_and_the_link_lives() {
    let hub = Hub::start();
    hub.device("d1");
    let mut client = open_for_devices(&hub, &["d1"]);
    let message = data(&vec![0; 256 * 1024 + 1]);
    let mut parts = message.chunks(60_000).peekable();
    while let Some(part) = parts.next() {
        let more = if parts.peek().is_some() { TRUE } else { FALSE };
        let fields = list(&[&uint(2), &uint(1), &[0xa0, 1, 1], NULL, FALSE, more]);
        client.send(&frame(0, &[described(0x14, &fields), part.to_vec()].concat()));
    }
    let outcome = client.await_answer(0x15);
    assert!(outcome.text.contains("amqp:link:message-size-exceeded"), "{}", outcome.text);
    assert!(hub.events().is_empty());
    client.send(&transfer(2, 2, &data(b"small")));
    client.await_answer(0x15);
    assert_eq!(hub.events().len(), 1);
}

#[test]
fn a_device_that_connects_over_mqtt_takes_its_place_from_amqp() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.device("d2");
    let mut client = open_for_devices(&hub, &["d1", "d2"]);
    let _mqtt = hub.connect_as(&device.connect(), iothub_tests::mqtt::ACCEPTED);
    let detach = client.await_answer(0x16);
    assert!(detach.text.contains("amqp:link:stolen"), "{}", detach.text);
    client.send(&transfer(3, 2, &data(b"the other lives")));
    client.await_answer(0x15);
    assert_eq!(hub.events().len(), 1);
}
