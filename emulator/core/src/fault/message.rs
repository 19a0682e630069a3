//! Messages with which Microsoft's end-to-end tests of its SDKs ask the hub to fail: what such a
//! message says is to happen, and when.

use std::time::Duration;

use super::{Failure, Fault};
use crate::error::HubError;
use crate::event::Message;
use crate::hub::Hub;
use crate::ids::IdentityId;
use crate::limits;
use crate::session::Protocol;
use crate::throttle::Operation;

const TYPE: &str = "AzIoTHub_FaultOperationType";
const CLOSE_REASON: &str = "AzIoTHub_FaultOperationCloseReason";
const DELAY: &str = "AzIoTHub_FaultOperationDelayInSecs";
const DURATION: &str = "AzIoTHub_FaultOperationDurationInSecs";
/// Those of the SDKs' own tests.
const DEFAULT_DELAY: Duration = Duration::from_secs(2);
const DEFAULT_DURATION: Duration = Duration::from_secs(5);

/// Every type, as the SDKs' tests write it.
const TYPES: [(&str, FaultKind); 16] = [
    ("KillTcp", FaultKind::Kill(Victim::Tcp)),
    ("KillAmqpConnection", FaultKind::Kill(Victim::AmqpConnection)),
    ("KillAmqpSession", FaultKind::Kill(Victim::AmqpSession)),
    ("KillAmqpCBSLinkReq", FaultKind::Kill(Victim::AmqpLink(AmqpLink::TokenRequests))),
    ("KillAmqpCBSLinkResp", FaultKind::Kill(Victim::AmqpLink(AmqpLink::TokenAnswers))),
    ("KillAmqpD2CLink", FaultKind::Kill(Victim::AmqpLink(AmqpLink::Events))),
    ("KillAmqpC2DLink", FaultKind::Kill(Victim::AmqpLink(AmqpLink::Devicebound))),
    ("KillAmqpTwinLinkReq", FaultKind::Kill(Victim::AmqpLink(AmqpLink::TwinRequests))),
    ("KillAmqpTwinLinkResp", FaultKind::Kill(Victim::AmqpLink(AmqpLink::TwinAnswers))),
    ("KillAmqpMethodReqLink", FaultKind::Kill(Victim::AmqpLink(AmqpLink::MethodCalls))),
    ("KillAmqpMethodRespLink", FaultKind::Kill(Victim::AmqpLink(AmqpLink::MethodAnswers))),
    ("InvokeThrottling", FaultKind::Refuse(Failure::Throttled)),
    ("InvokeMaxMessageQuota", FaultKind::Refuse(Failure::QuotaExceeded)),
    ("InvokeAuthError", FaultKind::Refuse(Failure::Unauthorized)),
    ("ShutDownAmqp", FaultKind::Kill(Victim::Amqp)),
    ("ShutDownMqtt", FaultKind::Kill(Victim::Mqtt)),
];

/// What a message asks to happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FaultMessage {
    /// What.
    pub kind: FaultKind,
    /// Whether what ends does so with good manners.
    pub graceful: bool,
    /// How long after the message.
    pub delay: Duration,
    /// For how long.
    pub duration: Duration,
}

/// What is to happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// Something ends.
    Kill(Victim),
    /// What the device asks for is refused.
    Refuse(Failure),
}

/// What is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Victim {
    /// The connection, without a word of its protocol.
    Tcp,
    /// The connection of AMQP.
    AmqpConnection,
    /// The session that the message came by.
    AmqpSession,
    /// A link of the device.
    AmqpLink(AmqpLink),
    /// The connection, if AMQP goes over it, as when the service shuts down.
    Amqp,
    /// The connection, if MQTT goes over it, as when the service shuts down.
    Mqtt,
}

/// A link, from the device's side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AmqpLink {
    /// Over which it puts tokens.
    TokenRequests,
    /// Over which it hears about them.
    TokenAnswers,
    /// Over which it sends events.
    Events,
    /// Over which it gets messages.
    Devicebound,
    /// Over which it asks for its twin.
    TwinRequests,
    /// Over which it gets its twin.
    TwinAnswers,
    /// Over which its methods are called.
    MethodCalls,
    /// Over which it answers those calls.
    MethodAnswers,
}

/// Why a message that asks for a fault asks for none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{property} is {found:?}, expected {expected}")]
pub struct InvalidFaultMessage {
    property: &'static str,
    found: String,
    expected: String,
}

