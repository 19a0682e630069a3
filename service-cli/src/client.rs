//! The REST API of a hub, one method per operation; every call is bounded in time and size.

mod bulk;
mod modules;

use std::sync::Arc;
use std::time::Duration;

use iothub_core::ids::{DeviceId, IdentityId, Precondition};
use iothub_core::time::Timestamp;
use iothub_wire::connection_string::{Host, ServiceConnectionString, encode};
use serde_json::Value;
use tokio_rustls::rustls;
use ureq::http::{HeaderMap, Method, Request};
use ureq::tls::TlsConfig;
use ureq::{Agent, AsSendBody, Body};

use crate::clock::{self, Now};
use crate::error::{Error, ServiceError};
use crate::roots::Roots;
use crate::twin::Twin;
use iothub_wire::local::is_loopback;

/// The version of the API that is spoken; the one that Microsoft's own clients send.
const API_VERSION: &str = "2021-04-12";
/// A token lives for an hour: longer than any call, short enough to be harmless in a log.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// The longest answer: a thousand identities take about one megabyte.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than the service a caller of a method waits, as Microsoft's clients do.
const METHOD_MARGIN: Duration = Duration::from_secs(15);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How a client connects.
#[derive(Clone)]
pub struct Options {
    /// Whom to trust.
    pub roots: Roots,
    /// Speak HTTP without TLS. A token and the keys of devices then cross the network readable:
    /// for loopback and tests.
    pub plain_http: bool,
    /// How long one call may take.
    pub timeout: Duration,
    /// What the expiry of tokens is counted from.
    pub now: Now,
}

impl Options {
    /// TLS, 30 seconds per call, the machine's clock.
    pub fn new(roots: Roots) -> Self {
        Self { roots, plain_http: false, timeout: DEFAULT_TIMEOUT, now: clock::system() }
    }

    /// The same without TLS.
    pub fn plain_http() -> Self {
        Self { plain_http: true, ..Self::new(Roots::none()) }
    }
}

/// A back end's way to one hub. Clones share connections.
#[derive(Clone)]
pub struct Client {
    hub: ServiceConnectionString,
    agent: Agent,
    scheme: &'static str,
    timeout: Duration,
    now: Now,
}

impl Client {
    /// A client for the hub of a connection string; connects with the first call.
    pub fn new(hub: ServiceConnectionString, options: Options) -> Self {
        let agent = agent(&hub.host, &options.roots);
        let scheme = if options.plain_http { "http" } else { "https" };
        Self { hub, agent, scheme, timeout: options.timeout, now: options.now }
    }

    /// Where the hub is.
    pub fn host(&self) -> &Host {
        &self.hub.host
    }

