//! The table that is printed in the end.

use std::fmt;

/// Rows of what was measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Table {
    /// Adds a row: what was measured, the figures, the aim, and the ratio to what stands beside it.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        figures: impl Into<String>,
        aim: &str,
        beside: impl Into<String>,
    ) {
        self.0.push([what.into(), figures.into(), aim.to_owned(), beside.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "figures", "aim", "ratio"].map(str::to_owned);
        let rows = || std::iter::once(&head).chain(&self.0);
        let width = |column: usize| rows().map(|row| row[column].chars().count()).max();
        let widths = [0, 1, 2].map(|column| width(column).unwrap_or(0));
        for [what, figures, aim, beside] in rows() {
            let line = format!(
                "{what:0$}  {figures:1$}  {aim:2$}  {beside}",
                widths[0], widths[1], widths[2]
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
