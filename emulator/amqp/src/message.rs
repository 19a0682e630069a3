//! Messages (part 3 of the specification): sections read from a payload and written to one, and what
//! they are as messages of the hub.

use bytes::{Bytes, BytesMut};
use iothub_core::event::{Message, SystemProperty};
use iothub_core::time::Timestamp;

use crate::performative::descriptor;
use crate::value::{InvalidValue, Reader, Value};

const DELIVERY_ANNOTATIONS: u64 = 0x71;
const MESSAGE_ANNOTATIONS: u64 = 0x72;
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;

/// The message format of several messages in one, each in a data section.
pub(crate) const BATCH_FORMAT: u32 = 0x8001_3700;

/// A message by its sections.
#[derive(Clone, Debug, Default)]
pub(crate) struct AmqpMessage {
    pub(crate) delivery_annotations: Vec<(&'static str, Value)>,
    pub(crate) annotations: Option<Value>,
    /// The fields of the properties section.
    pub(crate) properties: Vec<Value>,
    pub(crate) application: Option<Value>,
    pub(crate) data: Vec<Bytes>,
    pub(crate) value: Option<Value>,
    /// Whether its body is a list in sections of a sequence each.
    pub(crate) sequence: bool,
}

/// Why a body has no bytes that the hub could keep: it is made of AMQP's own types.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "body of the message is {0}, which the emulator does not keep; it takes data sections, or a \
     string, a binary or a simple value"
)]
pub(crate) struct NoBytes(&'static str);

/// Fields of the properties section, by their place.
pub(crate) mod field {
    pub(crate) const MESSAGE_ID: usize = 0;
    pub(crate) const USER_ID: usize = 1;
    pub(crate) const TO: usize = 2;
    pub(crate) const REPLY_TO: usize = 4;
    pub(crate) const CORRELATION_ID: usize = 5;
    pub(crate) const CONTENT_TYPE: usize = 6;
    pub(crate) const CONTENT_ENCODING: usize = 7;
    pub(crate) const EXPIRY: usize = 8;
    pub(crate) const CREATION_TIME: usize = 9;
}

/// System properties that stand in the properties section.
const IN_PROPERTIES: [(SystemProperty, usize); 6] = [
    (SystemProperty::MessageId, field::MESSAGE_ID),
    (SystemProperty::CorrelationId, field::CORRELATION_ID),
    (SystemProperty::UserId, field::USER_ID),
    (SystemProperty::To, field::TO),
    (SystemProperty::ContentType, field::CONTENT_TYPE),
    (SystemProperty::ContentEncoding, field::CONTENT_ENCODING),
];

/// System properties that stand among annotations, and, as some SDKs send them, among the
/// properties of the application.
const IN_ANNOTATIONS: [(SystemProperty, &str); 5] = [
    (SystemProperty::CreationTime, "iothub-creation-time-utc"),
    (SystemProperty::OutputName, "iothub-outputname"),
    (SystemProperty::InterfaceId, "iothub-interface-id"),
    (SystemProperty::Component, "dt-subject"),
    (SystemProperty::MessageSchema, "iothub-message-schema"),
];

impl AmqpMessage {
    /// Reads the sections of a payload.
    pub(crate) fn read(payload: Bytes) -> Result<Self, InvalidValue> {
        let mut reader = Reader::new(payload);
        let mut message = Self::default();
        while !reader.is_empty() {
            let section = reader.value()?;
            let number = descriptor(&section);
            let Value::Described(section) = section else { continue };
            match (number, section.1) {
                (Some(MESSAGE_ANNOTATIONS), annotations) => message.annotations = Some(annotations),
                (Some(PROPERTIES), Value::List(fields)) => message.properties = fields,
                (Some(APPLICATION_PROPERTIES), map) => message.application = Some(map),
                (Some(DATA), Value::Binary(data)) => message.data.push(data),
                (Some(SEQUENCE), _) => message.sequence = true,
                (Some(VALUE), value) => message.value = Some(value),
                _ => {}
            }
        }
        Ok(message)
    }

    /// Writes the sections.
    pub(crate) fn write(self) -> Bytes {
        let mut out = BytesMut::new();
        let mut section = |number, value| Value::described(number, value).write(&mut out);
        if !self.delivery_annotations.is_empty() {
            section(DELIVERY_ANNOTATIONS, Value::symbols(self.delivery_annotations));
        }
        if let Some(annotations) = self.annotations {
            section(MESSAGE_ANNOTATIONS, annotations);
        }
        if !self.properties.is_empty() {
            section(PROPERTIES, Value::List(self.properties));
        }
        if let Some(application) = self.application {
            section(APPLICATION_PROPERTIES, application);
        }
        for data in self.data {
            section(DATA, Value::Binary(data));
        }
        if let Some(value) = self.value {
            section(VALUE, value);
        }
        out.freeze()
    }

    pub(crate) fn property(&self, index: usize) -> &Value {
        self.properties.get(index).unwrap_or(&Value::Null)
    }

    pub(crate) fn set_property(&mut self, index: usize, value: Value) {
        if self.properties.len() <= index {
            self.properties.resize(index + 1, Value::Null);
        }
        if let Some(place) = self.properties.get_mut(index) {
            *place = value;
        }
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&Value> {
        self.annotations.as_ref()?.get(name)
    }

    pub(crate) fn application(&self, name: &str) -> Option<&Value> {
        self.application.as_ref()?.get(name)
    }

    /// The body as bytes.
    pub(crate) fn body(&self) -> Result<Bytes, NoBytes> {
        Ok(match (self.data.as_slice(), &self.value) {
            ([only], _) => only.clone(),
            ([], _) if self.sequence => return Err(NoBytes("an amqp-sequence")),
            ([], Some(Value::Binary(bytes))) => bytes.clone(),
            ([], None | Some(Value::Null)) => Bytes::new(),
            ([], Some(value)) => value.to_text().ok_or(NoBytes(kind(value)))?.into(),
            (several, _) => several.concat().into(),
        })
    }

    /// The message as the hub keeps it.
    pub(crate) fn to_message(&self) -> Result<Message, NoBytes> {
        let body = self.body()?;
        let mut system: Vec<(SystemProperty, String)> = Vec::new();
        for (property, index) in IN_PROPERTIES {
            system.extend(self.property(index).to_text().map(|text| (property, text)));
        }
        if let Some(expiry) = self.time(field::EXPIRY) {
            system.push((SystemProperty::Expiry, expiry.to_string()));
        }
        if let Some(created) = self.time(field::CREATION_TIME) {
            system.push((SystemProperty::CreationTime, created.to_string()));
        }
        for (property, name) in IN_ANNOTATIONS {
            let given = self.annotation(name).or_else(|| self.application(name));
            if let Some(text) = given.and_then(Value::to_text) {
                system.retain(|(known, _)| *known != property);
                system.push((property, text));
            }
        }
        Ok(Message { system, application: self.application_properties(), body })
    }

    fn application_properties(&self) -> Vec<(String, Option<String>)> {
        let Some(Value::Map(pairs)) = &self.application else { return Vec::new() };
        let is_system = |name: &str| IN_ANNOTATIONS.iter().any(|(_, system)| *system == name);
        let named = pairs.iter().filter_map(|(key, value)| Some((key.as_str()?, value)));
        named
            .filter(|(name, _)| !is_system(name))
            .map(|(name, value)| (name.to_owned(), value.to_text()))
            .collect()
    }

    /// A moment among the properties.
    pub(crate) fn time(&self, index: usize) -> Option<Timestamp> {
        let Value::Timestamp(milliseconds) = self.property(index) else { return None };
        let since_1970 = std::time::Duration::from_millis(u64::try_from(*milliseconds).ok()?);
        Some(Timestamp::from_unix(since_1970))
    }

    /// What a message of the hub is over AMQP: properties, properties of the application, and body.
    /// What else the hub knows of it stands in `annotations`.
    pub(crate) fn of(message: &Message, mut annotations: Vec<(&str, Value)>) -> Self {
        let mut amqp = Self { data: vec![message.body.clone()], ..Self::default() };
        for (property, text) in &message.system {
            if let Some((_, index)) = IN_PROPERTIES.iter().find(|(known, _)| known == property) {
                let value = match *property {
                    SystemProperty::UserId => Value::Binary(text.clone().into()),
                    SystemProperty::ContentType | SystemProperty::ContentEncoding => {
                        Value::Symbol(text.clone())
                    }
                    _ => Value::String(text.clone()),
                };
                amqp.set_property(*index, value);
            } else if *property == SystemProperty::Expiry
                && let Some(at) = Timestamp::parse(text)
            {
                amqp.set_property(field::EXPIRY, timestamp(at));
            }
            let annotated = IN_ANNOTATIONS.iter().find(|(known, _)| known == property);
            if let Some((_, name)) = annotated {
                annotations.push((name, Value::String(text.clone())));
            }
        }
        amqp.annotations = Some(Value::symbols(annotations));
        amqp.application = (!message.application.is_empty()).then(|| {
            let pairs = message.application.iter().map(|(name, value)| {
                let value = value.as_ref().map_or(Value::Null, |text| Value::String(text.clone()));
                (Value::String(name.clone()), value)
            });
            Value::Map(pairs.collect())
        });
        amqp
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Map(_) => "an amqp-value of a map",
        Value::List(_) => "an amqp-value of a list",
        Value::Array(_) => "an amqp-value of an array",
        _ => "an amqp-value of another type",
    }
}

/// A moment as AMQP counts: milliseconds since 1970.
pub(crate) fn timestamp(at: Timestamp) -> Value {
    Value::Timestamp(i64::try_from(at.since_1970().as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way_there_and_back() {
        let message = Message {
            system: vec![
                (SystemProperty::MessageId, "m1".to_owned()),
                (SystemProperty::UserId, "u".to_owned()),
                (SystemProperty::ContentType, "application/json".to_owned()),
                (SystemProperty::Component, "thermostat1".to_owned()),
            ],
            application: vec![("alert".to_owned(), Some("yes".to_owned())), ("x".to_owned(), None)],
            body: Bytes::from_static(b"{}"),
        };
        let written = AmqpMessage::of(&message, Vec::new()).write();
        assert_eq!(AmqpMessage::read(written).unwrap().to_message(), Ok(message));
    }

    #[test]
    fn what_other_types_say_becomes_text() {
        let mut amqp = AmqpMessage::default();
        amqp.set_property(field::MESSAGE_ID, Value::Ulong(7));
        amqp.set_property(field::CORRELATION_ID, Value::Uuid([0x11; 16]));
        amqp.application = Some(Value::Map(vec![
            (Value::string("n"), Value::Int(-3)),
            (Value::string("b"), Value::Bool(true)),
        ]));
        amqp.value = Some(Value::string("text"));
        let message = amqp.to_message().unwrap();
        assert_eq!(message.system[0], (SystemProperty::MessageId, "7".to_owned()));
        assert_eq!(message.system[1].1, "11111111-1111-1111-1111-111111111111");
        let n = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(message.application, [n("n", "-3"), n("b", "true")]);
        assert_eq!(message.body, "text");
    }

    #[test]
    fn a_body_is_bytes_or_becomes_bytes_or_is_refused() {
        let of = |value| AmqpMessage { value: Some(value), ..AmqpMessage::default() }.body();
        assert_eq!(of(Value::string("text")).unwrap(), "text");
        assert_eq!(of(Value::Binary("bytes".into())).unwrap(), "bytes");
        assert_eq!(of(Value::Int(5)).unwrap(), "5");
        assert_eq!(of(Value::Null).unwrap(), "");
        assert_eq!(of(Value::Map(Vec::new())), Err(NoBytes("an amqp-value of a map")));
        assert_eq!(of(Value::List(Vec::new())), Err(NoBytes("an amqp-value of a list")));
        let sequence = AmqpMessage { sequence: true, ..AmqpMessage::default() };
        assert_eq!(sequence.body(), Err(NoBytes("an amqp-sequence")));
        assert_eq!(AmqpMessage::default().body().unwrap(), "");
    }
}
