//! Who may drive the harness: programs on this machine, and others that know the token. Not a web
//! page that happens to be open in a browser on this machine: that is told by its `Origin`, or, if
//! it had a name of its own point here, by its `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::hubs::refusal;

/// What others than programs on this machine have to know.
#[derive(Clone, Eq, PartialEq)]
pub struct AdminToken(Arc<str>);

impl AdminToken {
    /// The token.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Compares every byte, so that the time tells nothing.
    fn is(&self, text: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), text.as_bytes());
        let differences = own.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
        own.len() == other.len() && differences == 0
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// Lets a request through, or says why not.
pub(crate) async fn guard(
    State(token): State<Option<AdminToken>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match judge(token.as_ref(), peer.ip(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, message)) => refusal(status, "NotAllowed", &message),
    }
}

fn judge(
    token: Option<&AdminToken>,
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, String)> {
    let shown = text(headers, AUTHORIZATION).and_then(bearer);
    if let Some(origin) = text(headers, ORIGIN) {
        let message = format!("the request comes from the web page {origin}, which may not");
        return Err((StatusCode::FORBIDDEN, message));
    }
    match (token, shown) {
        (Some(token), Some(shown)) if token.is(shown) => return Ok(()),
        (_, Some(_)) => {
            let message = "the token in Authorization is not that of --admin-token".to_owned();
            return Err((StatusCode::UNAUTHORIZED, message));
        }
        _ => {}
    }
    if !peer.to_canonical().is_loopback() {
        let message = match token {
            Some(_) => "from another machine the header \"Authorization: Bearer TOKEN\" is needed",
            None => "from another machine a token is needed: start the emulator with --admin-token",
        };
        return Err((StatusCode::UNAUTHORIZED, message.to_owned()));
    }
    match text(headers, HOST) {
        Some(host) if !is_here(host) => {
            let message = format!("Host is {host:?}, expected localhost or an address");
            Err((StatusCode::FORBIDDEN, message))
        }
        _ => Ok(()),
    }
}

/// The token of an authorization of that scheme, whose name is good in any case: RFC 9110, 11.1.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim_start_matches(' '))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // What is no text is nobody's name, and not let pass for a missing header.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Whether a host with or without a port is this machine: no name that somebody could have point
/// here.
fn is_here(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|digit| digit.is_ascii_digit()) { name } else { host }
    });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1";
    const REMOTE: &str = "192.0.2.1";

    #[test]
    fn only_who_may_is_let_in() {
        let table: [(&str, Option<&str>, &[(HeaderName, &str)], Option<u16>); 17] = [
            (LOCAL, None, &[], None),
            ("::ffff:127.0.0.1", None, &[], None),
            ("::1", None, &[(HOST, "[::1]:8088")], None),
            (LOCAL, None, &[(HOST, "127.0.0.1:8088")], None),
            (LOCAL, None, &[(HOST, "LOCALHOST:8088")], None),
            (LOCAL, None, &[(HOST, "evil.example:8088")], Some(403)),
            (LOCAL, None, &[(HOST, "\u{e9}")], Some(403)),
            (LOCAL, None, &[(ORIGIN, "http://evil.example")], Some(403)),
            (LOCAL, None, &[(ORIGIN, "null")], Some(403)),
            (LOCAL, Some("t"), &[(ORIGIN, "null"), (AUTHORIZATION, "Bearer t")], Some(403)),
            (LOCAL, Some("t"), &[(AUTHORIZATION, "Bearer x")], Some(401)),
            (REMOTE, None, &[], Some(401)),
            (REMOTE, Some("t"), &[], Some(401)),
            (REMOTE, Some("t"), &[(AUTHORIZATION, "Bearer tt")], Some(401)),
            (REMOTE, Some("t"), &[(AUTHORIZATION, "Basic t")], Some(401)),
            (REMOTE, Some("t"), &[(AUTHORIZATION, "bEARER  t")], None),
            (REMOTE, Some("t"), &[(AUTHORIZATION, "Bearer t"), (HOST, "emulator:8088")], None),
        ];
        for (peer, token, given, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(name, value.as_bytes().try_into().unwrap());
            }
            let token = token.map(AdminToken::new);
            let outcome = judge(token.as_ref(), peer.parse().unwrap(), &headers);
            let status = outcome.err().map(|(status, _)| status.as_u16());
            assert_eq!(status, expected, "{peer} {token:?} {given:?}");
        }
    }
}
