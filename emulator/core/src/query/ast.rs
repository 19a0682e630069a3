//! A query as it means to be understood: names resolved, constants read, arities checked.

use std::collections::HashSet;

use serde_json::Value;

use super::functions::Function;
use super::path::{Path, Source};
use super::value::Datum;

/// `SELECT … FROM … WHERE … GROUP BY …`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) select: Select,
    /// `TOP n`
    pub(super) top: Option<u64>,
    pub(super) source: Source,
    pub(super) condition: Option<Expression>,
}

/// What becomes of the documents that the condition lets through.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Select {
    /// `*`: they are the answer.
    All,
    /// Some members of each.
    Members(Vec<(String, Path)>),
    /// One row for all, or one for each combination of what `GROUP BY` names.
    Groups { by: Vec<Path>, columns: Vec<(String, Column)> },
}

/// A member of a row that stands for many documents.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Column {
    /// The path of this number in `GROUP BY`.
    Key(usize),
    Aggregate(Aggregate),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Aggregate {
    Count,
    Sum(Path),
    Average(Path),
    Least(Path),
    Greatest(Path),
}

/// Something that has a value for each document.
///
/// Chains (`a AND b AND c`, `1 + 2 + 3`) are lists and not nests, so that the depth of an
/// expression is the depth of its parentheses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Constant(Value),
    Undefined,
    Path(Path),
    Call(Function, Vec<Expression>),
    Negative(Box<Expression>),
    Arithmetic(Box<Expression>, Vec<(Operator, Expression)>),
    Compare(Comparison, Box<(Expression, Expression)>),
    /// `IN`, or `NIN` if negated.
    In {
        value: Box<Expression>,
        constants: Constants,
        negated: bool,
    },
    Not(Box<Expression>),
    /// `AND`
    All(Vec<Expression>),
    /// `OR`
    Any(Vec<Expression>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What stands in brackets behind `IN`; texts by hash, since lists of device ids can be long.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Constants {
    texts: HashSet<String>,
    others: Vec<Value>,
}

impl Constants {
    pub(super) fn contains(&self, value: &Datum<'_>) -> bool {
        match value {
            Datum::Text(text) => self.texts.contains(&**text),
            value => self.others.iter().any(|other| value.equals(&Datum::of(other)) == Some(true)),
        }
    }
}

impl FromIterator<Value> for Constants {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut constants = Self::default();
        for value in values {
            match value {
                Value::String(text) => drop(constants.texts.insert(text)),
                other => constants.others.push(other),
            }
        }
        constants
    }
}
