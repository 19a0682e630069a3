//! The back end of the tutorial: asks a device for a configuration and waits until it agrees.
//!
//! Desired `configId` and `sendFrequency` are set; the device is done once it reports both with
//! the same values. [`configure`] waits for that, a [`Watch`] goes on.

use std::time::{Duration, Instant};

use iothub_core::ids::{DeviceId, ETag, Precondition};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::twin::{Section, Twin};
use iothub_wire::local::is_loopback;

const CONFIG_ID: &str = "configId";
const SEND_FREQUENCY: &str = "sendFrequency";

/// Another back end may change the twin between reading and writing; so often it is read anew.
const ATTEMPTS: u32 = 5;
/// The first look comes soon, since a device in the same room answers at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A hub far away is asked once a second at most, one on this machine more often.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE_ON_LOOPBACK: Duration = Duration::from_millis(200);
/// The last look gets this long even if the time is up.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What is asked of a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The id of the configuration; none for one more than the twin's present one.
    pub config_id: Option<i64>,
    /// How often to send, in the device's own words (`5m`).
    pub send_frequency: String,
}

/// What happened so far; told as it happens.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The twin as it is before anything was asked.
    Before(&'a Twin),
    /// The service has taken the change; this is the twin with it.
    Asked(&'a Twin),
    /// The twin has changed since the last word: the device has reported something, or somebody
    /// else has asked for something.
    Changed(&'a Twin),
    /// The twin could not be read this time; it is tried again while there is time.
    Retrying(&'a Error),
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The twin before.
    pub before: Twin,
    /// The twin when it was last read.
    pub after: Twin,
    /// The id that was asked for.
    pub config_id: i64,
    /// Whether the device reports what was asked for.
    pub agreed: bool,
    /// How long the device was waited for.
    pub waited: Duration,
}

/// Asks `device` for `change` and waits up to `timeout` until it reports the same.
///
/// # Errors
///
/// The twin could not be read or changed. That the device does not agree in time is no error, but
/// [`Outcome::agreed`].
pub fn configure(
    client: &Client,
    device: &DeviceId,
    change: &Change,
    timeout: Duration,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Outcome, Error> {
    let (before, config_id, asked) = ask(client, device, change)?;
    let started = Instant::now();
    progress(Progress::Before(&before));
    progress(Progress::Asked(&asked));
    let goal = Goal { config_id: json!(config_id), send_frequency: json!(change.send_frequency) };
    let wait = Wait { client, device, goal: &goal, started, timeout };
    let after = wait.until_agreed(asked, &mut progress)?;
    let agreed = goal.is_met_by(&after);
    Ok(Outcome { before, after, config_id, agreed, waited: started.elapsed() })
}

/// The id to ask for if none was given: one more than the desired one, else than the reported
/// one, else than zero.
///
/// # Errors
///
/// The present id is not a whole number.
pub fn next_config_id(twin: &Twin) -> Result<i64, Error> {
    let present = twin
        .property(Section::Desired, CONFIG_ID)
        .or_else(|| twin.property(Section::Reported, CONFIG_ID));
    match present {
        None => Ok(1),
        Some(value) => value
            .as_i64()
            .and_then(|id| id.checked_add(1))
            .ok_or_else(|| Error::ConfigId(value.to_string())),
    }
}

/// Whether the device reports the configuration that its twin asks for.
pub fn agrees(twin: &Twin) -> bool {
    let desired = |name| twin.property(Section::Desired, name);
    let (Some(config_id), Some(send_frequency)) = (desired(CONFIG_ID), desired(SEND_FREQUENCY))
    else {
        return false;
    };
    Goal { config_id: config_id.clone(), send_frequency: send_frequency.clone() }.is_met_by(twin)
}

/// Reads the twin and asks for the change: the twin before, the id, the twin afterwards.
fn ask(client: &Client, device: &DeviceId, change: &Change) -> Result<(Twin, i64, Twin), Error> {
    let mut attempt = 1;
    loop {
        let before = client.get_twin(&device.clone().into())?;
        let (config_id, precondition) = match change.config_id {
            Some(id) => (id, Precondition::None),
            // Two back ends at once must not take the same id for different configurations.
            None => (next_config_id(&before)?, unchanged(&before)),
        };
        let patch = json!({ "properties": { "desired": {
            CONFIG_ID: config_id,
            SEND_FREQUENCY: change.send_frequency,
        }}});
        match client.patch_twin(&device.clone().into(), &patch, &precondition) {
            Err(error) if error.is_precondition_failed() && attempt < ATTEMPTS => attempt += 1,
            result => return result.map(|asked| (before, config_id, asked)),
        }
    }
}

fn unchanged(twin: &Twin) -> Precondition {
    twin.etag().map_or(Precondition::None, |etag| Precondition::Matches(ETag::new(etag)))
}

/// A device that was asked for a change, and its twin from then on.
pub struct Watch {
    client: Client,
    device: DeviceId,
    before: Twin,
    last: Twin,
    pause: Duration,
}

impl Watch {
    /// Asks `device` for `change`.
    ///
    /// # Errors
    ///
    /// The twin could not be read or changed.
    pub fn start(client: &Client, device: &DeviceId, change: &Change) -> Result<Self, Error> {
        let (before, _, last) = ask(client, device, change)?;
        let (client, device) = (client.clone(), device.clone());
        Ok(Self { client, device, before, last, pause: FIRST_PAUSE })
    }

    /// The twin before anything was asked.
    pub fn before(&self) -> &Twin {
        &self.before
    }

    /// The twin when it was last read.
    pub fn twin(&self) -> &Twin {
        &self.last
    }

    /// Waits until the twin has changed.
    ///
    /// # Errors
    ///
    /// The twin could not be read this time; where that [is transient](Error::is_transient), the
    /// wait may go on.
    pub fn changed(&mut self) -> Result<&Twin, Error> {
        loop {
            std::thread::sleep(self.pause);
            self.pause = longer(self.pause, &self.client.host().name);
            let twin = self.client.get_twin(&self.device.clone().into())?;
            if twin.version() != self.last.version() {
                self.last = twin;
                return Ok(&self.last);
            }
        }
    }
}

struct Goal {
    config_id: Value,
    send_frequency: Value,
}

impl Goal {
    fn is_met_by(&self, twin: &Twin) -> bool {
        let reported = |name| twin.property(Section::Reported, name);
        reported(CONFIG_ID).is_some_and(|id| same(id, &self.config_id))
            && reported(SEND_FREQUENCY).is_some_and(|it| same(it, &self.send_frequency))
    }
}

/// Equal as values: a device whose language has only floating-point numbers reports 3.0 for 3.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

struct Wait<'a> {
    client: &'a Client,
    device: &'a DeviceId,
    goal: &'a Goal,
    started: Instant,
    timeout: Duration,
}

impl Wait<'_> {
    /// Reads the twin until it meets the goal or the time is up; gives the last one.
    fn until_agreed(
        &self,
        asked: Twin,
        progress: &mut impl FnMut(Progress<'_>),
    ) -> Result<Twin, Error> {
        let mut last = asked;
        let mut pause = FIRST_PAUSE;
        while !self.goal.is_met_by(&last) {
            let left = self.timeout.saturating_sub(self.started.elapsed());
            std::thread::sleep(pause.min(left));
            let patience = left.max(LAST_LOOK);
            match self.client.within(patience).get_twin(&self.device.clone().into()) {
                Ok(twin) => {
                    if twin.version() != last.version() {
                        progress(Progress::Changed(&twin));
                    }
                    last = twin;
                }
                Err(error) if error.is_transient() && !left.is_zero() => {
                    progress(Progress::Retrying(&error));
                }
                Err(error) => return Err(error),
            }
            if left.is_zero() {
                break;
            }
            pause = longer(pause, &self.client.host().name);
        }
        Ok(last)
    }
}

fn longer(pause: Duration, host: &str) -> Duration {
    let longest = if is_loopback(host) { LONGEST_PAUSE_ON_LOOPBACK } else { LONGEST_PAUSE };
    (pause * 3 / 2).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(desired: &Value, reported: &Value) -> Twin {
        Twin::new(json!({"properties": {"desired": desired, "reported": reported}})).unwrap()
    }

    #[test]
    fn the_next_id_follows_what_is_there() {
        let table = [
            (json!({}), json!({}), Some(1)),
            (json!({}), json!({"configId": 1}), Some(2)),
            (json!({"configId": 7}), json!({"configId": 1}), Some(8)),
            (json!({"configId": 1}), json!({"configId": 7}), Some(2)),
            (json!({"configId": null}), json!({"configId": 4}), Some(5)),
            (json!({"configId": -3}), json!({}), Some(-2)),
            (json!({"configId": "a"}), json!({}), None),
            (json!({"configId": 1.5}), json!({}), None),
            (json!({"configId": i64::MAX}), json!({}), None),
        ];
        for (desired, reported, expected) in table {
            let next = next_config_id(&twin(&desired, &reported)).ok();
            assert_eq!(next, expected, "{desired} {reported}");
        }
        let error = next_config_id(&twin(&json!({"configId": "a"}), &json!({}))).unwrap_err();
        assert_eq!(error.to_string(), "the twin has configId \"a\", expected a whole number");
    }

    #[test]
    fn agreement_is_about_both_values() {
        let desired = json!({"configId": 3, "sendFrequency": "5m"});
        let table = [
            (json!({"configId": 3, "sendFrequency": "5m"}), true),
            (json!({"configId": 3.0, "sendFrequency": "5m", "status": "x"}), true),
            (json!({"configId": 3, "sendFrequency": "24h"}), false),
            (json!({"configId": 2, "sendFrequency": "5m"}), false),
            (json!({"configId": "3", "sendFrequency": "5m"}), false),
            (json!({"configId": 3}), false),
            (json!({}), false),
        ];
        for (reported, expected) in table {
            assert_eq!(agrees(&twin(&desired, &reported)), expected, "{reported}");
        }
        assert!(!agrees(&twin(&json!({}), &json!({}))));
        assert!(!agrees(&twin(&json!({"configId": 3}), &json!({"configId": 3}))));
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let grown = |host| (0..40).fold(FIRST_PAUSE, |pause, _| longer(pause, host));
        assert_eq!(grown("127.0.0.1"), LONGEST_PAUSE_ON_LOOPBACK);
        assert_eq!(grown("hub.azure-devices.net"), LONGEST_PAUSE);
    }
}