impl FaultMessage {
    /// Reads what a message asks for; none if it asks for nothing.
    ///
    /// # Errors
    ///
    /// Names the property that says something unknown.
    pub fn of(message: &Message) -> Result<Option<Self>, InvalidFaultMessage> {
        let Some(name) = property(message, TYPE) else { return Ok(None) };
        Ok(Some(Self {
            kind: kind(name)?,
            graceful: is_graceful(message)?,
            delay: span(message, DELAY)?.unwrap_or(DEFAULT_DELAY),
            duration: span(message, DURATION)?.unwrap_or(DEFAULT_DURATION),
        }))
    }

    /// What is to end on a connection of this protocol, if anything is.
    pub fn victim(&self, protocol: Protocol) -> Option<Victim> {
        let FaultKind::Kill(victim) = self.kind else { return None };
        let of = match victim {
            Victim::Tcp => protocol,
            Victim::Mqtt => Protocol::Mqtt,
            _ => Protocol::Amqp,
        };
        (of == protocol).then_some(victim)
    }

    /// What fails then: events, with a wrong credential connections too; and a device whose
    /// connection ended is not let in again before the fault is over.
    fn faults(&self, device: &str) -> Vec<Fault> {
        let (failure, operations): (_, &[_]) = match self.kind {
            FaultKind::Refuse(Failure::Unauthorized) => {
                (Failure::Unauthorized, &["connect", "sendEvent"])
            }
            FaultKind::Refuse(failure) => (failure, &["sendEvent"]),
            FaultKind::Kill(Victim::AmqpSession | Victim::AmqpLink(_)) => return Vec::new(),
            FaultKind::Kill(_) => (Failure::Unavailable, &["connect"]),
        };
        let of = |operation: &&'static str| {
            let fault = Fault::new(failure).of(operation).by(device).lasting(self.duration);
            Fault { after: self.delay, ..fault }
        };
        operations.iter().map(of).collect()
    }
}

impl Hub {
    /// What a message of a device asks to happen; none if the hub does not do what such messages
    /// say, which it does only if it was told to.
    ///
    /// # Errors
    ///
    /// The message asks for something unknown.
    pub fn fault_asked(
        &self,
        message: &Message,
    ) -> Result<Option<FaultMessage>, InvalidFaultMessage> {
        if self.injected().obeys_messages() { FaultMessage::of(message) } else { Ok(None) }
    }

    /// Lets fail what a message of a device connected with this protocol says. What is to end is
    /// for the edge to end.
    pub fn obey(&self, asked: &FaultMessage, id: &IdentityId, protocol: Protocol) {
        if matches!(asked.kind, FaultKind::Refuse(_)) || asked.victim(protocol).is_some() {
            for fault in asked.faults(id.device.as_str()) {
                // As many as there may be are enough.
                let _added = self.add_fault(fault);
            }
        }
    }

    /// The same for a message that came over HTTPS, where only the request with the message fails.
    ///
    /// # Errors
    ///
    /// What the message asks for.
    pub fn obey_once(&self, asked: &FaultMessage) -> Result<(), HubError> {
        match asked.kind {
            FaultKind::Refuse(failure) => Err(failure.error(Some(Operation::SendEvent(0)))),
            FaultKind::Kill(_) => Ok(()),
        }
    }
}

/// Over HTTPS the names are those of headers, which have no case.
fn property<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let found = message.application.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(found.1.as_deref().unwrap_or_default())
}

fn kind(name: &str) -> Result<FaultKind, InvalidFaultMessage> {
    let found = TYPES.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| InvalidFaultMessage {
        property: TYPE,
        found: name.to_owned(),
        expected: format!("one of {}", TYPES.map(|(name, _)| name).join(", ")),
    })
}

fn is_graceful(message: &Message) -> Result<bool, InvalidFaultMessage> {
    match property(message, CLOSE_REASON) {
        None | Some("boom") => Ok(false),
        Some("byebye") => Ok(true),
        Some(other) => Err(InvalidFaultMessage {
            property: CLOSE_REASON,
            found: other.to_owned(),
            expected: "boom or byebye".to_owned(),
        }),
    }
}

