//! Rows that stand for many documents: `COUNT`, `SUM`, `AVG`, `MIN`, `MAX` and `GROUP BY`.
//!
//! The answer does not depend on the order in which documents come: groups are ordered by their
//! keys, and numbers are added up in their own order.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ast::{Aggregate, Column};
use super::eval::Subject;
use super::path::Path;
use super::value::{Datum, canonical, number};

/// The groups found so far.
#[derive(Debug)]
pub(super) struct Groups<'q> {
    by: &'q [Path],
    columns: &'q [(String, Column)],
    /// By the canonical text of what they have in common.
    found: BTreeMap<Vec<String>, Group>,
}

#[derive(Debug)]
struct Group {
    keys: Vec<Option<Value>>,
    /// One per column; that of a key stays empty.
    totals: Vec<Total>,
}

/// What a column knows of the documents that came.
#[derive(Debug)]
enum Total {
    Nothing,
    Count(u64),
    Numbers(Vec<f64>),
    Extreme(Option<Value>),
}

impl<'q> Groups<'q> {
    pub(super) fn new(by: &'q [Path], columns: &'q [(String, Column)]) -> Self {
        let mut groups = Self { by, columns, found: BTreeMap::new() };
        if by.is_empty() {
            // Without `GROUP BY` there is one row, also for no documents.
            groups.found.insert(Vec::new(), Group::new(Vec::new(), columns));
        }
        groups
    }

    pub(super) fn add(&mut self, document: &impl Subject) {
        let key = |path: &Path| document.value(path).into_json().map(canonical);
        let keys: Vec<Option<Value>> = self.by.iter().map(key).collect();
        let names = keys.iter().map(|key| key.as_ref().map_or_else(String::new, Value::to_string));
        let columns = self.columns;
        let group = self.found.entry(names.collect()).or_insert_with(|| Group::new(keys, columns));
        for ((_, column), total) in self.columns.iter().zip(&mut group.totals) {
            if let Column::Aggregate(aggregate) = column {
                total.add(aggregate, document);
            }
        }
    }

    /// One row per group, in the order of their keys.
    pub(super) fn rows(self) -> impl Iterator<Item = Map<String, Value>> {
        let columns = self.columns;
        self.found.into_values().map(move |group| group.row(columns))
    }
}

impl Group {
    fn new(keys: Vec<Option<Value>>, columns: &[(String, Column)]) -> Self {
        Self { keys, totals: columns.iter().map(|(_, column)| Total::of(column)).collect() }
    }

    fn row(self, columns: &[(String, Column)]) -> Map<String, Value> {
        let mut row = Map::new();
        for ((name, column), total) in columns.iter().zip(self.totals) {
            let value = match column {
                Column::Key(key) => self.keys.get(*key).cloned().flatten(),
                Column::Aggregate(aggregate) => total.value(aggregate),
            };
            if let Some(value) = value {
                row.insert(name.clone(), value);
            }
        }
        row
    }
}

impl Total {
    fn of(column: &Column) -> Self {
        match column {
            Column::Key(_) => Self::Nothing,
            Column::Aggregate(Aggregate::Count) => Self::Count(0),
            Column::Aggregate(Aggregate::Sum(_) | Aggregate::Average(_)) => {
                Self::Numbers(Vec::new())
            }
            Column::Aggregate(Aggregate::Least(_) | Aggregate::Greatest(_)) => Self::Extreme(None),
        }
    }

    fn add(&mut self, aggregate: &Aggregate, document: &impl Subject) {
        match (self, aggregate) {
            (Self::Count(count), _) => *count += 1,
            (Self::Numbers(numbers), Aggregate::Sum(path) | Aggregate::Average(path)) => {
                numbers.extend(document.value(path).as_number());
            }
            (Self::Extreme(best), Aggregate::Least(path)) => {
                keep(best, document.value(path), Ordering::Less);
            }
            (Self::Extreme(best), Aggregate::Greatest(path)) => {
                keep(best, document.value(path), Ordering::Greater);
            }
            _ => {}
        }
    }

    /// None where there is nothing to show, such as the average of no numbers.
    fn value(self, aggregate: &Aggregate) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Count(count) => Some(count.into()),
            Self::Numbers(numbers) if numbers.is_empty() => None,
            Self::Numbers(mut numbers) => {
                numbers.sort_unstable_by(f64::total_cmp);
                let count = numbers.len() as f64;
                let sum: f64 = numbers.into_iter().sum();
                let average = matches!(aggregate, Aggregate::Average(_));
                number(if average { sum / count } else { sum }).map(Value::Number)
            }
            Self::Extreme(best) => best,
        }
    }
}

/// Keeps the value if it lies before or after the best so far. Values of different types are ordered
/// by type: booleans, numbers, texts. Others do not count.
fn keep(best: &mut Option<Value>, candidate: Datum<'_>, side: Ordering) {
    let Some(rank) = rank(&candidate) else { return };
    let better = best.as_ref().map(Datum::of).is_none_or(|best| {
        let ordering = candidate.compare(&best);
        ordering.unwrap_or_else(|| Some(rank).cmp(&self::rank(&best))) == side
    });
    if better {
        *best = candidate.into_json().map(canonical);
    }
}

fn rank(value: &Datum<'_>) -> Option<u8> {
    match value {
        Datum::Bool(_) => Some(0),
        Datum::Number(_) => Some(1),
        Datum::Text(_) => Some(2),
        _ => None,
    }
}
