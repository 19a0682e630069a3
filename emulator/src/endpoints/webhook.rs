//! Something that takes events by HTTP: a `POST` of a JSON array of events, each as the service
//! writes it into storage.

use std::sync::Arc;
use std::time::Duration;

use iothub_core::event::Event;
use iothub_core::limits;
use iothub_core::route::Sink;
use iothub_core::store::Answer;
use iothub_wire::json;
use iothub_wire::local::is_loopback;
use serde_json::Value;
use service_cli::Roots;
use tokio_rustls::rustls;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::TlsConfig;

use super::queue::{Item, Items, Queue};

/// How many events a request has at most.
const BATCH: usize = 100;
/// How often a request is tried before its events are given up, and how long the first wait is;
/// each is twice the one before.
const ATTEMPTS: u32 = 5;
const RETRY: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where events go in.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) queue: Queue,
}

impl Sink for Entry {
    fn take(&self, event: Arc<Event>) -> Answer<'_, ()> {
        if !self.queue.offer(event) {
            tracing::warn!(endpoint = self.name, "an event is lost: too many wait for the webhook");
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The receiver of events, and how to reach it.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    name: String,
    url: String,
    agent: Agent,
}

/// Why a request did not do its work.
struct Refused {
    why: String,
    /// Whether another attempt may do better.
    again: bool,
}

impl Webhook {
    pub(super) fn new(name: &str, url: &str) -> Self {
        Self { name: name.to_owned(), url: url.to_owned(), agent: agent(url) }
    }

    /// Posts what comes until nothing can come any more.
    pub(super) async fn feed(self, mut items: Items) {
        let mut batch = Vec::new();
        while items.recv_many(&mut batch, BATCH).await > 0 {
            let count = batch.len();
            if let Err(why) = self.post_patiently(&batch).await {
                tracing::warn!(endpoint = self.name, why, lost = count, "events are lost");
            }
            batch.clear();
        }
    }

    async fn post_patiently(&self, items: &[Item]) -> Result<(), String> {
        let events: Vec<Value> =
            items.iter().map(|item| json::event::stored(&item.event)).collect();
        let body: Arc<str> = Value::Array(events).to_string().into();
        let mut wait = RETRY;
        for attempt in 1.. {
            let (webhook, body) = (self.clone(), body.clone());
            let posted = tokio::task::spawn_blocking(move || webhook.post(&body)).await;
            match posted.map_err(|error| error.to_string())? {
                Ok(()) => break,
                Err(refused) if !refused.again || attempt == ATTEMPTS => return Err(refused.why),
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
        Ok(())
    }

    fn post(&self, body: &str) -> Result<(), Refused> {
        let request = self.agent.post(&self.url).header("Content-Type", "application/json");
        match request.send(body) {
            Err(error) => Err(Refused { why: error.to_string(), again: true }),
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let again = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
                Err(Refused { why: format!("answer has status {status}"), again })
            }
        }
    }
}

fn agent(url: &str) -> Agent {
    let uri = url.parse::<Uri>().ok();
    // The start should not wait for the system's few hundred authorities if nobody needs them.
    let encrypted = uri.as_ref().and_then(Uri::scheme_str) == Some("https");
    let roots = if encrypted { Roots::none().and_system() } else { Roots::none() };
    let tls = TlsConfig::builder()
        .root_certs(roots.for_http())
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .user_agent(concat!("iothub-emulator/", env!("CARGO_PKG_VERSION")));
    let local = uri.as_ref().and_then(Uri::host).is_some_and(is_loopback);
    // A proxy cannot reach this machine's loopback.
    let config = if local { config.proxy(None) } else { config };
    config.build().new_agent()
}

// The largest event finds room.
const _: () = assert!(limits::ENDPOINT_QUEUE_BYTES >= limits::EVENT_BYTES * 2);
