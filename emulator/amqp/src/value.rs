//! AMQP's type system (part 1 of the specification): values read from bytes, and written to them.
//!
//! Depth and number of elements are bounded, since a few bytes can claim to hold billions of nulls.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use iothub_core::limits;

/// A value of any type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Ubyte(u8),
    Ushort(u16),
    Uint(u32),
    Ulong(u64),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    /// `float`, `decimal32` and `char`: kept as they came.
    Raw4(u8, [u8; 4]),
    Double(f64),
    /// `decimal64`: kept as it came.
    Raw8(u8, [u8; 8]),
    /// `decimal128`: kept as it came.
    Raw16(u8, [u8; 16]),
    /// Milliseconds since 1970.
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(Bytes),
    String(String),
    Symbol(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Array(Vec<Value>),
    Described(Box<(Value, Value)>),
}

/// Why bytes are no value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InvalidValue {
    #[error("value ends after {have} of {wanted} bytes")]
    Truncated { wanted: usize, have: usize },
    #[error("there is no AMQP type with constructor 0x{0:02x}")]
    Constructor(u8),
    #[error("text is not UTF-8")]
    Utf8,
    #[error("values are nested deeper than {max}", max = limits::AMQP_DEPTH)]
    Depth,
    #[error("compound value claims {0} elements, expected at most {max}", max = limits::AMQP_ELEMENTS)]
    Elements(usize),
    #[error("map has an odd number of elements, {0}")]
    OddMap(usize),
    #[error("compound value has {0} bytes left over")]
    Leftover(usize),
}

/// Reads values from bytes without copying binaries.
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has not been read.
    pub(crate) fn rest(self) -> Bytes {
        self.bytes
    }

    pub(crate) fn value(&mut self) -> Result<Value, InvalidValue> {
        self.nested(limits::AMQP_DEPTH)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, InvalidValue> {
        let depth = depth.checked_sub(1).ok_or(InvalidValue::Depth)?;
        let constructor = self.array::<1>()?[0];
        if constructor != 0 {
            return self.constructed(constructor, depth);
        }
        let descriptor = self.nested(depth)?;
        Ok(Value::Described(Box::new((descriptor, self.nested(depth)?))))
    }

    fn constructed(&mut self, constructor: u8, depth: usize) -> Result<Value, InvalidValue> {
        Ok(match constructor {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x56 => Value::Bool(self.u8()? != 0),
            0x50 => Value::Ubyte(self.u8()?),
            0x60 => Value::Ushort(u16::from_be_bytes(self.array()?)),
            0x70 => Value::Uint(u32::from_be_bytes(self.array()?)),
            0x52 => Value::Uint(self.u8()?.into()),
            0x43 => Value::Uint(0),
            0x80 => Value::Ulong(u64::from_be_bytes(self.array()?)),
            0x53 => Value::Ulong(self.u8()?.into()),
            0x44 => Value::Ulong(0),
            0x51 => Value::Byte(i8::from_be_bytes(self.array()?)),
            0x61 => Value::Short(i16::from_be_bytes(self.array()?)),
            0x71 => Value::Int(i32::from_be_bytes(self.array()?)),
            0x54 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            0x81 => Value::Long(i64::from_be_bytes(self.array()?)),
            0x55 => Value::Long(i8::from_be_bytes(self.array()?).into()),
            0x72..=0x74 => Value::Raw4(constructor, self.array()?),
            0x82 => Value::Double(f64::from_be_bytes(self.array()?)),
            0x84 => Value::Raw8(constructor, self.array()?),
            0x94 => Value::Raw16(constructor, self.array()?),
            0x83 => Value::Timestamp(i64::from_be_bytes(self.array()?)),
            0x98 => Value::Uuid(self.array()?),
            0xa0 | 0xb0 => Value::Binary(self.variable(constructor)?),
            0xa1 | 0xb1 => Value::String(self.text(constructor)?),
            0xa3 | 0xb3 => Value::Symbol(self.text(constructor)?),
            0x45 => Value::List(Vec::new()),
            0xc0 | 0xd0 => Value::List(self.compound(constructor, depth)?),
            0xc1 | 0xd1 => Value::Map(pairs(self.compound(constructor, depth)?)?),
            0xe0 | 0xf0 => Value::Array(self.elements(constructor, depth)?),
            other => return Err(InvalidValue::Constructor(other)),
        })
    }

    fn compound(&mut self, constructor: u8, depth: usize) -> Result<Vec<Value>, InvalidValue> {
        let (mut inner, count) = self.counted(constructor)?;
        let mut values = Vec::with_capacity(count.min(inner.bytes.len()));
        for _ in 0..count {
            values.push(inner.nested(depth)?);
        }
        inner.end(values)
    }

    fn elements(&mut self, constructor: u8, depth: usize) -> Result<Vec<Value>, InvalidValue> {
        let (mut inner, count) = self.counted(constructor)?;
        let depth = depth.checked_sub(1).ok_or(InvalidValue::Depth)?;
        let mut constructor = inner.u8()?;
        let descriptor = if constructor == 0 {
            let descriptor = inner.nested(depth)?;
            constructor = inner.u8()?;
            Some(descriptor)
        } else {
            None
        };
        let mut values = Vec::with_capacity(count.min(inner.bytes.len()));
        for _ in 0..count {
            let value = inner.constructed(constructor, depth)?;
            values.push(match &descriptor {
                Some(descriptor) => Value::Described(Box::new((descriptor.clone(), value))),
                None => value,
            });
        }
        inner.end(values)
    }

    fn end(self, values: Vec<Value>) -> Result<Vec<Value>, InvalidValue> {
        if self.is_empty() { Ok(values) } else { Err(InvalidValue::Leftover(self.bytes.len())) }
    }

    /// The content of a compound value and how many elements it claims.
    fn counted(&mut self, constructor: u8) -> Result<(Self, usize), InvalidValue> {
        let mut inner = Self::new(self.variable(constructor)?);
        let count = inner.length(constructor)?;
        if count > limits::AMQP_ELEMENTS {
            return Err(InvalidValue::Elements(count));
        }
        Ok((inner, count))
    }

    fn text(&mut self, constructor: u8) -> Result<String, InvalidValue> {
        String::from_utf8(self.variable(constructor)?.into()).map_err(|_| InvalidValue::Utf8)
    }

    fn variable(&mut self, constructor: u8) -> Result<Bytes, InvalidValue> {
        let length = self.length(constructor)?;
        self.take(length)
    }

    /// A length or count: one byte or four, as the constructor says.
    fn length(&mut self, constructor: u8) -> Result<usize, InvalidValue> {
        if constructor & 0x10 == 0 {
            return Ok(self.u8()?.into());
        }
        Ok(usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX))
    }

    fn u8(&mut self) -> Result<u8, InvalidValue> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InvalidValue> {
        let mut array = [0; N];
        let have = self.bytes.len();
        self.bytes
            .try_copy_to_slice(&mut array)
            .map_err(|_| InvalidValue::Truncated { wanted: N, have })?;
        Ok(array)
    }

    fn take(&mut self, wanted: usize) -> Result<Bytes, InvalidValue> {
        let have = self.bytes.len();
        if wanted > have {
            return Err(InvalidValue::Truncated { wanted, have });
        }
        Ok(self.bytes.split_to(wanted))
    }
}

