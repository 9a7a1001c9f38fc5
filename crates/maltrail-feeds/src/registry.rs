//! The feeds, as data: `trails/feeds.toml`.

use serde::Deserialize;

use crate::embedded;

/// One feed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Name, as in `DISABLED_FEEDS`.
    pub name: String,
    /// Where its lists are.
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
    /// Value of that column.
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
    /// Every dotted quad, behind `prefix` when there is one.
    Quads,
    /// `address # Reason …`; the reason `scanning` is left out.
    Reputation,
    /// Rows `trail,info,reference`.
    Rows,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeps {
    /// Addresses, also with port, path or prefix length.
    Address,
    /// Host names.
    Name,
    /// Host names and addresses.
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
pub fn feeds() -> Result<Vec<Feed>, toml::de::Error> {
    #[derive(Deserialize)]
    struct File {
        feed: Vec<Feed>,
    }
    let mut feeds = toml::from_str::<File>(&embedded::feeds())?.feed;
    feeds.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(feeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_file_names_every_feed_of_the_specification() {
        let feeds = feeds().expect("valid");
        assert_eq!(feeds.len(), 42);
        for feed in &feeds {
            assert!(
                !feed.urls.is_empty() && feed.urls.iter().all(|url| url.starts_with("http")),
                "{}",
                feed.name
            );
            let columns = feed.format == Format::Columns;
            assert_eq!(
                columns,
                feed.separator.is_some() && feed.column.is_some(),
                "{}",
                feed.name
            );
        }
    }
}
