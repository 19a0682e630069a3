//! Errors that the router or an extractor wrote as text, in the form that all others have.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::Response;
use iothub_core::limits;

use crate::hubs::refusal;

/// How much of such a text is looked at.
const TEXT_BYTES: usize = 1024;

pub(crate) async fn in_json(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        return response;
    }
    let (name, message) = match response.status() {
        StatusCode::NOT_FOUND => ("NotFound", format!("there is nothing at {path}")),
        StatusCode::METHOD_NOT_ALLOWED => ("MethodNotAllowed", format!("{path} has no {method}")),
        StatusCode::PAYLOAD_TOO_LARGE => {
            let most = limits::ADMIN_BODY_BYTES;
            ("BodyTooLarge", format!("the body has more than {most} bytes"))
        }
        StatusCode::BAD_REQUEST => return told(response).await,
        _ => return response,
    };
    let mut answer = refusal(response.status(), name, &message);
    if let Some(allowed) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allowed.clone());
    }
    answer
}

/// What an extractor says of a request that it cannot read.
async fn told(response: Response) -> Response {
    let status = response.status();
    let text = to_bytes(response.into_body(), TEXT_BYTES).await.unwrap_or_default();
    refusal(status, "BadRequest", &String::from_utf8_lossy(&text))
}
