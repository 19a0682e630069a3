//! Direct methods: what the device answers, and when. A value without I/O.

use std::time::Duration;

use iothub_core::time::Timestamp;
use serde_json::{Value, json};

/// How many calls may wait for their delay; a hub sends no more to one device.
const WAITING: usize = 256;

/// How the device answers a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// The status of the answer; what it means is between the device and its back end.
    pub status: i32,
    /// The payload of the answer.
    pub payload: Value,
    /// How long the device takes.
    pub delay: Duration,
}

/// A call as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Call {
    /// What the answer names, exactly as it came.
    pub(crate) rid: String,
    pub(crate) name: String,
}

/// An answer that is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) call: Call,
    pub(crate) status: i32,
    pub(crate) payload: Value,
}

/// The calls that a connection has to answer. They end with it: the hub has given them up then.
#[derive(Debug)]
pub(crate) struct Methods<'a> {
    scripted: &'a [(String, Method)],
    waiting: Vec<(Timestamp, Answer)>,
}

impl Method {
    /// Success at once, with nothing in it.
    pub fn success() -> Self {
        Self { status: 200, payload: Value::Null, delay: Duration::ZERO }
    }

    /// What the samples of the SDKs say to a method that they do not have.
    fn unknown() -> Self {
        let payload = json!({ "details": "method name unknown" });
        Self { status: 404, payload, delay: Duration::ZERO }
    }
}

impl<'a> Methods<'a> {
    pub(crate) fn new(scripted: &'a [(String, Method)]) -> Self {
        Self { scripted, waiting: Vec::new() }
    }

    /// Takes a call; false if too many wait.
    pub(crate) fn called(&mut self, call: Call, now: Timestamp) -> bool {
        if self.waiting.len() >= WAITING {
            return false;
        }
        let scripted = self.scripted.iter().find(|(name, _)| *name == call.name);
        let Method { status, payload, delay } =
            scripted.map_or_else(Method::unknown, |(_, method)| method.clone());
        self.waiting.push((now.after(delay), Answer { call, status, payload }));
        true
    }

    /// The answers whose time has come.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Answer> {
        let due = self.waiting.extract_if(.., |(at, _)| *at <= now);
        due.map(|(_, answer)| answer).collect()
    }

    /// When the next answer is due.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(rid: &str, name: &str) -> Call {
        Call { rid: rid.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn answers_come_after_their_delay() {
        let start = Timestamp::from_unix_seconds(100);
        let slow = Method { status: 202, payload: json!({"a": 1}), delay: Duration::from_secs(3) };
        let script = [("slow".to_owned(), slow), ("fast".to_owned(), Method::success())];
        let mut methods = Methods::new(&script);
        assert_eq!(methods.next_deadline(), None);
        for (rid, name) in [("1", "slow"), ("2", "fast"), ("3", "other")] {
            assert!(methods.called(call(rid, name), start));
        }
        let at = |methods: &mut Methods<'_>, now| -> Vec<_> {
            let due = methods.due(now);
            due.into_iter().map(|answer| (answer.call.rid, answer.status)).collect()
        };
        assert_eq!(at(&mut methods, start), [("2".to_owned(), 200), ("3".to_owned(), 404)]);
        let later = start.after(Duration::from_secs(3));
        assert_eq!(methods.next_deadline(), Some(later));
        assert_eq!(at(&mut methods, later), [("1".to_owned(), 202)]);
    }

    #[test]
    fn a_flood_of_calls_is_refused() {
        let start = Timestamp::from_unix_seconds(100);
        let mut methods = Methods::new(&[]);
        let taken = (0..WAITING * 2).filter(|_| methods.called(call("1", "m"), start)).count();
        assert_eq!(taken, WAITING);
    }
}
