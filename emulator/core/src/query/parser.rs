//! Tokens to a statement: the clauses, and what parsing expressions needs. Recursive descent, which
//! goes no deeper than [`limits::QUERY_DEPTH`], whatever the text.

use super::ast::{Expression, Statement};
use super::error::QueryError;
use super::lexer::{Brackets, Kind, Lexer, Symbol, Token};
use super::message;
use super::path::{Path, Source, TwinInJobs};
use super::select::{self, Item, RawAggregate, Target};
use crate::limits;

/// Words that are no names unless they stand in `[[…]]`.
const RESERVED: [&str; 9] = ["and", "or", "not", "in", "nin", "true", "false", "null", "undefined"];

/// The same, but for conditions on messages, which have no clauses.
const CLAUSES: [&str; 5] = ["select", "from", "where", "group", "as"];

/// What the service puts before a bare condition, and counts when it names a place in it.
const BEFORE_CONDITION: &str = "SELECT * FROM devices WHERE ";

/// Parses a whole query.
pub(super) fn statement(text: &str) -> Result<Statement, QueryError> {
    let mut parser = Parser::new(text, 0)?;
    parser.expect_keyword("SELECT")?;
    let top = parser.top()?;
    let items = parser.items()?;
    parser.source_clause()?;
    let condition = parser.condition_clause()?;
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
        parser.source_clause()?;
        let condition = parser.condition_clause()?;
        parser.end()?;
        return Ok((parser.source, condition));
    }
    let expression = parser.expression()?;
    parser.end()?;
    Ok((parser.source, Some(expression)))
}

/// Parses the condition of a route; none stands for all messages.
pub(super) fn message_condition(text: &str) -> Result<Option<Expression>, QueryError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { of_messages: true, ..Parser::new(text, 0)? };
    let expression = parser.expression()?;
    parser.end()?;
    Ok(Some(expression))
}

/// A text, the token to look at, and what has been learned of the names in it.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    depth: usize,
    source: Source,
    alias: Option<String>,
    /// Whether names are those of messages, which no query reads but the conditions of routes do.
    of_messages: bool,
}

/// A path before the source is known.
#[derive(Clone, Debug)]
pub(super) struct RawPath {
    segments: Vec<String>,
    start: usize,
}

impl RawPath {
    /// As it was written, but for brackets.
    pub(super) fn name(&self) -> String {
        self.segments.join(".")
    }

    /// Where it stands.
    pub(super) fn start(&self) -> usize {
        self.start
    }
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
        Ok(Self {
            lexer,
            token,
            depth: 0,
            source: Source::Devices,
            alias: None,
            of_messages: false,
        })
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    pub(super) fn error(&self, at: usize, problem: impl Into<String>) -> QueryError {
        self.lexer.error(at, problem)
    }

    pub(super) fn resolve(&self, path: &RawPath) -> Result<Path, QueryError> {
        if self.of_messages {
            return Ok(message::path(&path.segments));
        }
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
        let aggregate = match name.as_str() {
            "count" => RawAggregate::Count,
            "sum" => RawAggregate::Sum(self.path()?),
            "avg" => RawAggregate::Average(self.path()?),
            "min" => RawAggregate::Least(self.path()?),
            "max" => RawAggregate::Greatest(self.path()?),
            _ => {
                let problem = format!(
                    "Function '{name}' is no aggregate, expected COUNT, SUM, AVG, MIN or MAX"
                );
                return Err(self.error(function.start, problem));
            }
        };
        self.expect(Symbol::Close, "')'")?;
        Ok(Target::Aggregate(aggregate))
    }

    /// `FROM devices`, with another name for it or not.
    fn source_clause(&mut self) -> Result<(), QueryError> {
        self.expect_keyword("FROM")?;
        let start = self.token.start;
        let path = self.path()?;
        let written = path.name();
        let sources = [Source::Devices, Source::Modules, Source::Jobs];
        let found = sources.into_iter().find(|one| one.name().eq_ignore_ascii_case(&written));
        self.source = found.ok_or_else(|| {
            let problem = format!(
                "Unknown collection '{written}', expected devices, devices.modules or devices.jobs"
            );
            self.error(start, problem)
        })?;
        let named = self.take_keyword("AS")?;
        if named || matches!(self.token.kind, Kind::Word(word) if !self.is_reserved(word)) {
            self.alias = Some(self.name()?);
        }
        Ok(())
    }

