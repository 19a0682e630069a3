//! Which of the hub's throttles an operation counts for.

use std::sync::{Arc, OnceLock};

use axum::extract::MatchedPath;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method};
use iothub_core::error::HubError;
use iothub_core::fault::line::{Line, Unbreakable};
use iothub_core::fault::{self, AnswerFault};
use iothub_core::hub::Hub;
use iothub_core::throttle::Operation;

/// What is to happen to the answer to a request: put here where the request is let in, and looked
/// up where its answer goes out.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerSlot(Arc<OnceLock<AnswerFault>>);

impl AnswerSlot {
    pub(crate) fn get(&self) -> Option<AnswerFault> {
        self.0.get().copied()
    }
}

/// What breaks the connection below a request; what did not come by a socket is not broken.
pub(crate) fn line(extensions: &Extensions) -> Arc<dyn Line> {
    let line = extensions.get::<Arc<dyn Line>>().cloned();
    line.unwrap_or_else(|| Arc::new(Unbreakable))
}

/// Holds a request back, or refuses it, as the hub's throttles and faults demand.
pub(crate) async fn admit(hub: &Hub, parts: &Parts) -> Result<(), HubError> {
    let Some(path) = parts.extensions.get::<MatchedPath>() else { return Ok(()) };
    let operation = operation(&parts.method, path.as_str(), content_length(&parts.headers));
    let route = || format!("{} {}", parts.method, path.as_str());
    let line = line(&parts.extensions);
    let fault = hub.admit_request(operation, route, &*line).await?;
    if let (Some(fault), Some(AnswerSlot(slot))) = (fault, parts.extensions.get()) {
        // A request is let in once.
        let _set = slot.set(fault);
    }
    Ok(())
}

/// What faults call the operation behind a route, if it is one.
pub(crate) fn name_of(method: &str, path: &str) -> Option<&'static str> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    operation(&method, path, 0).map(fault::name_of)
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
