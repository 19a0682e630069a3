//! The tutorial's device: a desired configuration is first reported as pending, then applied, then
//! reported as done.
//!
//! | desired | reported |
//! |---|---|
//! | another configuration | `pendingConfig` and `"status":"Pending"`, after the delay the configuration itself, `"pendingConfig":null` and `"status":"Success"` |
//! | yet another while one is pending | `pendingConfig` anew; the first is never applied |
//! | the applied one while another is pending | `"pendingConfig":null` and `"status":"Success"` |
//! | a malformed one | `"status":"Error"` and `statusReason`; what is applied stays |

use std::time::Duration;

use iothub_core::time::Timestamp;
use serde_json::{Value, json};

use super::Action;
use super::shadow::Shadow;
use crate::configuration::Configuration;
use crate::document::Properties;
use crate::event::Event;

const PENDING_CONFIG: &str = "pendingConfig";
const STATUS: &str = "status";
const STATUS_REASON: &str = "statusReason";

/// The configuration in force, and the one under way.
#[derive(Debug)]
pub(super) struct Agreement {
    applied: Configuration,
    pending: Option<Pending>,
    delay: Duration,
}

#[derive(Debug)]
struct Pending {
    target: Configuration,
    due: Timestamp,
}

impl Agreement {
    pub(super) fn new(initial: Configuration, delay: Duration) -> Self {
        Self { applied: initial, pending: None, delay }
    }

    pub(super) fn applied(&self) -> &Configuration {
        &self.applied
    }

    /// Goes on where the device of before stopped, and says with which configuration, if it had
    /// reported one. What it left pending is known from then on, so that it is either taken up
    /// again or cleared away.
    pub(super) fn adopt(
        &mut self,
        reported: &Properties,
        shadow: &mut Shadow,
    ) -> Option<Configuration> {
        for name in [PENDING_CONFIG, STATUS, STATUS_REASON] {
            if let Some(value) = reported.get(name) {
                shadow.set(name, value.clone());
            }
        }
        let kept = Configuration::reported(reported)?;
        self.applied = kept.clone();
        Some(kept)
    }

    /// Looks at all desired properties, of which some may be new.
    pub(super) fn desired(
        &mut self,
        desired: &Properties,
        shadow: &mut Shadow,
        now: Timestamp,
    ) -> Vec<Action> {
        match Configuration::desired(desired, &self.applied) {
            Err(invalid) => self.reject(invalid.to_string(), shadow),
            Ok(Some(target)) if target != self.applied => self.begin(target, shadow, now),
            Ok(_) => self.settle(shadow),
        }
    }

    /// Applies what is due.
    pub(super) fn tick(&mut self, shadow: &mut Shadow, now: Timestamp) -> Vec<Action> {
        let Some(Pending { target, .. }) = self.pending.take_if(|pending| pending.due <= now)
        else {
            return Vec::new();
        };
        self.applied = target.clone();
        let mut patch = target.properties();
        patch.insert(PENDING_CONFIG.to_owned(), Value::Null);
        patch.insert(STATUS.to_owned(), json!("Success"));
        report(Event::Applied { configuration: target }, patch, shadow)
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.pending.as_ref().map(|pending| pending.due)
    }

    fn begin(&mut self, target: Configuration, shadow: &mut Shadow, now: Timestamp) -> Vec<Action> {
        if self.pending.as_ref().is_some_and(|pending| pending.target == target) {
            return Vec::new();
        }
        let mut patch = Properties::new();
        patch.insert(PENDING_CONFIG.to_owned(), Value::Object(target.properties()));
        patch.insert(STATUS.to_owned(), json!("Pending"));
        clear(STATUS_REASON, &mut patch, shadow);
        self.pending = Some(Pending { target: target.clone(), due: now.after(self.delay) });
        report(Event::Pending { configuration: target, after: self.delay }, patch, shadow)
    }

    /// What is applied is what is desired: nothing is pending and nothing is wrong any more.
    fn settle(&mut self, shadow: &mut Shadow) -> Vec<Action> {
        self.pending = None;
        let mut patch = Properties::new();
        clear(PENDING_CONFIG, &mut patch, shadow);
        clear(STATUS_REASON, &mut patch, shadow);
        // A device of before may have left the status alone behind.
        let open = [json!("Pending"), json!("Error")];
        if patch.is_empty() && shadow.get(STATUS).is_none_or(|status| !open.contains(status)) {
            return Vec::new();
        }
        patch.insert(STATUS.to_owned(), json!("Success"));
        report(Event::Applied { configuration: self.applied.clone() }, patch, shadow)
    }

    fn reject(&mut self, reason: String, shadow: &mut Shadow) -> Vec<Action> {
        self.pending = None;
        let mut patch = Properties::new();
        clear(PENDING_CONFIG, &mut patch, shadow);
        let said = shadow.get(STATUS) == Some(&json!("Error"))
            && shadow.get(STATUS_REASON) == Some(&json!(reason));
        if said && patch.is_empty() {
            return Vec::new();
        }
        patch.insert(STATUS.to_owned(), json!("Error"));
        patch.insert(STATUS_REASON.to_owned(), json!(reason));
        report(Event::Rejected { reason }, patch, shadow)
    }
}

fn clear(name: &str, patch: &mut Properties, shadow: &Shadow) {
    if shadow.get(name).is_some() {
        patch.insert(name.to_owned(), Value::Null);
    }
}

fn report(event: Event, patch: Properties, shadow: &mut Shadow) -> Vec<Action> {
    shadow.merge(&patch);
    vec![Action::Tell(event), Action::Report(patch)]
}
