//! Which of the hub's throttles an operation counts for.

use axum::extract::MatchedPath;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use iothub_core::error::HubError;
use iothub_core::hub::Hub;
use iothub_core::throttle::Operation;

/// Holds a request back, or refuses it, as the hub's throttles demand.
pub(crate) async fn admit(hub: &Hub, parts: &Parts) -> Result<(), HubError> {
    let Some(path) = parts.extensions.get::<MatchedPath>() else { return Ok(()) };
    match operation(&parts.method, path.as_str(), content_length(&parts.headers)) {
        Some(operation) => hub.admit(operation).await,
        None => Ok(()),
    }
}

fn content_length(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// The operation behind a route; statistics and what is not emulated are not throttled.
fn operation(method: &Method, path: &str, bytes: usize) -> Option<Operation> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["devices", "query"] if method == Method::POST => Some(Operation::Query),
        ["devices", _, "messages", "events"] => Some(Operation::SendEvent(bytes)),
        ["devices", _, "messages", ..] if method == Method::GET => {
            Some(Operation::ReceiveDevicebound)
        }
        ["devices", _, "messages" | "files", ..] => None,
        ["devices", _, "applyconfigurationcontent"] => Some(Operation::Configuration),
        ["devices", ..] => Some(Operation::Registry),
        ["twins", .., "methods"] => Some(Operation::InvokeMethod(bytes)),
        ["twins" | "digitaltwins", ..] => Some(match *method {
            Method::GET => Operation::ReadTwin,
            Method::POST => Operation::InvokeMethod(bytes),
            _ => Operation::UpdateTwin,
        }),
        ["jobs", ..] => Some(Operation::Job),
        ["configurations", ..] => Some(Operation::Configuration),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_count_for_their_throttle() {
        let table = [
            ("GET", "/devices", Some(Operation::Registry)),
            ("PUT", "/devices/{id}/modules/{module}", Some(Operation::Registry)),
            ("POST", "/devices/query", Some(Operation::Query)),
            ("POST", "/devices/{id}/messages/events", Some(Operation::SendEvent(7))),
            ("GET", "/devices/{id}/messages/devicebound", Some(Operation::ReceiveDevicebound)),
            ("DELETE", "/devices/{id}/messages/devicebound/{token}", None),
            ("GET", "/twins/{id}", Some(Operation::ReadTwin)),
            ("PATCH", "/twins/{id}/modules/{module}", Some(Operation::UpdateTwin)),
            ("POST", "/twins/{id}/methods", Some(Operation::InvokeMethod(7))),
            ("GET", "/statistics/devices", None),
            ("PUT", "/jobs/v2/{id}", Some(Operation::Job)),
            ("GET", "/configurations/{id}", Some(Operation::Configuration)),
        ];
        for (method, path, expected) in table {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(operation(&method, path, 7), expected, "{method} {path}");
        }
    }
}