fn pairs(values: Vec<Value>) -> Result<Vec<(Value, Value)>, InvalidValue> {
    let count = values.len();
    let mut values = values.into_iter();
    let mut pairs = Vec::with_capacity(count / 2);
    while let Some(key) = values.next() {
        pairs.push((key, values.next().ok_or(InvalidValue::OddMap(count))?));
    }
    Ok(pairs)
}

impl Value {
    pub(crate) fn symbol(text: &str) -> Self {
        Self::Symbol(text.to_owned())
    }

    pub(crate) fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A map from symbols, as annotations and properties of links are.
    pub(crate) fn symbols(pairs: Vec<(&str, Value)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (Self::symbol(key), value)).collect())
    }

    pub(crate) fn described(descriptor: u64, value: Value) -> Self {
        Self::Described(Box::new((Self::Ulong(descriptor), value)))
    }

    /// A string or symbol.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_u32(&self) -> Option<u32> {
        self.as_i64().and_then(|number| u32::try_from(number).ok())
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::Ubyte(number) => number.into(),
            Self::Ushort(number) => number.into(),
            Self::Uint(number) => number.into(),
            Self::Ulong(number) => i64::try_from(number).ok()?,
            Self::Byte(number) => number.into(),
            Self::Short(number) => number.into(),
            Self::Int(number) => number.into(),
            Self::Long(number) | Self::Timestamp(number) => number,
            _ => return None,
        })
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The value of a text key in a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find_map(|(key, value)| (key.as_str() == Some(name)).then_some(value))
    }

    /// The value of a described type, or the value itself.
    pub(crate) fn inner(&self) -> &Value {
        if let Self::Described(described) = self { &described.1 } else { self }
    }

    /// What the value is as a text, as properties of an application are seen elsewhere.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::String(text) | Self::Symbol(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Ulong(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Raw4(0x72, bytes) => f32::from_be_bytes(*bytes).to_string(),
            Self::Uuid(bytes) => iothub_core::random::guid(bytes),
            Self::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.as_i64()?.to_string(),
        })
    }

    /// Writes the value.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Null => out.put_u8(0x40),
            Self::Bool(value) => out.put_u8(if *value { 0x41 } else { 0x42 }),
            Self::Ubyte(number) => tagged(out, 0x50, &[*number]),
            Self::Ushort(number) => tagged(out, 0x60, &number.to_be_bytes()),
            Self::Uint(number) => match u8::try_from(*number) {
                Ok(small) => tagged(out, 0x52, &[small]),
                Err(_) => tagged(out, 0x70, &number.to_be_bytes()),
            },
            Self::Ulong(number) => match u8::try_from(*number) {
                Ok(small) => tagged(out, 0x53, &[small]),
                Err(_) => tagged(out, 0x80, &number.to_be_bytes()),
            },
            Self::Byte(number) => tagged(out, 0x51, &number.to_be_bytes()),
            Self::Short(number) => tagged(out, 0x61, &number.to_be_bytes()),
            Self::Int(number) => tagged(out, 0x71, &number.to_be_bytes()),
            Self::Long(number) => tagged(out, 0x81, &number.to_be_bytes()),
            Self::Raw4(constructor, bytes) => tagged(out, *constructor, bytes),
            Self::Raw8(constructor, bytes) => tagged(out, *constructor, bytes),
            Self::Raw16(constructor, bytes) => tagged(out, *constructor, bytes),
            Self::Double(number) => tagged(out, 0x82, &number.to_be_bytes()),
            Self::Timestamp(number) => tagged(out, 0x83, &number.to_be_bytes()),
            Self::Uuid(bytes) => tagged(out, 0x98, bytes),
            Self::Binary(bytes) => variable(out, 0xa0, bytes),
            Self::String(text) => variable(out, 0xa1, text.as_bytes()),
            Self::Symbol(text) => variable(out, 0xa3, text.as_bytes()),
            Self::List(values) => {
                compound(out, 0xd0, values.len(), |out| {
                    values.iter().for_each(|one| one.write(out));
                });
            }
            Self::Map(pairs) => compound(out, 0xd1, pairs.len() * 2, |out| {
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }),
            Self::Array(values) => {
                compound(out, 0xf0, values.len(), |out| write_elements(values, out));
            }
            Self::Described(described) => {
                out.put_u8(0);
                described.0.write(out);
                described.1.write(out);
            }
        }
    }
}

