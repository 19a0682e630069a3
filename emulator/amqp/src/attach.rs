//! How a link comes to be, if the connection may use what it leads to.

use bytes::BytesMut;
use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_core::store::EventHub;

use crate::connection::{AMQP_FRAME, Conversation};
use crate::error::{ARGUMENT, AmqpError, NOT_ALLOWED, REDIRECT, RESOURCE_LIMIT, STOLEN};
use crate::link::{Link, RUNTIME_METRIC};
use crate::node::{DeviceNode, Node, named_identity};
use crate::outgoing::EventReader;
use crate::performative::{Attach, write_frame};
use crate::selector;
use crate::session::{ATTACH, FLOW, write_detach};
use crate::value::Value;

/// Where the Event Hubs-compatible endpoint is, beside the hub itself.
const AMQPS_PORT: i32 = 5671;

impl Conversation {
    pub(crate) async fn attach(
        &mut self,
        channel: u16,
        attach: Attach,
        out: &mut BytesMut,
    ) -> Result<(), AmqpError> {
        let links = self.links().count();
        let handle = attach.handle;
        if self.session(channel)?.links.contains_key(&handle) {
            return Err(AmqpError::new(
                "amqp:session:handle-in-use",
                format!("handle {handle} has a link already"),
            ));
        }
        let opened = if links < limits::AMQP_LINKS {
            self.open_link(&attach).await
        } else {
            Err(AmqpError::new(
                RESOURCE_LIMIT,
                format!("connection has {links} links, which is the most"),
            ))
        };
        match opened {
            Ok(link) => {
                let (receives, node) = (link.receives, link.node.clone());
                write_attach(out, channel, &attach, link.metrics && receives);
                let session = self.session(channel)?;
                session.links.insert(handle, link);
                if !receives {
                    let flow = session.flow(Some(handle), false);
                    write_frame(out, AMQP_FRAME, channel, (FLOW, flow), &[]);
                }
                self.listen(&node, receives, &attach);
            }
            Err(error) => {
                tracing::info!(address = ?attach.address(), why = %error.description, "refused a link");
                if error.condition != REDIRECT {
                    let id = attach.address().and_then(named_identity);
                    self.hub.note_refusal("amqp", id.as_ref(), &error.reason());
                }
                write_attach(out, channel, &attach, false);
                write_detach(out, channel, handle, Some(&error));
            }
        }
        Ok(())
    }

    /// What a link leads to, if the connection may use that.
    async fn open_link(&mut self, attach: &Attach) -> Result<Link, AmqpError> {
        let address = attach.address().unwrap_or_default();
        let unknown = || {
            let text =
                format!("The link address '{address}' did not match any of the expected formats.");
            AmqpError::of(&HubError::LinkAddress(text), &self.hub)
        };
        let node = Node::parse(address).ok_or_else(unknown)?;
        self.last_number += 1;
        let mut link = Link::new(self.last_number, node.clone(), attach);
        match &node {
            Node::Cbs | Node::Management => {}
            Node::Redirect(rest) => return Err(self.redirect(rest)),
            Node::Producer(event_hub) => return Err(self.no_producer(event_hub)),
            Node::Partition { event_hub, group, partition } if attach.receives => {
                link.reader = Some(self.reader(attach, event_hub, group, partition).await?);
            }
            Node::Service(node) if node.receives() == attach.receives => {
                link.service = Some(self.service(node.path())?);
            }
            Node::Device(id, node) if may_attach(*node, attach.receives) => {
                let model = attach.property("com.microsoft:model-id").and_then(Value::to_text);
                self.connect_device(id, model).await?;
            }
            _ => {
                return Err(AmqpError::new(
                    NOT_ALLOWED,
                    format!("address {address:?} is for links of the other direction"),
                ));
            }
        }
        Ok(link)
    }

    /// Why nobody sends to this event hub.
    fn no_producer(&self, event_hub: &str) -> AmqpError {
        if self.hub.event_hub(event_hub).is_none() {
            return self.no_event_hub(event_hub);
        }
        let why = "events are sent by devices; the Event Hubs-compatible endpoint is for reading";
        AmqpError::new(NOT_ALLOWED, why)
    }

    pub(crate) fn no_event_hub(&self, name: &str) -> AmqpError {
        let why = format!("Hub {:?} has no event hub {name:?}.", self.hub.name());
        AmqpError::missing_entity(&self.host, name, &why)
    }