    fn condition_clause(&mut self) -> Result<Option<Expression>, QueryError> {
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

    fn bound_path(&mut self) -> Result<Path, QueryError> {
        let path = self.path()?;
        self.resolve(&path)
    }

    /// `a.b.[[c d]]`
    pub(super) fn path(&mut self) -> Result<RawPath, QueryError> {
        let start = self.token.start;
        let mut segments = vec![self.name()?];
        loop {
            if self.take(Symbol::Dot)? {
                segments.push(self.name()?);
            } else if self.of_messages && self.at(Symbol::OpenBracket) {
                segments.push(self.index()?);
            } else {
                return Ok(RawPath { segments, start });
            }
        }
    }

    /// `[0]`
    fn index(&mut self) -> Result<String, QueryError> {
        self.advance()?;
        let index = match self.kind() {
            Kind::Number(number) => number.as_u64(),
            _ => None,
        };
        let Some(index) = index else { return Err(self.unexpected("an index")) };
        self.advance()?;
        self.expect(Symbol::CloseBracket, "']'")?;
        Ok(index.to_string())
    }

    fn name(&mut self) -> Result<String, QueryError> {
        let name = match self.token.kind {
            Kind::Word(word) if !self.is_reserved(word) => word,
            Kind::Name(name) => name,
            _ => return Err(self.unexpected("a name")),
        };
        self.advance()?;
        Ok(name.to_owned())
    }

    /// Goes one level down, if there is one.
    pub(super) fn nested<T>(
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

    /// What stands here.
    pub(super) fn kind(&self) -> &Kind<'a> {
        &self.token.kind
    }

    pub(super) fn advance(&mut self) -> Result<(), QueryError> {
        self.advance_to(Brackets::Name)
    }

    /// Reads the next token, in which `[[` begins what `brackets` says.
    pub(super) fn advance_to(&mut self, brackets: Brackets) -> Result<(), QueryError> {
        self.token = self.lexer.next(brackets)?;
        Ok(())
    }

    pub(super) fn at(&self, symbol: Symbol) -> bool {
        self.token.kind == Kind::Symbol(symbol)
    }

    pub(super) fn take(&mut self, symbol: Symbol) -> Result<bool, QueryError> {
        let found = self.at(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn take_one<T: Copy>(
        &mut self,
        symbols: &[(Symbol, T)],
    ) -> Result<Option<T>, QueryError> {
        let found = symbols.iter().find(|(symbol, _)| self.at(*symbol));
        if found.is_some() {
            self.advance()?;
        }
        Ok(found.map(|(_, meaning)| *meaning))
    }

    pub(super) fn expect(&mut self, symbol: Symbol, name: &str) -> Result<(), QueryError> {
        if self.take(symbol)? { Ok(()) } else { Err(self.unexpected(name)) }
    }

    pub(super) fn at_keyword(&self, keyword: &str) -> bool {
        matches!(self.token.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> Result<bool, QueryError> {
        let found = self.at_keyword(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_keyword(&mut self, keyword: &str) -> Result<(), QueryError> {
        if self.take_keyword(keyword)? { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    pub(super) fn is_reserved(&self, word: &str) -> bool {
        let clauses = if self.of_messages { &[] } else { CLAUSES.as_slice() };
        RESERVED.iter().chain(clauses).any(|reserved| reserved.eq_ignore_ascii_case(word))
    }

    /// The service's own words, and what could have stood there.
    pub(super) fn unexpected(&self, expected: &str) -> QueryError {
        let found = match self.token.kind {
            Kind::End => "Unexpected end of query".to_owned(),
            _ => format!("Unexpected character at input '{}'", self.lexer.written(&self.token)),
        };
        self.error(self.token.start, format!("{found}, expected {expected}"))
    }
}

#[cfg(test)]
mod tests;
