//! One connection: moves what comes in to the behaviour and what the behaviour wants to the hub.

use std::future::Future;
use std::pin::Pin;

use iothub_core::time::{Clock, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use crate::behavior::{Action, Behavior};
use crate::document::{InvalidDocument, Section, Twin};
use crate::event::Event;
use crate::methods::{Call, Methods};
use crate::options::Identity;
use crate::outbox::{LIMIT, Outbox};
use crate::requests::{Request, Requests, Step, Verdict};
use crate::telemetry::{Message, Telemetry};
use crate::transport::{Incoming, Link};

/// What outlives a connection.
#[derive(Debug)]
pub(crate) struct Mind {
    pub(crate) behavior: Behavior,
    pub(crate) telemetry: Telemetry,
    pub(crate) outbox: Outbox,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Whoever runs the device asked for it.
    Asked,
    /// The token is about to end.
    Expiring,
    /// The connection was lost, or is of no use.
    Lost(String),
}

/// One connection, from the subscriptions to its end.
pub(crate) struct Session<'a> {
    pub(crate) mind: &'a mut Mind,
    pub(crate) link: &'a mut Link,
    pub(crate) identity: &'a Identity,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) observer: &'a mut (dyn FnMut(Event) + Send),
    pub(crate) requests: Requests,
    pub(crate) methods: Methods<'a>,
}

