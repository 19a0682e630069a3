//! When to stop by itself: after so many configurations were applied and the hub knows it.

use device_sim::{ConfigId, Event};
use serde_json::{Value, json};

/// Counts applied configurations.
#[derive(Debug)]
pub(crate) struct StopAfter {
    left: u32,
    /// Applied, but the hub has not said yet that it knows.
    unconfirmed: Option<ConfigId>,
}

impl StopAfter {
    pub(crate) fn new(count: u32) -> Self {
        Self { left: count, unconfirmed: None }
    }

    /// Looks at an event; true once it is time to stop.
    pub(crate) fn sees(&mut self, event: &Event) -> bool {
        match event {
            Event::Applied { configuration } => {
                self.left = self.left.saturating_sub(1);
                self.unconfirmed = Some(configuration.config_id.clone());
            }
            // The report may be taken and its answer lost; then the next twin shows it.
            Event::Reported { patch: says, .. } | Event::TwinReceived { reported: says, .. } => {
                let Some(id) = &self.unconfirmed else { return false };
                let agrees = says.get("configId").is_none_or(|said| *said == json!(id));
                if agrees && says.get("status").and_then(Value::as_str) == Some("Success") {
                    self.unconfirmed = None;
                    return self.left == 0;
                }
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use device_sim::{Configuration, Properties};

    use super::*;

    fn properties(value: &Value) -> Properties {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn it_stops_when_the_hub_knows_the_last_one() {
        let applied = || Event::Applied { configuration: Configuration::initial() };
        let reported = |says: Value| Event::Reported { patch: properties(&says), version: Some(2) };
        let success = || reported(json!({"configId": 1, "status": "Success"}));
        let steps = [
            (success(), false),
            (applied(), false),
            (reported(json!({"other": 1})), false),
            (success(), false),
            (applied(), false),
            (reported(json!({"configId": 7, "status": "Success"})), false),
            (success(), true),
        ];
        let mut stop = StopAfter::new(2);
        for (index, (event, expected)) in steps.into_iter().enumerate() {
            assert_eq!(stop.sees(&event), expected, "step {index}");
        }
    }
}
