//! Attacks in the path or the body of a request: injections, traversals, scanners and their like.
//!
//! What has none of the characters and names of [`TRIGGERS`] is not examined. The rest is
//! percent-decoded and goes once through all expressions together; only what that pass lets through
//! is tried family by family. Text with `+` or a remaining `%` is decoded once more, `+` as a space.
//! Paths of [`EXEMPT_SEGMENTS`] and [`EXEMPT_PARTS`] are known to look alike and are left out.
//!
//! The expressions are data (`data/request_families.tsv`), compiled once per process.

use std::sync::LazyLock;

use maltrail_core::event::Kind;
use memchr::{memchr2, memmem};
use regex::bytes::{Regex, RegexBuilder};

use crate::finding::Finding;
use crate::web::text::{Plus, Url, decode, shown};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "suspicious_request";

/// The families with their expressions, in order.
const FAMILIES: &str = include_str!("data/request_families.tsv");

/// The family that concerns only what leaves.
const LEAKAGE: &str = "potential data leakage";

/// Segments of a path that make it exempt.
const EXEMPT_SEGMENTS: [&[u8]; 4] = [b"fql", b"yql", b"ads", b"gwx"];
/// Parts of a decoded path that make it exempt.
const EXEMPT_PARTS: [&[u8]; 7] = [
    b"../images/",
    b"../themes/",
    b"../design/",
    b"../scripts/",
    b"../assets/",
    b"../core/",
    b"../js/",
];

/// Without any of these there is nothing to examine.
const TRIGGERS: &str = r"[?= ']|\.\.|\.ht|wp-config\.php|w00tw00t|muieblackcat";

/// Most bytes of what was recognised that are said.
const MAX_SAID: usize = 128;

/// Size limit of a compiled expression; all of them together take less than a tenth.
const PROGRAM_BYTES: usize = 16 * 1024 * 1024;

/// The compiled expressions.
#[derive(Clone, Debug)]
pub(crate) struct Battery {
    triggers: Option<Regex>,
    any: Option<Regex>,
    families: Vec<(&'static str, Regex)>,
}

static BATTERY: LazyLock<Battery> = LazyLock::new(Battery::compile);

/// Buffers of an examination.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    once: Vec<u8>,
    twice: Vec<u8>,
}

impl Battery {
    /// The expressions, with search memory of its own: engines do not wait for each other.
    pub(crate) fn shared() -> Self {
        BATTERY.clone()
    }

    fn compile() -> Self {
        let mut families: Vec<(&'static str, String)> = Vec::new();
        for (family, expression) in rows() {
            match families.last_mut() {
                Some((last, all)) if *last == family => all.extend(["|", expression]),
                _ => families.push((family, expression.to_owned())),
            }
        }
        let all: Vec<&str> = families.iter().map(|(_, text)| text.as_str()).collect();
        Self {
            triggers: compile(TRIGGERS),
            any: compile(&all.join("|")),
            families: families
                .into_iter()
                .filter_map(|(family, text)| Some((family, compile(&text)?)))
                .collect(),
        }
    }

    /// What is suspicious in decoded text.
    fn family(&self, text: &[u8]) -> Option<Recognised> {
        let passes = |filter: &Option<Regex>| filter.as_ref().is_some_and(|r| r.is_match(text));
        if !passes(&self.triggers) || !passes(&self.any) {
            return None;
        }
        let mut families = self.families.iter();
        families.find_map(|(family, expression)| {
            let said = expression.find(text)?.as_bytes();
            Some(Recognised {
                family,
                said: shown(said.get(..MAX_SAID).unwrap_or(said)),
            })
        })
    }

    /// What is suspicious in text as sent.
    fn examine(&self, sent: &[u8], scratch: &mut Scratch) -> Option<Recognised> {
        let Scratch { once, twice } = scratch;
        decode(sent, Plus::Kept, once);
        self.family(once).or_else(|| {
            memchr2(b'+', b'%', once)?;
            decode(once, Plus::Space, twice);
            self.family(twice)
        })
    }
}

/// Family and expression of each line.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = FAMILIES.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t'))
}

/// `None` never happens for the expressions above; a test compiles them all.
fn compile(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .size_limit(PROGRAM_BYTES)
        .build()
        .ok()
}

/// A request as it is examined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Examined<'a> {
    /// Where it goes.
    pub(crate) url: &'a Url,
    /// The method.
    pub(crate) method: &'a str,
    /// The body, as sent, trimmed.
    pub(crate) body: &'a [u8],
    /// Whether it stays inside.
    pub(crate) local: bool,
}

