//! Why something did not work.

use std::fmt;
use std::time::Duration;

use fe2o3_amqp::connection::{ConnectionStopReason, OpenError};
use fe2o3_amqp::link::{
    DetachError, LinkStateError, ReceiverAttachError, RecvError, SendError, SenderAttachError,
    SessionStopReason,
};
use fe2o3_amqp::types::definitions;
use fe2o3_amqp::types::messaging::Outcome;
use fe2o3_amqp::types::primitives::Value;

/// What a peer says when it refuses: AMQP's condition and a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// The condition, such as `amqp:not-found`.
    pub name: String,
    /// The sentence for humans; may be empty.
    pub description: String,
    /// What else it says, as text: the address of a redirect.
    pub info: Vec<(String, String)>,
}

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network or TLS.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The name of the host is none that a certificate can have.
    #[error("{0:?} is no name of a host")]
    HostName(String),
    /// The WebSocket was refused.
    #[error("no WebSocket: {0}")]
    Upgrade(String),
    /// The connection, a session or a link could not be made or ended, without a word why.
    #[error("AMQP: {0}")]
    Protocol(String),
    /// The connection ended without a word why.
    #[error("the hub closed the connection")]
    Closed,
    /// The peer refused.
    #[error(transparent)]
    Refused(#[from] Condition),
    /// A request was answered with another status than 2xx.
    #[error("status {status}: {description}")]
    Status {
        /// The status.
        status: i32,
        /// The sentence that came with it.
        description: String,
    },
    /// The peer did not answer in time.
    #[error("{what} was not answered within {} s", after.as_secs())]
    TimedOut {
        /// What was not answered.
        what: &'static str,
        /// How long it was given.
        after: Duration,
    },
}

impl Error {
    pub(crate) fn upgrade(why: async_tungstenite::tungstenite::Error) -> Self {
        match why {
            async_tungstenite::tungstenite::Error::Io(why) => Self::Io(why),
            other => Self::Upgrade(other.to_string()),
        }
    }

    pub(crate) fn session(why: impl fmt::Display) -> Self {
        Self::Protocol(why.to_string())
    }

    /// The peer's word, if it had one.
    pub fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Refused(condition) => Some(condition),
            _ => None,
        }
    }
}

impl std::error::Error for Condition {}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.description.is_empty() { Ok(()) } else { write!(f, ": {}", self.description) }
    }
}

impl From<&definitions::Error> for Condition {
    fn from(error: &definitions::Error) -> Self {
        let name = serde_amqp::to_value(&error.condition);
        let info = error.info.iter().flat_map(|info| info.iter());
        Self {
            name: name.as_ref().map_or_else(|_| format!("{:?}", error.condition), text),
            description: error.description.clone().unwrap_or_default(),
            info: info.map(|(name, value)| (name.to_string(), text(value))).collect(),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Symbol(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// The peer's word where the library's error has one.
macro_rules! from_library {
    ($error:ty: $($refused:path),+) => {
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                match &error {
                    $($refused(condition) => Self::Refused(condition.into()),)+
                    other => Self::Protocol(other.to_string()),
                }
            }
        }
    };
}

from_library!(SenderAttachError: SenderAttachError::RemoteClosedWithError);
from_library!(ReceiverAttachError: ReceiverAttachError::RemoteClosedWithError);

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(why) => Self::Io(why),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<RecvError> for Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::LinkStateError(state) => state.into(),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::LinkStateError(state) => state.into(),
            SendError::Detached(
                DetachError::RemoteClosedWithError(refused)
                | DetachError::RemoteDetachedWithError(refused),
            ) => Self::Refused((&refused).into()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<LinkStateError> for Error {
    fn from(error: LinkStateError) -> Self {
        match error {
            LinkStateError::RemoteDetachedWithError(refused)
            | LinkStateError::RemoteClosedWithError(refused) => Self::Refused((&refused).into()),
            LinkStateError::SessionStopped(reason) => stopped(&reason),
            other => Self::Protocol(other.to_string()),
        }
    }
}

fn stopped(reason: &SessionStopReason) -> Error {
    match reason {
        SessionStopReason::RemoteEndedWithError(refused)
        | SessionStopReason::ConnectionStopped(ConnectionStopReason::RemoteClosedWithError(
            refused,
        )) => Error::Refused(refused.into()),
        _ => Error::Closed,
    }
}

impl Error {
    /// What became of a message that the peer settled; nothing if it took it.
    ///
    /// # Errors
    ///
    /// The peer refused the message.
    pub fn of_outcome(outcome: &Outcome) -> Result<(), Self> {
        match outcome {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Rejected(rejected) => Err(match &rejected.error {
                Some(error) => Self::Refused(error.into()),
                None => Self::Protocol("the message was rejected".to_owned()),
            }),
            other => Err(Self::Protocol(format!("the message was not taken: {other:?}"))),
        }
    }
}
