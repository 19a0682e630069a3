//! The opening handshake: RFC 6455 section 4.2, with the subprotocols of the service.

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Those of the hub, and of Event Hubs.
const PATHS: [&str; 2] = ["/$iothub/websocket", "/$servicebus/websocket"];
const MQTT: &str = "mqtt";
/// What AMQP over WebSockets is called.
const AMQP: &str = "AMQPWSB10";
/// Sent by clients that authenticate with a token, so that they are not asked for a certificate.
const NO_CERTIFICATE: &str = "iothub-no-client-cert=true";
/// The one version that there is.
const VERSION: &str = "13";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// A request that is granted.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: HeaderValue,
    /// As the client wrote it: strict clients compare.
    echo: HeaderValue,
    /// What is spoken.
    pub(super) protocol: Protocol,
    /// Whether a certificate of the client is not to count.
    pub(super) no_certificate: bool,
}

/// What is spoken over a WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Mqtt,
    Amqp,
}

/// Why a request is not granted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("method is {0}, expected GET")]
    Method(Method),
    #[error("request does not ask for an upgrade to a WebSocket")]
    NoUpgrade,
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    #[error("Sec-WebSocket-Protocol is {0:?}, expected mqtt or AMQPWSB10")]
    Protocol(String),
}

/// Whether a request is for a WebSocket. Some clients ask for one at the root.
pub(super) fn is_for(request: &Request) -> bool {
    let path = request.uri().path();
    let plain = path.replace("%24", "$").replace("%2F", "/").replace("%2f", "/");
    PATHS.iter().any(|known| plain.trim_end_matches('/').eq_ignore_ascii_case(known))
        || (path == "/" && wants_websocket(request.headers()))
}

impl Handshake {
    pub(super) fn read(request: &Request) -> Result<Self, Refusal> {
        let headers = request.headers();
        if request.method() != Method::GET {
            return Err(Refusal::Method(request.method().clone()));
        }
        if !wants_websocket(headers) {
            return Err(Refusal::NoUpgrade);
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(Refusal::Version);
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?.as_bytes();
        if !STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
            return Err(Refusal::Key);
        }
        let accept = HeaderValue::try_from(derive_accept_key(key)).map_err(|_| Refusal::Key)?;
        let (echo, protocol) = protocol(headers)?;
        let query = request.uri().query().unwrap_or_default();
        Ok(Self {
            accept,
            echo,
            protocol,
            no_certificate: query.split('&').any(|field| field == NO_CERTIFICATE),
        })
    }

    pub(super) fn response(self) -> Response {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        *response.body_mut() = Body::empty();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, self.echo);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Protocol(_) => StatusCode::BAD_REQUEST,
        };
        let mut response = (status, format!("{self}\n")).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        response
    }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let lists = |name: HeaderName, wanted: &str| {
        tokens(headers, &name).any(|token| token.eq_ignore_ascii_case(wanted))
    };
    lists(CONNECTION, "upgrade") && lists(UPGRADE, "websocket")
}

fn protocol(headers: &HeaderMap) -> Result<(HeaderValue, Protocol), Refusal> {
    let offered = |name: &str| {
        tokens(headers, &SEC_WEBSOCKET_PROTOCOL).find(|offered| offered.eq_ignore_ascii_case(name))
    };
    for (name, protocol) in [(MQTT, Protocol::Mqtt), (AMQP, Protocol::Amqp)] {
        if let Some(Ok(echo)) = offered(name).map(HeaderValue::from_str) {
            return Ok((echo, protocol));
        }
    }
    let all: Vec<_> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
    Err(Refusal::Protocol(all.join(", ")))
}

/// The members of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3, with these headers changed.
    fn request(uri: &str, changes: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::builder()
            .uri(uri)
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(SEC_WEBSOCKET_PROTOCOL, "mqtt")
            .body(Body::empty())
            .unwrap();
        for (name, value) in changes {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn the_route_has_several_spellings() {
        let table = [
            ("/$iothub/websocket", true),
            ("/%24iothub/websocket", true),
            ("/$iothub/websocket/?iothub-no-client-cert=true", true),
            ("/$IoTHub/WebSocket", true),
            ("/$servicebus/websocket", true),
            ("/", true),
            ("/devices/d1", false),
            ("/$iothub", false),
        ];
        for (uri, expected) in table {
            assert_eq!(is_for(&request(uri, &[])), expected, "{uri}");
        }
        assert!(!is_for(&request("/", &[("upgrade", "h2c")])));
    }

    #[test]
    fn the_subprotocol_is_echoed_as_it_came() {
        for (offered, expected) in [
            ("mqtt", "mqtt"),
            ("MQTT", "MQTT"),
            ("AMQPWSB10, Mqtt", "Mqtt"),
            ("mqttv3.1,mqtt", "mqtt"),
            ("AMQPWSB10", "AMQPWSB10"),
        ] {
            let request = request(PATHS[0], &[("sec-websocket-protocol", offered)]);
            let response = Handshake::read(&request).unwrap().response();
            assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
            let header = |name: HeaderName| response.headers().get(name).unwrap();
            assert_eq!(header(SEC_WEBSOCKET_PROTOCOL), expected);
            assert_eq!(header(SEC_WEBSOCKET_ACCEPT), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        }
    }

    #[test]
    fn other_requests_are_refused() {
        let protocol = |text: &str| Refusal::Protocol(text.to_owned());
        let table = [
            (("connection", "close"), Refusal::NoUpgrade, 426),
            (("upgrade", "h2c"), Refusal::NoUpgrade, 426),
            (("sec-websocket-version", "8"), Refusal::Version, 426),
            (("sec-websocket-key", "c2hvcnQ="), Refusal::Key, 400),
            (("sec-websocket-key", "?"), Refusal::Key, 400),
            (("sec-websocket-protocol", "chat, mqttv3.1"), protocol("chat, mqttv3.1"), 400),
            (("sec-websocket-protocol", ""), protocol(""), 400),
        ];
        for (change, expected, status) in table {
            let refusal = Handshake::read(&request(PATHS[0], &[change])).unwrap_err();
            assert_eq!(refusal, expected, "{change:?}");
            assert_eq!(refusal.into_response().status().as_u16(), status, "{change:?}");
        }
        let mut post = request(PATHS[0], &[]);
        *post.method_mut() = Method::POST;
        assert_eq!(Handshake::read(&post).unwrap_err(), Refusal::Method(Method::POST));
    }

    #[test]
    fn a_client_can_say_that_it_has_no_certificate() {
        let says = |uri: &str| Handshake::read(&request(uri, &[])).unwrap().no_certificate;
        assert!(says("/$iothub/websocket?iothub-no-client-cert=true"));
        assert!(!says("/$iothub/websocket?iothub-no-client-cert=false"));
        assert!(!says("/$iothub/websocket"));
    }
}
