//! The service API over HTTPS with ureq: what went over the wire, as text.

use std::sync::Arc;

use iothub_wire::connection_string::ServiceConnectionString;
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::mqtt::PATIENCE;

/// The api-version that a path without one is asked with.
pub const API_VERSION: &str = "2021-04-12";

/// A back end.
pub struct Rest {
    agent: Agent,
    /// `host:port`.
    authority: String,
    /// The value of the header `Authorization`, if one is sent.
    pub authorization: Option<String>,
}

/// What the hub answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Rest {
    /// A back end that signs with this connection string.
    pub fn new(authority: &str, connection: &ServiceConnectionString, ca_pem: &[u8]) -> Self {
        let roots = RootCerts::new_with_certs(&[Certificate::from_pem(ca_pem).unwrap()]);
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(roots)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            agent: config.new_agent(),
            authority: authority.to_owned(),
            authorization: Some(connection.token(crate::FAR_FUTURE)),
        }
    }

    /// The same hub, asked by whoever has this token.
    pub fn signed_with(&self, token: &str) -> Self {
        Self {
            agent: self.agent.clone(),
            authority: self.authority.clone(),
            authorization: Some(token.to_owned()),
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// PUT without `If-Match`.
    pub fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[], Some(body))
    }

    /// PATCH without `If-Match`.
    pub fn patch(&self, path: &str, body: &str) -> Answer {
        self.send("PATCH", path, &[], Some(body))
    }

    /// DELETE without `If-Match`.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// Sends one request. A path without a query is asked with [`API_VERSION`], and a body goes as
    /// JSON unless `headers` say otherwise.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let version = if path.contains('?') { "" } else { &format!("?api-version={API_VERSION}") };
        let uri = format!("https://{}{path}{version}", self.authority);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => {
                let named = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("Content-Type");
                if !headers.iter().any(named) {
                    request = request.header("Content-Type", "application/json; charset=utf-8");
                }
                self.agent.run(request.body(body.to_owned()).unwrap())
            }
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.body_mut().read_to_string().unwrap(),
        }
    }
}

impl Answer {
    /// Fails unless the answer has this status, and shows it then.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless this is the service's answer for an error of this status and name: header and
    /// body agree. Gives the text after the name.
    pub fn expect_error(self, status: u16, name: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("iothub-errorcode"), Some(name), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"));
        let json = self.json();
        let keys: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["Message", "ExceptionMessage"], "{self:?}");
        assert_tracking(json["ExceptionMessage"].as_str().unwrap());
        let message = json["Message"].as_str().unwrap();
        let prefix = format!("ErrorCode:{name};");
        message.strip_prefix(&prefix).unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// `Tracking ID:<32 hex>[-G:<n>]-TimeStamp:<MM/dd/yyyy HH:mm:ss>`
fn assert_tracking(text: &str) {
    let rest = text.strip_prefix("Tracking ID:").unwrap_or_else(|| panic!("{text:?}"));
    let (id, rest) = rest.split_at(32);
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text:?}");
    let (_, time) = rest.split_once("-TimeStamp:").unwrap_or_else(|| panic!("{text:?}"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "00/00/0000 00:00:00", "{text:?}");
}
