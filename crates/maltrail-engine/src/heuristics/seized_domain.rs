//! Pages that authorities put in place of a seized site.

use maltrail_core::event::Kind;
use memchr::memmem;

use crate::finding::Finding;
use crate::web::text::shown;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "seized_domain";

const INFO: &str = "seized domain (suspicious)";
const OPEN: &[u8] = b"<title>";
const CLOSE: &[u8] = b"</title>";
/// What such a title says.
const WORDS: [&[u8]; 3] = [
    b"domain name has been seized by",
    b"Domain Seized",
    b"Domain Seizure",
];
/// Longest title, in bytes.
const MAX_TITLE: usize = 1024;

/// The finding for a response.
pub(crate) fn check(response: &[u8]) -> Option<Finding<'static>> {
    let start = memmem::find(response, OPEN)? + OPEN.len();
    let rest = response.get(start..)?;
    let rest = rest.get(..MAX_TITLE).unwrap_or(rest);
    let title = rest.get(..memmem::find(rest, CLOSE)?)?;
    let mut words = WORDS.iter();
    words
        .any(|word| memmem::find(title, word).is_some())
        .then(|| Finding::heuristic(NAME, Kind::Http, shown(title), INFO))
}