impl Session<'_> {
    /// Runs until something ends it; it does not disconnect.
    pub(crate) async fn run(
        &mut self,
        renew_at: Option<Timestamp>,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> End {
        for message in self.mind.outbox.take() {
            self.send(message);
        }
        if self.link.has_twin() {
            let actions = self.mind.behavior.connected();
            self.carry_out(actions);
        } else {
            self.mind.behavior.connected_without_twin();
        }
        loop {
            if let Some(end) = self.advance(renew_at) {
                return end;
            }
            let deadline = self.next_deadline().into_iter().chain(renew_at).min();
            let due = async {
                match deadline {
                    Some(deadline) => self.clock.sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let answer_due = self.requests.next_deadline();
            tokio::select! {
                biased;
                () = shutdown.as_mut() => return End::Asked,
                incoming = self.link.receive() => if let Some(end) = self.receive(incoming) {
                    return end;
                },
                () = due => {}
                () = sleep_until(answer_due) => {}
            }
        }
    }

    /// Does what the time asks for.
    fn advance(&mut self, renew_at: Option<Timestamp>) -> Option<End> {
        let now = self.clock.now();
        if renew_at.is_some_and(|renew_at| now >= renew_at) {
            return Some(End::Expiring);
        }
        let actions = self.mind.behavior.tick(now);
        self.carry_out(actions);
        if let Some(frequency) = self.mind.behavior.send_frequency() {
            for message in self.mind.telemetry.due(frequency, now) {
                self.send(message);
            }
        }
        self.answer_methods(now);
        self.request()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let behavior = &self.mind.behavior;
        let telemetry =
            behavior.send_frequency().and_then(|span| self.mind.telemetry.next_deadline(span));
        let methods = self.methods.next_deadline();
        behavior.next_deadline().into_iter().chain(telemetry).chain(methods).min()
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            let request = match action {
                Action::Tell(event) => {
                    self.tell(event);
                    continue;
                }
                // What a script reports of itself has nowhere to go.
                Action::GetTwin | Action::Report(_) if !self.link.has_twin() => continue,
                Action::GetTwin => Request::Get,
                Action::Report(patch) => Request::Report(patch),
            };
            if !self.requests.push(request) {
                tracing::warn!("too many twin requests wait; this one is left to the next connect");
            }
        }
    }

    /// Sends the next twin request, if it is time for one.
    fn request(&mut self) -> Option<End> {
        let (rid, request, attempts) = match self.requests.step(Instant::now()) {
            Step::Wait => return None,
            Step::GiveUp => {
                return Some(End::Lost("the hub does not answer twin requests".to_owned()));
            }
            Step::Send { rid, request } => (rid, request, None),
            Step::Again { rid, request, attempts } => (rid, request, Some(attempts)),
        };
        let sent = match request {
            Request::Get => self.link.get_twin(rid),
            Request::Report(patch) => self.link.report(rid, patch),
        };
        if let Some(attempts) = attempts {
            (self.observer)(Event::TwinTimedOut { operation: request.name(), attempts });
        }
        if sent.is_err() {
            // As good as lost on the way: it is sent again when its time is up.
            tracing::debug!(rid, "twin request found no room");
        }
        None
    }

    fn send(&mut self, message: Message) {
        let waiting = self.mind.outbox.len();
        if waiting >= LIMIT || self.link.send(self.identity, &message).is_err() {
            self.tell(Event::TelemetryDropped { waiting });
        } else {
            self.mind.outbox.push(message);
        }
    }

    fn receive(&mut self, incoming: Incoming) -> Option<End> {
        match incoming {
            Incoming::TwinAnswer { rid, status, version, body } => {
                self.answered(&rid, status, version, &body);
            }
            Incoming::DesiredChange { topic, body } => match Section::parse(&body) {
                Ok(change) => {
                    let actions = self.mind.behavior.desired_changed(&change, self.clock.now());
                    self.carry_out(actions);
                }
                Err(invalid) => self.not_understood(topic, &invalid),
            },
            Incoming::Message { properties, body } => {
                self.tell(message_received(properties, &body));
            }
            Incoming::MethodCall { call, body } => self.called(call, &body),
            Incoming::Unknown { topic } => {
                let reason = "topic is not one that the device asked for".to_owned();
                self.tell(Event::NotUnderstood { topic, reason });
            }
            Incoming::Sent { packet } => self.mind.outbox.sent(packet),
            Incoming::Acknowledged { packet } => {
                if let Some(message) = self.mind.outbox.acknowledged(packet) {
                    self.tell(Event::TelemetrySent { body: message.body });
                }
            }
            Incoming::Closed { reason } => return Some(End::Lost(reason)),
        }
        None
    }

    fn called(&mut self, call: Call, body: &[u8]) {
        let payload = serde_json::from_slice(body).unwrap_or_default();
        self.tell(Event::MethodCalled { name: call.name.clone(), payload });
        if !self.methods.called(call, self.clock.now()) {
            tracing::warn!("too many method calls wait; this one is not answered");
        }
    }

    fn answer_methods(&mut self, now: Timestamp) {
        for answer in self.methods.due(now) {
            if self.link.answer(&answer).is_err() {
                tracing::warn!(name = answer.call.name, "the answer to a method found no room");
                continue;
            }
            let (name, status, payload) = (answer.call.name, answer.status, answer.payload);
            self.tell(Event::MethodAnswered { name, status, payload });
        }
    }

    fn answered(&mut self, rid: &str, status: u16, version: Option<u64>, body: &[u8]) {
        match self.requests.answer(rid, status, Instant::now()) {
            Verdict::Stray => tracing::debug!(rid, status, "answer to nothing that is under way"),
            Verdict::Done(Request::Get) => match Twin::parse(body) {
                Ok(twin) => self.twin_received(twin),
                Err(invalid) => self.not_understood("$iothub/twin/res/200/".to_owned(), &invalid),
            },
            Verdict::Done(Request::Report(patch)) => self.tell(Event::Reported { patch, version }),
            Verdict::Refused(request) => self.refused(&request, status, body, None),
            Verdict::Later(request, pause) => self.refused(&request, status, body, Some(pause)),
        }
    }

    fn twin_received(&mut self, twin: Twin) {
        let actions = self.mind.behavior.twin_received(&twin, self.clock.now());
        self.tell(Event::TwinReceived {
            desired: twin.desired.properties,
            desired_version: twin.desired.version,
            reported: twin.reported.properties,
            reported_version: twin.reported.version,
        });
        self.carry_out(actions);
    }

    fn refused(
        &mut self,
        request: &Request,
        status: u16,
        body: &[u8],
        retry_in: Option<std::time::Duration>,
    ) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = body.get("message").and_then(Value::as_str).unwrap_or("no reason given");
        self.tell(Event::TwinRefused {
            operation: request.name(),
            status,
            error_code: body.get("errorCode").and_then(Value::as_u64),
            message: message.to_owned(),
            retry_in,
        });
    }

    fn not_understood(&mut self, topic: String, invalid: &InvalidDocument) {
        self.tell(Event::NotUnderstood { topic, reason: invalid.to_string() });
    }

    fn tell(&mut self, event: Event) {
        (self.observer)(event);
    }
}

fn message_received(properties: Vec<(String, Option<String>)>, body: &[u8]) -> Event {
    let text = || Value::from(String::from_utf8_lossy(body));
    Event::MessageReceived {
        body: serde_json::from_slice(body).unwrap_or_else(|_| text()),
        properties: properties.into_iter().map(|(name, value)| (name, value.into())).collect(),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
