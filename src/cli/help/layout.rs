//! Rows of two columns, and lines that fit.

use super::examples::Example;
use std::fmt::Write;

/// What is typed, and what it does.
pub(super) struct Row {
    typed: String,
    text: String,
}

impl Row {
    pub(super) fn new(typed: String, text: String) -> Self {
        Self { typed, text }
    }

    /// Takes the room for a short option away, where no row of a section has one.
    pub(super) fn without_indent(mut self) -> Self {
        self.typed = self.typed.trim_start().to_owned();
        self
    }

    /// Cuts the text to its first clause: what follows a colon, a semicolon or an empty line explains.
    pub(super) fn cut(mut self) -> Self {
        let default = self.text.rfind(" [default: ").map(|at| self.text.split_off(at)).unwrap_or_default();
        let ends = [": ", "; ", "\n\n"].iter().flat_map(|end| self.text.match_indices(end));
        // `REMOTE: for a new drive` is no clause of its own.
        let ends = ends.map(|(at, _)| at).filter(|at| !self.text[..*at].ends_with(char::is_uppercase));
        if let Some(end) = ends.min() {
            self.text.truncate(end);
        }
        self.text.push_str(&default);
        self
    }
}

/// The widest left column; what is longer has its text on the next line.
const WIDEST: usize = 26;

/// Lays rows out in two columns, the left one being at least `least` wide.
pub(super) fn table(rows: &[Row], width: usize, least: usize) -> String {
    let widths = rows.iter().map(|row| row.typed.chars().count());
    let left = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0).max(least);
    let indent = left + 4;
    let mut out = String::new();
    for row in rows {
        let text = row.text.split("\n\n").map(|paragraph| wrap(paragraph, width, indent)).collect::<String>();
        let text = text.trim_start();
        if text.is_empty() {
            let _ = writeln!(out, "  {}", row.typed);
        } else if row.typed.chars().count() > left {
            let _ = write!(out, "  {}\n{:indent$}{text}", row.typed, "");
        } else {
            let _ = write!(out, "  {:left$}  {text}", row.typed);
        }
    }
    out
}

/// Breaks a paragraph into lines of at most `width` characters, each behind `indent` spaces and ended by a newline. A word
/// longer than that stays whole, and so do words in backticks.
pub(super) fn wrap(paragraph: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in words(paragraph) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width.saturating_sub(indent) {
            out.push('\n');
            used = 0;
        }
        if used == 0 {
            let _ = write!(out, "{:indent$}{word}", "");
        } else {
            let _ = write!(out, " {word}");
        }
        used += length + usize::from(used > 0);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// The words of a text; what is in backticks is one word.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(open) if open.matches('`').count() % 2 == 1 => {
                open.push(' ');
                open.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Lays examples out, with what they do behind a `#`.
pub(super) fn examples(examples: &[&Example]) -> String {
    let left = examples.iter().map(|example| example.command.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for example in examples {
        let line = match example.what {
            "" => format!("  {}", example.command),
            what => format!("  {:left$}  # {what}", example.command),
        };
        let _ = writeln!(out, "{line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 8, 0), "one two\nthree\n");
        assert_eq!(wrap("one two", 8, 4), "    one\n    two\n");
        assert_eq!(wrap("run `a b c` now", 8, 0), "run\n`a b c`\nnow\n");
        assert_eq!(wrap("", 8, 0), "");
    }

    #[test]
    fn a_text_is_cut_to_its_first_clause() {
        let cut = |text: &str| Row::new(String::new(), text.to_owned()).cut().text;
        assert_eq!(
            cut("How to write zeros: skip them [default: auto]"),
            "How to write zeros [default: auto]"
        );
        assert_eq!(cut("Requests in flight [default: auto]"), "Requests in flight [default: auto]");
        assert_eq!(cut("REMOTE: for a new drive; else one"), "REMOTE: for a new drive");
        assert_eq!(cut("One\n\nTwo"), "One");
    }

    #[test]
    fn a_long_option_has_its_text_below() {
        let row = |typed: &str| Row::new(typed.to_owned(), "Text of\n\nparts".to_owned());
        assert_eq!(table(&[row("-a")], 40, 0), "  -a  Text of\n      parts\n");
        let long = "--an-option-that-is-quite-long VALUE";
        assert_eq!(table(&[row("-a"), row(long)], 40, 0).lines().nth(2), Some(&*format!("  {long}")));
    }
}
