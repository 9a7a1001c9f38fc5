//! Names that somebody took over: they resolve to an address listed as a sinkhole.

use std::borrow::Cow;

use maltrail_core::event::Kind;
use maltrail_core::name::HostName;
use maltrail_core::trail::Trail;

use crate::finding::{Finding, name_and_tld};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "sinkhole";

/// The finding for `name`, which resolves to an address with this row. Rows of sinkholes say whose
/// they are in their second word.
pub(crate) fn check(row: Trail<'_>, name: HostName<'_>) -> Option<Finding<'static>> {
    if !row.info.contains("sinkhole") {
        return None;
    }
    let info = match row.info.split_whitespace().nth(1) {
        Some(owner) => Cow::Owned(format!("sinkholed by {owner} (malware)")),
        None => Cow::Borrowed("sinkholed (malware)"),
    };
    Some(Finding::heuristic(NAME, Kind::Dns, name_and_tld(name), info).keyed(row.key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(of: &str) -> Option<String> {
        let row = Trail {
            key: "203.0.113.99",
            info: of,
            reference: "r",
        };
        let found = check(row, HostName::new("www.evil.com").unwrap())?;
        assert_eq!(found.trail, "(www.evil).com");
        Some(found.info.into_owned())
    }

    #[test]
    fn the_owner_is_the_second_word() {
        let wanted = Some("sinkholed by abuse.ch (malware)".to_owned());
        assert_eq!(info("sinkhole abuse.ch (malware)"), wanted);
        assert_eq!(info("sinkhole  abuse.ch"), wanted);
        assert_eq!(info("sinkhole").as_deref(), Some("sinkholed (malware)"));
        assert_eq!(info("parking site (suspicious)"), None);
        assert_eq!(info(""), None);
    }
}