    /// What time it is, for whoever needs the same clock.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The same client, whose calls may take no longer than `timeout`.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self { timeout: timeout.min(self.timeout), ..self.clone() }
    }

    /// An identity.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn get_device(&self, device: &DeviceId) -> Result<Value, Error> {
        self.json(&self.read(Method::GET, &device_path(device))?)
    }

    /// Identities in no particular order: the service's limit of 1000, or `top` of them.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn list_devices(&self, top: Option<u16>) -> Result<Vec<Value>, Error> {
        let query = top.map(|top| format!("&top={top}")).unwrap_or_default();
        let request = self.request(Method::GET, "devices", &query, &Precondition::None);
        match self.json(&self.send(request, ())?)? {
            Value::Array(devices) => Ok(devices),
            other => Err(self.strange(&other, "an array of devices")),
        }
    }

    /// Creates an identity (no precondition) or replaces one (with one).
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn put_device(
        &self,
        device: &DeviceId,
        identity: &Value,
        precondition: &Precondition,
    ) -> Result<Value, Error> {
        self.json(&self.write(Method::PUT, &device_path(device), identity, precondition)?)
    }

    /// Deletes an identity with its twin and whatever waits for the device.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn delete_device(
        &self,
        device: &DeviceId,
        precondition: &Precondition,
    ) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &device_path(device), "", precondition);
        self.send(request, ()).map(drop)
    }

    /// The twin of a device or module.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn get_twin(&self, id: &IdentityId) -> Result<Twin, Error> {
        self.twin(&self.read(Method::GET, &twin_path(id))?)
    }

    /// Merges `{"tags":…,"properties":{"desired":…}}` into a twin.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn patch_twin(
        &self,
        id: &IdentityId,
        patch: &Value,
        precondition: &Precondition,
    ) -> Result<Twin, Error> {
        self.twin(&self.write(Method::PATCH, &twin_path(id), patch, precondition)?)
    }

    /// Replaces the tags and desired properties of a twin.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn put_twin(
        &self,
        id: &IdentityId,
        twin: &Value,
        precondition: &Precondition,
    ) -> Result<Twin, Error> {
        self.twin(&self.write(Method::PUT, &twin_path(id), twin, precondition)?)
    }

    /// Calls a direct method of a device, or of one of its modules, and waits for the answer:
    /// `{"status":…,"payload":…}`. `longest` is what the body asks the service to wait at most.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn invoke_method(
        &self,
        id: &IdentityId,
        body: &Value,
        longest: Duration,
    ) -> Result<Value, Error> {
        let path = format!("{}/methods", twin_path(id));
        let patient = Self { timeout: self.timeout.max(longest + METHOD_MARGIN), ..self.clone() };
        patient.json(&patient.write(Method::POST, &path, body, &Precondition::None)?)
    }

    /// How many devices there are: `totalDeviceCount`, `enabledDeviceCount`,
    /// `disabledDeviceCount`.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn device_statistics(&self) -> Result<Value, Error> {
        self.json(&self.read(Method::GET, "statistics/devices")?)
    }

    /// How many devices are connected: `connectedDeviceCount`.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn service_statistics(&self) -> Result<Value, Error> {
        self.json(&self.read(Method::GET, "statistics/service")?)
    }

    pub(crate) fn read(&self, method: Method, path: &str) -> Result<String, Error> {
        self.send(self.request(method, path, "", &Precondition::None), ())
    }

    pub(crate) fn write(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        precondition: &Precondition,
    ) -> Result<String, Error> {
        let request = self
            .request(method, path, "", precondition)
            .header("Content-Type", "application/json; charset=utf-8");
        self.send(request, body.to_string())
    }

    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        query: &str,
        precondition: &Precondition,
    ) -> ureq::http::request::Builder {
        let expiry = self.now().after(TOKEN_LIFETIME).unix_seconds();
        let Self { scheme, hub, .. } = self;
        let request = Request::builder()
            .method(method)
            .uri(format!("{scheme}://{}/{path}?api-version={API_VERSION}{query}", hub.host))
            .header("Authorization", hub.token(expiry))
            .header("Accept", "application/json");
        match precondition {
            Precondition::None => request,
            Precondition::Exists => request.header("If-Match", "\"*\""),
            Precondition::Matches(etag) => request.header("If-Match", format!("\"{etag}\"")),
        }
    }

    pub(crate) fn send(
        &self,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<String, Error> {
        self.exchange(request, body).map(|(_, text)| text)
    }

    /// Sends a request and reads the whole answer, which is an error unless its status is 2xx.
    pub(crate) fn exchange(
        &self,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<(HeaderMap, String), Error> {
        let answer = self.ask(request, body)?;
        if (200..300).contains(&answer.status) {
            return Ok((answer.headers, answer.text));
        }
        Err(answer.into_error())
    }

    /// Sends a request and reads the whole answer, whatever its status.
    fn ask(
        &self,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<Answer, Error> {
        let request = request.body(body).map_err(|why| self.failed(ureq::Error::Http(why)))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(self.timeout))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .build();
        let mut response = self.agent.run(request).map_err(|why| self.failed(why))?;
        let text = self.text(response.body_mut())?;
        let (head, _) = response.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, text })
    }

    fn text(&self, body: &mut Body) -> Result<String, Error> {
        let bounded = body.with_config().limit(ANSWER_BYTES).lossy_utf8(true);
        bounded.read_to_string().map_err(|why| self.failed(why))
    }

    fn twin(&self, text: &str) -> Result<Twin, Error> {
        Twin::new(self.json(text)?).map_err(|other| self.strange(&other, "a twin"))
    }

    pub(crate) fn json(&self, text: &str) -> Result<Value, Error> {
        serde_json::from_str(text).map_err(|why| Error::Answer {
            hub: self.hub.host.to_string(),
            what: format!("{} bytes that are not JSON: {why}", text.len()),
        })
    }

    pub(crate) fn strange(&self, document: &Value, expected: &str) -> Error {
        let kind = match document {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        Error::Answer {
            hub: self.hub.host.to_string(),
            what: format!("{kind}, expected {expected}"),
        }
    }

    fn failed(&self, why: ureq::Error) -> Error {
        http_failed(self.hub.host.to_string(), self.timeout, why)
    }
}

