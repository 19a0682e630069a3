//! Tokens to a statement: recursive descent, one method per level of precedence.
//!
//! Recursion goes no deeper than [`limits::QUERY_DEPTH`], whatever the text.

use serde_json::Value;

use super::ast::{Comparison, Expression, Operator, Statement};
use super::error::QueryError;
use super::functions::Function;
use super::lexer::{Brackets, Kind, Lexer, Symbol, Token};
use super::path::{Path, Source, TwinInJobs};
use super::select::{self, Item, Target};
use crate::limits;

/// Words that are no names unless they stand in `[[…]]`.
const RESERVED: [&str; 14] = [
    "select",
    "from",
    "where",
    "group",
    "as",
    "and",
    "or",
    "not",
    "in",
    "nin",
    "true",
    "false",
    "null",
    "undefined",
];

/// What the service puts before a bare condition, and counts when it names a place in it.
const BEFORE_CONDITION: &str = "SELECT * FROM devices WHERE ";

const COMPARISONS: [(Symbol, Comparison); 6] = [
    (Symbol::Equal, Comparison::Equal),
    (Symbol::NotEqual, Comparison::NotEqual),
    (Symbol::Less, Comparison::Less),
    (Symbol::LessOrEqual, Comparison::LessOrEqual),
    (Symbol::Greater, Comparison::Greater),
    (Symbol::GreaterOrEqual, Comparison::GreaterOrEqual),
];

const TERMS: [(Symbol, Operator); 2] =
    [(Symbol::Plus, Operator::Add), (Symbol::Minus, Operator::Subtract)];

const FACTORS: [(Symbol, Operator); 3] = [
    (Symbol::Star, Operator::Multiply),
    (Symbol::Slash, Operator::Divide),
    (Symbol::Percent, Operator::Remainder),
];

/// Parses a whole query.
pub(super) fn statement(text: &str) -> Result<Statement, QueryError> {
    let mut parser = Parser::new(text, 0)?;
    parser.expect_keyword("SELECT")?;
    let top = parser.top()?;
    let items = parser.items()?;
    parser.from_clause()?;
    let condition = parser.where_clause()?;
    let by = parser.group_clause()?;
    parser.end()?;
    let select = select::decide(&parser, items, by)?;
    Ok(Statement { select, top, source: parser.source, condition })
}

/// Parses what stands behind `WHERE`, with `FROM … WHERE` before it or not; no expression stands for
/// all documents.
pub(super) fn condition(text: &str) -> Result<(Source, Option<Expression>), QueryError> {
    if text.trim() == "*" {
        return Ok((Source::Devices, None));
    }
    let mut parser = Parser::new(text, BEFORE_CONDITION.len())?;
    if parser.at_keyword("FROM") {
        parser.from_clause()?;
        let condition = parser.where_clause()?;
        parser.end()?;
        return Ok((parser.source, condition));
    }
    let expression = parser.expression()?;
    parser.end()?;
    Ok((parser.source, Some(expression)))
}

/// A text, the token to look at, and what has been learned of the names in it.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    depth: usize,
    source: Source,
    alias: Option<String>,
}

/// A path before the source is known.
#[derive(Clone, Debug)]
pub(super) struct RawPath {
    segments: Vec<String>,
    start: usize,
}

