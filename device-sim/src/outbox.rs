//! Telemetry on its way: kept until the hub has acknowledged it, and sent again on the next
//! connection if that one ended before.

use std::collections::VecDeque;

use crate::telemetry::Message;

/// How many messages may wait for their acknowledgement. Well below the number of packet ids that
/// rumqttc uses in turn, so that none is used twice.
pub(crate) const LIMIT: usize = 32;

/// The messages that are not acknowledged, in the order of sending.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    sent: VecDeque<(u16, Message)>,
    queued: VecDeque<Message>,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.sent.len() + self.queued.len()
    }

    /// A message was handed to the connection.
    pub(crate) fn push(&mut self, message: Message) {
        self.queued.push_back(message);
    }

    /// The connection has sent the next message under this packet id.
    pub(crate) fn sent(&mut self, packet: u16) {
        if let Some(message) = self.queued.pop_front() {
            self.sent.push_back((packet, message));
        }
    }

    /// The hub has the message with this packet id.
    pub(crate) fn acknowledged(&mut self, packet: u16) -> Option<Message> {
        let index = self.sent.iter().position(|(id, _)| *id == packet)?;
        self.sent.remove(index).map(|(_, message)| message)
    }

    /// Takes out all that has to be sent again on a new connection.
    pub(crate) fn take(&mut self) -> Vec<Message> {
        let sent = self.sent.drain(..).map(|(_, message)| message);
        sent.chain(self.queued.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(number: u32) -> Message {
        Message { properties: Vec::new(), body: json!(number) }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let mut outbox = Outbox::default();
        for number in 1..=4 {
            outbox.push(message(number));
        }
        for packet in [11, 12, 13] {
            outbox.sent(packet);
        }
        assert_eq!(outbox.acknowledged(12), Some(message(2)));
        assert_eq!(outbox.acknowledged(12), None);
        assert_eq!(outbox.len(), 3);
        assert_eq!(outbox.take(), [message(1), message(3), message(4)]);
        assert_eq!(outbox.len(), 0);
    }
}
