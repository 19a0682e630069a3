//! Queries: `POST /devices/query`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_wire::json::query;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Body, Version};

const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation");
const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");
const MAX_ITEM_COUNT: HeaderName = HeaderName::from_static("x-ms-max-item-count");

/// Which page of an answer is wanted, and how long it may be.
pub(crate) struct Paging {
    size: usize,
    continuation: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let size = match header(parts, &MAX_ITEM_COUNT)? {
            None => limits::QUERY_PAGE,
            Some(text) => page_size(text)?,
        };
        let continuation = header(parts, &CONTINUATION)?.map(str::to_owned);
        Ok(Self { size, continuation })
    }
}

pub(crate) async fn post(
    Service(session): Service,
    Version(version): Version,
    Paging { size, continuation }: Paging,
    Body(body): Body,
) -> Result<Response, Failure> {
    let text = query::parse_request(&body)?;
    let page = session.query(text, size, continuation.as_deref()).await?;
    let mut response = json(query::rows(&page.rows, &version));
    let headers = response.headers_mut();
    headers.insert(ITEM_TYPE, HeaderValue::from_static(query::item_type(&page.rows)));
    // Clients take the header's absence for the end, and nothing else.
    if let Some(next) = page.continuation.and_then(|next| HeaderValue::from_str(&next).ok()) {
        headers.insert(CONTINUATION, next);
    }
    Ok(response)
}

/// A header's text; an empty one counts as missing, since clients send what they were given.
fn header<'p>(parts: &'p Parts, name: &HeaderName) -> Result<Option<&'p str>, HubError> {
    let Some(value) = parts.headers.get(name) else { return Ok(None) };
    let text = value
        .to_str()
        .map_err(|_| HubError::ArgumentInvalid(format!("{name} has characters beyond ASCII")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// More than the service gives at once is cut down to that; nothing is a mistake.
fn page_size(text: &str) -> Result<usize, HubError> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    match digits.parse() {
        Ok(size) if size > 0_usize => Ok(size),
        // Of a number, all that can go wrong is that it is too large for one.
        Err(_) if is_number => Ok(usize::MAX),
        _ => Err(HubError::ArgumentInvalid(format!(
            "{MAX_ITEM_COUNT} is {text:?}, expected a number from 1"
        ))),
    }
}