/// The hub itself writes arrays of text only; others come from clients and are echoed.
fn write_elements(values: &[Value], out: &mut BytesMut) {
    let symbols = values.iter().all(|value| matches!(value, Value::Symbol(_)));
    out.put_u8(if symbols { 0xb3 } else { 0xb1 });
    for value in values {
        let text = value.to_text().unwrap_or_default();
        out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        out.put_slice(text.as_bytes());
    }
}

fn tagged(out: &mut BytesMut, constructor: u8, bytes: &[u8]) {
    out.put_u8(constructor);
    out.put_slice(bytes);
}

/// The short form has its constructor 0x10 below the long one.
fn variable(out: &mut BytesMut, short: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => tagged(out, short, &[length]),
        Err(_) => {
            tagged(
                out,
                short + 0x10,
                &u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes(),
            );
        }
    }
    out.put_slice(bytes);
}

fn compound(
    out: &mut BytesMut,
    constructor: u8,
    count: usize,
    content: impl FnOnce(&mut BytesMut),
) {
    out.put_u8(constructor);
    let at = out.len();
    out.put_u32(0);
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    content(out);
    let size = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Value, InvalidValue> {
        Reader::new(Bytes::copy_from_slice(bytes)).value()
    }

    #[test]
    fn values_are_read_as_the_specification_writes_them() {
        let text = |text: &str| Value::String(text.to_owned());
        let table: [(&[u8], Value); 9] = [
            (&[0x40], Value::Null),
            (&[0x43], Value::Uint(0)),
            (&[0x54, 0xff], Value::Int(-1)),
            (&[0xa1, 2, b'h', b'i'], text("hi")),
            (&[0xc0, 4, 2, 0x41, 0x52, 7], Value::List(vec![Value::Bool(true), Value::Uint(7)])),
            (&[0x45], Value::List(Vec::new())),
            (&[0xc1, 5, 2, 0xa3, 1, b'k', 0x42], Value::symbols(vec![("k", Value::Bool(false))])),
            (&[0xe0, 6, 2, 0xa1, 1, b'a', 1, b'b'], Value::Array(vec![text("a"), text("b")])),
            (&[0, 0x53, 0x24, 0x45], Value::described(0x24, Value::List(Vec::new()))),
        ];
        for (bytes, expected) in table {
            assert_eq!(read(bytes), Ok(expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn what_claims_too_much_is_refused() {
        let deep: Vec<u8> = std::iter::repeat_n([0xc0, 200, 1], 100).flatten().collect();
        let described = [0; 100_000];
        let table: [(&[u8], InvalidValue); 6] = [
            (
                &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
                InvalidValue::Elements(0xffff_ffff),
            ),
            (
                &[0xb0, 0xff, 0xff, 0xff, 0xff],
                InvalidValue::Truncated { wanted: 0xffff_ffff, have: 0 },
            ),
            (&[0xc1, 2, 1, 0x40], InvalidValue::OddMap(1)),
            (&[0xc0, 3, 1, 0x40, 0x40], InvalidValue::Leftover(1)),
            (&[0x13], InvalidValue::Constructor(0x13)),
            (&described, InvalidValue::Depth),
        ];
        for (bytes, expected) in table {
            assert_eq!(read(bytes), Err(expected));
        }
        assert!(read(&deep).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_written_is_read(bytes: Vec<u8>) {
            if let Ok(value) = read(&bytes) {
                let mut out = BytesMut::new();
                value.write(&mut out);
                if !bytes.iter().any(|byte| matches!(byte, 0xe0 | 0xf0 | 0x82 | 0x72)) {
                    prop_assert_eq!(read(&out), Ok(value));
                }
            }
        }
    }
}
