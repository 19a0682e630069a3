//! Characters to tokens, one at a time: a text is never held as a list of tokens, so that a wrong
//! one costs no more than what stands before the mistake.

use serde_json::Number;

use super::error::{Place, QueryError};
use super::value::number;

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// The byte at which it begins.
    pub(super) start: usize,
    /// The byte behind it.
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// A keyword, or a name that needs no brackets; which one is for the parser to say.
    Word(&'a str),
    /// A name between `[[` and `]]`.
    Name(&'a str),
    /// A string, without quotes and escapes.
    Text(String),
    Number(Number),
    Symbol(Symbol),
    End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Symbol {
    Comma,
    Dot,
    Star,
    Slash,
    Percent,
    Plus,
    Minus,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Longer ones first: `<=` is not `<` and `=`.
const SYMBOLS: [(&str, Symbol); 18] = [
    ("<=", Symbol::LessOrEqual),
    (">=", Symbol::GreaterOrEqual),
    ("<>", Symbol::NotEqual),
    ("!=", Symbol::NotEqual),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
    ("=", Symbol::Equal),
    (",", Symbol::Comma),
    (".", Symbol::Dot),
    ("*", Symbol::Star),
    ("/", Symbol::Slash),
    ("%", Symbol::Percent),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    ("(", Symbol::Open),
    (")", Symbol::Close),
    ("[", Symbol::OpenBracket),
    ("]", Symbol::CloseBracket),
];

/// How the system properties of messages begin that have hyphens in their names.
const HYPHENATED: [&str; 2] = ["$dt-", "$iothub-"];

/// What `[[` begins: a name, or an array in an array. Only the parser knows which can stand there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Brackets {
    Name,
    Array,
}

/// A text and how far it has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Columns that the caller's text begins with, though the text does not show them.
    indent: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, indent: usize) -> Self {
        Self { text, at: 0, indent }
    }

    /// An error at a byte of the text.
    pub(super) fn error(&self, at: usize, problem: impl Into<String>) -> QueryError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        let indent = if line == 1 { self.indent } else { 0 };
        let column = indent + last.chars().count() + 1;
        QueryError::Syntax { at: Place { line, column }, problem: problem.into() }
    }

    /// The text of a token, as it was written.
    pub(super) fn written(&self, token: &Token<'_>) -> &'a str {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// Reads the next token.
    pub(super) fn next(&mut self, brackets: Brackets) -> Result<Token<'a>, QueryError> {
        self.at = self.text.len() - self.rest().trim_start().len();
        let start = self.at;
        let kind = self.kind(brackets)?;
        Ok(Token { kind, start, end: self.at })
    }

    fn kind(&mut self, brackets: Brackets) -> Result<Kind<'a>, QueryError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Kind::End) };
        if is_word_start(first) {
            let hyphens = HYPHENATED.iter().any(|prefix| starts_with_ignoring_case(rest, prefix));
            let is_part = |c| is_word(c) || (hyphens && c == '-');
            return Ok(Kind::Word(self.take(rest.find(|c| !is_part(c)))));
        }
        if first.is_ascii_digit() {
            return self.number().map(Kind::Number);
        }
        if matches!(first, '\'' | '"') {
            return self.string(first).map(Kind::Text);
        }
        if brackets == Brackets::Name && rest.starts_with("[[") {
            return self.name().map(Kind::Name);
        }
        let found = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text));
        let Some((text, symbol)) = found else {
            let problem = format!("Unexpected character at input '{first}'");
            return Err(self.error(self.at, problem));
        };
        self.at += text.len();
        Ok(Kind::Symbol(*symbol))
    }

    fn name(&mut self) -> Result<&'a str, QueryError> {
        let inside = self.rest().get(2..).unwrap_or_default();
        let Some(length) = inside.find("]]") else {
            return Err(self.error(self.at, "Name that begins with '[[' has no ']]'"));
        };
        let name = inside.get(..length).unwrap_or_default();
        if name.is_empty() {
            return Err(self.error(self.at, "Name between '[[' and ']]' is empty"));
        }
        self.at += length + 4;
        Ok(name)
    }

    fn number(&mut self) -> Result<Number, QueryError> {
        let start = self.at;
        let rest = self.rest();
        let written = match rest.get(..2) {
            Some("0x" | "0X") => self.take(rest.find(|c: char| !is_word(c))),
            _ => self.take(Some(decimal_length(rest))),
        };
        let wrong = || self.error(start, format!("Invalid number at input '{written}'"));
        if self.rest().starts_with(is_word) {
            return Err(wrong());
        }
        parse_number(written).ok_or_else(wrong)
    }

    fn string(&mut self, quote: char) -> Result<String, QueryError> {
        let start = self.at;
        let mut text = String::new();
        self.at += quote.len_utf8();
        loop {
            let Some(c) = self.char() else {
                return Err(self.error(start, "String has no closing quote"));
            };
            match c {
                c if c == quote => return Ok(text),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, QueryError> {
        let start = self.at - 1;
        match self.char() {
            Some(c @ ('\'' | '"' | '\\' | '/')) => Ok(c),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('u') => self.unicode().ok_or_else(|| {
                self.error(start, "Escape in a string is not '\\u' and four hexadecimal digits")
            }),
            _ => Err(self.error(start, "Unknown escape in a string")),
        }
    }

    /// Four digits; eight if they are two halves of one character.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first.into());
        }
        if self.char()? != '\\' || self.char()? != 'u' {
            return None;
        }
        char::decode_utf16([first, self.hex()?]).next()?.ok()
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.rest().get(..4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }

    fn char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes what stands before `length`, or all of the rest.
    fn take(&mut self, length: Option<usize>) -> &'a str {
        let rest = self.rest();
        let taken = length.and_then(|length| rest.get(..length)).unwrap_or(rest);
        self.at += taken.len();
        taken
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '$')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$')
}

