//! Queries, page by page.

use iothub_core::ids::Precondition;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::client::Client;
use crate::error::Error;

/// A page of the answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its rows.
    pub rows: Vec<Value>,
    /// Whether the rows are whole twins.
    pub twins: bool,
    /// Asks for the next page; none if this is the last.
    pub continuation: Option<String>,
}

impl Client {
    /// A page of the answer to a query, of up to `size` rows if the service allows so many: the
    /// first, or the one that `continuation` asks for.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn query(
        &self,
        query: &str,
        size: Option<u32>,
        continuation: Option<&str>,
    ) -> Result<Page, Error> {
        let mut request = self
            .request(Method::POST, "devices/query", "", &Precondition::None)
            .header("Content-Type", "application/json; charset=utf-8");
        if let Some(size) = size {
            request = request.header("x-ms-max-item-count", size);
        }
        if let Some(continuation) = continuation {
            request = request.header("x-ms-continuation", continuation);
        }
        let (headers, text) = self.exchange(request, json!({ "query": query }).to_string())?;
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let continuation = header("x-ms-continuation").filter(|token| !token.is_empty());
        match self.json(&text)? {
            Value::Array(rows) => Ok(Page {
                rows,
                twins: header("x-ms-item-type") == Some("Twin"),
                continuation: continuation.map(str::to_owned),
            }),
            other => Err(self.strange(&other, "an array of rows")),
        }
    }
}
