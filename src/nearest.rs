//! The one search for the nearest known name of a mistyped one.

/// Returns the known name that is nearest to `word`, if any is near enough to be what was meant: a third of the letters may be
/// wrong, and at least one. `known` gives each name with the form to compare.
pub fn nearest<'a, T>(word: &str, known: impl IntoIterator<Item = (T, &'a str)>) -> Option<T> {
    let length = word.chars().count();
    let limit = ((length + 1) / 3).max(1);
    let mut best = None;
    for (name, form) in known {
        let letters = form.chars().count();
        // Nothing is near to a name that would have to be replaced altogether.
        if letters.abs_diff(length) > limit || limit >= length.max(letters) {
            continue;
        }
        let d = strsim::osa_distance(word, form);
        if d <= limit && best.as_ref().is_none_or(|(least, _)| d < *least) {
            best = Some((d, name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(word: &str) -> Option<&'static str> {
        nearest(word, ["name", "size", "claim:type", "drives.create"].map(|n| (n, n)))
    }

    #[test]
    fn typing_errors_are_seen_through() {
        assert_eq!(find("nmae"), Some("name"));
        assert_eq!(find("siez"), Some("size"));
        assert_eq!(find("claimtype"), Some("claim:type"));
        assert_eq!(find("drive.creat"), Some("drives.create"));
        assert_eq!(find("size"), Some("size"));
    }

    #[test]
    fn what_is_far_from_all_has_no_nearest() {
        for word in ["", "a", "ab", "tier", "colour", "x".repeat(10_000).as_str()] {
            assert_eq!(find(word), None, "{word}");
        }
    }
}
