//! Why a query is refused, worded as the service words it.

use crate::error::HubError;
use crate::limits;

/// Why a text is no query.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// It is longer than queries may be.
    #[error("query has {0} characters, expected at most {max}", max = limits::QUERY_CHARACTERS)]
    TooLong(usize),
    /// It breaks the grammar, or asks for what its source does not offer.
    #[error(
        "SQL query parse failed due to following errors: \n\tLine {}:{} {problem}",
        at.line, at.column
    )]
    Syntax {
        /// Where.
        at: Place,
        /// What is wrong there.
        problem: String,
    },
}

/// A place in the text of a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Counts from one.
    pub line: usize,
    /// Characters of the line before this place, and one.
    pub column: usize,
}

impl From<QueryError> for HubError {
    fn from(why: QueryError) -> Self {
        Self::ArgumentInvalid(why.to_string())
    }
}
