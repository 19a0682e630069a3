//! What was sent at QoS 1 and is not acknowledged yet: packet ids to messages.

use std::collections::BTreeMap;

/// The messages in flight on one connection. As many as a device's queue holds at most.
#[derive(Debug, Default)]
pub(crate) struct Inflight(BTreeMap<u16, u64>);

impl Inflight {
    /// The packet id of a message. One that is in flight keeps its id; another gets the one that
    /// Microsoft's protocol gateway derives from the sequence number, so that it is the same on the
    /// next connection, or the next that is free.
    pub(crate) fn assign(&mut self, sequence_number: u64) -> u16 {
        let mut in_flight = self.0.iter();
        if let Some((id, _)) = in_flight.find(|(_, sent)| **sent == sequence_number) {
            return *id;
        }
        let derived = u16::try_from(sequence_number & 0x3FFF).unwrap_or_default() + 1;
        let others = (derived..=u16::MAX).chain(1..derived);
        let id = others.into_iter().find(|id| !self.0.contains_key(id)).unwrap_or(derived);
        self.0.insert(id, sequence_number);
        id
    }

    /// The message that a PUBACK acknowledges; none if it acknowledges nothing.
    pub(crate) fn acknowledge(&mut self, id: u16) -> Option<u64> {
        self.0.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_has_the_id_seen_on_the_service() {
        assert_eq!(Inflight::default().assign(1), 2);
    }

    #[test]
    fn ids_are_kept_until_acknowledged() {
        let mut inflight = Inflight::default();
        assert_eq!(inflight.assign(1), 2);
        assert_eq!(inflight.assign(1), 2);
        assert_eq!(inflight.acknowledge(2), Some(1));
        assert_eq!(inflight.acknowledge(2), None);
    }

    #[test]
    fn ids_that_collide_move_on() {
        let mut inflight = Inflight::default();
        for (sequence_number, expected) in [(0x3FFF, 0x4000), (0x7FFF, 0x4001), (0x4000, 1)] {
            assert_eq!(inflight.assign(sequence_number), expected, "{sequence_number:#x}");
        }
        assert_eq!(inflight.acknowledge(0x4001), Some(0x7FFF));
    }
}
