//! The name that was probably meant.

/// The known name nearest to `name`; of equally near ones the first.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known.min_by_key(|known| distance(name, known))
}

/// Levenshtein distance. Names of checks are short; of the other at most 64 letters count.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (count, letter) in left.chars().take(64).enumerate() {
        let mut before = count;
        let mut last = count + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let above = *cell;
            last = (before + usize::from(letter != *other))
                .min(above + 1)
                .min(last + 1);
            before = above;
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = count + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (left, right, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "ac", 1),
            ("ac", "abc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), wanted, "{left} {right}");
        }
    }

    #[test]
    fn what_was_probably_meant() {
        let known = ["dns-question-a", "flood-syn", "flood-ack"];
        let meant = |name| nearest(name, known.into_iter());
        assert_eq!(meant("flod-ack"), Some("flood-ack"));
        assert_eq!(meant("dns-question"), Some("dns-question-a"));
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
