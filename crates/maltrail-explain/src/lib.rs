//! Whether an indicator is reported, by which key, from which lists, and what hides it: the answer of `sensor
//! explain` and of `GET /api/v1/explain`, which is one.
//!
//! Lookups are those of the engine ([`maltrail_engine::lookup`]), whitelists are asked line by line, lists come
//! from the catalog. Nothing is changed by asking. Bounds: an indicator has at most [`INDICATOR_BYTES`], of a
//! network or an address at most [`SHOWN_ROWS`] rows are named.

mod facts;
mod render;

use std::net::IpAddr;

use maltrail_core::trail::TrailSet;
use maltrail_engine::lookup::{self, Match};
use maltrail_feeds::catalog::Listing;
pub use maltrail_feeds::explain::INDICATOR_BYTES;
use maltrail_feeds::explain::{Indicator, Line, Question, covering_line, host_of};

pub use facts::Facts;

/// Most rows of a network that are named.
const SHOWN_ROWS: usize = 20;

/// What is known about an indicator.
#[derive(Debug, Default)]
pub struct Answer {
    asked: String,
    kind: &'static str,
    hits: Vec<Hit>,
    hidden: Vec<Hidden>,
    /// Lists of keys that are not in the set.
    unused: Vec<Unused>,
    notes: Vec<String>,
    advice: Vec<String>,
}

/// A row that matches.
#[derive(Debug)]
struct Hit {
    found: Match,
    /// By what it was found: the name itself, a parent, a network, ...
    how: String,
    listings: Vec<Listing>,
}

/// What keeps a hit from being reported.
#[derive(Debug)]
struct Hidden {
    by: &'static str,
    line: Line,
}

/// A key that lists name and the set does not have.
#[derive(Debug)]
struct Unused {
    key: String,
    why: String,
    listings: Vec<Listing>,
}

impl Answer {
    /// Whether it is reported.
    pub fn is_flagged(&self) -> bool {
        !self.hits.is_empty() && self.hidden.is_empty()
    }

    /// The answer for a person.
    pub fn text(&self) -> String {
        render::text(self)
    }

    /// The answer as one object.
    pub fn json(&self) -> serde_json::Value {
        render::json(self)
    }

    /// The answer for somebody who must not see some rows (by label and reference): as if no list had them.
    /// Notes and advice, which may speak of them and of files, go too.
    pub fn without(mut self, hidden: impl Fn(&str, &str) -> bool) -> Self {
        let seen = |listing: &Listing| !hidden(&listing.info, &listing.reference);
        self.hits
            .retain(|hit| !hidden(&hit.found.info, &hit.found.reference));
        self.hits
            .iter_mut()
            .for_each(|hit| hit.listings.retain(seen));
        self.unused
            .iter_mut()
            .for_each(|unused| unused.listings.retain(seen));
        self.unused.retain(|unused| !unused.listings.is_empty());
        self.without_files()
    }

    /// The answer for somebody who has nothing to do with the files of the installation.
    pub fn without_files(mut self) -> Self {
        self.notes.clear();
        self.advice.clear();
        for hidden in &mut self.hidden {
            let name = hidden.line.file.rsplit('/').next().unwrap_or_default();
            hidden.line.file = name.to_owned();
        }
        self
    }
}

/// What is known about `indicator`.
///
/// # Errors
/// When the text is no indicator.
pub fn answer(facts: &Facts, indicator: &str) -> anyhow::Result<Answer> {
    let what = Indicator::parse(indicator).map_err(anyhow::Error::msg)?;
    let mut answer = Answer {
        asked: indicator.trim().to_owned(),
        kind: what.kind(),
        notes: facts.notes.clone(),
        ..Answer::default()
    };
    match &what {
        Indicator::Name(name) => about_name(facts, name, &mut answer),
        Indicator::Address(address, port) => about_address(facts, *address, *port, &mut answer),
        Indicator::Network(_) => about_network(facts, &what, &mut answer),
        Indicator::Url { scheme, host, path } => {
            about_url(facts, scheme, host, path, &mut answer);
        }
        Indicator::Path(path) => {
            let found = lookup::request(&facts.trails, "host.invalid", path);
            answer.hit(facts, found, "the path, at any host");
        }
        Indicator::Certificate(sha1) => {
            let found = lookup::certificate(&facts.trails, sha1);
            answer.hit(facts, found, "the SHA-1 of the server's certificate");
        }
        Indicator::Fingerprint(kind) => answer.notes.push(format!(
            "no list names {kind} fingerprints: only the SHA-1 of a TLS server's certificate is matched"
        )),
        Indicator::UserAgent(text) => {
            let found = lookup::agent(&facts.agents, text);
            let how = found.as_ref().map(|_| facts.agent_line(text));
            answer.hit(facts, found, &how.unwrap_or_default());
            if text.trim_end_matches('.').contains('.') && !text.contains([' ', '/']) {
                answer.notes.push("it is no name, address or URL, so it was taken for a user agent".into());
            }
        }
    }
    if answer.hits.is_empty() {
        unused(facts, &what, &mut answer);
    }
    advise(facts, &what, &mut answer);
    Ok(answer)
}

