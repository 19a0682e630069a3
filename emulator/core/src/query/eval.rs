//! The value of an expression for a document.
//!
//! There are three truth values, as there are in the service: what compares with something that is
//! not there, or with something of another type, is undefined, and so is its negation. A condition
//! holds only if it is true.

use super::ast::{Comparison, Expression, Operator};
use super::path::Path;
use super::value::Datum;

/// Something that a query can look at: a twin, or what a job did to a device.
pub trait Subject {
    /// The member that `path` names.
    fn value(&self, path: &Path) -> Datum<'_>;

    /// What orders the documents of an answer, and tells one from all others.
    fn key(&self) -> (&str, &str);
}

impl Expression {
    /// Whether the condition holds.
    pub(super) fn holds(&self, document: &impl Subject) -> bool {
        self.truth(document) == Some(true)
    }

    pub(super) fn truth(&self, document: &impl Subject) -> Option<bool> {
        match self {
            Self::Compare(comparison, operands) => {
                let (one, other) = &**operands;
                comparison.of(&one.value(document), &other.value(document))
            }
            Self::In { value, constants, negated } => match value.value(document) {
                Datum::Undefined => None,
                value => Some(constants.contains(&value) != *negated),
            },
            Self::Not(operand) => operand.truth(document).map(|truth| !truth),
            Self::All(operands) => decided_by(false, operands, document),
            Self::Any(operands) => decided_by(true, operands, document),
            other => other.value(document).as_bool(),
        }
    }

    fn value<'a>(&'a self, document: &'a impl Subject) -> Datum<'a> {
        match self {
            Self::Constant(value) => Datum::of(value),
            Self::Undefined => Datum::Undefined,
            Self::Path(path) => document.value(path),
            Self::Call(function, arguments) => {
                let values: Vec<_> = arguments.iter().map(|one| one.value(document)).collect();
                function.call(&values)
            }
            Self::Negative(operand) => operand.value(document).as_number().map(|x| -x).into(),
            Self::Arithmetic(first, rest) => arithmetic(first, rest, document).into(),
            condition => condition.truth(document).into(),
        }
    }
}

impl Expression {
    /// Shows all names in it to `visit`.
    pub(super) fn each_path<'e>(&'e self, visit: &mut impl FnMut(&'e Path)) {
        match self {
            Self::Constant(_) | Self::Undefined => {}
            Self::Path(path) => visit(path),
            Self::Negative(one) | Self::Not(one) | Self::In { value: one, .. } => {
                one.each_path(visit);
            }
            Self::Compare(_, both) => {
                both.0.each_path(visit);
                both.1.each_path(visit);
            }
            Self::Arithmetic(first, rest) => {
                first.each_path(visit);
                rest.iter().for_each(|(_, operand)| operand.each_path(visit));
            }
            Self::Call(_, all) | Self::All(all) | Self::Any(all) => {
                all.iter().for_each(|one| one.each_path(visit));
            }
        }
    }
}

/// `AND` is decided by one operand that is false and `OR` by one that is true; else one that is
/// undefined leaves it so.
fn decided_by(deciding: bool, operands: &[Expression], document: &impl Subject) -> Option<bool> {
    let mut truth = Some(!deciding);
    for operand in operands {
        match operand.truth(document) {
            Some(found) if found == deciding => return Some(deciding),
            Some(_) => {}
            None => truth = None,
        }
    }
    truth
}

fn arithmetic(
    first: &Expression,
    rest: &[(Operator, Expression)],
    document: &impl Subject,
) -> Option<f64> {
    let mut value = first.value(document).as_number()?;
    for (operator, operand) in rest {
        let operand = operand.value(document).as_number()?;
        value = match operator {
            Operator::Add => value + operand,
            Operator::Subtract => value - operand,
            Operator::Multiply => value * operand,
            Operator::Divide => value / operand,
            Operator::Remainder => value % operand,
        };
    }
    Some(value)
}

impl Comparison {
    fn of(self, one: &Datum<'_>, other: &Datum<'_>) -> Option<bool> {
        match self {
            Self::Equal => one.equals(other),
            Self::NotEqual => one.equals(other).map(|equal| !equal),
            Self::Less => one.compare(other).map(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => one.compare(other).map(std::cmp::Ordering::is_le),
            Self::Greater => one.compare(other).map(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => one.compare(other).map(std::cmp::Ordering::is_ge),
        }
    }
}
