//! The feeds, as data: `trails/feeds.toml`, and the user's own file of the same form ([`own`]).

mod own;

use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use crate::embedded;
use crate::fetch::hex;
pub use own::{FeedsError, read};

/// One feed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Name, as in `DISABLED_FEEDS`.
    pub name: String,
    /// Where its lists are. `{key}` stands for the user's key.
    pub urls: Vec<String>,
    /// A later address stands in for an earlier one instead of adding to it.
    #[serde(default)]
    pub backup: bool,
    /// Text that the body must hold.
    #[serde(default)]
    pub marker: String,
    /// How the body is read.
    pub format: Format,
    /// What its entries may be.
    #[serde(default)]
    pub keeps: Keeps,
    /// Label of its entries; empty where the format gives one.
    #[serde(default)]
    pub info: String,
    /// Its name in events; empty where the format gives one.
    #[serde(default)]
    pub reference: String,
    /// Separator of columns.
    pub separator: Option<char>,
    /// Column of the entry, from 1.
    pub column: Option<usize>,
    /// Column of the label.
    pub info_column: Option<usize>,
    /// What follows the label of the column.
    #[serde(default)]
    pub info_suffix: String,
    /// The label where the column is empty.
    #[serde(default)]
    pub info_empty: String,
    /// Column that must be `only`.
    pub only_column: Option<usize>,
    /// Value of that column or field; `|` between several.
    #[serde(default)]
    pub only: String,
    /// Text that stands before each entry.
    #[serde(default)]
    pub prefix: String,
    /// URLs lose the slashes at their end.
    #[serde(default)]
    pub cut_slashes: bool,
    /// Lines without a scheme are no entries.
    #[serde(default)]
    pub needs_scheme: bool,
    /// Lines without a dot may be IPv6 addresses and networks.
    #[serde(default)]
    pub ipv6: bool,
    /// Path to the records of a JSON body: names, `[]` for each element, `*` for each member.
    #[serde(default)]
    pub records: String,
    /// Path to the entry within a record.
    #[serde(default)]
    pub field: String,
    /// Path to the label within a record.
    #[serde(default)]
    pub info_field: String,
    /// Path to the value that must be `only`.
    #[serde(default)]
    pub only_field: String,
    /// Expression with the group `trail`, and `info` if lines have labels.
    #[serde(default)]
    pub pattern: String,
    /// End of the name of the file in a zip archive; the first file otherwise.
    #[serde(default)]
    pub member: String,
    /// Largest body in bytes.
    pub max_bytes: Option<u64>,
    /// Licence or terms of its operator: a name or an address.
    #[serde(default)]
    pub terms: String,
    /// Page for people.
    #[serde(default)]
    pub home: String,
    /// Whether the user's key is needed.
    #[serde(default)]
    pub key: bool,
    /// Header with the key, unless it is part of the address.
    #[serde(default = "auth_key")]
    pub key_header: String,
    /// Shortest time between two questions in seconds.
    #[serde(default)]
    pub period: u64,
    /// Whether it is used without being asked for.
    #[serde(default = "yes")]
    pub default: bool,
    /// How far its entries can be trusted, 0 to 100.
    #[serde(default = "half")]
    pub confidence: u8,
    /// Whether its address was seen to answer when this file was written.
    #[serde(default)]
    pub checked: bool,
}

fn auth_key() -> String {
    "Auth-Key".to_owned()
}

const fn yes() -> bool {
    true
}

const fn half() -> u8 {
    50
}

impl Feed {
    /// The end of `AUTH_KEY_<FEED>`.
    pub fn key_name(&self) -> String {
        self.name.to_ascii_uppercase().replace('-', "_")
    }

    /// Digest of everything that decides what entries a body gives.
    pub fn recipe(&self, surroundings: &dyn fmt::Debug) -> String {
        let text = format!("{}\n{self:?}\n{surroundings:?}", env!("CARGO_PKG_VERSION"));
        hex(digest(&SHA256, text.as_bytes()).as_ref())
    }

    /// Whether a value of the column or field that decides is one of `only`.
    pub(crate) fn allows(&self, value: &str) -> bool {
        self.only.split('|').any(|only| only == value)
    }

    /// What makes the feed unusable, and what to do.
    pub fn fault(&self) -> Option<String> {
        let name_is_plain = !self.name.is_empty()
            && self.name.len() <= 64
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let fault = if !name_is_plain {
            "its name may have letters, digits, `_` and `-` only, up to 64"
        } else if self.urls.is_empty() || self.urls.iter().any(|url| !is_address(url)) {
            "`urls` must name one or more addresses that start with http:// or https://"
        } else if self.info.is_empty() && self.needs_info() {
            "give its entries a label: info = \"...\""
        } else if self.reference.is_empty()
            && !matches!(self.format, Format::Rows | Format::Archive)
        {
            "name it in events: reference = \"...\""
        } else if matches!(self.format, Format::Columns | Format::Csv)
            && (self.separator.is_none_or(|letter| !letter.is_ascii())
                || self.column.is_none_or(|column| column == 0))
        {
            "columns need separator = \",\" (one ASCII letter) and column = 1 or more"
        } else if self.format == Format::Regex && !self.has_pattern() {
            "pattern must be an expression with a group (?P<trail>...)"
        } else if self.confidence > 100 {
            "confidence is 0 to 100"
        } else {
            return None;
        };
        Some(fault.to_owned())
    }