/// How much of a text is a decimal number: `12`, `1.5`, `1e-3`. The dot behind it may be another's.
fn decimal_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len()
    };
    let starts = |from: usize, with: &str| text.get(from..).is_some_and(|t| t.starts_with(with));
    let mut length = digits(0);
    if starts(length, ".") && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if starts(length, "e") || starts(length, "E") {
        let sign = usize::from(starts(length + 1, "+") || starts(length + 1, "-"));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

fn parse_number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    match text.parse::<u64>() {
        Ok(integer) => Some(integer.into()),
        Err(_) => number(text.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Result<Vec<Kind<'_>>, String> {
        let mut lexer = Lexer::new(text, 0);
        let mut kinds = Vec::new();
        loop {
            match lexer.next(Brackets::Name).map_err(|why| why.to_string())?.kind {
                Kind::End => return Ok(kinds),
                kind => kinds.push(kind),
            }
        }
    }

    fn text(text: &str) -> Kind<'_> {
        Kind::Text(text.to_owned())
    }

    fn float(value: f64) -> Kind<'static> {
        Kind::Number(Number::from_f64(value).unwrap())
    }

    #[test]
    fn tokens_are_told_apart() {
        let table = [
            ("", vec![]),
            ("a.$b_1", vec![Kind::Word("a"), Kind::Symbol(Symbol::Dot), Kind::Word("$b_1")]),
            ("[[a b.c]]", vec![Kind::Name("a b.c")]),
            (
                "[ 1]",
                vec![
                    Kind::Symbol(Symbol::OpenBracket),
                    Kind::Number(1.into()),
                    Kind::Symbol(Symbol::CloseBracket),
                ],
            ),
            ("<=<>", vec![Kind::Symbol(Symbol::LessOrEqual), Kind::Symbol(Symbol::NotEqual)]),
            ("'a\"b' \"a'b\"", vec![text("a\"b"), text("a'b")]),
            (r#"'\'\"\\é\ud83d\ude00'"#, vec![text("'\"\\é\u{1f600}")]),
            (
                "12 0x1F 1.5 2e3 2E-1",
                vec![
                    Kind::Number(12.into()),
                    Kind::Number(31.into()),
                    float(1.5),
                    float(2000.0),
                    float(0.2),
                ],
            ),
            ("99999999999999999999", vec![float(1e20)]),
        ];
        for (written, expected) in table {
            // Whether a number is an integer or not does not show outside.
            let found = kinds(written).unwrap();
            let same = found.len() == expected.len()
                && found.iter().zip(&expected).all(|pair| match pair {
                    (Kind::Number(one), Kind::Number(other)) => one.as_f64() == other.as_f64(),
                    (one, other) => one == other,
                });
            assert!(same, "{written}: {found:?}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let table = [
            ("a = 'b", "Line 1:5 String has no closing quote"),
            ("a\n = 'b\\", "Line 2:6 Unknown escape in a string"),
            ("'é' #", "Line 1:5 Unexpected character at input '#'"),
            ("[[a]", "Line 1:1 Name that begins with '[[' has no ']]'"),
            ("[[]]", "Line 1:1 Name between '[[' and ']]' is empty"),
            ("1a", "Line 1:1 Invalid number at input '1'"),
            ("0xg", "Line 1:1 Invalid number at input '0xg'"),
            ("1e999", "Line 1:1 Invalid number at input '1e999'"),
            (r"'\ud83d'", "Line 1:2 Escape in a string is not '\\u' and four hexadecimal digits"),
            ("'\\u12é4'", "Line 1:2 Escape in a string is not '\\u' and four hexadecimal digits"),
            ("!", "Line 1:1 Unexpected character at input '!'"),
        ];
        for (written, expected) in table {
            let found = kinds(written).unwrap_err();
            assert!(found.ends_with(expected), "{written}: {found}");
        }
    }
}
