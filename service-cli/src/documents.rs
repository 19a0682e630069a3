//! The documents that belong to no device: configurations and jobs.

use iothub_core::ids::Precondition;
use iothub_wire::connection_string::encode;
use serde_json::Value;
use ureq::http::Method;

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// A configuration.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn get_configuration(&self, id: &str) -> Result<Value, Error> {
        self.json(&self.read(Method::GET, &format!("configurations/{}", encode(id)))?)
    }

    /// Configurations, at most `top`.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn list_configurations(&self, top: u16) -> Result<Vec<Value>, Error> {
        let query = format!("&top={top}");
        let request = self.request(Method::GET, "configurations", &query, &Precondition::None);
        self.array(&self.send(request, ())?)
    }

    /// Creates a configuration, or updates it where the precondition says that there is one.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn put_configuration(
        &self,
        id: &str,
        document: &Value,
        precondition: &Precondition,
    ) -> Result<Value, Error> {
        let path = format!("configurations/{}", encode(id));
        self.json(&self.write(Method::PUT, &path, document, precondition)?)
    }

    /// Deletes a configuration.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn delete_configuration(&self, id: &str, precondition: &Precondition) -> Result<(), Error> {
        let path = format!("configurations/{}", encode(id));
        self.send(self.request(Method::DELETE, &path, "", precondition), ()).map(drop)
    }

    /// Creates a job.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn create_job(&self, id: &str, document: &Value) -> Result<Value, Error> {
        let path = format!("jobs/v2/{}", encode(id));
        self.json(&self.write(Method::PUT, &path, document, &Precondition::None)?)
    }

    /// A job.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn get_job(&self, id: &str) -> Result<Value, Error> {
        self.json(&self.read(Method::GET, &format!("jobs/v2/{}", encode(id)))?)
    }

    /// Cancels a job.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn cancel_job(&self, id: &str) -> Result<Value, Error> {
        self.json(&self.read(Method::POST, &format!("jobs/v2/{}/cancel", encode(id)))?)
    }

    /// All jobs of a kind and a status; empty texts stand for all.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub fn list_jobs(&self, kind: &str, status: &str) -> Result<Vec<Value>, Error> {
        let query = format!("&jobType={}&jobStatus={}", encode(kind), encode(status));
        let mut jobs = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut request =
                self.request(Method::GET, "jobs/v2/query", &query, &Precondition::None);
            if let Some(next) = &next {
                request = request.header("x-ms-continuation", next);
            }
            let (headers, text) = self.exchange(request, ())?;
            jobs.extend(self.array(&text)?);
            let found = headers.get("x-ms-continuation").and_then(|value| value.to_str().ok());
            match found.filter(|token| !token.is_empty()).map(str::to_owned) {
                None => return Ok(jobs),
                // A service that asks for the same page for ever is not followed.
                found if found == next => return Ok(jobs),
                found => next = found,
            }
        }
    }

    fn array(&self, text: &str) -> Result<Vec<Value>, Error> {
        match self.json(text)? {
            Value::Array(values) => Ok(values),
            other => Err(self.strange(&other, "an array")),
        }
    }
}
