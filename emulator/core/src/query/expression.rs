//! Expressions: one method per level of precedence, the loosest first.

use serde_json::Value;

use super::ast::{Comparison, Expression, Operator};
use super::error::QueryError;
use super::functions::Function;
use super::lexer::{Brackets, Kind, Symbol};
use super::parser::Parser;
use super::value::number;

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

impl Parser<'_> {
    /// `a OR b`
    pub(super) fn expression(&mut self) -> Result<Expression, QueryError> {
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
            self.advance_to(Brackets::Array)?;
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
        match self.kind() {
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
            Kind::Word(word) if !self.is_reserved(word) => self.path_or_call(),
            Kind::Name(_) => self.path_or_call(),
            _ => self.constant().map(Expression::Constant),
        }
    }

    fn path_or_call(&mut self) -> Result<Expression, QueryError> {
        let path = self.path()?;
        if !self.at(Symbol::Open) {
            return Ok(Expression::Path(self.resolve(&path)?));
        }
        let name = path.name();
        let Some((function, arity)) = Function::find(&name) else {
            return Err(self.error(path.start(), format!("Unknown function '{name}'")));
        };
        self.advance()?;
        let arguments = self.nested(Self::arguments)?;
        if !arity.contains(&arguments.len()) {
            let count = arguments.len();
            let (least, most) = (arity.start(), arity.end());
            let problem =
                format!("Function '{name}' has {count} arguments, expected {least} to {most}");
            return Err(self.error(path.start(), problem));
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
        let value = match self.kind() {
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
        let Kind::Number(number) = self.kind() else {
            return Err(self.unexpected("a number"));
        };
        let negative = number.as_f64().and_then(|positive| self::number(-positive));
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
            parser.advance_to(Brackets::Array)?;
            let mut items = Vec::new();
            while !parser.at(Symbol::CloseBracket) {
                items.push(parser.constant()?);
                if parser.at(Symbol::Comma) {
                    parser.advance_to(Brackets::Array)?;
                } else if !parser.at(Symbol::CloseBracket) {
                    return Err(parser.unexpected("',' or ']'"));
                }
            }
            parser.advance()?;
            Ok(items)
        })
    }
}
