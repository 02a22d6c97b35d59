//! Tables for people.

use super::output::Output;
use crate::error::Result;
use crate::escape;
use std::io::IsTerminal;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The maximum width of an aligned column, in columns of the terminal.
const WIDEST: usize = 100;

/// The minimum width of a column that is truncated to fit a terminal.
const NARROWEST: usize = 8;

/// The number of spaces between two columns.
const GAP: usize = 2;

/// A table that is built row by row.
pub struct Table {
    rows: Vec<Vec<String>>,
    columns: Vec<Style>,
}

#[derive(Clone, Copy, Default)]
struct Style {
    right: bool,
    whole: bool,
}

impl Table {
    /// Creates a table with these headings.
    pub fn new<'h>(headings: impl IntoIterator<Item = &'h str>) -> Self {
        let headings: Vec<String> = headings.into_iter().map(str::to_owned).collect();
        Self { columns: vec![Style::default(); headings.len()], rows: vec![headings] }
    }

    /// Aligns a column to the right, as for numbers.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.columns[column].right = true;
        self
    }

    /// Never truncates a column, as for ids, which users copy.
    #[must_use]
    pub fn whole(mut self, column: usize) -> Self {
        self.columns[column].whole = true;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| escape::line(&cell).into_owned()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Returns the lines, fitted into `room` columns if possible.
    fn lines(&self, room: Option<usize>) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].width());
            // A server may send megabytes. Such a column is not aligned.
            cells.map(|width| width.min(WIDEST)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        if let Some(room) = room {
            self.fit(&mut widths, room);
        }
        self.rows.iter().map(|row| self.line(row, &widths, room.is_some())).collect()
    }

    /// Narrows the widest column that may be truncated until the table fits or no column can be narrowed.
    fn fit(&self, widths: &mut [usize], room: usize) {
        while widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) > room {
            let may =
                |(column, width): &(usize, &mut usize)| !self.columns[*column].whole && **width > NARROWEST;
            let Some((_, widest)) =
                widths.iter_mut().enumerate().filter(may).max_by_key(|(_, width)| **width)
            else {
                return;
            };
            *widest -= 1;
        }
    }

    fn line(&self, row: &[String], widths: &[usize], cuts: bool) -> String {
        let mut line = String::new();
        for ((cell, width), style) in row.iter().zip(widths).zip(&self.columns) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = if cuts && !style.whole { cut(cell, *width) } else { cell.clone() };
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let (left, right) = if style.right { (&*space, "") } else { ("", &*space) };
            line.extend([left, &cell, right]);
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Prints the table, truncated to the terminal's width if standard output is one. If it has no rows, also
    /// reports `nothing`.
    pub fn print(&self, nothing: &str, output: &Output) -> Result<()> {
        self.lines(terminal_width()).iter().try_for_each(|line| output.data(line))?;
        if self.rows.len() == 1 && !nothing.is_empty() {
            output.note(nothing);
        }
        Ok(())
    }
}

/// Returns the width of the terminal in columns, if standard output is a terminal.
pub fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(out).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Truncates a text to `width`, with `…` in place of what is cut off.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= left;
        left = left.saturating_sub(wide);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
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
            table.lines(None),
            ["NAME             SIZE  UUID", r"a\u{1b}[31m\nb      1  u", "é               12345"]
        );
    }

    #[test]
    fn columns_line_up_in_any_script() {
        let mut table = Table::new(["NAME", "UUID"]);
        for name in ["世界", "e\u{301}te\u{301}", "abcde"] {
            table.row([name.to_owned(), "u".to_owned()]);
        }
        assert_eq!(table.lines(None), ["NAME   UUID", "世界   u", "e\u{301}te\u{301}    u", "abcde  u"]);
    }

    #[test]
    fn a_table_is_cut_to_the_room_that_there_is_but_for_its_ids() {
        let uuid = "08c92dd5-70a0-4f51-83d2-835919d254df";
        let mut table = Table::new(["NAME", "STATUS", "UUID"]).whole(2);
        table.row(["世".repeat(30), "active, in use".to_owned(), uuid.to_owned()]);
        let lines = table.lines(Some(70));
        assert!(lines.iter().all(|line| line.width() <= 70), "{lines:?}");
        assert!(
            lines[1].starts_with("世世世") && lines[1].contains('…') && lines[1].ends_with(uuid),
            "{lines:?}"
        );
        let narrow = table.lines(Some(10));
        assert!(narrow[1].ends_with(uuid), "{narrow:?}");
        assert_eq!(table.lines(Some(200)), table.lines(None), "what fits is not cut");
    }

    #[test]
    fn a_cut_text_is_no_wider_than_asked_for() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("世界世界", 6), "世界…");
        assert_eq!(cut("世界世界", 5), "世界…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(cut("abc", 0), "…");
    }

    #[test]
    fn one_long_cell_does_not_widen_the_others() {
        let mut table = Table::new(["NAME", "UUID"]);
        table.row(["x".repeat(1_000_000), "u".to_owned()]);
        table.row(["y".to_owned(), "u".to_owned()]);
        assert_eq!(table.lines(None)[2].len(), 103, "100 for the name, the gap, and the id");
    }
}
