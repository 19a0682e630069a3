//! Why a device cannot run, or not connect.

use crate::transport::tls::InvalidRoots;

/// Why a connection did not come about. The first two end [`crate::Device::run`] if the device has
/// never been connected, since trying again helps nobody who mistyped something.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The hub does not accept who the device says it is.
    #[error(
        "{endpoint} refused the connection string of {identity:?}: the device is not known there, \
         its key is another, or the clocks differ by more than five minutes ({answer})"
    )]
    NotAuthorized {
        /// Who the device says it is.
        identity: String,
        /// Host and port.
        endpoint: String,
        /// What it said: the code of MQTT, or the condition of AMQP.
        answer: String,
    },
    /// The hub's certificate cannot be trusted.
    #[error("{endpoint} has a certificate that is not trusted: {reason}")]
    Certificate {
        /// Host and port.
        endpoint: String,
        /// What TLS says.
        reason: String,
        /// Whether it is signed by an authority that is not among those trusted.
        unknown_issuer: bool,
    },
    /// The hub does not serve the device now.
    #[error("{endpoint} does not serve now, or the device is disabled (CONNACK 3)")]
    Unavailable {
        /// Host and port.
        endpoint: String,
    },
    /// There is no connection.
    #[error("cannot connect to {endpoint}: {reason}")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// What the system says.
        reason: String,
    },
    /// The hub did not take a subscription.
    #[error("{endpoint} refused the subscriptions")]
    Subscription {
        /// Host and port.
        endpoint: String,
    },
    /// There is nobody to trust.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
}

impl Error {
    /// Whether a person has to change something before it can work.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::NotAuthorized { .. } | Self::Certificate { .. } | Self::Roots(_))
    }
}
