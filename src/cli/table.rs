//! Tables for people.

use super::output::Output;
use crate::error::Result;
use crate::escape;

/// The widest column that is aligned, in characters.
const WIDEST: usize = 100;

/// A table that grows a row at a time.
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    right: [bool; N],
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub fn new(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned)], right: [false; N] }
    }

    /// Sets a column of numbers to the right.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right[column] = true;
        self
    }

    /// Adds a row. Its cells are as wide as they will be printed.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| escape::line(&cell).into_owned()));
    }

    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                // What a server says may be megabytes long: then its column is not aligned.
                *width = (*width).max(cell.chars().count().min(WIDEST));
            }
        }
        let line = |row: &[String; N]| {
            let cells = row.iter().zip(widths).zip(self.right);
            let padded = cells.map(
                |((cell, width), right)| {
                    if right { format!("{cell:>width$}") } else { format!("{cell:width$}") }
                },
            );
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Prints the table; one without rows is not printed, but `nothing` is said.
    pub fn print(&self, nothing: &str, output: &Output) -> Result<()> {
        if self.rows.len() == 1 {
            output.note(nothing);
            return Ok(());
        }
        self.lines().iter().try_for_each(|line| output.data(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_steers_the_terminal() {
        let mut table = Table::new(["NAME", "SIZE", "UUID"]).right(1);
        table.row(["a\u{1b}[31m\nb".into(), "1".into(), "u".into()]);
        table.row(["é".into(), "12345".into(), String::new()]);
        assert_eq!(
            table.lines(),
            ["NAME             SIZE  UUID", r"a\u{1b}[31m\nb      1  u", "é               12345"]
        );
    }
}
