//! A hub of raw MQTT bytes, just large enough for one device, that writes down what it sees.
//!
//! It shares no code with the device, so that neither can hide the other's mistakes. Threads and
//! blocking sockets suffice, and serve the tests of the program as well.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long a test waits for what must come: a machine that does much else is slow, not wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct FakeHub {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

/// What the hub holds, has seen, and is told to do.
#[derive(Default)]
pub(crate) struct State {
    desired: Map<String, Value>,
    pub(crate) desired_version: u64,
    pub(crate) reported: Map<String, Value>,
    reported_version: u64,
    pub(crate) connects: Vec<Connect>,
    pub(crate) filters: Vec<String>,
    pub(crate) gets: usize,
    pub(crate) patches: Vec<Value>,
    pub(crate) telemetry: Vec<(String, Value)>,
    pub(crate) disconnects: usize,
    /// Bytes for the live connection.
    outgoing: Vec<u8>,
    /// Close the live connection.
    pub(crate) hang_up: bool,
    /// The code of CONNACK.
    pub(crate) connack: u8,
    /// Answer patches with this status and body.
    pub(crate) refuse_patches: Option<(u16, Value)>,
    /// Do not acknowledge telemetry.
    pub(crate) withhold_acks: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) user_name: String,
    pub(crate) password: String,
    pub(crate) flags: u8,
    pub(crate) keep_alive: u16,
}

