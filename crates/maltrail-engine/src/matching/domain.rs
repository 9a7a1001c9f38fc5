//! Names against name trails: at most one finding a name.
//!
//! Steps, the first that finds ends the search:
//!
//! 1. `<name>.ip-adress.com`, a page about `<name>`;
//! 2. the name and each of its parents;
//! 3. [`long_domain`];
//! 4. expressions;
//! 5. `<x>.onion.<gateway>`, a gateway to a hidden service.
//!
//! A whitelisted name has no finding. The whitelist is asked last, when there is something to
//! report, as that is rare and the result is the same.

use maltrail_core::event::Kind;
use maltrail_core::name::HostName;
use maltrail_core::trail::{Trail, TrailSet, Whitelist};

use super::inner_label;
use crate::finding::{Finding, parent_of};
use crate::heuristics::{Enabled, long_domain};

/// Pages about other names: what stands before is what was looked at.
const ABOUT: &str = ".ip-adress.com";
/// A hidden service named inside another name.
const ONION: &str = "onion.";

/// Labels of infrastructure: such a host of a suspicious zone is asked for by every resolver.
const INFRASTRUCTURE: [&str; 7] = ["ns", "rns", "rdns", "dns", "nf", "mx", "nic"];

/// What is known about `name`.
#[inline]
pub(crate) fn check<'a>(
    trails: &'a TrailSet,
    whitelist: &Whitelist,
    enabled: Enabled,
    name: HostName<'_>,
) -> Option<Finding<'a>> {
    if name.is_numeric() {
        return None;
    }
    about(trails, name)
        .or_else(|| listed(trails, name))
        .or_else(|| enabled.long_domain.then(|| long_domain::check(name))?)
        .or_else(|| expression(trails, name))
        .or_else(|| onion_gateway(trails, name))
        .filter(|_| !whitelist.covers_name(name.as_str()))
}

fn finding<'a>(row: Trail<'a>, trail: String) -> Finding<'a> {
    Finding::listed(Kind::Dns, trail, row)
}

fn about<'a>(trails: &'a TrailSet, name: HostName<'_>) -> Option<Finding<'a>> {
    let subject = name.as_str().strip_suffix(ABOUT)?;
    let row = trails.text(subject)?;
    Some(finding(row, format!("{subject}({ABOUT})")))
}

#[inline]
fn listed<'a>(trails: &'a TrailSet, name: HostName<'_>) -> Option<Finding<'a>> {
    let accept = |start, row: Trail<'_>| {
        !is_infrastructure_of(name, row.info) && !is_front_page_of(name, start, row.info)
    };
    let (start, row) = trails.name_or_parent(name.as_str(), accept)?;
    Some(finding(row, parent_of(name.as_str(), start)))
}

/// Whether `name` is a name server or the like of a zone whose row has this info.
fn is_infrastructure_of(name: HostName<'_>, info: &str) -> bool {
    (info.contains("suspicious") || info.contains("sinkhole"))
        && INFRASTRUCTURE.contains(
            &name
                .first_label()
                .trim_end_matches(|c: char| c.is_ascii_digit()),
        )
}

/// Whether `name` is the provider's own page, and the row is about what its customers host there.
fn is_front_page_of(name: HostName<'_>, start: usize, info: &str) -> bool {
    (start == 0 || name.first_label() == "www")
        && (info.contains("dynamic") || info.contains("free web"))
}

fn expression<'a>(trails: &'a TrailSet, name: HostName<'_>) -> Option<Finding<'a>> {
    let text = name.as_str();
    let (hit, row) = trails.pattern(text)?;
    let part = |range| text.get(range).unwrap_or_default();
    let (before, after) = (part(0..hit.start), part(hit.end..text.len()));
    let mut trail = String::with_capacity(text.len() + 4);
    if !before.is_empty() {
        trail.extend(["(", before, ")"]);
    }
    trail.push_str(part(hit.start..hit.end));
    if !after.is_empty() {
        trail.extend(["(", after, ")"]);
    }
    Some(finding(row, trail.replace(".)", ").")))
}

