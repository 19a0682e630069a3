//! Many identities in one call.

use iothub_core::ids::Precondition;
use serde_json::Value;
use ureq::http::Method;

use super::Client;
use crate::error::Error;

impl Client {
    /// Does what each item says with its `importMode`; gives the service's result, which names
    /// the items that failed. The service takes 100 items at most.
    ///
    /// # Errors
    ///
    /// Whatever the service says of the call as a whole, or the network.
    pub fn bulk(&self, items: &[Value]) -> Result<Value, Error> {
        let request = self
            .request(Method::POST, "devices", "", &Precondition::None)
            .header("Content-Type", "application/json; charset=utf-8");
        let body = serde_json::to_string(items).unwrap_or_default();
        let answer = self.ask(request, body)?;
        // That items failed comes as a 400 which is a result nevertheless.
        if matches!(answer.status, 200 | 400)
            && let Ok(result) = serde_json::from_str::<Value>(&answer.text)
            && result.get("isSuccessful").is_some()
        {
            return Ok(result);
        }
        Err(answer.into_error())
    }
}
