//! Ready means ready: each part holds a latch, and drops it when it serves.

use std::sync::{Arc, Mutex, PoisonError};

/// Knows which parts do not serve yet.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<&'static str>>>);

/// Held by a part that does not serve yet. Dropping it says that it does; it cannot be forgotten.
#[derive(Debug)]
pub struct Latch {
    readiness: Readiness,
    name: &'static str,
}

impl Readiness {
    /// A latch for the part of this name.
    #[must_use = "the part counts as ready once its latch is dropped"]
    pub fn latch(&self, name: &'static str) -> Latch {
        self.with(|waiting| waiting.push(name));
        Latch { readiness: self.clone(), name }
    }

    /// The parts that do not serve yet.
    pub fn waiting(&self) -> Vec<&'static str> {
        self.with(|waiting| waiting.clone())
    }

    /// A std mutex: held for one statement, no await inside.
    fn with<T>(&self, use_it: impl FnOnce(&mut Vec<&'static str>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let name = self.name;
        self.readiness.with(|waiting| {
            if let Some(index) = waiting.iter().position(|other| *other == name) {
                waiting.swap_remove(index);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_latch_was_dropped() {
        let readiness = Readiness::default();
        let (mqtt, https) = (readiness.latch("mqtt"), readiness.latch("https"));
        assert_eq!(readiness.waiting(), ["mqtt", "https"]);
        drop(mqtt);
        assert_eq!(readiness.waiting(), ["https"]);
        drop(https);
        assert!(readiness.waiting().is_empty());
    }
}