/// The finding for a request, if its path or body looks like an attack.
pub(crate) fn check(
    battery: &Battery,
    request: Examined<'_>,
    scratch: &mut Scratch,
) -> Option<Finding<'static>> {
    let path = request.url.path().as_bytes();
    let by_path = battery
        .examine(path, scratch)
        .filter(|found| !(found.family == LEAKAGE && request.local));
    if let Some(found) = by_path {
        if exempt(path, scratch) {
            return None;
        }
        let url = request.url;
        let trail = format!("{}({})", url.host(), encoded(url.path()));
        return Some(found.finding(Kind::Url, trail));
    }
    if request.body.is_empty() {
        return None;
    }
    let found = battery.examine(request.body, scratch)?;
    if exempt(path, scratch) {
        return None;
    }
    let url = request.url;
    let body = shown(request.body);
    let trail = format!(
        "{}({} \\({} {}\\))",
        url.host(),
        encoded(url.path()),
        request.method,
        encoded(&body)
    );
    Some(found.finding(Kind::Http, trail))
}

/// A family, and the words that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recognised {
    family: &'static str,
    said: String,
}

impl Recognised {
    fn finding(self, kind: Kind, trail: String) -> Finding<'static> {
        let info = format!("{} (suspicious)", self.family);
        Finding::heuristic(NAME, kind, trail, info).keyed(self.said)
    }
}

/// Whether paths like this one are known to look like attacks.
fn exempt(path: &[u8], scratch: &mut Scratch) -> bool {
    decode(path, Plus::Kept, &mut scratch.once);
    let path = scratch.once.as_slice();
    let page = path.split(|&byte| byte == b'?').next().unwrap_or(path);
    let mut segments = page.split(|&byte| byte == b'/');
    segments.any(|segment| EXEMPT_SEGMENTS.contains(&segment))
        || EXEMPT_PARTS
            .iter()
            .any(|part| memmem::find(path, part).is_some())
}

/// Text without the characters that mean something in an event.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' => out.push_str("%28"),
            ')' => out.push_str("%29"),
            ' ' => out.push_str("%20"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::text::Host;

    #[test]
    fn every_expression_compiles_and_all_families_are_there_in_order() {
        for (family, expression) in rows() {
            assert!(compile(expression).is_some(), "{family}: {expression}");
        }
        let battery = Battery::shared();
        assert!(battery.triggers.is_some() && battery.any.is_some());
        let names: Vec<&str> = battery.families.iter().map(|(name, _)| *name).collect();
        let wanted = [
            "sql injection",
            "xml injection",
            "php injection",
            "ldap injection",
            "xss injection",
            "xxe injection",
            "ssti injection",
            "data leakage",
            "config file access",
            "remote code execution",
            "directory traversal",
            "web scan",
            "dns changer",
        ];
        assert_eq!(names.len(), wanted.len());
        for (name, wanted) in names.iter().zip(wanted) {
            assert!(name.ends_with(wanted), "{name}");
        }
    }

    #[track_caller]
    fn family(path: &str, wanted: Option<&str>) {
        let mut url = Url::default();
        url.set(Host::Sent(b"a.com"), path.as_bytes());
        let request = Examined {
            url: &url,
            method: "GET",
            body: b"",
            local: false,
        };
        let found = check(&Battery::shared(), request, &mut Scratch::default());
        let info = found.map(|finding| finding.info.into_owned());
        assert_eq!(info.as_deref(), wanted, "{path}");
    }

    #[test]
    fn disguises_are_seen_through() {
        let sql = Some("potential sql injection (suspicious)");
        family("/a?q=1+union+select+2", sql);
        family("/a?q=1%2520union%2520select", sql);
        family("/a?q=1%252bunion", None);
        family("/a%3fq=sleep(5)", sql);
    }

    #[test]
    fn whole_segments_make_a_path_exempt() {
        let sql = Some("potential sql injection (suspicious)");
        family("/uploads/a?q=sleep(5)", sql);
        family("/x/ads/a?q=sleep(5)", None);
        family("/x?ads/a?q=sleep(5)", sql);
        family("/fql?q=sleep(5)", None);
    }

    #[test]
    fn ordinary_requests_are_left_alone() {
        for path in [
            "/",
            "/search?q=order+of+the+phoenix&sort=asc",
            "/a?id=or+1",
            "/watch?v=dQw4w9WgXcQ&list=PL1",
            "/oauth?redirect_uri=https%3A%2F%2Fa.com%2Fcb%3Fx%3D1&state=%7B%7D",
            "/static/../img/x.png",
            "/collect?mac=1&sid=2",
            "/q?text=cats+and+dogs+or+2+birds",
        ] {
            family(path, None);
        }
    }
}