impl FakeHub {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    pub(crate) fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            desired_version: 1,
            reported_version: 1,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                thread::spawn(move || serve(socket.unwrap(), tls, &shared));
            }
        });
        Self { port, state }
    }

    pub(crate) fn connection_string(&self) -> String {
        format!("HostName=127.0.0.1:{};DeviceId=d1;SharedAccessKey={KEY}", self.port)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes desired properties, top level only, and tells the device if it is there.
    /// Calls a direct method; the answer comes where the telemetry comes.
    pub(crate) fn call(&self, topic: &str, payload: &str) {
        let packet = publish(topic, payload.as_bytes());
        self.state().outgoing.extend(packet);
    }

    pub(crate) fn change_desired(&self, patch: &Value) {
        let mut state = self.state();
        let mut body = patch.as_object().unwrap().clone();
        state.desired.extend(body.clone());
        state.desired_version += 1;
        let version = state.desired_version;
        body.insert("$version".to_owned(), json!(version));
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        let bytes = publish(&topic, &serde_json::to_vec(&body).unwrap());
        state.outgoing.extend(bytes);
    }

    /// Waits until `ready` holds.
    pub(crate) fn wait(&self, what: &str, ready: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(&self.state()) {
            if Instant::now() > deadline {
                let state = self.state();
                panic!(
                    "waited for {what}; patches {:?}, telemetry {:?}, connects {}",
                    state.patches,
                    state.telemetry,
                    state.connects.len()
                );
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn serve(socket: TcpStream, tls: Option<Arc<ServerConfig>>, state: &Mutex<State>) {
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut stream: Box<dyn Stream> = match tls {
        Some(config) => {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut connection = ServerConnection::new(config).unwrap();
            let mut socket = socket;
            while connection.is_handshaking() {
                if connection.complete_io(&mut socket).is_err() {
                    return;
                }
            }
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            Box::new(StreamOwned::new(connection, socket))
        }
        None => Box::new(socket),
    };
    state.lock().unwrap().outgoing.clear();
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        let mut state = state.lock().unwrap();
        while let Some((first, body)) = packet(&mut buffer) {
            if !handle(&mut state, first, &body) {
                let _ = stream.write_all(&std::mem::take(&mut state.outgoing));
                return;
            }
        }
        if std::mem::take(&mut state.hang_up) {
            return;
        }
        let outgoing = std::mem::take(&mut state.outgoing);
        if stream.write_all(&outgoing).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// Takes a whole packet out: its first byte and what follows its length.
fn packet(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let mut length = 0;
    let mut position = 1;
    loop {
        let byte = *buffer.get(position)?;
        length |= usize::from(byte & 0x7f) << (7 * (position - 1));
        position += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if buffer.len() < position + length {
        return None;
    }
    let first = buffer[0];
    let body = buffer[position..position + length].to_vec();
    buffer.drain(..position + length);
    Some((first, body))
}

/// Deals with one packet; false ends the connection.
fn handle(state: &mut State, first: u8, body: &[u8]) -> bool {
    match first >> 4 {
        1 => {
            state.connects.push(connect(body));
            let code = state.connack;
            state.outgoing.extend([0x20, 2, 0, code]);
            return code == 0;
        }
        3 => published(state, first, body),
        8 => {
            let mut rest = &body[2..];
            let mut codes = Vec::new();
            while !rest.is_empty() {
                let filter = text(&mut rest);
                codes.push(rest[0]);
                rest = &rest[1..];
                state.filters.push(filter);
            }
            state.outgoing.extend([0x90, 2 + codes.len() as u8, body[0], body[1]]);
            state.outgoing.extend(codes);
        }
        12 => state.outgoing.extend([0xd0, 0]),
        14 => {
            state.disconnects += 1;
            return false;
        }
        other => panic!("packet type {other}"),
    }
    true
}

fn connect(body: &[u8]) -> Connect {
    assert_eq!(&body[..7], b"\x00\x04MQTT\x04");
    let flags = body[7];
    let keep_alive = u16::from_be_bytes([body[8], body[9]]);
    let mut rest = &body[10..];
    let client_id = text(&mut rest);
    let user_name = text(&mut rest);
    let password = text(&mut rest);
    assert!(rest.is_empty());
    Connect { client_id, user_name, password, flags, keep_alive }
}

fn published(state: &mut State, first: u8, mut body: &[u8]) {
    let topic = text(&mut body);
    if first & 0x06 != 0 {
        if !state.withhold_acks {
            state.outgoing.extend([0x40, 2, body[0], body[1]]);
        }
        body = &body[2..];
    }
    if let Some(rid) = topic.strip_prefix("$iothub/twin/GET/?$rid=") {
        state.gets += 1;
        let twin = json!({
            "desired": versioned(&state.desired, state.desired_version),
            "reported": versioned(&state.reported, state.reported_version),
        });
        answer(state, &format!("200/?$rid={rid}"), twin.to_string().as_bytes());
    } else if let Some(rid) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?$rid=") {
        let patch: Value = serde_json::from_slice(body).unwrap();
        state.patches.push(patch.clone());
        if let Some((status, body)) = state.refuse_patches.take() {
            return answer(state, &format!("{status}/?$rid={rid}"), body.to_string().as_bytes());
        }
        state.reported.extend(patch.as_object().unwrap().clone());
        state.reported.retain(|_, value| !value.is_null());
        state.reported_version += 1;
        let version = state.reported_version;
        answer(state, &format!("204/?$rid={rid}&$version={version}"), b"");
    } else {
        state.telemetry.push((topic, serde_json::from_slice(body).unwrap()));
    }
}

fn answer(state: &mut State, rest: &str, body: &[u8]) {
    state.outgoing.extend(publish(&format!("$iothub/twin/res/{rest}"), body));
}

fn versioned(section: &Map<String, Value>, version: u64) -> Value {
    let mut section = section.clone();
    section.insert("$version".to_owned(), json!(version));
    Value::Object(section)
}

fn publish(topic: &str, body: &[u8]) -> Vec<u8> {
    let mut length = 2 + topic.len() + body.len();
    let mut bytes = vec![0x30];
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        bytes.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    bytes.extend((topic.len() as u16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(body);
    bytes
}

fn text(rest: &mut &[u8]) -> String {
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let text = String::from_utf8(rest[2..2 + length].to_vec()).unwrap();
    *rest = &rest[2 + length..];
    text
}
