//! What devices send, live: every partition of the hub's built-in event hub, read side by side.
//!
//! Where that is the hub says itself: a link to `messages/events` is answered with a redirect, so
//! the connection string of the service is all that is needed.

use std::time::Duration;

use iothub_amqp_client::amqp::Receiver;
use iothub_amqp_client::amqp::link::{CreditMode, RecvError};
use iothub_amqp_client::amqp::types::messaging::annotations::OwnedKey;
use iothub_amqp_client::amqp::types::messaging::{Body, Message, MessageId, Source};
use iothub_amqp_client::amqp::types::primitives::{SimpleValue, Symbol, Value};
use iothub_amqp_client::{Condition, Described, Descriptor, Error as AmqpError, Requester, bytes};
use iothub_core::time::Timestamp;
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::amqp::{Amqp, Claimed, Place, failed};
use crate::error::Error;

/// How many events of a partition may be on their way.
const CREDIT: u32 = 300;
/// How many events wait to be looked at; the hub keeps the others.
const QUEUE: usize = 256;
const REDIRECT: &str = "amqp:link:redirect";

/// From where to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Since {
    /// Everything that is still there.
    Start,
    /// What came after this.
    Time(Timestamp),
    /// What comes from now on.
    Now,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The partition that it came from.
    pub partition: String,
    /// What the hub says of it: who sent it and when, its place in the partition.
    pub annotations: Map<String, Json>,
    /// What the device says of its body: type, encoding, ids.
    pub system: Map<String, Json>,
    /// The device's properties.
    pub properties: Map<String, Json>,
    /// The bytes.
    pub body: Vec<u8>,
}

/// The events of a hub.
pub struct Monitor {
    claimed: Claimed,
    events: mpsc::Receiver<Result<Event, AmqpError>>,
    _readers: JoinSet<()>,
}

impl Amqp {
    /// Reads the events of a hub as a consumer group.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub async fn monitor(&self, group: &str, since: Since) -> Result<Monitor, Error> {
        let (place, name) = self.event_hub().await?;
        let mut claimed = self.open_at(&place).await?;
        let partitions = partitions(&mut claimed, &name).await?;
        let (sender, events) = mpsc::channel(QUEUE);
        let mut readers = JoinSet::new();
        for partition in partitions {
            let address = format!("{name}/ConsumerGroups/{group}/Partitions/{partition}");
            let attached = Receiver::builder()
                .name(address.clone())
                .source(source(&address, since))
                .credit_mode(CreditMode::Auto(CREDIT))
                .auto_accept(true)
                .attach(claimed.connection.session())
                .await;
            let receiver = attached.map_err(|why| claimed.failed(why))?;
            readers.spawn(read(receiver, partition, sender.clone()));
        }
        Ok(Monitor { claimed, events, _readers: readers })
    }

    /// Where the hub says that its events are.
    async fn event_hub(&self) -> Result<(Place, String), Error> {
        let mut claimed = self.open().await?;
        let attached =
            Receiver::attach(claimed.connection.session(), "events", "messages/events/$management");
        let refusal = match attached.await {
            Err(why) => AmqpError::from(why),
            Ok(mut receiver) => match receiver.recv::<Body<Value>>().await {
                Err(why) => why.into(),
                Ok(_) => AmqpError::Protocol("an event instead of a redirect".to_owned()),
            },
        };
        let place = match refusal.condition() {
            Some(condition) if condition.name == REDIRECT => self.redirected(condition),
            _ => return Err(claimed.failed(refusal)),
        };
        let peer = claimed.peer.clone();
        claimed.connection.close().await;
        let what = || Error::Answer { hub: peer, what: "a redirect without an address".to_owned() };
        place.ok_or_else(what)
    }

    fn redirected(&self, condition: &Condition) -> Option<(Place, String)> {
        let said = |name: &str| {
            condition.info.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        let host = said("hostname")?;
        // amqps://host:5671/event-hub/$management
        let (_, path) = said("address")?.split_once("://")?.1.split_once('/')?;
        let name = path.split('/').next().filter(|name| !name.is_empty())?;
        // A hub on another port than the service's has its events there too.
        let port = if host == self.hub.host.name {
            self.port()
        } else {
            said("port").and_then(|port| port.parse().ok()).unwrap_or(crate::amqp::PORT)
        };
        let resource = format!("sb://{host}/{name}");
        Some((Place { host: host.to_owned(), port, resource }, name.to_owned()))
    }
}