    fn service(&self, path: &[&str]) -> Result<iothub_core::auth::ServicePrincipal, AmqpError> {
        let principal = self.grants.service(&self.hub, path).map_err(|why| self.error(&why))?;
        let right = iothub_core::auth::policy::AccessRight::ServiceConnect;
        let refused = |why| self.error(&HubError::Unauthorized(why));
        principal.require(right).map_err(refused)?;
        Ok(principal)
    }

    fn redirect(&self, rest: &str) -> AmqpError {
        let name = self.hub.event_hubs().first().map_or("", |hub| hub.name.as_str());
        let rest = if rest.is_empty() || rest == "*" { "$management" } else { rest };
        let description = format!("events are read from the event hub {name:?}");
        AmqpError {
            info: vec![
                ("hostname", Value::string(self.host.clone())),
                ("network-host", Value::string(self.host.clone())),
                ("port", Value::Int(AMQPS_PORT)),
                (
                    "address",
                    Value::string(format!("amqps://{}:{AMQPS_PORT}/{name}/{rest}", self.host)),
                ),
            ],
            ..AmqpError::new(REDIRECT, description)
        }
    }

    async fn reader(
        &mut self,
        attach: &Attach,
        event_hub: &str,
        group: &str,
        partition: &str,
    ) -> Result<Box<EventReader>, AmqpError> {
        let hub: &EventHub =
            self.hub.event_hub(event_hub).ok_or_else(|| self.no_event_hub(event_hub))?;
        self.grants.reader(&self.hub, &hub.name).map_err(|why| self.error(&why))?;
        if !hub.has_group(group) {
            let path = format!("{}/consumergroups/{group}", hub.name);
            let why = format!("Event hub {:?} has no consumer group {group:?}.", hub.name);
            return Err(AmqpError::missing_entity(&self.host, &path, &why));
        }
        let number = partition.parse().ok();
        let found = number.and_then(|number| hub.log.watch(number).map(|grown| (number, grown)));
        let Some((number, grown)) = found else {
            return Err(AmqpError::invalid_partition(partition, hub.log.partitions()));
        };
        let position =
            selector::position(&attach.source).map_err(|why| AmqpError::new(ARGUMENT, why))?;
        let state = hub.log.state(number).await.map_err(|why| self.error(&why.into()))?;
        state.check(position).map_err(|why| AmqpError::new(ARGUMENT, why.to_string()))?;
        let next = hub.log.seek(number, position).await;
        let next = next.map_err(|why| self.error(&why.into()))?;
        let epoch = attach.property("com.microsoft:epoch").and_then(Value::as_i64);
        let seat = hub.readers.join(group, number, epoch).map_err(|holding| {
            AmqpError::new(
                STOLEN,
                format!("a receiver with epoch {holding} reads partition {number}"),
            )
        })?;
        let log = hub.log.clone();
        Ok(Box::new(EventReader { log, partition: number, next, grown, seat }))
    }
}

/// Which links of a device there are.
fn may_attach(node: DeviceNode, receives: bool) -> bool {
    match node {
        // A receiver of events is a module's inputs, to which the cloud never sends anything.
        DeviceNode::Events | DeviceNode::Twin | DeviceNode::Methods => true,
        DeviceNode::Devicebound => receives,
    }
}

/// Echoes an attach from the other side, as the service does.
fn write_attach(out: &mut BytesMut, channel: u16, attach: &Attach, metrics: bool) {
    let terminus = |value: &Value, descriptor| match value {
        Value::Null => Value::described(descriptor, Value::List(vec![Value::Null])),
        given => given.clone(),
    };
    let count = if attach.receives { Value::Uint(0) } else { Value::Null };
    let offered =
        if metrics { Value::Array(vec![Value::symbol(RUNTIME_METRIC)]) } else { Value::Null };
    let properties = match &attach.properties {
        Value::Null => Value::symbols(Vec::new()),
        given => given.clone(),
    };
    let fields = vec![
        Value::string(attach.name.clone()),
        Value::Uint(attach.handle),
        Value::Bool(!attach.receives),
        Value::Ubyte(attach.sender_settles),
        Value::Ubyte(attach.receiver_settles),
        terminus(&attach.source, 0x28),
        terminus(&attach.target, 0x29),
        Value::Null,
        Value::Null,
        count,
        Value::Ulong(limits::AMQP_MESSAGE_BYTES as u64),
        offered,
        Value::Null,
        properties,
    ];
    write_frame(out, AMQP_FRAME, channel, (ATTACH, fields), &[]);
}
