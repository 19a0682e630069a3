//! What becomes of the documents that match: themselves, some members of each, or one row for many.

use super::ast::{Aggregate, Column, Select};
use super::error::QueryError;
use super::parser::{GroupBy, Parser, RawPath};
use super::path::{Path, Source};

/// Something between `SELECT` and `FROM`.
pub(super) struct Item {
    pub(super) target: Target,
    pub(super) alias: Option<String>,
    /// Where it stands.
    pub(super) start: usize,
}

/// What an item asks for, while the source of the names is not known yet.
pub(super) enum Target {
    Path(RawPath),
    Aggregate(RawAggregate),
}

pub(super) enum RawAggregate {
    Count,
    Sum(RawPath),
    Average(RawPath),
    Least(RawPath),
    Greatest(RawPath),
}

/// Brings together what stands before `FROM` and behind `GROUP BY`.
pub(super) fn decide(
    parser: &Parser<'_>,
    items: Option<Vec<Item>>,
    by: Option<GroupBy>,
) -> Result<Select, QueryError> {
    check_source(parser, items.as_deref(), by.as_ref())?;
    let Some(items) = items else {
        return match by {
            None => Ok(Select::All),
            Some(by) => Err(parser.error(by.start, "SELECT * cannot be grouped")),
        };
    };
    let aggregates = items.iter().any(|item| !matches!(item.target, Target::Path(_)));
    if by.is_none() && !aggregates {
        return members(parser, items).map(Select::Members);
    }
    let by = by.map(|by| by.paths).unwrap_or_default();
    let columns = columns(parser, items, &by)?;
    Ok(Select::Groups { by, columns })
}

fn columns(
    parser: &Parser<'_>,
    items: Vec<Item>,
    by: &[Path],
) -> Result<Vec<(String, Column)>, QueryError> {
    let mut unnamed = 0;
    let mut columns = Vec::new();
    for Item { target, alias, start } in items {
        let (name, column) = match target {
            Target::Path(path) => {
                let path = parser.resolve(&path)?;
                let key = by.iter().position(|key| *key == path).ok_or_else(|| {
                    parser.error(start, format!("'{}' is not in GROUP BY", path.name()))
                })?;
                (path.name().into_owned(), Column::Key(key))
            }
            Target::Aggregate(target) => {
                // As in the language's origin; those that have names do not count.
                unnamed += usize::from(alias.is_none());
                (format!("${unnamed}"), Column::Aggregate(aggregate(parser, target)?))
            }
        };
        columns.push((alias.unwrap_or(name), column));
    }
    Ok(columns)
}

fn aggregate(parser: &Parser<'_>, raw: RawAggregate) -> Result<Aggregate, QueryError> {
    let path = |path: &RawPath| parser.resolve(path);
    Ok(match raw {
        RawAggregate::Count => Aggregate::Count,
        RawAggregate::Sum(of) => Aggregate::Sum(path(&of)?),
        RawAggregate::Average(of) => Aggregate::Average(path(&of)?),
        RawAggregate::Least(of) => Aggregate::Least(path(&of)?),
        RawAggregate::Greatest(of) => Aggregate::Greatest(path(&of)?),
    })
}

/// Not every source offers everything.
fn check_source(
    parser: &Parser<'_>,
    items: Option<&[Item]>,
    by: Option<&GroupBy>,
) -> Result<(), QueryError> {
    let source = parser.source();
    if let (Source::Jobs, Some([first, ..])) = (source, items) {
        return Err(parser.error(first.start, "devices.jobs supports SELECT * only"));
    }
    match by {
        Some(by) if source != Source::Devices => {
            Err(parser.error(by.start, format!("{} does not support GROUP BY", source.name())))
        }
        _ => Ok(()),
    }
}

fn members(parser: &Parser<'_>, items: Vec<Item>) -> Result<Vec<(String, Path)>, QueryError> {
    let mut members = Vec::new();
    for item in items {
        // Whoever calls has looked: there are no aggregates.
        if let Target::Path(path) = item.target {
            let path = parser.resolve(&path)?;
            members.push((item.alias.unwrap_or_else(|| path.name().into_owned()), path));
        }
    }
    Ok(members)
}
