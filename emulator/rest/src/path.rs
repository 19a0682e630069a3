//! Brings what clients send into the form that the routes have.
//!
//! The service matches literal path segments without case and takes a trailing slash; IoT Explorer
//! encodes the slashes of a whole path; Java cannot send PATCH.

use axum::extract::Request;
use axum::http::{HeaderName, Method, Uri};

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Rewrites path and method of a request.
pub(crate) async fn normalize(mut request: Request) -> Request {
    if let Some(uri) = normalize_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    let overridden = request.method() == Method::POST
        && request
            .headers()
            .get(METHOD_OVERRIDE)
            .is_some_and(|method| method.as_bytes().eq_ignore_ascii_case(b"PATCH"));
    if overridden {
        *request.method_mut() = Method::PATCH;
    }
    request
}

/// None if the URI is as it should be, or cannot be helped.
fn normalize_uri(uri: &Uri) -> Option<Uri> {
    let path = normalize_path(uri.path());
    if path == uri.path() {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn normalize_path(path: &str) -> String {
    // An id holds no slash, and one that holds "%2F" comes with its percent sign encoded.
    let path = path.replace("%2F", "/").replace("%2f", "/");
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut normalized = String::with_capacity(path.len());
    for (index, segment) in segments.iter().enumerate() {
        normalized.push('/');
        if is_literal(&segments, index) {
            normalized.push_str(&segment.to_ascii_lowercase());
        } else {
            normalized.push_str(segment);
        }
    }
    if normalized.is_empty() { "/".to_owned() } else { normalized }
}

/// Whether a segment is a name of the service's, and not an id.
fn is_literal(segments: &[&str], index: usize) -> bool {
    let is = |at: usize, name: &str| {
        segments.get(at).is_some_and(|segment| segment.eq_ignore_ascii_case(name))
    };
    let under_modules = is(2, "modules");
    match index {
        0 => true,
        1 => {
            is(0, "statistics")
                || is(0, "messages")
                || (is(0, "jobs") && is(1, "v2"))
                || (is(0, "configurations") && is(1, "testqueries"))
        }
        2 => is(0, "devices") || is(0, "twins") || is(0, "messages") || is(0, "digitaltwins"),
        3 => !under_modules && (is(0, "devices") || is(0, "jobs")),
        4 => under_modules || is(0, "digitaltwins"),
        5 => is(0, "devices"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_brought_into_one_form() {
        let table = [
            ("/devices/Dev-1", "/devices/Dev-1"),
            ("/Devices/", "/devices"),
            ("/devices", "/devices"),
            ("/", "/"),
            ("//devices//d", "/devices/d"),
            ("/devices%2Fquery", "/devices/query"),
            ("/Twins%2fDev", "/twins/Dev"),
            ("/devices/a%252Fb", "/devices/a%252Fb"),
            ("/devices/Twins/Modules/Mod", "/devices/Twins/modules/Mod"),
            (
                "/devices/D/Messages/deviceBound/Tok/Abandon",
                "/devices/D/messages/devicebound/Tok/abandon",
            ),
            ("/twins/D/Modules/M/Methods", "/twins/D/modules/M/methods"),
            ("/Statistics/Devices", "/statistics/devices"),
            ("/messages/serviceBound/feedback", "/messages/servicebound/feedback"),
            ("/jobs/v2/Job1/Cancel", "/jobs/v2/Job1/cancel"),
            ("/Configurations/testQueries", "/configurations/testqueries"),
            ("/configurations/c%23", "/configurations/c%23"),
            ("/devices/D/applyConfigurationContent", "/devices/D/applyconfigurationcontent"),
        ];
        for (path, expected) in table {
            assert_eq!(normalize_path(path), expected, "{path}");
        }
    }

    #[test]
    fn the_query_stays() {
        let uri: Uri = "/Devices/?top=1&api-version=2021-04-12".parse().unwrap();
        let normalized = normalize_uri(&uri).unwrap();
        assert_eq!(normalized.to_string(), "/devices?top=1&api-version=2021-04-12");
    }
}
