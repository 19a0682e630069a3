//! The harness of an emulator, which answers what no hub of Azure's can be asked.

use std::time::Duration;

use iothub_core::route::trial::{TestInput, Trial};
use iothub_wire::connection_string::encode;
use iothub_wire::json::trial;
use serde_json::Value;
use ureq::Agent;

use crate::client::http_failed;
use crate::error::{Error, ServiceError};

/// Where the harness is unless an emulator says otherwise.
pub const URL: &str = "http://127.0.0.1:8088";
const TIMEOUT: Duration = Duration::from_secs(10);

/// A way to a harness.
#[derive(Clone, Debug)]
pub struct Harness {
    url: String,
    token: Option<String>,
    agent: Agent,
}

impl Harness {
    /// The harness at a URL such as [`URL`]. It wants a token from another machine.
    pub fn new(url: &str, token: Option<String>) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            // It is on this machine, or in the container beside.
            .proxy(None)
            .build();
        let scheme = if url.contains("://") { "" } else { "http://" };
        let url = format!("{scheme}{}", url.trim_end_matches('/'));
        Self { url, token, agent: agent.into() }
    }

    /// Which routes of a hub would take a message, and why the others would not.
    ///
    /// # Errors
    ///
    /// Whatever the harness or the network says.
    pub fn test_routes(&self, hub: &str, input: &TestInput) -> Result<Trial, Error> {
        let answer =
            self.post(&format!("hubs/{}/routes/test", encode(hub)), &trial::input(input))?;
        trial::parse_trial(&answer).ok_or_else(|| self.strange("no outcome of a trial of routes"))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let mut request = self.agent.post(format!("{}/{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request.send(body.to_string()).map_err(|why| self.failed(why))?;
        let status = answer.status();
        let text = answer.body_mut().read_to_string().map_err(|why| self.failed(why))?;
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(document);
        }
        let name = document.get("error").and_then(Value::as_str);
        Err(ServiceError::parse(status.as_u16(), name, &text).into())
    }

    fn failed(&self, why: ureq::Error) -> Error {
        http_failed(self.url.clone(), TIMEOUT, why)
    }

    fn strange(&self, what: &str) -> Error {
        Error::Answer { hub: self.url.clone(), what: what.to_owned() }
    }
}
