//! A hub that says what a test wants it to say: HTTP over plain TCP or TLS, one request per
//! connection, every request kept.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use serde_json::Value;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};

pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// An answer to give.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// A listening hub; its thread ends with the test's process.
pub(crate) struct Hub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn read(stream: &mut impl Read) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            Some(line.trim_end().to_owned())
        };
        let mut request = Self { line: line()?, ..Self::default() };
        while let Some((name, value)) = line()?.split_once(':') {
            request.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let length = request.header("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        request.body = String::from_utf8(body).unwrap();
        Some(request)
    }
}

impl Answer {
    pub(crate) fn json(document: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: document.to_string() }
    }

    pub(crate) fn error(status: u16, name: &str, message: &str) -> Self {
        let body = serde_json::json!({
            "Message": format!("ErrorCode:{name};{message}"),
            "ExceptionMessage": "Tracking ID:0145380c335046479275c10be0eb278f-G:0-TimeStamp:11/10/2026 08:37:23",
        });
        Self {
            status,
            headers: vec![("iothub-errorcode", name.to_owned())],
            body: body.to_string(),
        }
    }

    fn write(&self, stream: &mut impl Write) {
        let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        // A client that was killed does not read.
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    }
}

impl Hub {
    /// A hub over plain TCP that answers as `answer` says.
    pub(crate) fn plain(answer: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self::start(None, answer)
    }

    /// A hub over TLS with this certificate and key.
    pub(crate) fn tls(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        answer: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::start(Some(Arc::new(config)), answer)
    }

    fn start(
        tls: Option<Arc<ServerConfig>>,
        mut answer: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut serve = |stream: &mut dyn ReadWrite| {
                    let Some(request) = Request::read(&mut &mut *stream) else {
                        // What is no HTTP gets what HTTP servers say to that.
                        let body = String::new();
                        return Answer { status: 400, headers: Vec::new(), body }
                            .write(&mut &mut *stream);
                    };
                    kept.lock().unwrap().push(request.clone());
                    answer(&request).write(&mut &mut *stream);
                };
                match &tls {
                    None => serve(&mut stream),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(&mut StreamOwned::new(session, stream));
                    }
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn connection_string(&self) -> String {
        connection_string(&self.host())
    }

    /// What arrived so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The program, pointed at this hub over plain HTTP.
    pub(crate) fn cli(&self) -> Command {
        let mut command = cli();
        command.args(["--plain-http", "--connection-string", &self.connection_string()]);
        command
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

/// The program, with nothing of the machine's own around it.
pub(crate) fn cli() -> Command {
    let mut command = Command::cargo_bin("service-cli").unwrap();
    command
        .env_remove("IOTHUB_CONNECTION_STRING")
        .env_remove("NO_COLOR")
        .env("IOTHUB_EMULATOR_STATE_DIR", "/nonexistent");
    command
}

pub(crate) fn connection_string(host: &str) -> String {
    format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}")
}
