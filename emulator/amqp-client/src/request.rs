//! A question and its answer, over a pair of links to one node.

use std::time::Duration;

use fe2o3_amqp::types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, Properties, Source, Target,
};
use fe2o3_amqp::types::primitives::{SimpleValue, Value};
use fe2o3_amqp::{Receiver, Sender};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::Error;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A pair of links to a node that answers questions.
pub struct Requester {
    sender: Sender,
    receiver: Receiver,
    reply_to: String,
    asked: u64,
}

/// An answer with a good status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, such as 200.
    pub status: i32,
    /// The body, if it is a value.
    pub value: Option<Value>,
}

impl Requester {
    /// Attaches the links.
    ///
    /// # Errors
    ///
    /// The peer refuses them.
    pub async fn attach(connection: &mut Connection, node: &str) -> Result<Self, Error> {
        let name = format!("{node}-answers");
        // `$cbs` answers to the link whose source it is; others to the address in `reply-to`.
        let reply_to = if node == "$cbs" { node.to_owned() } else { name.clone() };
        let session = connection.session();
        let sender = Sender::builder()
            .name(format!("{node}-questions"))
            .source(Source::builder().address(reply_to.as_str()).build())
            .target(node)
            .attach(session)
            .await?;
        let receiver = Receiver::builder()
            .name(name)
            .source(Source::builder().address(node).build())
            .target(Target::builder().address(reply_to.as_str()).build())
            .attach(session)
            .await?;
        Ok(Self { sender, receiver, reply_to, asked: 0 })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The connection ends, no answer comes, or it has another status than 2xx.
    pub async fn ask(
        &mut self,
        about: Vec<(&'static str, SimpleValue)>,
        body: Value,
    ) -> Result<Answer, Error> {
        let answer = timeout(ANSWER_TIMEOUT, self.ask_unbounded(about, body))
            .await
            .map_err(|_| Error::TimedOut { what: "a request", after: ANSWER_TIMEOUT })??;
        if (200..300).contains(&answer.0) {
            return Ok(Answer { status: answer.0, value: answer.2 });
        }
        Err(Error::Status { status: answer.0, description: answer.1 })
    }

    async fn ask_unbounded(
        &mut self,
        about: Vec<(&'static str, SimpleValue)>,
        body: Value,
    ) -> Result<(i32, String, Option<Value>), Error> {
        self.asked += 1;
        let properties =
            Properties::builder().message_id(self.asked).reply_to(self.reply_to.as_str()).build();
        let application = about
            .into_iter()
            .fold(ApplicationProperties::builder(), |all, (name, value)| all.insert(name, value));
        let message = Message::builder()
            .properties(properties)
            .application_properties(application.build())
            .body(AmqpValue(body))
            .build();
        Error::of_outcome(&self.sender.send(message).await?)?;
        let delivery = self.receiver.recv::<Body<Value>>().await?;
        drop(self.receiver.accept(&delivery).await);
        let message = delivery.into_message();
        let said = |names: [&str; 2]| {
            let properties = message.application_properties.as_ref()?;
            names.into_iter().find_map(|name| properties.get(name).cloned())
        };
        let status = match said(["status-code", "statusCode"]) {
            Some(SimpleValue::Int(status)) => status,
            other => {
                return Err(Error::Protocol(format!(
                    "an answer has the status {other:?}, expected a number"
                )));
            }
        };
        let description = match said(["status-description", "statusDescription"]) {
            Some(SimpleValue::String(text)) => text,
            _ => String::new(),
        };
        let value = match message.body {
            Body::Value(AmqpValue(value)) => Some(value),
            _ => None,
        };
        Ok((status, description, value))
    }
}