fn span(message: &Message, name: &'static str) -> Result<Option<Duration>, InvalidFaultMessage> {
    let Some(text) = property(message, name) else { return Ok(None) };
    let longest = limits::FAULT_MESSAGE_SPAN;
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match seconds.filter(|span| *span <= longest) {
        Some(span) => Ok(Some(span)),
        None => Err(InvalidFaultMessage {
            property: name,
            found: text.to_owned(),
            expected: format!("a number of seconds up to {}", longest.as_secs()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: &[(&str, &str)]) -> Message {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
        Message { application: properties.iter().map(owned).collect(), ..Message::default() }
    }

    #[test]
    fn what_is_asked_for_is_read() {
        assert_eq!(FaultMessage::of(&message(&[("KillTcp", "")])), Ok(None));
        let bare = FaultMessage::of(&message(&[(TYPE, "KillTcp")])).unwrap().unwrap();
        let expected = FaultMessage {
            kind: FaultKind::Kill(Victim::Tcp),
            graceful: false,
            delay: Duration::from_secs(2),
            duration: Duration::from_secs(5),
        };
        assert_eq!(bare, expected);
        let full = message(&[
            (TYPE, "InvokeThrottling"),
            (CLOSE_REASON, "byebye"),
            (DELAY, "0.5"),
            (DURATION, "20"),
        ]);
        let expected = FaultMessage {
            kind: FaultKind::Refuse(Failure::Throttled),
            graceful: true,
            delay: Duration::from_millis(500),
            duration: Duration::from_secs(20),
        };
        assert_eq!(FaultMessage::of(&full), Ok(Some(expected)));
    }

    #[test]
    fn what_is_unknown_is_said() {
        let table = [
            (
                (TYPE, "killTcp"),
                "AzIoTHub_FaultOperationType is \"killTcp\", expected one of KillTcp, KillAmqpConnection",
            ),
            (
                (CLOSE_REASON, "bang"),
                "AzIoTHub_FaultOperationCloseReason is \"bang\", expected boom or byebye",
            ),
            (
                (DELAY, "-1"),
                "AzIoTHub_FaultOperationDelayInSecs is \"-1\", expected a number of seconds up to 3600",
            ),
            (
                (DURATION, "1e300"),
                "AzIoTHub_FaultOperationDurationInSecs is \"1e300\", expected a number of seconds up to 3600",
            ),
            (
                (DURATION, "NaN"),
                "AzIoTHub_FaultOperationDurationInSecs is \"NaN\", expected a number of seconds up to 3600",
            ),
        ];
        for (wrong, expected) in table {
            let why = FaultMessage::of(&message(&[wrong, (TYPE, "KillTcp")])).unwrap_err();
            assert!(why.to_string().starts_with(expected), "{why}");
        }
    }

    #[test]
    fn what_ends_is_of_the_protocol_that_is_spoken() {
        let table = [
            ("KillTcp", true, true),
            ("ShutDownMqtt", true, false),
            ("ShutDownAmqp", false, true),
            ("KillAmqpSession", false, true),
            ("KillAmqpTwinLinkReq", false, true),
            ("InvokeAuthError", false, false),
        ];
        for (name, mqtt, amqp) in table {
            let asked = FaultMessage::of(&message(&[(TYPE, name)])).unwrap().unwrap();
            let ends = [Protocol::Mqtt, Protocol::Amqp].map(|one| asked.victim(one).is_some());
            assert_eq!(ends, [mqtt, amqp], "{name}");
        }
    }

    #[test]
    fn what_fails_then_has_the_time_of_the_message() {
        let table: [(&str, &[(&str, Failure)]); 4] = [
            ("InvokeMaxMessageQuota", &[("sendEvent", Failure::QuotaExceeded)]),
            (
                "InvokeAuthError",
                &[("connect", Failure::Unauthorized), ("sendEvent", Failure::Unauthorized)],
            ),
            ("KillTcp", &[("connect", Failure::Unavailable)]),
            ("KillAmqpD2CLink", &[]),
        ];
        for (name, expected) in table {
            let asked = FaultMessage::of(&message(&[(TYPE, name), (DELAY, "1")])).unwrap().unwrap();
            let faults = asked.faults("d1");
            let found: Vec<_> = faults
                .iter()
                .map(|fault| (fault.operation.unwrap(), fault.failure.unwrap()))
                .collect();
            assert_eq!(found, expected, "{name}");
            for fault in faults {
                assert_eq!(fault.device.as_deref(), Some("d1"));
                assert_eq!(fault.after, Duration::from_secs(1));
                assert_eq!(fault.duration, Some(Duration::from_secs(5)));
            }
        }
    }
}
