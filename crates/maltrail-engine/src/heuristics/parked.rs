//! Names that nobody uses any more: they resolve to an address listed as a parking site.

use maltrail_core::event::Kind;
use maltrail_core::name::HostName;
use maltrail_core::trail::Trail;

use crate::finding::{Finding, name_and_tld};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "parked";

/// The finding for `name`, which resolves to an address with this row.
pub(crate) fn check(row: Trail<'_>, name: HostName<'_>) -> Option<Finding<'static>> {
    row.info.contains("parking").then(|| {
        Finding::heuristic(
            NAME,
            Kind::Dns,
            name_and_tld(name),
            "parked site (suspicious)",
        )
        .keyed(row.key.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_says_parking() {
        let name = HostName::new("old.site.com").unwrap();
        let mut row = Trail {
            key: "203.0.113.98",
            info: "parking site (suspicious)",
            reference: "r",
        };
        assert_eq!(
            check(row, name).map(|found| found.trail).as_deref(),
            Some("(old.site).com")
        );
        row.info = "park (suspicious)";
        assert_eq!(check(row, name), None);
    }
}