/// What the network said, in terms of whom it was about.
pub(crate) fn http_failed(hub: String, timeout: Duration, why: ureq::Error) -> Error {
    match why {
        ureq::Error::Timeout(_) => Error::TimedOut { hub, after: timeout },
        ureq::Error::HostNotFound => Error::Unreachable { hub, why: "no such host".to_owned() },
        ureq::Error::Rustls(why) => tls_failed(hub, &why),
        ureq::Error::Io(why) => io_failed(hub, &why),
        ureq::Error::Protocol(why) => {
            Error::Answer { hub, what: format!("something that is not HTTP: {why}") }
        }
        ureq::Error::BodyExceedsLimit(limit) => {
            Error::Answer { hub, what: format!("more than {limit} bytes") }
        }
        other => Error::Unreachable { hub, why: other.to_string() },
    }
}

/// What the service answered.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn into_error(self) -> Error {
        let name = self.headers.get("iothub-errorcode").and_then(|name| name.to_str().ok());
        ServiceError::parse(self.status, name, &self.text).into()
    }
}

fn agent(host: &Host, roots: &Roots) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(roots.for_http())
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        // A hub does not redirect; following one would carry the token to a stranger.
        .max_redirects(0)
        .user_agent(concat!("service-cli/", env!("CARGO_PKG_VERSION")));
    // A proxy cannot reach this machine's loopback.
    let config = if is_loopback(&host.name) { config.proxy(None) } else { config };
    config.build().new_agent()
}

pub(crate) fn io_failed(hub: String, why: &std::io::Error) -> Error {
    if let Some(tls) = why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_failed(hub, tls);
    }
    match why.kind() {
        std::io::ErrorKind::ConnectionRefused => Error::Refused { hub },
        _ => Error::Unreachable { hub, why: why.to_string() },
    }
}

pub(crate) fn tls_failed(hub: String, why: &rustls::Error) -> Error {
    use rustls::CertificateError as C;

    match why {
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
            Error::Untrusted { hub, why: "its issuer is unknown".to_owned(), authority: true }
        }
        // An authority made anew under its old name fails like this.
        rustls::Error::InvalidCertificate(C::BadSignature) => {
            let why = "it is not signed by the authority it names".to_owned();
            Error::Untrusted { hub, why, authority: true }
        }
        rustls::Error::InvalidCertificate(why) => {
            Error::Untrusted { hub, why: why.to_string(), authority: false }
        }
        rustls::Error::InvalidMessage(_) => {
            Error::Unreachable { hub, why: "what answers does not speak TLS".to_owned() }
        }
        other => Error::Unreachable { hub, why: other.to_string() },
    }
}

fn device_path(device: &DeviceId) -> String {
    format!("devices/{}", encode(device.as_str()))
}

fn twin_path(id: &IdentityId) -> String {
    let device = encode(id.device.as_str());
    match &id.module {
        None => format!("twins/{device}"),
        Some(module) => format!("twins/{device}/modules/{}", encode(module.as_str())),
    }
}
