//! Ends what a message of a device asks to end: the connection, a session, a link.

use bytes::BytesMut;
use iothub_core::event::Message;
use iothub_core::fault::line::Loss;
use iothub_core::fault::message::{AmqpLink, FaultMessage, Victim};
use iothub_core::ids::IdentityId;
use iothub_core::session::Protocol;
use tracing::{info, warn};

use crate::connection::{Conversation, End, Farewell};
use crate::error::{AmqpError, DETACHED};
use crate::link::Link;
use crate::node::{DeviceNode, Node};
use crate::outgoing::Arrived;

/// What a session ends with that does so without need.
const INTERNAL: &str = "amqp:internal-error";

impl Conversation {
    /// Whether a message asks for a fault instead of being an event. If so, what it asks for
    /// happens in its time.
    pub(crate) fn is_fault(&mut self, message: &Message, id: &IdentityId, channel: u16) -> bool {
        let asked = match self.hub.fault_asked(message) {
            Ok(None) => return false,
            Ok(Some(asked)) => asked,
            Err(why) => {
                warn!(%id, %why, "a message asks for no fault that there is");
                return false;
            }
        };
        self.hub.obey(&asked, id, Protocol::Amqp);
        if asked.victim(Protocol::Amqp).is_some() {
            let (hub, id) = (self.hub.clone(), id.clone());
            let due = async move {
                hub.wait(asked.delay).await;
                Arrived::Fault { asked, id, channel }
            };
            self.wait_for(due);
        }
        true
    }

    /// Ends what a message wanted to end.
    pub(crate) fn kill(
        &mut self,
        asked: &FaultMessage,
        id: &IdentityId,
        channel: u16,
        out: &mut BytesMut,
    ) {
        let Some(victim) = asked.victim(Protocol::Amqp) else { return };
        info!(%id, ?asked, "ended what a message wanted to end");
        let with_error = |condition| (!asked.graceful).then(|| error(condition));
        match victim {
            Victim::Tcp | Victim::Mqtt => {
                if !asked.graceful {
                    self.line.lose(Loss::Reset);
                }
                self.over = Some(End::Killed(None));
            }
            Victim::AmqpConnection | Victim::Amqp => {
                let farewell = if asked.graceful { Farewell::Graceful } else { Farewell::Forced };
                self.over = Some(End::Killed(Some(farewell)));
            }
            Victim::AmqpSession => {
                self.end_session(channel, with_error(INTERNAL).as_ref(), out);
            }
            Victim::AmqpLink(link) => {
                let ends = |(_, _, one): &(u16, u32, &Link)| is_meant(one, link, id);
                let links: Vec<_> = self
                    .links()
                    .filter(ends)
                    .map(|(channel, handle, _)| (channel, handle))
                    .collect();
                for (channel, handle) in links {
                    self.close_link(channel, handle, with_error(DETACHED).as_ref(), out);
                }
            }
        }
    }
}

/// What is said where something ends with an error because a message wanted it.
pub(crate) fn error(condition: &'static str) -> AmqpError {
    AmqpError::new(condition, "a message of the device asked for this fault")
}

/// Whether a link is the one of a device that a message means. Tokens are put for all devices of a
/// connection over the same links.
fn is_meant(link: &Link, meant: AmqpLink, id: &IdentityId) -> bool {
    let of_device = |node| Node::Device(id.clone(), node);
    let (node, receives) = match meant {
        AmqpLink::TokenRequests => (Node::Cbs, false),
        AmqpLink::TokenAnswers => (Node::Cbs, true),
        AmqpLink::Events => (of_device(DeviceNode::Events), false),
        AmqpLink::Devicebound => (of_device(DeviceNode::Devicebound), true),
        AmqpLink::TwinRequests => (of_device(DeviceNode::Twin), false),
        AmqpLink::TwinAnswers => (of_device(DeviceNode::Twin), true),
        AmqpLink::MethodCalls => (of_device(DeviceNode::Methods), true),
        AmqpLink::MethodAnswers => (of_device(DeviceNode::Methods), false),
    };
    link.receives == receives && link.node == node
}
