//! Members of a document, each read with its place at hand.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_core::twin::Document;
use serde_json::Value;

use super::mistakes::Place;
use super::read::Reader;
use crate::json::text_member;

impl Reader<'_> {
    /// The items of a list that have an id each, in the order of the ids.
    pub(super) fn each<K, T>(
        &mut self,
        items: Vec<(Place, Value)>,
        (id_member, parse_id): (&str, fn(&str) -> Result<K, HubError>),
        read: impl Fn(&mut Self, &Place, Option<K>, Document) -> Option<T>,
    ) -> Vec<Arc<T>>
    where
        K: Clone + Display + Eq + Hash + Ord,
    {
        let mut places: HashMap<K, Place> = HashMap::new();
        let mut found = BTreeMap::new();
        for (place, item) in items {
            let Some(body) = self.object(&place, item) else { continue };
            let id = self.id(&place, &body, id_member, parse_id);
            if let Some(other) = id.as_ref().and_then(|id| places.get(id)) {
                let why = format!("{other} has the same {id_member}");
                self.mistakes.rule(&place, why);
            }
            let item = read(self, &place, id.clone(), body);
            if let Some(id) = id {
                found.extend(item.map(|item| (id.clone(), Arc::new(item))));
                places.entry(id).or_insert(place);
            }
        }
        found.into_values().collect()
    }

    fn id<T>(
        &mut self,
        place: &Place,
        body: &Document,
        name: &str,
        parse: impl Fn(&str) -> Result<T, HubError>,
    ) -> Option<T> {
        let text = match text_member(body, name) {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.mistakes.rule(place, format!("{name} is missing"));
                return None;
            }
            Err(why) => {
                self.mistakes.member::<()>(place, Err(why));
                return None;
            }
        };
        let told = |why| format!("{} is {text:?}: {why}", place.member(name));
        parse(&text).map_err(|why| self.mistakes.add(told(why))).ok()
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

    pub(super) fn list(
        &mut self,
        place: &Place,
        body: &mut Document,
        name: &str,
    ) -> Vec<(Place, Value)> {
        let place = place.member(name);
        match body.shift_remove(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                let item = |(index, item)| (place.item(index), item);
                items.into_iter().enumerate().map(item).collect()
            }
            Some(other) => {
                self.mistakes.form(&place, &other, "an array");
                Vec::new()
            }
        }
    }

    pub(super) fn bounded(&mut self, count: usize, max: usize, what: &str) {
        if count > max {
            self.mistakes.add(format!("there are {count} {what}, expected at most {max}"));
        }
    }

    pub(super) fn known(&mut self, place: &Place, body: &Document, known: &[&str]) {
        for name in body.keys().filter(|name| !known.contains(&name.as_str())) {
            self.mistakes.rule(
                place,
                format!("there is no member {name:?}, expected one of {}", known.join(", ")),
            );
        }
    }
}

/// Whether writes can go on being counted from here.
pub(super) fn is_countable(count: &u64) -> bool {
    *count <= limits::SNAPSHOT_VERSION
}