impl Answer {
    fn hit(&mut self, facts: &Facts, found: Option<Match>, how: &str) {
        let Some(found) = found else { return };
        if self.hits.iter().any(|hit| hit.found == found) {
            return;
        }
        let listings = facts.listings(&found.key);
        self.hits.push(Hit {
            listings,
            how: how.to_owned(),
            found,
        });
    }

    fn hide(&mut self, by: &'static str, line: Option<Line>) {
        self.hidden.extend(line.map(|line| Hidden { by, line }));
    }
}

fn about_name(facts: &Facts, name: &str, answer: &mut Answer) {
    let found = if name.contains('.') {
        lookup::name(&facts.trails, name)
    } else {
        let row = facts.trails.text(name);
        if row.is_some() {
            answer.notes.push(format!(
                "a bare label is never looked up by itself: every name below `.{name}` is reported"
            ));
        }
        row.and_then(|_| lookup::name(&facts.trails, &format!("x.{name}")))
    };
    if found.is_some() && lookup::is_site_name(name) {
        answer.notes.push(
            "DNS questions for names that end so are a site's own and are passed over; other protocols count".into(),
        );
    }
    let how = found
        .as_ref()
        .map_or_else(String::new, |found| how_named(name, found));
    answer.hit(facts, found, &how);
    answer.hide(
        "whitelist",
        covering_line(&facts.whitelists, Question::Name(name)),
    );
    answer.hide("ignore rule", facts.ignoring_name(name));
}

fn how_named(name: &str, found: &Match) -> String {
    if found.key == name {
        "the name itself".to_owned()
    } else if name
        .strip_suffix(found.key.as_str())
        .is_some_and(|front| front.ends_with('.'))
    {
        format!("its parent `{}`", found.key)
    } else if maltrail_core::trail::key::is_pattern(&found.key) {
        format!("the expression `{}`", found.key)
    } else {
        format!("`{}` inside it", found.key)
    }
}

fn about_address(facts: &Facts, address: IpAddr, port: Option<u16>, answer: &mut Answer) {
    if let Some(found) = lookup::address(&facts.trails, address, port) {
        let key = found.found.key.clone();
        let how = if key.contains('/') {
            format!("the network `{key}` that holds it")
        } else if port.is_some() && key == address.to_string() {
            "the address, with any port".to_owned()
        } else if port.is_some() {
            "the address and port".to_owned()
        } else {
            "the address itself".to_owned()
        };
        let directions = match (found.as_destination, found.as_source) {
            (true, true) => None,
            (true, false) => Some(
                "connections to it are reported, connections from it are not (its label says why)",
            ),
            (false, true) => Some(
                "connections from it are reported, connections to it are not (its label says why)",
            ),
            (false, false) => {
                Some("connections are not reported because of its label; DNS and other packets are")
            }
        };
        answer.notes.extend(directions.map(str::to_owned));
        answer.hit(facts, Some(found.found), &how);
    } else if port.is_none() {
        with_ports(&facts.trails, address, answer);
    }
    answer.hide(
        "whitelist",
        covering_line(&facts.whitelists, Question::Address(address)),
    );
    answer.hide("ignore rule", facts.ignoring_address(address, port));
}

/// Rows of this address with a port.
fn with_ports(trails: &TrailSet, address: IpAddr, answer: &mut Answer) {
    let ports: Vec<u16> = (1..=u16::MAX)
        .filter(|port| trails.ip_port(address, *port).is_some())
        .take(SHOWN_ROWS)
        .collect();
    if !ports.is_empty() {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        answer.notes.push(format!(
            "listed only with port {}: ask for `{}`",
            ports.join(", "),
            maltrail_core::addr::ip_port_text(address, ports[0].parse().unwrap_or_default())
        ));
    }
}