    fn needs_info(&self) -> bool {
        let labels_itself = matches!(
            self.format,
            Format::Rows | Format::Sslbl | Format::Viriback | Format::Archive
        );
        let from_column = self.info_column.is_some() || !self.info_field.is_empty();
        !labels_itself && !from_column && !self.pattern.contains("<info>")
    }

    fn has_pattern(&self) -> bool {
        Regex::new(&self.pattern)
            .is_ok_and(|regex| regex.capture_names().flatten().any(|name| name == "trail"))
    }
}

fn is_address(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One entry a line.
    Lines,
    /// One URL a line.
    Urls,
    /// Columns with a separator.
    Columns,
    /// Columns with a separator; quotes may hold separators and line ends.
    Csv,
    /// Every dotted quad, behind `prefix` when there is one.
    Quads,
    /// `address # Reason …`; the reason `scanning` is left out.
    Reputation,
    /// Rows `trail,info,reference`.
    Rows,
    /// `0.0.0.0 name …`.
    Hosts,
    /// An expression for each line.
    Regex,
    /// Records of a JSON body.
    Json,
    /// One JSON record a line.
    Ndjson,
    /// A MISP feed: `manifest.json` and the files of its newest events.
    Misp,
    /// A STIX 2.1 bundle.
    Stix,
    /// A Suricata dataset: Base64 or plain, one a line.
    SuricataDataset,
    /// A response policy zone.
    Rpz,
    /// An archive in the layout of the public static list.
    Archive,
    /// JSON list of Tor relays.
    TorRelays,
    /// List of control panels with their hosts.
    CybercrimeTracker,
    /// Table of Atmos control hosts in HTML.
    Atmos,
    /// Names in Suricata rules about control servers.
    SuricataNames,
    /// CSV of certificate fingerprints.
    Sslbl,
    /// Index page and the newest configuration it names.
    Trickbot,
    /// CSV of control panels.
    Viriback,
}

/// What the entries of a feed may be; anything else is a sign of an error page and is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeps {
    /// Addresses, also with port, path or prefix length.
    Address,
    /// Host names.
    Name,
    /// Host names and addresses.
    #[default]
    NameOrAddress,
    /// URLs, hosts, addresses.
    Url,
    /// SHA-1 fingerprints.
    Certificate,
    /// Anything.
    Any,
}

/// The feeds of the product, by name.
///
/// # Errors
/// Never for the embedded file, which a test reads.
pub fn feeds() -> Result<Vec<Feed>, FeedsError> {
    static OURS: LazyLock<Result<Vec<Feed>, FeedsError>> =
        LazyLock::new(|| read(&embedded::feeds(), Path::new("feeds.toml")));
    OURS.clone()
}

/// The feeds of the product with the user's own: one of the same name replaces ours. A file that cannot be
/// used costs itself only; the reason is the second value.
pub fn all(own_file: Option<&Path>) -> (Vec<Feed>, Option<FeedsError>) {
    let mut feeds = feeds().unwrap_or_default();
    let own = match own_file.map(own::load) {
        None => return (feeds, None),
        Some(Ok(own)) => own,
        Some(Err(error)) => return (feeds, Some(error)),
    };
    feeds.retain(|feed| own.iter().all(|other| other.name != feed.name));
    feeds.extend(own);
    feeds.sort_by(|left, right| left.name.cmp(&right.name));
    (feeds, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The feeds of `spec` feeds.tsv.
    const REFERENCE: &str = "abuseipdb alienvault atmos badips binarydefense bitcoinnodes blackbook blackholemonster \
        blocklist botscout bruteforceblocker ciarmy cleantalk cybercrimetracker dataplane dshieldip \
        emergingthreatsbot emergingthreatscip emergingthreatsdns fareit feodotrackerip gpfcomics greensnow ipnoise \
        maxmind minerchk myip openphish policeman rutgers sblam scriptzteam socksproxy sslblcert sslproxies statics \
        torproject torprojectnodes trickbot turris urlhaus viriback";

    #[test]
    fn the_embedded_file_names_every_feed_of_the_specification() {
        let feeds = feeds().expect("valid");
        let missing: Vec<&str> = REFERENCE
            .split_whitespace()
            .filter(|name| feeds.iter().all(|feed| feed.name != *name))
            .collect();
        assert_eq!(missing, [] as [&str; 0]);
        assert_eq!(REFERENCE.split_whitespace().count(), 42);
    }

    #[test]
    fn every_feed_says_whose_it_is_and_on_what_terms() {
        for feed in feeds().expect("valid") {
            assert!(!feed.checked, "{}: nobody could", feed.name);
            assert!(!feed.terms.is_empty(), "{}: terms", feed.name);
            assert!(feed.home.starts_with("http"), "{}: home", feed.name);
            let in_url = feed.urls.iter().any(|url| url.contains("{key}"));
            assert!(
                feed.key || !in_url,
                "{}: a key without saying so",
                feed.name
            );
            // What needs a key, and what adds to the reference's lists without being asked, is off.
            let reference = REFERENCE.split_whitespace().any(|name| name == feed.name);
            if reference {
                assert!(feed.default && !feed.key, "{}", feed.name);
            }
        }
    }
}
