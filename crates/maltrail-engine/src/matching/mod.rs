//! Observations against the trail set: what is listed.
//!
//! Every function here is pure. A lookup goes by number or borrowed text; text is made only once
//! something was found.

pub(crate) mod cert;
pub(crate) mod domain;
pub(crate) mod ip;
pub(crate) mod url;

/// Where the first label that is neither first nor last in `name` and equal to `label` starts.
/// `label` is written with its final dot.
#[inline]
pub(crate) fn inner_label(name: &str, label: &str) -> Option<usize> {
    let (bytes, label) = (name.as_bytes(), label.as_bytes());
    let first = *label.first()?;
    // Almost no name has a label that starts so. One pass without an exit is a few vector steps.
    let starts = |seen: bool, (dot, next): (&u8, &u8)| seen | ((*dot == b'.') & (*next == first));
    let pairs = bytes.iter().zip(bytes.get(1..)?);
    if !pairs.fold(false, starts) {
        return None;
    }
    (1..bytes.len()).find(|&at| {
        bytes.get(at.saturating_sub(1)) == Some(&b'.')
            && bytes.get(at..).is_some_and(|rest| rest.starts_with(label))
    })
}

#[cfg(test)]
mod tests {
    use super::inner_label;

    #[test]
    fn only_whole_inner_labels_count() {
        for (name, start) in [
            ("a.onion.to", Some(2)),
            ("a.onions.onion.onion.to", Some(9)),
            ("onion.to", None),
            ("a.onion", None),
            ("a.xonion.to", None),
            ("a.onio.n.to", None),
            ("", None),
        ] {
            assert_eq!(inner_label(name, "onion."), start, "{name}");
        }
    }
}
