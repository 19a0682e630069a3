//! The performatives (part 2 of the specification), as typed values.
//!
//! Those that the hub writes are lists of full length: Python's client reads fields by their place
//! and does not allow that trailing ones are left out.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::value::{InvalidValue, Reader, Value};

/// What a frame carries.
#[derive(Debug)]
pub(crate) enum Performative {
    Open(Open),
    Begin(Begin),
    Attach(Box<Attach>),
    Flow(Flow),
    Transfer(Transfer),
    Disposition(Disposition),
    Detach { handle: u32, closed: bool },
    End,
    Close,
    SaslInit { mechanism: String, response: Bytes },
}

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) hostname: Option<String>,
    pub(crate) max_frame: u32,
    pub(crate) idle: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) next_outgoing: u32,
    pub(crate) incoming_window: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Attach {
    pub(crate) name: String,
    pub(crate) handle: u32,
    /// Whether the peer receives.
    pub(crate) receives: bool,
    pub(crate) sender_settles: u8,
    pub(crate) receiver_settles: u8,
    pub(crate) source: Value,
    pub(crate) target: Value,
    pub(crate) initial_count: u32,
    pub(crate) desired: Value,
    pub(crate) properties: Value,
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) next_incoming: Option<u32>,
    pub(crate) incoming_window: u32,
    pub(crate) handle: Option<u32>,
    pub(crate) delivery_count: Option<u32>,
    pub(crate) credit: Option<u32>,
    pub(crate) drain: bool,
    pub(crate) echo: bool,
}

#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) handle: u32,
    pub(crate) delivery: Option<u32>,
    pub(crate) format: Option<u32>,
    pub(crate) settled: Option<bool>,
    pub(crate) more: bool,
    pub(crate) aborted: bool,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
pub(crate) struct Disposition {
    /// Whether the peer speaks as a receiver.
    pub(crate) receives: bool,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) settled: bool,
    pub(crate) state: Value,
}

/// Why a frame cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InvalidFrame {
    #[error("{0}")]
    Value(#[from] InvalidValue),
    #[error("frame does not begin with a performative")]
    NoPerformative,
    #[error("there is no performative 0x{0:02x}")]
    Unknown(u64),
    #[error("{performative} has no field {field}")]
    Missing { performative: &'static str, field: &'static str },
}

/// Delivery states.
pub(crate) const ACCEPTED: u64 = 0x24;
pub(crate) const REJECTED: u64 = 0x25;

/// The number of a described value, for descriptors that are numbers.
pub(crate) fn descriptor(value: &Value) -> Option<u64> {
    let Value::Described(described) = value else { return None };
    let number = described.0.as_i64()?;
    u64::try_from(number).ok()
}

struct Fields {
    performative: &'static str,
    values: Vec<Value>,
}

impl Fields {
    fn get(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    fn take(&mut self, index: usize) -> Value {
        self.values
            .get_mut(index)
            .map_or(Value::Null, |value| std::mem::replace(value, Value::Null))
    }

    fn number(&self, index: usize, field: &'static str) -> Result<u32, InvalidFrame> {
        let missing = InvalidFrame::Missing { performative: self.performative, field };
        self.get(index).as_u32().ok_or(missing)
    }

    fn small(&self, index: usize) -> Option<u8> {
        self.get(index).as_u32().and_then(|number| u8::try_from(number).ok())
    }

    fn bool(&self, index: usize) -> bool {
        self.get(index).as_bool().unwrap_or(false)
    }
}

impl Performative {
    /// Reads the body of a frame; none if it is empty, as those that keep a connection alive are.
    pub(crate) fn read(body: Bytes) -> Result<Option<Self>, InvalidFrame> {
        if body.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(body);
        let Value::Described(described) = reader.value()? else {
            return Err(InvalidFrame::NoPerformative);
        };
        let (Some(number), Value::List(values)) = (described.0.as_i64(), described.1) else {
            return Err(InvalidFrame::NoPerformative);
        };
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        Self::of(number, values, reader).map(Some)
    }

    fn of(number: u64, values: Vec<Value>, reader: Reader) -> Result<Self, InvalidFrame> {
        let fields = |performative| Fields { performative, values };
        Ok(match number {
            0x10 => Self::Open(Open::of(&fields("open"))),
            0x11 => Self::Begin(Begin::of(&fields("begin"))?),
            0x12 => Self::Attach(Box::new(Attach::of(fields("attach"))?)),
            0x13 => Self::Flow(Flow::of(&fields("flow"))?),
            0x14 => Self::Transfer(Transfer::of(&fields("transfer"), reader.rest())?),
            0x15 => Self::Disposition(Disposition::of(fields("disposition"))?),
            0x16 => {
                let fields = fields("detach");
                Self::Detach { handle: fields.number(0, "handle")?, closed: fields.bool(1) }
            }
            0x17 => Self::End,
            0x18 => Self::Close,
            0x41 => {
                let mut fields = fields("sasl-init");
                let mechanism = fields.get(0).as_str().unwrap_or_default().to_owned();
                let Value::Binary(response) = fields.take(1) else {
                    return Ok(Self::SaslInit { mechanism, response: Bytes::new() });
                };
                Self::SaslInit { mechanism, response }
            }
            other => return Err(InvalidFrame::Unknown(other)),
        })
    }
}

impl Open {
    fn of(fields: &Fields) -> Self {
        Self {
            hostname: fields.get(1).as_str().map(str::to_owned),
            max_frame: fields.get(2).as_u32().unwrap_or(u32::MAX),
            idle: fields.get(4).as_u32().filter(|idle| *idle > 0),
        }
    }
}

impl Begin {
    fn of(fields: &Fields) -> Result<Self, InvalidFrame> {
        Ok(Self {
            next_outgoing: fields.number(1, "next-outgoing-id")?,
            incoming_window: fields.number(2, "incoming-window")?,
        })
    }
}

impl Attach {
    fn of(mut fields: Fields) -> Result<Self, InvalidFrame> {
        let missing = InvalidFrame::Missing { performative: "attach", field: "name" };
        Ok(Self {
            name: fields.get(0).as_str().ok_or(missing)?.to_owned(),
            handle: fields.number(1, "handle")?,
            receives: fields.bool(2),
            sender_settles: fields.small(3).unwrap_or(2),
            receiver_settles: fields.small(4).unwrap_or(0),
            source: fields.take(5),
            target: fields.take(6),
            initial_count: fields.get(9).as_u32().unwrap_or(0),
            desired: fields.take(12),
            properties: fields.take(13),
        })
    }

