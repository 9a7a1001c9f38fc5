//! Answers of servers that took over the names of malware.

use std::sync::LazyLock;

use maltrail_core::event::Kind;
use regex::bytes::{Regex, RegexBuilder};

use crate::finding::Finding;
use crate::web::text::shown;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "sinkhole_response";

const INFO: &str = "sinkhole response (malware)";

/// Bytes of an answer that are examined.
pub(crate) const EXAMINED: usize = 2000;

/// One of these is in every answer that an expression below matches.
const HINTS: &str = r"[sz]inkhole|sinksoft|sinkdns|snkz=|bots party hard";

/// What such servers say, most telling first.
const WORDS: [&str; 12] = [
    r"^(?:X-Sinkhole|Server): (?:malware-?)?sinkhole",
    r"^(?:X-Sinkhole|X-Sinkholed|X-Sinkhole-Domain|X-Sinkholed-Domain|X-Zinkhole):",
    r"\bSinkholed? by ",
    r" a malware sinkhole",
    r"\bSinkhole(?: Project)?</title>",
    r"This is a sinkhole",
    r"bots party hard",
    r"computers connecting to this sinkhole",
    r" Sinkhole by ",
    r"^Set-Cookie: snkz=",
    r"^Server: Apache [\d.]+/SinkSoft",
    r"^Location:[^\r\n]*\.sinkdns\.org:80",
];

/// The compiled expressions.
static EXPRESSIONS: LazyLock<Option<(Regex, Regex)>> =
    LazyLock::new(|| Some((compile(HINTS)?, compile(&WORDS.join("|"))?)));

fn compile(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(true)
        .multi_line(true)
        .build()
        .ok()
}

/// The finding for a response.
pub(crate) fn check(response: &[u8]) -> Option<Finding<'static>> {
    let head = response.get(..EXAMINED).unwrap_or(response);
    let (hints, words) = EXPRESSIONS.as_ref()?;
    if !hints.is_match(head) {
        return None;
    }
    let said = words.find(head)?;
    Some(Finding::heuristic(
        NAME,
        Kind::Http,
        shown(said.as_bytes()),
        INFO,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_compile_and_each_has_a_hint() {
        let (hints, words) = EXPRESSIONS.as_ref().unwrap();
        for said in [
            "X-Sinkhole: malwaresinkhole",
            "X-Sinkholed-Domain:",
            "sinkholed by ",
            " a malware sinkhole",
            "sinkhole project</title>",
            "this is a sinkhole",
            "bots party hard",
            "computers connecting to this sinkhole",
            " sinkhole by ",
            "set-cookie: snkz=",
            "server: apache 2.2/sinksoft",
            "location: http://a.sinkdns.org:80",
        ] {
            assert!(hints.is_match(said.as_bytes()), "{said}");
            assert!(words.is_match(said.as_bytes()), "{said}");
        }
    }

    #[test]
    fn header_lines_count_at_their_start_only() {
        assert_eq!(check(b"HTTP/1.1 200 OK\r\nA: Server: sinkhole\r\n"), None);
        assert!(check(b"HTTP/1.1 200 OK\nserver: Sinkhole\n").is_some());
    }
}
