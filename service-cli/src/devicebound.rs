//! Cloud-to-device messages: sending them, and hearing what became of them.

use std::time::Duration;

use iothub_amqp_client::amqp::types::messaging::{
    ApplicationProperties, Body, Data, Message as AmqpMessage, Properties,
};
use iothub_amqp_client::amqp::types::primitives::{Binary, Timestamp as AmqpTimestamp, Value};
use iothub_amqp_client::amqp::{Receiver, Sender};
use iothub_amqp_client::{Error as AmqpError, bytes};
use iothub_core::ids::DeviceId;
use iothub_core::time::Timestamp;
use serde_json::Value as Json;

use crate::amqp::{Amqp, Claimed};
use crate::error::Error;

/// What is sent.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The bytes.
    pub body: Vec<u8>,
    /// Application properties.
    pub properties: Vec<(String, String)>,
    /// The id, which feedback names.
    pub message_id: Option<String>,
    /// The id of what it answers.
    pub correlation_id: Option<String>,
    /// Which feedback is wanted: `none`, `positive`, `negative` or `full`.
    pub ack: Option<&'static str>,
    /// How long it may wait for the device.
    pub expires_in: Option<Duration>,
    /// The type of the body.
    pub content_type: Option<String>,
    /// The encoding of the body.
    pub content_encoding: Option<String>,
}

impl Amqp {
    /// Sends a message to a device.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub async fn send(&self, device: &DeviceId, message: Message) -> Result<(), Error> {
        let mut claimed = self.open().await?;
        let attached =
            Sender::attach(claimed.connection.session(), "devicebound", "/messages/devicebound");
        let mut sender = attached.await.map_err(|why| claimed.failed(why))?;
        let message = self.encode(device, message);
        let outcome = sender.send(message).await.map_err(|why| claimed.failed(why))?;
        AmqpError::of_outcome(&outcome).map_err(|why| claimed.failed(why))?;
        claimed.connection.close().await;
        Ok(())
    }

    fn encode(&self, device: &DeviceId, message: Message) -> AmqpMessage<Data> {
        let mut properties =
            Properties::builder().to(format!("/devices/{device}/messages/devicebound")).build();
        properties.message_id = message.message_id.map(Into::into);
        properties.correlation_id = message.correlation_id.map(Into::into);
        properties.content_type = message.content_type.map(Into::into);
        properties.content_encoding = message.content_encoding.map(Into::into);
        properties.absolute_expiry_time =
            message.expires_in.map(|span| amqp_time(self.now().after(span)));
        let ack = message.ack.map(|ack| ("iothub-ack".to_owned(), ack.to_owned()));
        let application = message
            .properties
            .into_iter()
            .chain(ack)
            .fold(ApplicationProperties::builder(), |all, (name, value)| all.insert(name, value));
        AmqpMessage::builder()
            .properties(properties)
            .application_properties(application.build())
            .data(Binary::from(message.body))
            .build()
    }

    /// Listens for what became of messages.
    ///
    /// # Errors
    ///
    /// Whatever the service or the network says.
    pub async fn feedback(&self) -> Result<Feedback, Error> {
        let mut claimed = self.open().await?;
        let node = "/messages/serviceBound/feedback";
        let attached = Receiver::attach(claimed.connection.session(), "feedback", node);
        let receiver = attached.await.map_err(|why| claimed.failed(why))?;
        Ok(Feedback { claimed, receiver })
    }
}

/// What became of messages, batch by batch.
pub struct Feedback {
    claimed: Claimed,
    receiver: Receiver,
}

impl Feedback {
    /// The next batch, which is settled: the service does not tell it again.
    ///
    /// # Errors
    ///
    /// The connection ends, or the batch is not what the service documents.
    pub async fn next(&mut self) -> Result<Vec<Json>, Error> {
        let received = self.receiver.recv::<Body<Value>>().await;
        let delivery = received.map_err(|why| self.claimed.failed(why))?;
        let records = parse(delivery.body());
        let settled = self.receiver.accept(&delivery).await;
        settled.map_err(|why| Error::Unreachable {
            hub: self.claimed.peer.clone(),
            why: why.to_string(),
        })?;
        records.map_err(|what| Error::Answer { hub: self.claimed.peer.clone(), what })
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.claimed.connection.close().await;
    }
}

fn parse(body: &Body<Value>) -> Result<Vec<Json>, String> {
    match serde_json::from_slice(&bytes(body)) {
        Ok(Json::Array(records)) => Ok(records),
        Ok(other) => Err(format!("feedback {other}, expected an array")),
        Err(why) => Err(format!("feedback that is not JSON: {why}")),
    }
}

fn amqp_time(time: Timestamp) -> AmqpTimestamp {
    let milliseconds = i64::try_from(time.since_1970().as_millis());
    AmqpTimestamp::from_milliseconds(milliseconds.unwrap_or(i64::MAX))
}
