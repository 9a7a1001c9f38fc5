//! A program for a small device fetched from a bare address: `http://203.0.113.7/bins/arm7`.

use std::sync::LazyLock;

use maltrail_core::event::Kind;
use regex::Regex;

use crate::finding::Finding;
use crate::web::text::Url;

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "iot_download";

const INFO: &str = "potential iot-malware download (suspicious)";

/// A plain path whose last segment ends with the name of an architecture or the like.
const PATH: &str = r"(?x-u) \A [\w./-]* / [\w.]* \b (?:
    aarch | amd64 | arm(?:v?\d)? | arcle-750d | arcle-hs38 | exploit | m68k? | m[i1]ps\w{0,4} | mpsl\w?
    | pcc | powerpc | powerppc | ppc | pp-c | riscv\w{0,3} | root | s390\w? | sparc | x86 | x32 | x64
    | i\d{1,2} | i[3-6]86 | sh | wtf | yarn | zte ) \z";

static EXPRESSION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PATH).ok());

/// The finding for a request to a bare address.
pub(crate) fn check(url: &Url) -> Option<Finding<'static>> {
    let host = url.host();
    if !host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        || host.is_empty()
    {
        return None;
    }
    let matches = EXPRESSION.as_ref()?.is_match(url.path());
    matches.then(|| Finding::heuristic(NAME, Kind::Http, format!("({host}){}", url.path()), INFO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::text::Host;

    #[test]
    fn whole_names_at_the_end_count() {
        for (path, found) in [
            ("/arm", true),
            ("/bins/arm7", true),
            ("/armv5", true),
            ("/x.mipsel", true),
            ("/a-b/c.sh", true),
            ("/m68k", true),
            ("/i486", true),
            ("/alarm", false),
            ("/farm7", false),
            ("/arm77", false),
            ("/arm7?x", false),
            ("/arm7/x.html", false),
            ("/sh/", false),
            ("/mips12345", false),
        ] {
            let mut url = Url::default();
            url.set(Host::Sent(b"203.0.113.7"), path.as_bytes());
            assert_eq!(check(&url).is_some(), found, "{path}");
            url.set(Host::Sent(b"a.com"), path.as_bytes());
            assert_eq!(check(&url), None, "{path}");
        }
    }
}
