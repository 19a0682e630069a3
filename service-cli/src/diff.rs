//! What changed between two twins, line by line, plain or coloured.
//!
//! Colour is always ANSI; whoever prints decides whether the terminal gets to see it (anstream
//! takes it out where it does not belong).

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::twin::Twin;

/// So many lines around a change are shown with it; the twin of the tutorial fits whole.
const CONTEXT: usize = 12;

const GONE: Style = AnsiColor::Red.on_default();
const NEW: Style = AnsiColor::Green.on_default();
const GAP: Style = AnsiColor::Cyan.on_default();

/// The lines of two documents, each kept, gone or new.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diff(Vec<Line>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Line {
    Kept(String),
    Gone(String),
    New(String),
    /// Lines that did not change and are far from what did.
    Gap,
}

/// Compares what matters of two twins: see [`Twin::essence`].
pub fn between(before: &Twin, after: &Twin) -> Diff {
    documents(&before.essence(), &after.essence())
}

/// Compares two documents.
pub fn documents(before: &Value, after: &Value) -> Diff {
    let (before, after) = (pretty(before), pretty(after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        let starts_late = group.first().is_some_and(|op| op.old_range().start > 0);
        if index > 0 || starts_late {
            lines.push(Line::Gap);
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().trim_end_matches('\n').to_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Kept(text),
                ChangeTag::Delete => Line::Gone(text),
                ChangeTag::Insert => Line::New(text),
            });
        }
    }
    let shown = diff.grouped_ops(CONTEXT).last().and_then(|group| group.last().copied());
    if shown.is_some_and(|op| op.old_range().end < diff.old_slices().len()) {
        lines.push(Line::Gap);
    }
    Diff(lines)
}

/// A document as indented JSON that ends in a line break; control characters are escaped, so that
/// what a device reports cannot move the cursor.
pub fn pretty(document: &Value) -> String {
    // `{:#}` of a `Value` cannot fail, unlike writing it through serde.
    let mut text = calm(&format!("{document:#}"));
    text.push('\n');
    text
}

/// JSON text with the control characters that JSON leaves alone (DEL and C1) escaped as well.
pub fn calm(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines with `-`, `+` or a blank before each.
    pub fn plain(&self) -> impl fmt::Display + '_ {
        Painted { diff: self, coloured: false }
    }

    /// The same, what is gone in red and what is new in green.
    pub fn coloured(&self) -> impl fmt::Display + '_ {
        Painted { diff: self, coloured: true }
    }
}

struct Painted<'a> {
    diff: &'a Diff,
    coloured: bool,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.diff.0 {
            let (mark, text, style) = match line {
                Line::Kept(text) => (' ', text.as_str(), Style::new()),
                Line::Gone(text) => ('-', text.as_str(), GONE),
                Line::New(text) => ('+', text.as_str(), NEW),
                Line::Gap => (' ', "…", GAP),
            };
            let style = if self.coloured { style } else { Style::new() };
            writeln!(f, "{style}{mark} {text}{style:#}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn twin(version: u64, desired: &Value) -> Twin {
        let properties = json!({"desired": desired, "reported": {"$version": 1}});
        Twin::new(json!({"version": version, "properties": properties})).unwrap()
    }

    #[test]
    fn changes_stand_between_their_neighbours() {
        let before = twin(2, &json!({"$metadata": {"x": 1}, "$version": 1}));
        let after = twin(3, &json!({"configId": 1, "$metadata": {"x": 2}, "$version": 2}));
        let expected = r#"  {
-   "version": 2,
+   "version": 3,
    "tags": {},
    "properties": {
      "desired": {
-       "$version": 1
+       "configId": 1,
+       "$version": 2
      },
      "reported": {
        "$version": 1
      }
    }
  }
"#;
        assert_eq!(between(&before, &after).plain().to_string(), expected);
    }

    #[test]
    fn colour_adds_nothing_but_escapes() {
        let diff = documents(&json!({"a": 1}), &json!({"a": 2}));
        let coloured = diff.coloured().to_string();
        assert!(coloured.contains("\x1b[31m-   \"a\": 1\x1b[0m\n"), "{coloured:?}");
        assert!(coloured.contains("\x1b[32m+   \"a\": 2\x1b[0m\n"), "{coloured:?}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), diff.plain().to_string());
    }

    #[test]
    fn nothing_changed_is_nothing_shown() {
        let same = json!({"a": 1});
        assert!(documents(&same, &same).is_empty());
    }

    #[test]
    fn far_lines_are_left_out() {
        let long = |last: u32| {
            let fields =
                (0..40).map(|n| (format!("p{n:02}"), json!(if n == 20 { last } else { n })));
            Value::Object(fields.collect())
        };
        let text = documents(&long(1), &long(2)).plain().to_string();
        assert_eq!(text.lines().count(), 2 * CONTEXT + 2 + 2);
        assert_eq!((text.lines().next(), text.lines().last()), (Some("  …"), Some("  …")));
    }

    #[test]
    fn nothing_in_a_document_reaches_the_terminal_as_a_command() {
        let text = pretty(&json!({"a": "\u{1b}[2J\u{9b}2J\u{7f}"}));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"a": "\u{1b}[2J\u{9b}2J\u{7f}"})
        );
    }
}
