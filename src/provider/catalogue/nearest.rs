//! The nearest known name for a mistyped one.

/// The known name that is nearest to `word`, if any is near enough to be what was meant: a third of the letters may be
/// wrong, and at least one. `known` gives each name with the form to compare.
pub(super) fn nearest<'a, T>(word: &str, known: impl IntoIterator<Item = (T, &'a str)>) -> Option<T> {
    let word: Vec<char> = word.chars().collect();
    let limit = ((word.len() + 1) / 3).max(1);
    let mut best = None;
    for (name, form) in known {
        let form: Vec<char> = form.chars().collect();
        // Nothing is near to a name that would have to be replaced altogether.
        if form.len().abs_diff(word.len()) > limit || limit >= word.len().max(form.len()) {
            continue;
        }
        let d = distance(&word, &form);
        if d <= limit && best.as_ref().is_none_or(|(least, _)| d < *least) {
            best = Some((d, name));
        }
    }
    best.map(|(_, name)| name)
}

/// How many letters must be changed, added, left out or swapped with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut d = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                d = d.min(before[j - 1] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
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

    #[test]
    fn each_kind_of_slip_counts_once() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(d("name", "nmae"), 1);
        assert_eq!(d("name", "nam"), 1);
        assert_eq!(d("nam", "name"), 1);
        assert_eq!(d("name", "nome"), 1);
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("kitten", "sitting"), 3);
    }
}
