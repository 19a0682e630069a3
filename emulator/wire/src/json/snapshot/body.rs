//! Objects of a document as they are written. A list in them stays text until its items are read, one
//! after the other, so that a document takes the memory of one item and of what is kept of the rest.

use std::collections::BTreeMap;
use std::fmt;

use iothub_core::limits;
use iothub_core::twin::Document;
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error, Value};

/// The names of lists that are read item by item.
pub(super) type Lists = &'static [&'static str];

/// An object: its members, and its lists as text.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) members: Document,
    lists: BTreeMap<&'static str, &'a RawValue>,
}

impl<'a> Body<'a> {
    /// Reads an object.
    pub(super) fn read(text: &'a RawValue, lists: Lists) -> Result<Self, Error> {
        Deserializer::from_str(text.get()).deserialize_map(Members(lists))
    }

    pub(super) fn list(&self, name: &str) -> Option<&'a RawValue> {
        self.lists.get(name).copied()
    }
}

struct Members(Lists);

impl<'a> Visitor<'a> for Members {
    type Value = Body<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Body<'a>, A::Error> {
        let mut body = Body::default();
        let mut bytes = 0;
        while let Some(name) = members.next_key::<String>()? {
            let value: &RawValue = members.next_value()?;
            if let Some(list) = self.0.iter().copied().find(|list| *list == name) {
                body.lists.insert(list, value);
                continue;
            }
            bytes += name.len() + value.get().len();
            if bytes > limits::SNAPSHOT_PART_BYTES {
                return Err(A::Error::custom(too_large(self.0)));
            }
            let value: Value = serde_json::from_str(value.get()).map_err(A::Error::custom)?;
            body.members.insert(name, value);
        }
        Ok(body)
    }
}

fn too_large(lists: Lists) -> String {
    let beside = if lists.is_empty() { "" } else { " beside " };
    let max = limits::SNAPSHOT_PART_BYTES;
    format!("it has more than {max} bytes{beside}{}", lists.join(" and "))
}

/// The items of a list, each with its number, as long as they are wanted.
pub(super) fn each_item<'a>(list: &'a RawValue, wanted: impl FnMut(usize, &'a RawValue) -> bool) {
    // The text is known to be JSON: an error is only that it is no list, or that its rest is unread.
    let _ = Deserializer::from_str(list.get()).deserialize_seq(Items(wanted));
}

/// How many items a list has.
pub(super) fn count(list: &RawValue) -> usize {
    let mut count = 0;
    each_item(list, |_, _| {
        count += 1;
        true
    });
    count
}

struct Items<F>(F);

impl<'a, F: FnMut(usize, &'a RawValue) -> bool> Visitor<'a> for Items<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(item) = items.next_element()? {
            if !self.0(index, item) {
                break;
            }
            index += 1;
        }
        Ok(())
    }
}

/// An empty value of the same kind: what is in it costs memory, and only the kind is told.
pub(super) fn kind(text: &RawValue) -> Value {
    match text.get().as_bytes().first() {
        Some(b'{') => Value::Object(Document::new()),
        Some(b'[') => Value::Array(Vec::new()),
        Some(b'"') => Value::String(String::new()),
        Some(b't' | b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        _ => Value::from(0),
    }
}
