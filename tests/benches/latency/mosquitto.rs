//! mosquitto, the yardstick: a small MQTT broker written in C, on the same machine.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iothub_tests::mqtt::{ACCEPTED, Connect, Connection, subscribe};
use iothub_tests::program::Emulator;
use iothub_tests::trusting;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::start::{PATIENCE, POLL, TRIES, free_address};

/// Distributions keep it among the programs of the administrator.
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/opt/homebrew/sbin"];

/// An installed mosquitto, set up to serve with a certificate of the emulator's making.
pub(crate) struct Mosquitto {
    program: PathBuf,
    folder: TempDir,
    tls: Arc<ClientConfig>,
}

/// A mosquitto that runs. It ends when dropped.
pub(crate) struct Broker<'a> {
    mosquitto: &'a Mosquitto,
    child: Child,
    mqtts: SocketAddr,
    /// From the start of the process to its first CONNACK.
    pub(crate) started_in: Duration,
}

impl Mosquitto {
    pub(crate) fn find() -> Option<Self> {
        let program = PLACES.iter().map(|place| PathBuf::from(place).join("mosquitto"));
        let program = program.into_iter().find(|program| program.is_file())?;
        let folder = TempDir::new().unwrap();
        let emulator = Emulator::start();
        let server = emulator.state_dir().join("server.pem");
        fs::copy(server, folder.path().join("server.pem")).unwrap();
        let tls = trusting(&fs::read(&emulator.local.ca_file).unwrap());
        Some(Self { program, folder, tls })
    }

    pub(crate) fn start(&self) -> Broker<'_> {
        let mut tries = std::iter::repeat_with(|| self.try_start()).take(TRIES);
        tries.find_map(|broker| broker).expect("mosquitto starts")
    }

    fn try_start(&self) -> Option<Broker<'_>> {
        let (mqtt, mqtts) = (free_address(), free_address());
        let pem = self.folder.path().join("server.pem");
        let config = format!(
            "allow_anonymous true\nlog_type none\nuser root\nset_tcp_nodelay true\n\
             listener {} {}\n\
             listener {} {}\ncertfile {pem}\nkeyfile {pem}\n",
            mqtt.port(),
            mqtt.ip(),
            mqtts.port(),
            mqtts.ip(),
            pem = pem.display(),
        );
        let file = self.folder.path().join("mosquitto.conf");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        while !answers(mqtt) {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(start.elapsed() < PATIENCE, "mosquitto does not answer at {mqtt}");
            std::thread::sleep(POLL);
        }
        Some(Broker { mosquitto: self, child, mqtts, started_in: start.elapsed() })
    }
}

impl Broker<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Connects over TLS, and subscribes as a device does.
    pub(crate) fn connect(&self, id: &str) -> Connection {
        let tls = self.mosquitto.tls.clone();
        let mut connection = Connection::tls(self.mqtts, "localhost", tls);
        connection.send(&anonymous(id));
        connection.expect(ACCEPTED);
        connection.send(&subscribe(2, &[("twin/res/#", 0), ("twin/desired/#", 0)]));
        connection.expect(&[0x90, 4, 0, 2, 0, 0]);
        connection
    }
}

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a CONNECT without TLS is accepted.
fn answers(address: SocketAddr) -> bool {
    let exchange = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&anonymous("probe"))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    exchange().is_ok_and(|answer| answer == ACCEPTED)
}

fn anonymous(id: &str) -> Vec<u8> {
    Connect { user_name: None, password: None, ..Connect::new(id, "", "") }.bytes()
}
