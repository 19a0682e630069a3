//! A cloud-to-device message: what a back end sends, and what the hub makes of it.

use std::fmt;

use crate::error::HubError;
use crate::event::{Message, SystemProperty};
use crate::ids::{DeviceId, GenerationId};
use crate::limits;
use crate::time::Timestamp;

/// The property by which a sender asks for feedback.
pub const ACK_PROPERTY: &str = "iothub-ack";

/// Of which outcomes a sender wants to hear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ack {
    /// Of none.
    None,
    /// Of success.
    Positive,
    /// Of failure.
    Negative,
    /// Of both.
    Full,
}

/// A message as a back end sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    message: Message,
    expiry: Option<Timestamp>,
    ack: Option<Ack>,
}

/// A message as the hub keeps it for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceboundMessage {
    /// Whom it is for.
    pub device: DeviceId,
    /// Which identity of that name.
    pub generation: GenerationId,
    /// Body and properties; always with the system property `to`, never with an expiry time.
    pub message: Message,
    /// When it ends, if the sender said so.
    pub expiry: Option<Timestamp>,
    /// Of which outcomes the sender wants to hear, if it said so.
    pub ack: Option<Ack>,
    /// When the hub took it.
    pub enqueued: Timestamp,
}

impl Ack {
    /// Parses the value of `iothub-ack`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::None, Self::Positive, Self::Negative, Self::Full];
        all.into_iter().find(|ack| ack.as_str().eq_ignore_ascii_case(text))
    }

    /// The value of `iothub-ack`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Outgoing {
    /// Takes a message as it came, `iothub-ack` among the properties of the application, and the
    /// time at which the sender wants it to expire.
    ///
    /// # Errors
    ///
    /// It is too large, or asks for feedback that there is none of.
    pub fn new(mut message: Message, expiry: Option<Timestamp>) -> Result<Self, HubError> {
        let (bytes, max) = (message.size(), limits::DEVICEBOUND_BYTES);
        if bytes > max {
            return Err(HubError::MessageTooLarge { bytes, max });
        }
        let asked = message.application.iter().position(|(name, _)| name == ACK_PROPERTY);
        let ack = asked
            .map(|index| message.application.remove(index).1.unwrap_or_default())
            .map(|text| Ack::parse(&text).ok_or_else(|| unknown_ack(&text)))
            .transpose()?;
        Ok(Self { message, expiry, ack })
    }

    /// What the hub keeps of it.
    ///
    /// # Errors
    ///
    /// It would wait longer than a message may.
    pub(crate) fn accept(
        self,
        device: &DeviceId,
        generation: GenerationId,
        now: Timestamp,
    ) -> Result<DeviceboundMessage, HubError> {
        let Self { mut message, expiry, ack } = self;
        if let Some(expiry) = expiry
            && expiry > now.after(limits::DEVICEBOUND_MAX_TTL)
        {
            return Err(HubError::InvalidMessageExpiryTime(expiry));
        }
        message.system.retain(|(property, _)| *property != SystemProperty::Expiry);
        if message.system(SystemProperty::To).is_none() {
            let to = format!("/devices/{device}/messages/devicebound");
            message.system.push((SystemProperty::To, to));
        }
        let device = device.clone();
        Ok(DeviceboundMessage { device, generation, message, expiry, ack, enqueued: now })
    }
}

impl DeviceboundMessage {
    /// When it ends: as the sender says, or after the hub's default.
    pub fn expires(&self) -> Timestamp {
        self.expiry.unwrap_or_else(|| self.enqueued.after(limits::DEVICEBOUND_DEFAULT_TTL))
    }

    /// A system property.
    pub fn system(&self, property: SystemProperty) -> Option<&str> {
        self.message.system(property)
    }
}

fn unknown_ack(text: &str) -> HubError {
    HubError::ArgumentInvalid(format!(
        "{ACK_PROPERTY} is {text:?}, expected none, positive, negative or full"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn asking(ack: &str) -> Message {
        let application = vec![
            ("color".to_owned(), Some("red".to_owned())),
            (ACK_PROPERTY.to_owned(), Some(ack.to_owned())),
        ];
        Message { application, ..Message::default() }
    }

    fn accept(outgoing: Outgoing, now: Timestamp) -> Result<DeviceboundMessage, HubError> {
        outgoing.accept(&DeviceId::parse("d").unwrap(), GenerationId::at(now), now)
    }

    #[test]
    fn feedback_is_asked_for_by_a_property() {
        let table = [
            ("none", Ack::None),
            ("Full", Ack::Full),
            ("positive", Ack::Positive),
            ("NEGATIVE", Ack::Negative),
        ];
        for (text, expected) in table {
            let outgoing = Outgoing::new(asking(text), None).unwrap();
            assert_eq!(outgoing.ack, Some(expected), "{text}");
            assert_eq!(outgoing.message.application.len(), 1, "{text}");
        }
        assert_eq!(Outgoing::new(Message::default(), None).unwrap().ack, None);
        assert_eq!(Outgoing::new(asking("maybe"), None), Err(unknown_ack("maybe")));
    }

    #[test]
    fn size_is_bounded() {
        let max = limits::DEVICEBOUND_BYTES;
        let of = |bytes| Message { body: Bytes::from(vec![0; bytes]), ..Message::default() };
        assert!(Outgoing::new(of(max), None).is_ok());
        let refused = Outgoing::new(of(max + 1), None);
        assert_eq!(refused, Err(HubError::MessageTooLarge { bytes: max + 1, max }));
    }

    #[test]
    fn what_the_sender_left_out_is_filled_in() {
        let now = Timestamp::from_unix_seconds(1000);
        let kept = accept(Outgoing::new(Message::default(), None).unwrap(), now).unwrap();
        assert_eq!(kept.system(SystemProperty::To), Some("/devices/d/messages/devicebound"));
        assert_eq!(kept.expires(), now.after(limits::DEVICEBOUND_DEFAULT_TTL));
        let to = (SystemProperty::To, "/devices/d/messages/deviceBound".to_owned());
        let message = Message { system: vec![to.clone()], ..Message::default() };
        let kept = accept(Outgoing::new(message, None).unwrap(), now).unwrap();
        assert_eq!(kept.message.system, [to]);
    }

    #[test]
    fn a_message_may_wait_for_two_days() {
        let now = Timestamp::from_unix_seconds(1000);
        let longest = now.after(limits::DEVICEBOUND_MAX_TTL);
        let of = |expiry| accept(Outgoing::new(Message::default(), Some(expiry)).unwrap(), now);
        assert_eq!(of(longest).unwrap().expires(), longest);
        let later = longest.after(Duration::from_secs(1));
        assert_eq!(of(later), Err(HubError::InvalidMessageExpiryTime(later)));
    }
}