    /// The address of what it leads to: a client's own end is no address of the hub.
    pub(crate) fn address(&self) -> Option<&str> {
        address(if self.receives { &self.source } else { &self.target })
    }

    /// The address of its target.
    pub(crate) fn target_address(&self) -> Option<&str> {
        address(&self.target)
    }

    /// A property of the link.
    pub(crate) fn property(&self, name: &str) -> Option<&Value> {
        self.properties.get(name)
    }
}

fn address(terminus: &Value) -> Option<&str> {
    let Value::List(fields) = terminus.inner() else { return None };
    fields.first()?.as_str()
}

impl Flow {
    fn of(fields: &Fields) -> Result<Self, InvalidFrame> {
        Ok(Self {
            next_incoming: fields.get(0).as_u32(),
            incoming_window: fields.number(1, "incoming-window")?,
            handle: fields.get(4).as_u32(),
            delivery_count: fields.get(5).as_u32(),
            credit: fields.get(6).as_u32(),
            drain: fields.bool(8),
            echo: fields.bool(9),
        })
    }
}

impl Transfer {
    fn of(fields: &Fields, payload: Bytes) -> Result<Self, InvalidFrame> {
        Ok(Self {
            handle: fields.number(0, "handle")?,
            delivery: fields.get(1).as_u32(),
            format: fields.get(3).as_u32(),
            settled: fields.get(4).as_bool(),
            more: fields.bool(5),
            aborted: fields.bool(9),
            payload,
        })
    }
}

impl Disposition {
    fn of(mut fields: Fields) -> Result<Self, InvalidFrame> {
        let first = fields.number(1, "first")?;
        Ok(Self {
            receives: fields.bool(0),
            first,
            last: fields.get(2).as_u32().unwrap_or(first),
            settled: fields.bool(3),
            state: fields.take(4),
        })
    }
}

/// Writes a frame with this performative and, behind it, this payload.
pub(crate) fn write_frame(
    out: &mut BytesMut,
    kind: u8,
    channel: u16,
    (number, fields): (u64, Vec<Value>),
    payload: &[u8],
) {
    let at = out.len();
    out.put_u32(0);
    out.put_slice(&[2, kind]);
    out.put_u16(channel);
    Value::described(number, Value::List(fields)).write(out);
    out.put_slice(payload);
    let size = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::AmqpMessage;
    use proptest::prelude::*;

    #[test]
    fn what_is_missing_is_named() {
        let read = |number, fields| {
            let mut out = BytesMut::new();
            Value::described(number, Value::List(fields)).write(&mut out);
            Performative::read(out.freeze()).map(drop)
        };
        let missing = |performative, field| Err(InvalidFrame::Missing { performative, field });
        assert_eq!(read(0x12, vec![]), missing("attach", "name"));
        assert_eq!(read(0x12, vec![Value::string("n")]), missing("attach", "handle"));
        assert_eq!(read(0x14, vec![Value::string("n")]), missing("transfer", "handle"));
        assert_eq!(read(0x11, vec![]), missing("begin", "next-outgoing-id"));
        assert_eq!(read(0x99, vec![]), Err(InvalidFrame::Unknown(0x99)));
        assert_eq!(read(0x17, vec![]), Ok(()));
    }

    proptest! {
        /// Random bytes rarely are a performative, so most of these begin as one.
        #[test]
        fn no_frame_panics(number in 0x10_u8..0x19, mut fields: Vec<u8>, payload: Vec<u8>) {
            fields.truncate(250);
            let size = u8::try_from(fields.len() + 1).unwrap();
            let count = u8::try_from(fields.len() / 2).unwrap();
            let head = [0, 0x53, number, 0xc0, size, count];
            let body = [&head[..], &fields, &payload].concat();
            let _invalid = Performative::read(body.into());
            let sections = [&[0, 0x53, 0x60 + number, 0xd1, 0, 0, 0, size.saturating_add(3), 0, 0, 0, count], &fields[..]];
            if let Ok(message) = AmqpMessage::read(sections.concat().into()) {
                let _message = message.to_message();
            }
            let _invalid = AmqpMessage::read(payload.into());
        }
    }
}
