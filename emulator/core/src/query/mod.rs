//! The query language: `SELECT … FROM devices WHERE … GROUP BY …`, and bare conditions.
//!
//! ```text
//!   text ─ lexer ─> tokens ─ parser ─> ast ─ run (eval, group) ─> rows, and a page's token
//! ```
//!
//! Everything here is pure and knows documents only through [`Subject`]: [`twin`] makes one of a
//! twin, [`row`] one of a JSON object. A [`Run`] takes documents one by one, in any order; the
//! answer does not depend on it.
//!
//! ```
//! use iothub_core::query::row::Row;
//! use iothub_core::query::{Position, Query, Rows, Run};
//! use serde_json::json;
//!
//! let query = Query::parse("SELECT deviceId FROM devices WHERE tags.floor >= 2")?;
//! let mut run = Run::new(&query, Position::default(), 100);
//! for floor in 1..=3 {
//!     let twin = json!({ "deviceId": format!("lamp-{floor}"), "tags": { "floor": floor } });
//!     run.offer(Row::new("deviceId", twin.as_object().cloned().unwrap_or_default()));
//! }
//! let Rows::Raw(rows) = run.finish().rows else { panic!("the query names a member") };
//! assert_eq!(json!(rows), json!([{ "deviceId": "lamp-2" }, { "deviceId": "lamp-3" }]));
//! # Ok::<(), iothub_core::query::QueryError>(())
//! ```

mod ast;
mod error;
mod eval;
mod expression;
mod functions;
mod group;
mod lexer;
pub mod message;
mod page;
mod parser;
mod path;
pub mod row;
mod run;
mod select;
pub mod twin;
mod value;

pub use error::{Place, QueryError};
pub use eval::Subject;
pub use page::Position;
pub use path::{Attribute, Path, Source, TwinAttribute};
pub use run::{Page, Rows, Run};
pub use value::Datum;

use ast::{Expression, Statement};
use message::MessageDocument;

/// A query that has been understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    statement: Statement,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parser::statement(text).map(|statement| Self { statement })
    }

    /// What it reads from.
    pub fn source(&self) -> Source {
        self.statement.source
    }
}

/// A bare condition: what the target of a configuration, or of a job, has to fulfil.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    source: Source,
    expression: Option<Expression>,
}

impl Condition {
    /// Reads a condition on device twins, or `FROM … WHERE …` on those of another source. `*` stands
    /// for all devices.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it and where, counted as the service does: as if it stood behind
    /// `SELECT * FROM devices WHERE`.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parser::condition(text).map(|(source, expression)| Self { source, expression })
    }

    /// What it is about.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether a document of the source fulfils it.
    pub fn holds(&self, document: &impl Subject) -> bool {
        self.expression.as_ref().is_none_or(|expression| expression.holds(document))
    }
}

/// What a message has to fulfil to take a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteCondition(Option<Expression>);

impl RouteCondition {
    /// Reads a condition. An empty one holds for all messages.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let expression = parser::message_condition(text)?;
        // What the service writes where nobody wrote a condition.
        Ok(Self(expression.filter(|found| *found != Expression::Constant(true.into()))))
    }

    /// Whether the sender's twin has a say in it.
    pub(crate) fn reads_twin(&self) -> bool {
        let of_twin = |path: &&Path| matches!(&path.attribute, Attribute::Message(attribute) if attribute.is_of_twin());
        self.paths().iter().any(of_twin)
    }

    /// Whether a message fulfils it; none where that cannot be said.
    pub fn truth(&self, message: &MessageDocument<'_>) -> Option<bool> {
        self.0.as_ref().map_or(Some(true), |expression| expression.truth(message))
    }

    /// The names in it, each once, in the order in which they stand.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        if let Some(expression) = &self.0 {
            expression.each_path(&mut |path| {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            });
        }
        paths
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
