//! A query at work: documents go in one by one and in any order, a page of the answer comes out.
//!
//! Of the documents that match, only as many are kept as fit on the page, so that a page of a large
//! hub costs little memory. The next page starts behind the last key of this one, which makes
//! paging immune to documents that come and go in between.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use serde_json::{Map, Value};

use super::Query;
use super::ast::Select;
use super::eval::Subject;
use super::group::Groups;
use super::page::Position;

/// Rows of an answer, and where the next ones begin.
#[derive(Debug)]
pub struct Page<D> {
    /// The rows.
    pub rows: Rows<D>,
    /// None if these are the last.
    pub next: Option<Position>,
}

/// Rows of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows<D> {
    /// The documents themselves.
    Documents(Vec<D>),
    /// What the query made of them.
    Raw(Vec<Map<String, Value>>),
}

/// A query and the documents that it has kept so far.
#[derive(Debug)]
pub struct Run<'q, D> {
    query: &'q Query,
    from: Position,
    size: usize,
    kept: Kept<'q, D>,
}

#[derive(Debug)]
enum Kept<'q, D> {
    /// The first of those that matched, one more than fits on the page; the last is on top.
    Documents(BinaryHeap<ByKey<D>>),
    Groups(Groups<'q>),
}

impl<'q, D: Subject> Run<'q, D> {
    /// Starts a page of up to `size` rows at `from`.
    pub fn new(query: &'q Query, from: Position, size: usize) -> Self {
        let statement = &query.statement;
        let left = statement.top.map_or(u64::MAX, |top| top.saturating_sub(from.taken));
        let size = size.min(usize::try_from(left).unwrap_or(usize::MAX));
        let kept = match &statement.select {
            Select::All | Select::Members(_) => Kept::Documents(BinaryHeap::new()),
            Select::Groups { by, columns } => Kept::Groups(Groups::new(by, columns)),
        };
        Self { query, from, size, kept }
    }

    /// Looks at a document.
    pub fn offer(&mut self, document: D) {
        let matches = |document: &D| {
            self.query.statement.condition.as_ref().is_none_or(|one| one.holds(document))
        };
        match &mut self.kept {
            Kept::Groups(groups) => {
                if matches(&document) {
                    groups.add(&document);
                }
            }
            Kept::Documents(first) => {
                let full = first.len() > self.size;
                let beyond = full && first.peek().is_some_and(|last| last.0.key() < document.key());
                if beyond || !self.from.is_before(document.key()) || !matches(&document) {
                    return;
                }
                first.push(ByKey(document));
                if full {
                    first.pop();
                }
            }
        }
    }

    /// The page.
    pub fn finish(self) -> Page<D> {
        let Self { query, from, size, kept } = self;
        let top = query.statement.top;
        match kept {
            Kept::Documents(first) => {
                let mut documents: Vec<D> =
                    first.into_sorted_vec().into_iter().map(|ByKey(document)| document).collect();
                let more = documents.len() > size;
                documents.truncate(size);
                let last = documents.last().map(Subject::key);
                let next = from.after_documents(documents.len(), last);
                let next = next.filter(|next| more && is_short_of(top, next));
                Page { rows: query.rows(documents), next }
            }
            Kept::Groups(groups) => {
                let taken = usize::try_from(from.taken).unwrap_or(usize::MAX);
                let mut rows = groups.rows().skip(taken);
                let page: Vec<_> = rows.by_ref().take(size).collect();
                let next = from.after_groups(page.len());
                let more = rows.next().is_some() && is_short_of(top, &next);
                Page { rows: Rows::Raw(page), next: more.then_some(next) }
            }
        }
    }
}

/// Whether `TOP` allows more rows than there have been.
fn is_short_of(top: Option<u64>, position: &Position) -> bool {
    top.is_none_or(|top| position.taken < top)
}

impl Query {
    /// The answer's form of these documents.
    fn rows<D: Subject>(&self, documents: Vec<D>) -> Rows<D> {
        match &self.statement.select {
            Select::Members(members) => {
                let row = |document: &D| {
                    let value = |path| document.value(path).into_json();
                    let members = members
                        .iter()
                        .filter_map(|(name, path)| value(path).map(|value| (name.clone(), value)));
                    members.collect()
                };
                Rows::Raw(documents.iter().map(row).collect())
            }
            _ => Rows::Documents(documents),
        }
    }
}

/// Orders documents by key.
#[derive(Debug)]
struct ByKey<D>(D);

impl<D: Subject> Ord for ByKey<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(&other.0.key())
    }
}

impl<D: Subject> PartialOrd for ByKey<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D: Subject> PartialEq for ByKey<D> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<D: Subject> Eq for ByKey<D> {}
