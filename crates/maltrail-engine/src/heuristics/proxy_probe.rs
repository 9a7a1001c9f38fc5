//! Somebody tries whether a web server is an open proxy: `GET http://…check…` sent to port 80.

use maltrail_core::event::Kind;
use maltrail_core::trail::Whitelist;

use crate::finding::Finding;
use crate::web::text::{Url, without_port};

/// Name in `DISABLED_HEURISTICS`.
pub(crate) const NAME: &str = "proxy_probe";

/// The port on which a server is no proxy.
const PORT: u16 = 80;
/// What the pages are called that tell a prober what they saw.
const WORDS: [&str; 4] = ["probe", "proxy", "echo", "check"];
const INFO: &str = "potential proxy probe (suspicious)";

/// The finding for an absolute `http://` target `url` sent to `port`.
pub(crate) fn check(
    whitelist: &Whitelist,
    port: Option<u16>,
    url: &Url,
) -> Option<Finding<'static>> {
    let named = WORDS.iter().any(|word| url.as_str().contains(word));
    if port != Some(PORT) || !named || whitelist.covers_name(url.host()) {
        return None;
    }
    let host = without_port(url.host()).trim_end_matches('.');
    let path = url.path();
    let rest = path.strip_prefix('/').unwrap_or(path);
    let trail = if rest.is_empty() {
        format!("http://{host}/")
    } else {
        format!("http://{host}/({rest})")
    };
    Some(Finding::heuristic(NAME, Kind::Http, trail, INFO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::text::Host;

    #[test]
    fn port_word_and_whitelist_decide() {
        let whitelist = Whitelist::parse(["google.com\n"]);
        for (port, host, path, wanted) in [
            (80, "a.com", "/check?x", Some("http://a.com/(check?x)")),
            (80, "proxy.a.com.", "/", Some("http://proxy.a.com/")),
            (80, "a.com", "/x", None),
            (8080, "a.com", "/check", None),
            (80, "check.google.com", "/", None),
        ] {
            let mut url = Url::default();
            url.set(Host::Sent(host.as_bytes()), path.as_bytes());
            let found = check(&whitelist, Some(port), &url).map(|finding| finding.trail);
            assert_eq!(found.as_deref(), wanted, "{host}{path}");
        }
    }
}