async fn partitions(claimed: &mut Claimed, event_hub: &str) -> Result<Vec<String>, Error> {
    let attached = Requester::attach(&mut claimed.connection, "$management").await;
    let mut management = attached.map_err(|why| claimed.failed(why))?;
    let text = |text: &str| SimpleValue::String(text.to_owned());
    let about = vec![
        ("operation", text("READ")),
        ("name", text(event_hub)),
        ("type", text("com.microsoft:eventhub")),
    ];
    let answer = management.ask(about, Value::Null).await.map_err(|why| claimed.failed(why))?;
    let ids = match answer.value {
        Some(Value::Map(fields)) => fields.get(&Value::String("partition_ids".to_owned())).cloned(),
        _ => None,
    };
    match ids {
        Some(Value::Array(ids)) => Ok(ids.into_inner().iter().map(as_text).collect()),
        other => Err(Error::Answer {
            hub: claimed.peer.clone(),
            what: format!("partition_ids {other:?}, expected an array"),
        }),
    }
}

fn source(address: &str, since: Since) -> Source {
    const SELECTOR: &str = "apache.org:selector-filter:string";

    let condition = match since {
        Since::Start => "amqp.annotation.x-opt-offset > '-1'".to_owned(),
        Since::Now => "amqp.annotation.x-opt-offset > '@latest'".to_owned(),
        Since::Time(time) => {
            let milliseconds = time.since_1970().as_millis();
            format!("amqp.annotation.x-opt-enqueued-time > '{milliseconds}'")
        }
    };
    let filter = Described {
        descriptor: Descriptor::Name(Symbol::from(SELECTOR)),
        value: Value::String(condition),
    };
    Source::builder().address(address).add_to_filter(SELECTOR, filter).build()
}

async fn read(
    mut receiver: Receiver,
    partition: String,
    events: mpsc::Sender<Result<Event, AmqpError>>,
) {
    loop {
        let event = match receiver.recv::<Body<Value>>().await {
            Ok(delivery) => Ok(Event::from_message(&partition, delivery.into_message())),
            // One that cannot be read takes the others of its partition with it, so it is said.
            Err(why @ RecvError::MessageDecode(_)) => Err(AmqpError::Protocol(why.to_string())),
            Err(why) => Err(why.into()),
        };
        let over = event.is_err();
        if events.send(event).await.is_err() || over {
            return;
        }
    }
}

impl Monitor {
    /// The next event. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The connection ends.
    pub async fn next(&mut self) -> Result<Event, Error> {
        match self.events.recv().await {
            Some(Ok(event)) => Ok(event),
            Some(Err(why)) => Err(failed(&self.claimed.peer, why)),
            None => Err(failed(&self.claimed.peer, AmqpError::Closed)),
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        drop(self.events);
        self.claimed.connection.close().await;
    }
}

impl Event {
    fn from_message(partition: &str, message: Message<Body<Value>>) -> Self {
        let annotations = message.message_annotations.iter().flat_map(|all| all.0.iter());
        let properties = message.application_properties.iter().flat_map(|all| all.0.iter());
        let mut system = Map::new();
        if let Some(said) = &message.properties {
            let mut add = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    system.insert(name.to_owned(), value.into());
                }
            };
            add("message-id", said.message_id.as_ref().map(id));
            add("correlation-id", said.correlation_id.as_ref().map(id));
            add("content-type", said.content_type.as_ref().map(|said| said.0.clone()));
            add("content-encoding", said.content_encoding.as_ref().map(|said| said.0.clone()));
        }
        Self {
            partition: partition.to_owned(),
            annotations: annotations.map(|(name, value)| (key(name), as_json(value))).collect(),
            properties: properties
                .map(|(name, value)| (name.clone(), as_json(&Value::from(value.clone()))))
                .collect(),
            system,
            body: bytes(&message.body),
        }
    }

    /// The device that sent it, or that it is about.
    pub fn device(&self) -> Option<&str> {
        self.annotations.get("iothub-connection-device-id")?.as_str()
    }

    /// The module of the device, if that sent it.
    pub fn module(&self) -> Option<&str> {
        self.annotations.get("iothub-connection-module-id")?.as_str()
    }
}

fn key(key: &OwnedKey) -> String {
    match key {
        OwnedKey::Symbol(name) => name.0.clone(),
        OwnedKey::Ulong(number) => number.to_string(),
    }
}

fn id(id: &MessageId) -> String {
    match id {
        MessageId::String(text) => text.clone(),
        MessageId::Ulong(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn as_text(value: &Value) -> String {
    match as_json(value) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Symbol(text) => text.as_str().into(),
        Value::Int(number) => (*number).into(),
        Value::Long(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Ulong(number) => (*number).into(),
        Value::Double(number) => number.into_inner().into(),
        Value::Timestamp(time) => moment(time.clone().into_inner()).to_string().into(),
        // None of the service's; shown rather than left out.
        other => format!("{other:?}").into(),
    }
}

/// A moment given in milliseconds since 1970.
fn moment(milliseconds: i64) -> Timestamp {
    Timestamp::from_unix(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
}
