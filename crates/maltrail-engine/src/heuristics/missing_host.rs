//! Requests for a path without a `Host` field, as simple malware and scanners send them.
//!
//! A target that names its host itself needs no field, so only paths count. Runs when
//! `CHECK_MISSING_HOST` is on as well.

use maltrail_core::event::Kind;

use crate::finding::Finding;
use crate::web::text::Url;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "missing_host";

const INFO: &str = "missing host header (suspicious)";

/// The finding for a request without the field; `url` has the server's address as its host.
pub(crate) fn finding(url: &Url) -> Finding<'static> {
    Finding::heuristic(NAME, Kind::Http, url.as_str().to_owned(), INFO)
}
