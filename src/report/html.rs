//! Escapes text for HTML.

use crate::escape;
use std::borrow::Cow;

/// The most characters of a text from outside.
const LONGEST: usize = 2000;

/// Escapes text for element contents and attribute values. Characters that steer a terminal or change the
/// text direction are shown escaped as there.
pub(super) fn text(text: &str) -> String {
    let cut: Cow<'_, str> = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    };
    let mut safe = String::with_capacity(cut.len());
    for c in escape::line(&cut).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The style of the page, for light and dark mode and narrow and wide screens.
pub(super) const STYLE: &str = include_str!("style.css");
