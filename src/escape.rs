//! Escapes text for display. Names, states and messages from servers, files and arguments are data. They must
//! not clear a screen, change the text direction, or begin a line of their own.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns whether a character steers a terminal or moves text: C0, DEL and C1 controls, line and paragraph
/// separators, and the marks, embeddings, overrides and isolates of the bidirectional algorithm.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

fn escape(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a String cannot fail.
        c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
    }
}

fn escaped(text: &str, mut keeps: impl FnMut(char, &str) -> bool) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if steers(c) && !keeps(c, &text[at + c.len_utf8()..]) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Escapes text for a single line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_, _| false)
}

/// Escapes a message, which may continue in indented lines. A line break is kept only before an indented
/// line, so that no part of the message looks like another message.
pub fn message(text: &str) -> Cow<'_, str> {
    escaped(text, |c, rest| c == '\n' && rest.starts_with("  "))
}

/// Escapes text of several lines, such as a provider's reply.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c, rest| matches!(c, '\n' | '\t') || (c == '\r' && rest.starts_with('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(line("Grüße, 世界 \\n שלום"), "Grüße, 世界 \\n שלום");
        assert!(matches!(line("plain"), Cow::Borrowed(_)));
        assert_eq!(
            line("\u{1b}[2J\u{7f}\u{9b}m\r\n\t\0\u{202e}\u{2069}\u{2028}\u{200f}z"),
            r"\u{1b}[2J\u{7f}\u{9b}m\r\n\t\u{0}\u{202e}\u{2069}\u{2028}\u{200f}z"
        );
    }

    #[test]
    fn a_message_goes_on_in_indented_lines_alone() {
        assert_eq!(message("400:\n  cpu: too few\nhint: x\n"), "400:\n  cpu: too few\\nhint: x\\n");
        assert_eq!(message("a\r\n  b"), "a\\r\n  b");
    }

    #[test]
    fn a_reply_keeps_its_lines() {
        assert_eq!(lines("a 1\r\nb\t2\n\rc\u{1b}\n"), "a 1\r\nb\t2\n\\rc\\u{1b}\n");
    }

    proptest::proptest! {
        #[test]
        fn nothing_gets_through(text: String) {
            proptest::prop_assert!(!line(&text).contains(steers));
            let left: String = message(&text).chars().filter(|c| *c != '\n').collect();
            proptest::prop_assert!(!left.contains(steers));
        }
    }
}
