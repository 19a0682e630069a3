//! Reads TOML value by value, knows where each stands, and collects what is wrong instead of
//! stopping at it.

use std::collections::HashSet;
use std::str::FromStr;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;

/// Collects the mistakes of one file.
pub(super) struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) path: String,
    start: usize,
    value: &'a DeValue<'a>,
}

/// A table whose members are taken out one by one; what is left is a mistake.
pub(super) struct Table<'a> {
    path: String,
    start: usize,
    members: Vec<(&'a str, Place<'a>)>,
    known: HashSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, mistakes: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// What the TOML parser itself has to say.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        let start = error.span().map_or(0, |span| span.start);
        // The parser's message may have several lines; all of them are one fact.
        let what = error.message().replace('\n', ", ");
        self.push(start, "", what);
    }

    pub(super) fn mistake<T>(&mut self, place: &Place<'_>, what: impl Into<String>) -> Option<T> {
        self.push(place.start, &place.path, what.into());
        None
    }

    pub(super) fn table(&mut self, place: &Place<'a>) -> Option<Table<'a>> {
        match place.value {
            DeValue::Table(table) => Some(Table::new(table, &place.path, place.start)),
            _ => self.expected(place, "a table"),
        }
    }

    pub(super) fn array(&mut self, place: &Place<'a>) -> Option<Vec<Place<'a>>> {
        let DeValue::Array(items) = place.value else {
            return self.expected(place, "an array of tables");
        };
        let item = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| Place {
            path: format!("{}[{index}]", place.path),
            start: item.span().start,
            value: item.get_ref(),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&mut self, place: &Place<'a>) -> Option<&'a str> {
        match place.value {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.expected(place, "a string"),
        }
    }

    /// A string in a form of its own.
    pub(super) fn parsed<T>(&mut self, place: &Place<'a>) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(place)?;
        text.parse().map_err(|error: T::Err| self.mistake::<T>(place, error.to_string())).ok()
    }

    pub(super) fn integer<T: TryFrom<i64>>(&mut self, place: &Place<'a>) -> Option<T> {
        match integer(place.value).and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.expected(place, "an integer in range"),
        }
    }

    pub(super) fn number(&mut self, place: &Place<'a>) -> Option<f64> {
        match number(place.value) {
            Some(number) => Some(number),
            None => self.expected(place, "a finite number"),
        }
    }

    /// Any value, as JSON.
    pub(super) fn json(&mut self, place: &Place<'a>) -> Option<Value> {
        match place.value {
            DeValue::String(text) => Some(json!(text.as_ref())),
            DeValue::Boolean(value) => Some(json!(value)),
            DeValue::Integer(_) => self.integer::<i64>(place).map(|number| json!(number)),
            DeValue::Float(_) => self.number(place).map(|number| json!(number)),
            DeValue::Datetime(_) => self.mistake(place, "is a date, expected it in quotes"),
            DeValue::Array(_) => {
                let items = self.array(place)?;
                let items: Vec<_> = items.iter().map(|item| self.json(item)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
            }
            DeValue::Table(_) => {
                let members = self.table(place)?.into_members();
                let members: Vec<_> = members
                    .map(|(name, place)| Some((name.to_owned(), self.json(&place)?)))
                    .collect();
                members.into_iter().collect::<Option<Map<_, _>>>().map(Value::Object)
            }
        }
    }

    fn expected<T>(&mut self, place: &Place<'_>, what: &str) -> Option<T> {
        let found = match place.value {
            DeValue::String(text) => format!("{:?}", text.as_ref()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other => format!("a {}", other.type_str()),
        };
        self.mistake(place, format!("is {found}, expected {what}"))
    }

    fn push(&mut self, start: usize, path: &str, what: String) {
        let before = self.text.get(..start).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        self.mistakes.push(Mistake { line, path: path.to_owned(), what });
    }
}

impl<'a> Place<'a> {
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(table: &'a DeTable<'a>, path: &str, start: usize) -> Self {
        let mut members: Vec<_> = table
            .iter()
            .map(|(name, value)| {
                let inner = if path.is_empty() {
                    name.get_ref().to_string()
                } else {
                    format!("{path}.{}", name.get_ref())
                };
                let start = name.span().start;
                (name.get_ref().as_ref(), Place { path: inner, start, value: value.get_ref() })
            })
            .collect();
        // The parser sorts by name; a message keeps the order in which it was written.
        members.sort_by_key(|(_, place)| place.start);
        Self { path: path.to_owned(), start, members, known: HashSet::new() }
    }

    /// Takes a member out.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Place<'a>> {
        self.known.insert(name);
        let index = self.members.iter().position(|(key, _)| *key == name)?;
        Some(self.members.remove(index).1)
    }

    /// Takes a member out that has to be there.
    pub(super) fn required(
        &mut self,
        name: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Place<'a>> {
        let place = self.optional(name);
        if place.is_none() {
            reader.push(self.start, &self.path, format!("has no {name}"));
        }
        place
    }

    /// Every member that was not taken out is one that nothing knows.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        let mut known: Vec<_> = self.known.into_iter().collect();
        known.sort_unstable();
        for (_, place) in &self.members {
            reader.mistake::<()>(place, format!("is not known, expected {}", known.join(", ")));
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().map(|(name, _)| *name)
    }

    pub(super) fn into_members(self) -> impl Iterator<Item = (&'a str, Place<'a>)> {
        self.members.into_iter()
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let number = match value.as_float() {
        Some(float) => float.as_str().parse().ok()?,
        None => integer(value)? as f64,
    };
    number.is_finite().then_some(number)
}
