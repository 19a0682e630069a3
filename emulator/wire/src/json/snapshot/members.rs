//! Members of a document, each read with its place at hand.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_core::twin::Document;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{Body, Lists, each_item, kind};
use super::mistakes::Place;
use super::read::Reader;
use crate::json::field::unknown_field;
use crate::json::text_member;

impl Reader<'_> {
    /// The items of a list that have an id each, in the order of the ids.
    pub(super) fn each<'a, K, T>(
        &mut self,
        (place, list): (Place, Option<&'a RawValue>),
        lists: Lists,
        (id_member, parse_id): (&str, fn(&str) -> Result<K, HubError>),
        read: impl Fn(&mut Self, &Place, Option<K>, Body<'a>) -> Option<T>,
    ) -> Vec<Arc<T>>
    where
        K: Clone + Display + Eq + Hash + Ord,
    {
        let mut indices: HashMap<K, usize> = HashMap::new();
        let mut found = BTreeMap::new();
        self.items(&place, list, |reader, index, item| {
            let at = place.item(index);
            let Some(body) = reader.body(&at, item, lists) else { return };
            let id = reader.id(&at, &body.members, id_member, parse_id);
            if let Some(other) = id.as_ref().and_then(|id| indices.get(id)) {
                let other = place.item(*other);
                reader.mistakes.rule(&at, format_args!("{other} has the same {id_member}"));
            }
            let item = read(reader, &at, id.clone(), body);
            if let Some(id) = id {
                found.extend(item.map(|item| (id.clone(), Arc::new(item))));
                indices.entry(id).or_insert(index);
            }
        });
        found.into_values().collect()
    }

    /// Counts a device, module or configuration; says so once if there are too many.
    fn counts_one_more(&mut self) -> bool {
        self.parts += 1;
        if self.parts == limits::SNAPSHOT_PARTS + 1 {
            let most = limits::SNAPSHOT_PARTS;
            self.mistakes.add(format_args!(
                "there are more than {most} devices, modules and configurations, and the rest is not read"
            ));
        }
        self.parts <= limits::SNAPSHOT_PARTS
    }

    pub(super) fn id<T>(
        &mut self,
        place: &Place,
        body: &Document,
        name: &str,
        parse: impl Fn(&str) -> Result<T, HubError>,
    ) -> Option<T> {
        let text = match text_member(body, name) {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.mistakes.rule(place, format_args!("{name} is missing"));
                return None;
            }
            Err(why) => {
                self.mistakes.member::<()>(place, Err(why));
                return None;
            }
        };
        let place = place.member(name);
        let mut tell = |why| self.mistakes.add(format_args!("{place} is {text:?}: {why}"));
        parse(&text).map_err(&mut tell).ok()
    }

    /// A text that stands for something else; none if it is left out.
    pub(super) fn parsed<T>(
        &mut self,
        place: &Place,
        body: &Document,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.mistakes.member(place, text_member(body, name))?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.mistakes.value(&place.member(name), format_args!("{text:?}"), expected);
        }
        parsed
    }

    /// A number that counts writes; none if it is left out.
    pub(super) fn count(&mut self, place: &Place, body: &mut Document, name: &str) -> Option<u64> {
        let value = body.shift_remove(name)?;
        let count = value.as_u64().filter(is_countable);
        if count.is_none() {
            let expected = format!("a number from 0 to {}", limits::SNAPSHOT_VERSION);
            self.mistakes.value(&place.member(name), format_args!("{value}"), &expected);
        }
        count
    }

    pub(super) fn object(&mut self, place: &Place, value: Value) -> Option<Document> {
        match value {
            Value::Object(object) => Some(object),
            other => {
                self.mistakes.form(place, &other, "an object");
                None
            }
        }
    }

    /// An object of the document, read as far as it can be at once.
    pub(super) fn body<'a>(
        &mut self,
        place: &Place,
        text: &'a RawValue,
        lists: Lists,
    ) -> Option<Body<'a>> {
        if !matches!(kind(text), Value::Object(_)) {
            self.mistakes.form(place, &kind(text), "an object");
            return None;
        }
        let unread = |why| self.mistakes.unread(place, why);
        Body::read(text, lists).map_err(unread).ok()
    }

    /// Takes the items of a list one by one, until what they say would not matter any more.
    fn items<'a>(
        &mut self,
        place: &Place,
        list: Option<&'a RawValue>,
        mut take: impl FnMut(&mut Self, usize, &'a RawValue),
    ) {
        let Some(list) = list.filter(|list| !matches!(kind(list), Value::Null)) else { return };
        if !matches!(kind(list), Value::Array(_)) {
            self.mistakes.form(place, &kind(list), "an array");
            return;
        }
        each_item(list, |index, item| {
            let goes_on = self.counts_one_more() && !self.mistakes.are_told();
            if goes_on {
                take(self, index, item);
            }
            goes_on
        });
    }

    pub(super) fn bounded(&mut self, count: usize, max: usize, what: &str) {
        if count > max {
            self.mistakes.add(format_args!("there are {count} {what}, expected at most {max}"));
        }
    }

    pub(super) fn known(&mut self, place: &Place, body: &Document, known: &[&str]) {
        for name in body.keys().filter(|name| !known.contains(&name.as_str())) {
            self.mistakes.rule(place, unknown_field(name, known));
        }
    }
}

/// Whether writes can go on being counted from here.
pub(super) fn is_countable(count: &u64) -> bool {
    *count <= limits::SNAPSHOT_VERSION
}