fn about_network(facts: &Facts, what: &Indicator, answer: &mut Answer) {
    let Indicator::Network(net) = what else {
        return;
    };
    let row = facts.trails.find(&net.to_string(), "").or_else(|| {
        let whole = facts.trails.net(net.network())?;
        let holder = maltrail_core::addr::parse_net(whole.key)?;
        holder.contains(net).then_some(whole)
    });
    if let Some(row) = row {
        let found = lookup::address(&facts.trails, net.network(), None).map(|found| found.found);
        let found = found
            .filter(|found| found.key == row.key)
            .unwrap_or_else(|| Match {
                kind: maltrail_core::event::Kind::Ip,
                shown: net.to_string(),
                key: row.key.to_owned(),
                info: row.info.to_owned(),
                reference: row.reference.to_owned(),
            });
        let how = if row.key == net.to_string() {
            "the network itself".to_owned()
        } else {
            format!("the network `{}` that holds it", row.key)
        };
        answer.hit(facts, Some(found), &how);
    }
    let inside = facts.trails.rows().filter(|row| {
        let address = maltrail_core::addr::parse_ip(row.key);
        address.is_some_and(|address| net.contains(&address))
    });
    match inside.count() {
        0 => {}
        count => answer
            .notes
            .push(format!("{count} single addresses in it are listed")),
    }
    answer.hide(
        "whitelist",
        covering_line(&facts.whitelists, Question::Address(net.network())),
    );
}

fn about_url(facts: &Facts, scheme: &str, host: &str, path: &str, answer: &mut Answer) {
    let bare = host_of(host);
    let encrypted = matches!(scheme, "https" | "wss" | "ftps");
    let request = lookup::request(&facts.trails, host, path);
    if encrypted {
        if request.is_some() {
            answer.notes.push(
                "its path is listed, but a path is not seen in an encrypted connection: only name and address count".into(),
            );
        }
    } else {
        let how = request.as_ref().map_or_else(String::new, |found| {
            if found.key.starts_with('/') {
                format!("the path `{}`, at any host", found.key)
            } else {
                format!("the URL `{}`", found.key)
            }
        });
        answer.hit(facts, request, &how);
    }
    if let Some(address) = maltrail_core::addr::parse_ip(bare) {
        let port = host
            .get(bare.len()..)
            .and_then(|rest| rest.rsplit(':').next())
            .and_then(|port| port.parse().ok());
        let port = port.or(match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        });
        about_address(facts, address, port, answer);
    } else {
        about_name(facts, bare, answer);
    }
}

/// Lists that name a key which the set does not have, and why it does not.
fn unused(facts: &Facts, what: &Indicator, answer: &mut Answer) {
    for key in what.keys() {
        let listings = facts.listings(&key);
        if listings.is_empty() {
            continue;
        }
        let why = facts.why_unused(&key, &listings);
        answer.unused.push(Unused { key, why, listings });
    }
}

/// What would have to change for the other answer.
fn advise(facts: &Facts, what: &Indicator, answer: &mut Answer) {
    let mut advice = Vec::new();
    // Where nothing is listed, a whitelist hides nothing yet.
    for hidden in answer.hidden.iter().filter(|_| !answer.hits.is_empty()) {
        let own = !hidden.line.file.starts_with("built-in");
        advice.push(if own {
            format!("to have it reported, take out {}:{}", hidden.line.file, hidden.line.line)
        } else {
            "the line is part of the program: names under it are only reported by a build without it".to_owned()
        });
    }
    if answer.is_flagged() {
        if let Some(hit) = answer.hits.first() {
            let white = match what {
                Indicator::Url { host, .. } => host_of(host).to_owned(),
                _ => hit.found.key.clone(),
            };
            advice.push(format!(
                "to have it not reported, put `{white}` into the file of USER_WHITELIST{}",
                facts
                    .user_whitelist
                    .as_ref()
                    .map_or_else(String::new, |path| format!(" ({path})"))
            ));
        }
    } else if answer.hits.is_empty()
        && let Some(key) = what.keys().into_iter().next()
        && answer.unused.is_empty()
    {
        advice.push(format!(
            "to have it reported, put `{key}` into a file of CUSTOM_TRAILS_DIR ({}) and run `sensor update`",
            facts.custom_dir
        ));
    }
    answer.advice = advice;
}

#[cfg(test)]
mod tests;