fn onion_gateway<'a>(trails: &'a TrailSet, name: HostName<'_>) -> Option<Finding<'a>> {
    let text = name.as_str();
    let start = inner_label(text, ONION)?;
    let end = start + ONION.len() - 1;
    let (service, gateway) = (text.get(..end)?, text.get(end..)?);
    let row = trails.text(service)?;
    Some(finding(row, format!("{service}({gateway})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: Enabled = Enabled {
        long_domain: true,
        ..Enabled::OFF
    };

    #[track_caller]
    fn check(rows: &str, name: &str, wanted: Option<&str>) {
        check_with(ON, "google.com\n", rows, name, wanted);
    }

    #[track_caller]
    fn check_with(enabled: Enabled, white: &str, rows: &str, name: &str, wanted: Option<&str>) {
        let trails = TrailSet::from_csv(rows.as_bytes(), Whitelist::default(), true).unwrap();
        let whitelist = Whitelist::parse([white]);
        let host = HostName::new(name).unwrap();
        let found = super::check(&trails, &whitelist, enabled, host);
        let found = found.map(|finding| {
            assert_eq!(finding.kind, Kind::Dns);
            format!("{} | {}", finding.trail, finding.info)
        });
        assert_eq!(found.as_deref(), wanted, "{rows}: {name}");
    }

    #[test]
    fn the_longest_listed_parent_wins_down_to_the_last_label() {
        let rows = "evil.com,one,r\nb.evil.com,two,r\nzzbad,tld,r\n";
        check(rows, "evil.com", Some("evil.com | one"));
        check(rows, "a.b.evil.com", Some("(a).b.evil.com | two"));
        check(rows, "a.c.evil.com", Some("(a.c).evil.com | one"));
        check(rows, "shop.zzbad", Some("(shop).zzbad | tld"));
        check(rows, "notevil.com", None);
        check(rows, "evil.com.br", None);
    }

    #[test]
    fn numbers_are_no_names() {
        check("1.2.3.4,x,r\n4,y,r\n", "1.2.3.4", None);
        check("4x,y,r\n", "1.2.3.4x", Some("(1.2.3).4x | y"));
    }

    #[test]
    fn whitelisted_names_and_their_children_have_no_finding() {
        check("google.com,x,r\na.google.com,y,r\n", "b.a.google.com", None);
        check("", "abcdefghijklmnopqrstuvwxy.google.com", None);
        check(
            "notgoogle.com,x,r\n",
            "notgoogle.com",
            Some("notgoogle.com | x"),
        );
    }

    #[test]
    fn infrastructure_of_a_suspicious_zone_is_passed_over() {
        for label in [
            "ns", "ns1", "rns2", "rdns", "rdns12", "dns", "nf3", "mx10", "nic",
        ] {
            let name = format!("{label}.evil.com");
            check("evil.com,x (suspicious),r\n", &name, None);
            check("evil.com,sinkhole abc,r\n", &name, None);
            let wanted = format!("({label}).evil.com | x (malware)");
            check("evil.com,x (malware),r\n", &name, Some(&wanted));
        }
        let rows = "evil.com,x (suspicious),r\n";
        check(
            rows,
            "nsx.evil.com",
            Some("(nsx).evil.com | x (suspicious)"),
        );
        check(rows, "1.evil.com", Some("(1).evil.com | x (suspicious)"));
    }

    #[test]
    fn a_row_passed_over_leaves_its_parents_to_be_tried() {
        let rows = "a.evil.com,x (suspicious),r\nevil.com,y (malware),r\n";
        check(
            rows,
            "ns1.a.evil.com",
            Some("(ns1.a).evil.com | y (malware)"),
        );
        let rows = "dyn.com,dynamic domain,r\ncom,all of it,r\n";
        check(rows, "dyn.com", Some("(dyn).com | all of it"));
    }

    #[test]
    fn front_pages_of_providers_are_passed_over() {
        for info in [
            "dynamic domain (suspicious)",
            "free web hosting (suspicious)",
        ] {
            let rows = format!("dyn.com,{info},r\n");
            check(&rows, "dyn.com", None);
            check(&rows, "www.dyn.com", None);
            check(&rows, "www.bad.dyn.com", None);
            check(
                &rows,
                "bad.dyn.com",
                Some(&format!("(bad).dyn.com | {info}")),
            );
        }
    }

    #[test]
    fn pages_about_a_listed_name() {
        let rows = "evil.com,x,r\n";
        check(
            rows,
            "evil.com.ip-adress.com",
            Some("evil.com(.ip-adress.com) | x"),
        );
        check(rows, "www.evil.com.ip-adress.com", None);
        // The subject comes before the name's own parents.
        let rows = "evil.com,x,r\nip-adress.com,y,r\n";
        check(
            rows,
            "evil.com.ip-adress.com",
            Some("evil.com(.ip-adress.com) | x"),
        );
        check(
            rows,
            "a.com.ip-adress.com",
            Some("(a.com).ip-adress.com | y"),
        );
    }

    #[test]
    fn a_long_name_comes_after_trails_and_before_expressions() {
        let name = "abcdefghijklmnopqrstuvwxy.host.com";
        let long = Some("(abcdefghijklmnopqrstuvwxy).host.com | long domain (suspicious)");
        check("", name, long);
        check(
            "host.com,x,r\n",
            name,
            Some("(abcdefghijklmnopqrstuvwxy).host.com | x"),
        );
        let pattern = "ho[a-z]+\\.com,x,(static)\n";
        check(pattern, name, long);
        let off = Enabled::OFF;
        check_with(off, "", "", name, None);
        let wanted = Some("(abcdefghijklmnopqrstuvwxy).host.com | x");
        check_with(off, "", pattern, name, wanted);
    }

    #[test]
    fn expressions_show_what_they_matched() {
        let rows = "dga[0-9]+\\.bad\\.com,x,(static)\n";
        check(rows, "dga12.bad.com", Some("dga12.bad.com | x"));
        check(rows, "w.dga12.bad.com", Some("(w).dga12.bad.com | x"));
        check(
            rows,
            "w.dga12.bad.com.a.net",
            Some("(w).dga12.bad.com(.a.net) | x"),
        );
        check(rows, "dgax.bad.com", None);
        check(rows, "xdga1.bad.com", Some("(x)dga1.bad.com | x"));
    }

    #[test]
    fn gateways_to_hidden_services() {
        let rows = "abc.onion,c2,r\n";
        check(rows, "abc.onion.to", Some("abc.onion(.to) | c2"));
        check(
            rows,
            "abc.onion.link.net",
            Some("abc.onion(.link.net) | c2"),
        );
        check(rows, "abc.onion", Some("abc.onion | c2"));
        check(rows, "zzz.onion.to", None);
        check(rows, "abc.onions.to", None);
        check(
            "onion.to,x,r\nabc.onion,c2,r\n",
            "abc.onion.to",
            Some("(abc).onion.to | x"),
        );
    }
}