/// What `GROUP BY` names, and where it stands.
pub(super) struct GroupBy {
    pub(super) paths: Vec<Path>,
    pub(super) start: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, indent: usize) -> Result<Self, QueryError> {
        let length = text.chars().count();
        if length > limits::QUERY_CHARACTERS {
            return Err(QueryError::TooLong(length));
        }
        let mut lexer = Lexer::new(text, indent);
        let token = lexer.next(Brackets::Name)?;
        Ok(Self { lexer, token, depth: 0, source: Source::Devices, alias: None })
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    pub(super) fn error(&self, at: usize, problem: impl Into<String>) -> QueryError {
        self.lexer.error(at, problem)
    }

    pub(super) fn resolve(&self, path: &RawPath) -> Result<Path, QueryError> {
        self.source.resolve(&path.segments, self.alias.as_deref()).map_err(|TwinInJobs| {
            self.error(path.start, "devices.jobs has no tags and properties of twins")
        })
    }

    /// `TOP n`; a name, if no number follows.
    fn top(&mut self) -> Result<Option<u64>, QueryError> {
        if !self.at_keyword("TOP") {
            return Ok(None);
        }
        let Kind::Number(number) = self.lexer.clone().next(Brackets::Name)?.kind else {
            return Ok(None);
        };
        self.advance()?;
        let Some(top) = number.as_u64() else { return Err(self.unexpected("a whole number")) };
        self.advance()?;
        Ok(Some(top))
    }

    /// What stands between `SELECT` and `FROM`; none for `*`.
    fn items(&mut self) -> Result<Option<Vec<Item>>, QueryError> {
        if self.take(Symbol::Star)? {
            return Ok(None);
        }
        let mut items = vec![self.item()?];
        while self.take(Symbol::Comma)? {
            items.push(self.item()?);
        }
        Ok(Some(items))
    }

    fn item(&mut self) -> Result<Item, QueryError> {
        let start = self.token.start;
        let path = self.path()?;
        let target =
            if self.at(Symbol::Open) { self.aggregate(&path)? } else { Target::Path(path) };
        let alias = if self.take_keyword("AS")? { Some(self.name()?) } else { None };
        Ok(Item { target, alias, start })
    }

    fn aggregate(&mut self, function: &RawPath) -> Result<Target, QueryError> {
        let name = match function.segments.as_slice() {
            [name] => name.to_ascii_lowercase(),
            _ => return Err(self.unexpected("AS, a comma or FROM")),
        };
        self.advance()?;
        let target = match name.as_str() {
            "count" => Target::Count,
            "sum" => Target::Sum(self.path()?),
            "avg" => Target::Average(self.path()?),
            "min" => Target::Least(self.path()?),
            "max" => Target::Greatest(self.path()?),
            _ => {
                let problem = format!(
                    "Function '{name}' is no aggregate, expected COUNT, SUM, AVG, MIN or MAX"
                );
                return Err(self.error(function.start, problem));
            }
        };
        self.expect(Symbol::Close, "')'")?;
        Ok(target)
    }

    /// `FROM devices`, with another name for it or not.
    fn from_clause(&mut self) -> Result<(), QueryError> {
        self.expect_keyword("FROM")?;
        let start = self.token.start;
        let path = self.path()?;
        let written = path.segments.join(".");
        let sources = [Source::Devices, Source::Modules, Source::Jobs];
        let found = sources.into_iter().find(|one| one.name().eq_ignore_ascii_case(&written));
        self.source = found.ok_or_else(|| {
            let problem = format!(
                "Unknown collection '{written}', expected devices, devices.modules or devices.jobs"
            );
            self.error(start, problem)
        })?;
        let named = self.take_keyword("AS")?;
        if named || matches!(self.token.kind, Kind::Word(word) if !is_reserved(word)) {
            self.alias = Some(self.name()?);
        }
        Ok(())
    }

    fn where_clause(&mut self) -> Result<Option<Expression>, QueryError> {
        if self.take_keyword("WHERE")? { self.expression().map(Some) } else { Ok(None) }
    }

    fn group_clause(&mut self) -> Result<Option<GroupBy>, QueryError> {
        let start = self.token.start;
        if !self.take_keyword("GROUP")? {
            return Ok(None);
        }
        self.expect_keyword("BY")?;
        let mut paths = vec![self.bound_path()?];
        while self.take(Symbol::Comma)? {
            paths.push(self.bound_path()?);
        }
        Ok(Some(GroupBy { paths, start }))
    }

    fn end(&self) -> Result<(), QueryError> {
        match self.token.kind {
            Kind::End => Ok(()),
            _ => Err(self.unexpected("the end of the query")),
        }
    }

    /// `a OR b`
    fn expression(&mut self) -> Result<Expression, QueryError> {
        self.chain("OR", Self::conjunction, Expression::Any)
    }

    /// `a AND b`
    fn conjunction(&mut self) -> Result<Expression, QueryError> {
        self.chain("AND", Self::negation, Expression::All)
    }

    fn chain(
        &mut self,
        keyword: &str,
        operand: impl Fn(&mut Self) -> Result<Expression, QueryError>,
        whole: impl Fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, QueryError> {
        let first = operand(self)?;
        if !self.at_keyword(keyword) {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.take_keyword(keyword)? {
            operands.push(operand(self)?);
        }
        Ok(whole(operands))
    }

    /// `NOT a`
    fn negation(&mut self) -> Result<Expression, QueryError> {
        if self.take_keyword("NOT")? {
            let operand = self.nested(Self::negation)?;
            return Ok(Expression::Not(Box::new(operand)));
        }
        self.comparison()
    }

    /// `a = b`, `a IN […]`
    fn comparison(&mut self) -> Result<Expression, QueryError> {
        let value = self.sum()?;
        if let Some(comparison) = self.take_one(&COMPARISONS)? {
            let other = self.sum()?;
            return Ok(Expression::Compare(comparison, Box::new((value, other))));
        }
        let negated = self.at_keyword("NIN");
        if negated || self.at_keyword("IN") {
            // Brackets that follow are those of an array.
            self.token = self.lexer.next(Brackets::Array)?;
            let constants = self.array()?.into_iter().collect();
            return Ok(Expression::In { value: Box::new(value), constants, negated });
        }
        Ok(value)
    }

    /// `a + b`
    fn sum(&mut self) -> Result<Expression, QueryError> {
        self.arithmetic(&TERMS, Self::product)
    }

    /// `a * b`
    fn product(&mut self) -> Result<Expression, QueryError> {
        self.arithmetic(&FACTORS, Self::signed)
    }

    fn arithmetic(
        &mut self,
        operators: &[(Symbol, Operator)],
        operand: impl Fn(&mut Self) -> Result<Expression, QueryError>,
    ) -> Result<Expression, QueryError> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.take_one(operators)? {
            rest.push((operator, operand(self)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expression::Arithmetic(Box::new(first), rest))
    }

    /// `-a`
    fn signed(&mut self) -> Result<Expression, QueryError> {
        if self.take(Symbol::Minus)? {
            let operand = self.nested(Self::signed)?;
            return Ok(Expression::Negative(Box::new(operand)));
        }
        self.operand()
    }

    /// A constant, a name, a call, or anything in parentheses.
    fn operand(&mut self) -> Result<Expression, QueryError> {
        match &self.token.kind {
            Kind::Symbol(Symbol::Open) => {
                self.advance()?;
                let inner = self.nested(Self::expression)?;
                self.expect(Symbol::Close, "')'")?;
                Ok(inner)
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("undefined") => {
                self.advance()?;
                Ok(Expression::Undefined)
            }
            Kind::Word(word) if !is_reserved(word) => self.path_or_call(),
            Kind::Name(_) => self.path_or_call(),
            _ => self.constant().map(Expression::Constant),
        }
    }

    fn path_or_call(&mut self) -> Result<Expression, QueryError> {
        let path = self.path()?;
        if !self.at(Symbol::Open) {
            return Ok(Expression::Path(self.resolve(&path)?));
        }
        let name = path.segments.join(".");
        let Some((function, arity)) = Function::find(&name) else {
            return Err(self.error(path.start, format!("Unknown function '{name}'")));
        };
        self.advance()?;
        let arguments = self.nested(Self::arguments)?;
        if !arity.contains(&arguments.len()) {
            let count = arguments.len();
            let (least, most) = (arity.start(), arity.end());
            let problem =
                format!("Function '{name}' has {count} arguments, expected {least} to {most}");
            return Err(self.error(path.start, problem));
        }
        Ok(Expression::Call(function, arguments))
    }

    /// What a function is called with, up to the parenthesis.
    fn arguments(&mut self) -> Result<Vec<Expression>, QueryError> {
        let mut arguments = Vec::new();
        if !self.at(Symbol::Close) {
            arguments.push(self.expression()?);
            while self.take(Symbol::Comma)? {
                arguments.push(self.expression()?);
            }
        }
        self.expect(Symbol::Close, "')'")?;
        Ok(arguments)
    }

    /// A value that stands in the text.
    fn constant(&mut self) -> Result<Value, QueryError> {
        let value = match &self.token.kind {
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return Err(self.unexpected("a value")),
            },
            Kind::Symbol(Symbol::Minus) => return self.negative_constant(),
            Kind::Symbol(Symbol::OpenBracket) => return self.array().map(Value::Array),
            _ => return Err(self.unexpected("a value")),
        };
        self.advance()?;
        Ok(value)
    }

    fn negative_constant(&mut self) -> Result<Value, QueryError> {
        self.advance()?;
        let Kind::Number(number) = &self.token.kind else {
            return Err(self.unexpected("a number"));
        };
        let negative = number.as_f64().and_then(|number| super::value::number(-number));
        let Some(negative) = negative else { return Err(self.unexpected("a number")) };
        self.advance()?;
        Ok(Value::Number(negative))
    }

    /// `[a, b]`
    fn array(&mut self) -> Result<Vec<Value>, QueryError> {
        if !self.at(Symbol::OpenBracket) {
            return Err(self.unexpected("'['"));
        }
        self.nested(|parser| {
            parser.token = parser.lexer.next(Brackets::Array)?;
            let mut items = Vec::new();
            while !parser.at(Symbol::CloseBracket) {
                items.push(parser.constant()?);
                if parser.at(Symbol::Comma) {
                    parser.token = parser.lexer.next(Brackets::Array)?;
                } else if !parser.at(Symbol::CloseBracket) {
                    return Err(parser.unexpected("',' or ']'"));
                }
            }
            parser.advance()?;
            Ok(items)
        })
    }

    fn bound_path(&mut self) -> Result<Path, QueryError> {
        let path = self.path()?;
        self.resolve(&path)
    }

    /// `a.b.[[c d]]`
    fn path(&mut self) -> Result<RawPath, QueryError> {
        let start = self.token.start;
        let mut segments = vec![self.name()?];
        while self.take(Symbol::Dot)? {
            segments.push(self.name()?);
        }
        Ok(RawPath { segments, start })
    }

    fn name(&mut self) -> Result<String, QueryError> {
        let name = match self.token.kind {
            Kind::Word(word) if !is_reserved(word) => word,
            Kind::Name(name) => name,
            _ => return Err(self.unexpected("a name")),
        };
        self.advance()?;
        Ok(name.to_owned())
    }

    /// Goes one level down, if there is one.
    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        if self.depth == limits::QUERY_DEPTH {
            let problem = format!("Query is nested deeper than {} levels", limits::QUERY_DEPTH);
            return Err(self.error(self.token.start, problem));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn advance(&mut self) -> Result<(), QueryError> {
        self.token = self.lexer.next(Brackets::Name)?;
        Ok(())
    }

    fn at(&self, symbol: Symbol) -> bool {
        self.token.kind == Kind::Symbol(symbol)
    }

    fn take(&mut self, symbol: Symbol) -> Result<bool, QueryError> {
        let found = self.at(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn take_one<T: Copy>(&mut self, symbols: &[(Symbol, T)]) -> Result<Option<T>, QueryError> {
        let found = symbols.iter().find(|(symbol, _)| self.at(*symbol));
        if found.is_some() {
            self.advance()?;
        }
        Ok(found.map(|(_, meaning)| *meaning))
    }

    fn expect(&mut self, symbol: Symbol, name: &str) -> Result<(), QueryError> {
        if self.take(symbol)? { Ok(()) } else { Err(self.unexpected(name)) }
    }

    fn at_keyword(&self, keyword: &str) -> bool {
        matches!(self.token.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> Result<bool, QueryError> {
        let found = self.at_keyword(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_keyword(&mut self, keyword: &str) -> Result<(), QueryError> {
        if self.take_keyword(keyword)? { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    /// The service's own words, and what could have stood there.
    fn unexpected(&self, expected: &str) -> QueryError {
        let found = match self.token.kind {
            Kind::End => "Unexpected end of query".to_owned(),
            _ => format!("Unexpected character at input '{}'", self.lexer.written(&self.token)),
        };
        self.error(self.token.start, format!("{found}, expected {expected}"))
    }
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
