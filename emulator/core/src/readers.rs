//! Who reads the partitions of an event hub: a reader with an epoch is alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The readers of an event hub. Clones are handles to the same crowd.
#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<Crowd>>);

#[derive(Debug, Default)]
struct Crowd {
    last: u64,
    seats: Vec<Taken>,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    place: Place,
    epoch: Option<i64>,
    stolen: watch::Sender<bool>,
}

/// A partition as a consumer group sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    /// In lower case.
    group: String,
    partition: usize,
}

/// The right to read, until somebody with an epoch as high or higher comes. Dropping it is leaving.
#[derive(Debug)]
pub struct Seat {
    readers: Readers,
    number: u64,
    stolen: watch::Receiver<bool>,
}

impl Readers {
    /// Begins to read a partition; whoever reads it with a lower epoch, the same or none has to go,
    /// if this reader has one.
    ///
    /// # Errors
    ///
    /// Somebody reads it with a higher epoch, which is told, or with any if this reader has none.
    pub fn join(&self, group: &str, partition: usize, epoch: Option<i64>) -> Result<Seat, i64> {
        let place = Place { group: group.to_ascii_lowercase(), partition };
        let mut crowd = self.lock();
        let here = crowd.seats.iter().filter(|taken| taken.place == place);
        if let Some(holding) = here.filter_map(|taken| taken.epoch).max()
            && epoch.is_none_or(|epoch| epoch < holding)
        {
            return Err(holding);
        }
        if epoch.is_some() {
            crowd.seats.retain(|taken| {
                let stays = taken.place != place;
                if !stays {
                    taken.stolen.send_replace(true);
                }
                stays
            });
        }
        crowd.last += 1;
        let number = crowd.last;
        let (stolen, told) = watch::channel(false);
        crowd.seats.push(Taken { number, place, epoch, stolen });
        Ok(Seat { readers: self.clone(), number, stolen: told })
    }

    /// Held to look through the crowd; nothing awaits meanwhile.
    fn lock(&self) -> MutexGuard<'_, Crowd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Returns when somebody else has taken the place. Safe to drop and call again.
    pub async fn stolen(&mut self) {
        // An error means that the place is gone, which is the same.
        let _gone = self.stolen.wait_for(|stolen| *stolen).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.readers.lock().seats.retain(|taken| taken.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_with_an_epoch_is_alone() {
        let readers = Readers::default();
        let mut plain = readers.join("$Default", 0, None).unwrap();
        let _other_group = readers.join("other", 0, None).unwrap();
        let _also = readers.join("$default", 0, None).unwrap();
        let mut first = readers.join("$DEFAULT", 0, Some(1)).unwrap();
        plain.stolen().await;
        assert_eq!(readers.join("$Default", 0, None).unwrap_err(), 1);
        assert_eq!(readers.join("$Default", 0, Some(0)).unwrap_err(), 1);
        let second = readers.join("$Default", 0, Some(1)).unwrap();
        first.stolen().await;
        drop(second);
        assert!(readers.join("$Default", 0, None).is_ok());
        assert_eq!(readers.lock().seats.len(), 1, "only the other group stays");
    }
}
