//! What is tried, and on which rules.

use std::sync::Arc;

use crate::error::HubError;
use crate::event::{Event, EventSource, Message};
use crate::hub::Hub;
use crate::ids::{GenerationId, IdentityId};
use crate::query::RouteCondition;
use crate::query::message::MessageDocument;
use crate::route::Routing;
use crate::store::{Record, StoreError};
use crate::time::Timestamp;
use crate::twin::Document;

use super::{Trial, sender, try_condition};

/// A message to try without sending it, and what is known of its sender.
#[derive(Clone, Debug, PartialEq)]
pub struct TestInput {
    /// What the message tells of.
    pub source: EventSource,
    /// The message.
    pub message: Message,
    /// Who would send it.
    pub sender: IdentityId,
    /// The sender's twin, in the place of the one that the hub has.
    pub twin: Option<Document>,
    /// What it is tried on.
    pub tried: Tried,
}

/// What a message is tried on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Tried {
    /// All routes.
    #[default]
    Routes,
    /// The route of this name.
    Route(String),
    /// A condition that no route has yet.
    Condition(String),
}

/// Why a message cannot be tried.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TestMistake {
    /// The route is none of the hub's.
    #[error("there is no route {name:?}, expected one of {expected}")]
    NoRoute {
        /// Its name.
        name: String,
        /// Those that there are.
        expected: String,
    },
    /// The condition cannot be read.
    #[error("condition cannot be read: {0}")]
    Condition(String),
    /// The twin breaks a rule of twins.
    #[error("twin is none that a device can have: {0}")]
    Twin(HubError),
    /// The twin that the hub has cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TestInput {
    fn event(&self, now: Timestamp) -> Event {
        Event {
            message: self.message.clone(),
            sender: self.sender.clone(),
            generation: GenerationId::at(now),
            auth_method: None,
            enqueued: now,
            model_id: None,
            source: self.source,
        }
    }

    /// The sender with the twin that was given for it.
    fn given_sender(&self) -> Result<Option<Arc<Record>>, TestMistake> {
        let given = self.twin.as_ref().map(|twin| sender(&self.sender, twin));
        Ok(given.transpose().map_err(TestMistake::Twin)?.map(Arc::new))
    }
}

impl Routing {
    /// Tries a message. Of its sender nothing is known but what `input` says.
    ///
    /// # Errors
    ///
    /// The input is wrong in itself, or names a route that there is not.
    pub fn test(&self, input: &TestInput, now: Timestamp) -> Result<Trial, TestMistake> {
        self.test_from(input, input.given_sender()?, now)
    }

    fn test_from(
        &self,
        input: &TestInput,
        sender: Option<Arc<Record>>,
        now: Timestamp,
    ) -> Result<Trial, TestMistake> {
        let event = input.event(now);
        match &input.tried {
            Tried::Routes => Ok(self.try_message(&event, sender)),
            Tried::Route(name) => self.try_message(&event, sender).of_route(name),
            Tried::Condition(text) => {
                let condition = RouteCondition::parse(text);
                let condition = condition.map_err(|why| TestMistake::Condition(why.to_string()))?;
                let message = MessageDocument::new(&event, sender);
                let verdict = try_condition("condition", &condition, &message);
                Ok(Trial { routes: vec![verdict], endpoints: Vec::new() })
            }
        }
    }
}

impl Hub {
    /// Tries a message on the hub's routes. The sender has the twin that it has here, unless
    /// another one is given.
    ///
    /// # Errors
    ///
    /// As [`Routing::test`]; or the store does not answer.
    pub async fn test_routes(&self, input: &TestInput) -> Result<Trial, TestMistake> {
        let sender = match input.given_sender()? {
            None => self.records().get(&input.sender.device).await?.map(|found| found.record),
            given => given,
        };
        self.routing().rules().test_from(input, sender, self.now())
    }
}

impl Trial {
    /// Whether a route takes the message.
    pub fn is_taken(&self) -> bool {
        self.routes.iter().any(|verdict| verdict.matched)
    }

    /// What the route of this name said.
    fn of_route(mut self, name: &str) -> Result<Self, TestMistake> {
        let names: Vec<_> = self.routes.iter().map(|verdict| verdict.route.clone()).collect();
        self.routes.retain(|verdict| verdict.route.eq_ignore_ascii_case(name));
        self.endpoints.clear();
        if self.routes.is_empty() {
            let (name, expected) = (name.to_owned(), names.join(", "));
            return Err(TestMistake::NoRoute { name, expected });
        }
        Ok(self)
    }
}
