//! Queries: the body that asks, and the rows of an answer.

use iothub_core::error::HubError;
use iothub_core::session::QueryRows;
use iothub_core::twin::Document;
use serde_json::Value;

use super::twin::service_document;
use super::{text, unexpected};
use crate::api_version::ApiVersion;

/// The body of a request: the text of its query.
///
/// # Errors
///
/// There is none, or it is no text.
pub fn parse_request(body: &Document) -> Result<&str, HubError> {
    match body.get("query") {
        Some(Value::String(query)) => Ok(query),
        // The service's own words.
        None | Some(Value::Null) => Err(HubError::ArgumentNull("BadRequest".to_owned())),
        Some(other) => Err(unexpected("query", other, "a string")),
    }
}

/// The rows of a page as one array.
pub fn rows(rows: &QueryRows, version: &ApiVersion) -> String {
    match rows {
        QueryRows::Jobs(rows) | QueryRows::Raw(rows) => text(rows),
        QueryRows::Twins(twins) => {
            let twins: Vec<_> =
                twins.iter().filter_map(|view| service_document(view, version)).collect();
            format!("[{}]", twins.join(","))
        }
    }
}

/// What the rows of a page are; C# takes nothing but this spelling.
pub fn item_type(rows: &QueryRows) -> &'static str {
    match rows {
        QueryRows::Twins(_) => "Twin",
        QueryRows::Jobs(_) => "DeviceJob",
        QueryRows::Raw(_) => "Raw",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_parse() {
        let query = |body: Value| parse_request(body.as_object().unwrap()).map(str::to_owned);
        assert_eq!(query(json!({"query": "SELECT", "x": 1})), Ok("SELECT".to_owned()));
        for body in [json!({}), json!({"query": null})] {
            assert_eq!(query(body), Err(HubError::ArgumentNull("BadRequest".to_owned())));
        }
        assert_eq!(
            query(json!({"query": 1})),
            Err(HubError::ArgumentInvalid("query is a number, expected a string".to_owned()))
        );
    }

    #[test]
    fn no_rows_are_an_empty_array_of_their_type() {
        let version = ApiVersion::parse("2021-04-12").unwrap();
        let table = [
            (QueryRows::Twins(Vec::new()), "Twin"),
            (QueryRows::Jobs(Vec::new()), "DeviceJob"),
            (QueryRows::Raw(Vec::new()), "Raw"),
        ];
        for (found, expected) in table {
            assert_eq!(rows(&found, &version), "[]");
            assert_eq!(item_type(&found), expected);
        }
    }
}
