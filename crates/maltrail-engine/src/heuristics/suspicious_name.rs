//! File names that only scanners ask for.

use maltrail_core::event::Kind;

use super::direct_download::file_name;
use crate::finding::Finding;
use crate::web::text::Url;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "suspicious_name";

/// Parts of file names, and what they say.
const NAMES: [(&str, &str); 5] = [
    ("defaultwebpage.cgi", "non-existent page (suspicious)"),
    (
        "inexistent_file_name.inexistent",
        "potential web scan (suspicious)",
    ),
    (
        "test-for-some-inexistent-file",
        "potential web scan (suspicious)",
    ),
    ("long_inexistent_path", "potential web scan (suspicious)"),
    (
        "some-inexistent-website.acu",
        "potential web scan (suspicious)",
    ),
];

/// The finding for a request whose path has a dot.
pub(crate) fn check(url: &Url) -> Option<Finding<'static>> {
    let file = file_name(url.path());
    let (part, info) = NAMES.iter().find(|(part, _)| file.contains(part))?;
    Some(
        Finding::heuristic(
            NAME,
            Kind::Url,
            format!("{}({})", url.host(), url.path()),
            *info,
        )
        .keyed(*part),
    )
}
