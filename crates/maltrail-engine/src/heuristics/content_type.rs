//! Answers that are scripts or programs for Windows by their type.

use maltrail_core::event::Kind;

use crate::finding::Finding;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "content_type";

const INFO: &str = "content type (suspicious)";
const TYPES: [&str; 11] = [
    "application/vnd.ms-htmlhelp",
    "application/x-bsh",
    "application/x-chm",
    "application/x-ms-shortcut",
    "application/x-sh",
    "application/x-shellscript",
    "application/hta",
    "text/x-scriptlet",
    "text/x-sh",
    "text/x-shellscript",
    "application/x-ms-vsto",
];

/// The finding for the value of a `Content-Type` field. Parameters (`; charset=…`) do not count.
pub(crate) fn check(value: &[u8]) -> Option<Finding<'static>> {
    let end = value.iter().position(|&byte| byte == b';');
    let kind = value.get(..end.unwrap_or(value.len()))?.trim_ascii();
    let listed = TYPES
        .iter()
        .find(|listed| kind.eq_ignore_ascii_case(listed.as_bytes()))?;
    Some(Finding::heuristic(NAME, Kind::Http, (*listed).to_owned(), INFO).keyed(*listed))
}
