//! Long first labels, as tunnels and generated names have them.
//!
//! Fires when the first label has more than [`MAX_LABEL`] characters and no `-`; blog hosts of
//! `blogspot` are known to have long names.

use maltrail_core::event::Kind;
use maltrail_core::name::HostName;

use crate::finding::{Finding, parent_of};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "long_domain";

/// Longest first label that is not reported.
const MAX_LABEL: usize = 24;

const INFO: &str = "long domain (suspicious)";

/// The finding for `name`, if its first label is long.
#[inline]
pub(crate) fn check(name: HostName<'_>) -> Option<Finding<'static>> {
    let text = name.as_str();
    let head = text.as_bytes().get(..=MAX_LABEL)?;
    if head.contains(&b'.') {
        return None;
    }
    (!name.first_label().contains('-') && !text.contains("blogspot")).then(|| {
        Finding::heuristic(NAME, Kind::Dns, parent_of(text, parent_start(name)), INFO)
            .keyed(name.first_label().to_owned())
    })
}

/// Where the last two labels start; of a name with two labels, the last one.
fn parent_start(name: HostName<'_>) -> usize {
    let dots = name.suffix_starts().count() - 1;
    let dropped = dots.saturating_sub(1).max(1);
    name.suffix_starts().nth(dropped).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(name: &str) -> Option<String> {
        check(HostName::new(name).unwrap()).map(|finding| finding.trail)
    }

    #[test]
    fn the_last_two_labels_stand_outside() {
        let long = "abcdefghijklmnopqrstuvwxy";
        for (name, wanted) in [
            (format!("{long}.com"), format!("({long}).com")),
            (format!("{long}.host.com"), format!("({long}).host.com")),
            (
                format!("{long}.a.b.host.com"),
                format!("({long}.a.b).host.com"),
            ),
        ] {
            assert_eq!(trail(&name), Some(wanted));
        }
    }

    #[test]
    fn short_dashed_and_blog_names_are_left_out() {
        for name in [
            "abcdefghijklmnopqrstuvwx.com",
            "www.abcdefghijklmnopqrstuvwxy.com",
            "abcdefghijklm-nopqrstuvwxy.com",
            "abcdefghijklmnopqrstuvwxy.blogspot.com",
        ] {
            assert_eq!(trail(name), None, "{name}");
        }
    }
}
