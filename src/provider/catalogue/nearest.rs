//! The nearest known name for a mistyped one.

/// The known name that is nearest to `word`, if any is near enough to be what was meant: a third of the letters may be
/// wrong, and at least one. `known` gives each name with the form to compare.
pub(super) fn nearest<'a, T>(word: &str, known: impl IntoIterator<Item = (T, &'a str)>) -> Option<T> {
    let length = word.chars().count();
    let limit = ((length + 1) / 3).max(1);
    let near = known.into_iter().filter_map(|(name, form)| {
        let form_length = form.chars().count();
        // Nothing is near to a name that would have to be replaced altogether.
        if form_length.abs_diff(length) > limit || limit >= length.max(form_length) {
            return None;
        }
        Some((strsim::osa_distance(word, form), name)).filter(|(distance, _)| *distance <= limit)
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
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
