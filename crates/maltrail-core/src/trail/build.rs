//! Entries of all sources → the rows of a trail set.
//!
//! Sources come in stages ([`Stage`]); within a stage a later source replaces an earlier one as the
//! rules of `spec` trails §4 say, and the shipped lists (one stage) replace each other in the order
//! they are given. Keys are normalised first, so that twins of other spelling meet; what cannot be a
//! trail is refused and reported, one line at a time. The result is sorted by key: two builds of the
//! same input are identical byte for byte.
//!
//! Bounds: keys live in one arena addressed by 32 bits (4 GiB); references are at most 65,535.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};

use hashbrown::{DefaultHashBuilder, HashTable};
use regex::Regex;

use super::Whitelist;
use super::key::{KeyError, key_hash, leading_quad, may_hold_patterns, normalize};
use crate::addr::{NetworkSet, parse_ip};

/// Order of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A feed.
    Feed,
    /// The user's own files.
    Custom,
    /// The shipped lists.
    Static,
    /// The user's own lists elsewhere.
    RemoteCustom,
}

/// What decides about rows beside the sources.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// `IP_MINIMUM_FEEDS`.
    pub ip_minimum_feeds: u32,
    /// `DISABLED_TRAILS_INFO_REGEX`.
    pub disabled_info: Option<Regex>,
    /// Names and networks that never become trails.
    pub whitelist: Whitelist,
    /// Ranges whose addresses are dropped unless a sinkhole or parking page: bogons and CDNs.
    pub excluded: NetworkSet,
}

/// A source that was announced with [`TrailBuilder::source`].
#[derive(Clone, Copy, Debug)]
pub struct SourceId {
    info: u32,
    reference: u16,
    stage: Stage,
}

/// Why a row of the merged set is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// `DISABLED_TRAILS_INFO_REGEX` matches its info.
    DisabledInfo,
    /// A bare word of a feed.
    BareWord,
    /// An address that too few feeds list.
    TooFewFeeds,
    /// On the whitelist.
    Whitelisted,
    /// A loopback, private or otherwise unroutable address, or a CDN's.
    Excluded,
    /// The name `localhost`.
    Localhost,
}

/// One row of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: &'a str,
    /// Its label.
    pub info: &'a str,
    /// Its origin with the other lists that name it: `(static) (+blocklist.de)`.
    pub reference: &'a str,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u32,
    length: u16,
    reference: u16,
    info: u32,
}

/// Rows by key.
#[derive(Debug, Default)]
struct Table {
    arena: String,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// References of keys that were met more than once.
    met: HashMap<u32, BTreeSet<u16>>,
}

/// Collects entries, then yields rows.
#[derive(Debug, Default)]
pub struct TrailBuilder {
    options: BuildOptions,
    infos: Texts,
    references: Texts,
    /// Feeds and custom files, merged by rule in the order they come.
    front: Table,
    /// The shipped lists: the last one wins.
    statics: Table,
    remote: Table,
}

/// Interned texts.
#[derive(Debug, Default)]
struct Texts {
    texts: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Texts {
    fn id(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }

    fn get(&self, id: u32) -> &str {
        self.texts.get(id as usize).map_or("", String::as_str)
    }
}

impl Table {
    fn key(&self, entry: Entry) -> &str {
        let start = entry.offset as usize;
        self.arena
            .get(start..start + usize::from(entry.length))
            .unwrap_or_default()
    }

    fn find(&self, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&at| {
            self.entries
                .get(at as usize)
                .is_some_and(|&e| self.key(e) == key)
        });
        found.copied()
    }

    fn push(&mut self, key: &str, info: u32, reference: u16) -> Option<u32> {
        let at = u32::try_from(self.entries.len()).ok()?;
        let entry = Entry {
            offset: u32::try_from(self.arena.len()).ok()?,
            length: u16::try_from(key.len()).ok()?,
            reference,
            info,
        };
        let hash = self.hasher.hash_one(key);
        self.arena.push_str(key);
        self.entries.push(entry);
        let Self {
            arena,
            entries,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, at, |&at| {
            let text = entries.get(at as usize).and_then(|entry| {
                let start = entry.offset as usize;
                arena.get(start..start + usize::from(entry.length))
            });
            hasher.hash_one(text.unwrap_or_default())
        });
        Some(at)
    }

    /// Notes that a known key was met again.
    fn meet(&mut self, at: u32, reference: u16) {
        let old = self.entries.get(at as usize).map(|entry| entry.reference);
        if old == Some(reference) && !self.met.contains_key(&at) {
            return;
        }
        let references = self.met.entry(at).or_default();
        if references.is_empty() {
            references.extend(old);
        }
        references.insert(reference);
    }

    fn replace(&mut self, at: u32, info: u32, reference: u16) {
        if let Some(entry) = self.entries.get_mut(at as usize) {
            (entry.info, entry.reference) = (info, reference);
        }
    }
}

impl TrailBuilder {
    /// An empty set.
    pub fn new(options: BuildOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Announces a source: the label and origin of the entries that follow with its id.
    pub fn source(&mut self, info: &str, reference: &str, stage: Stage) -> SourceId {
        let reference = u16::try_from(self.references.id(reference)).unwrap_or(u16::MAX);
        SourceId {
            info: self.infos.id(info),
            reference,
            stage,
        }
    }

    /// Adds an entry (as [`super::line::entry`] cleans it); the [`key_hash`] of its key.
    ///
    /// # Errors
    /// Why it can never match; nothing is added then.
    pub fn add(&mut self, source: SourceId, entry: &str) -> Result<u64, KeyError> {
        let patterns = may_hold_patterns(self.references.get(u32::from(source.reference)));
        let key = normalize(entry, patterns)?;
        let hash = key_hash(&key);
        let SourceId {
            info,
            reference,
            stage,
        } = source;
        let table = match stage {
            Stage::Feed | Stage::Custom => &mut self.front,
            Stage::Static => &mut self.statics,
            Stage::RemoteCustom => &mut self.remote,
        };
        let Some(at) = table.find(&key) else {
            table.push(&key, info, reference);
            return Ok(hash);
        };
        if matches!(stage, Stage::Static | Stage::RemoteCustom) {
            table.replace(at, info, reference);
            return Ok(hash);
        }
        table.meet(at, reference);
        let old = table.entries.get(at as usize).copied();
        if old.is_some_and(|old| self.replaces((info, reference), (old.info, old.reference))) {
            self.front.replace(at, info, reference);
        }
        Ok(hash)
    }

    /// The rules 2 to 6 of `spec` trails §4.
    fn replaces(&self, new: (u32, u16), old: (u32, u16)) -> bool {
        const LOW: [&str; 10] = [
            "reputation",
            "attacker",
            "spammer",
            "abuser",
            "malicious",
            "dnspod",
            "nicru",
            "crawler",
            "compromised",
            "bad history",
        ];
        let info = self.infos.get(new.0);
        let own = |reference| {
            ["(static)", "(custom)"].contains(&self.references.get(u32::from(reference)))
        };
        if info.contains("mass scanner") || info.contains("ipinfo") {
            return true;
        }
        if own(new.1) && !info.contains("history") {
            return true;
        }
        !LOW.iter().any(|word| info.contains(word)) && !own(old.1)
    }

    /// Merges the stages.
    pub fn finish(mut self) -> Built {
        let front = std::mem::take(&mut self.front);
        let mut merged = std::mem::take(&mut self.statics);
        for (at, &entry) in front.entries.iter().enumerate() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let key = front.key(entry);
            let met = front.met.get(&at);
            let target = match merged.find(key) {
                None => merged.push(key, entry.info, entry.reference),
                Some(target) => {
                    let shipped = merged.entries.get(target as usize).copied();
                    merged.meet(target, entry.reference);
                    let keeps = shipped.is_some_and(|new| {
                        self.replaces((new.info, new.reference), (entry.info, entry.reference))
                    });
                    if !keeps {
                        merged.replace(target, entry.info, entry.reference);
                    }
                    Some(target)
                }
            };
            if let (Some(target), Some(met)) = (target, met) {
                merged.met.entry(target).or_default().extend(met);
            }
        }
        drop(front);
        self.merge_remote(&mut merged);
        self.rows(merged)
    }

    /// An entry of a custom or shipped list stays, a feed's is replaced; both keep a note of the other.
    fn merge_remote(&mut self, merged: &mut Table) {
        let remote = std::mem::take(&mut self.remote);
        for &entry in &remote.entries {
            let key = remote.key(entry);
            let Some(at) = merged.find(key) else {
                merged.push(key, entry.info, entry.reference);
                continue;
            };
            merged.meet(at, entry.reference);
            let old = merged
                .entries
                .get(at as usize)
                .map_or(0, |entry| entry.reference);
            if !may_hold_patterns(self.references.get(u32::from(old))) {
                merged.replace(at, entry.info, entry.reference);
            }
        }
    }

    fn rows(mut self, table: Table) -> Built {
        let mut dropped: BTreeMap<Dropped, usize> = BTreeMap::new();
        let mut kept = Vec::with_capacity(table.entries.len());
        for (at, &entry) in table.entries.iter().enumerate() {
            let met = u32::try_from(at).ok().and_then(|at| table.met.get(&at));
            match self.judge(table.key(entry), entry, met) {
                Ok(entry) => kept.push(entry),
                Err(reason) => *dropped.entry(reason).or_default() += 1,
            }
        }
        kept.sort_unstable_by(|left, right| table.key(*left).cmp(table.key(*right)));
        Built {
            infos: self.infos,
            references: self.references,
            arena: table.arena,
            entries: kept,
            dropped,
        }
    }

    /// `spec` trails §5 for one key: its final info and reference, or why it is dropped.
    fn judge(
        &mut self,
        key: &str,
        mut entry: Entry,
        met: Option<&BTreeSet<u16>>,
    ) -> Result<Entry, Dropped> {
        let info = self.infos.get(entry.info);
        if self
            .options
            .disabled_info
            .as_ref()
            .is_some_and(|regex| regex.is_match(info))
        {
            return Err(Dropped::DisabledInfo);
        }
        let own = may_hold_patterns(self.references.get(u32::from(entry.reference)));
        let bare = key.strip_prefix('.').unwrap_or(key);
        if !own && bare.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(Dropped::BareWord);
        }
        let blameless = info.contains("parking") || info.contains("sinkhole");
        let mut met = met.filter(|met| met.len() > 1);
        if key.parse::<Ipv4Addr>().is_ok() {
            let minimum = self.options.ip_minimum_feeds;
            let feeds = met.map_or(1, BTreeSet::len);
            if minimum > 1 && feeds < minimum as usize && !own {
                return Err(Dropped::TooFewFeeds);
            }
            if info.contains("parking site") || info.contains("sinkhole") {
                met = None;
            }
            if info == "malware" {
                entry.info = self.infos.id("potential malware site");
            }
        }
        if self.infos.get(entry.info) == "ransomware" {
            entry.info = self.infos.id("ransomware (malware)");
        }
        if self.options.whitelist.drops_trail(key) {
            return Err(Dropped::Whitelisted);
        }
        if key == "localhost"
            || key.ends_with(".localhost")
            || key.starts_with("localhost/")
            || key.starts_with("localhost:")
        {
            return Err(Dropped::Localhost);
        }
        if let Some(address) = leading_address(key) {
            // 127/8 and 192.168/16 never, the rest of the excluded ranges unless blameless.
            let never = matches!(address, IpAddr::V4(v4) if v4.is_loopback() || v4.octets().starts_with(&[192, 168]));
            if never || (!blameless && self.options.excluded.contains(address)) {
                return Err(Dropped::Excluded);
            }
        }
        if let Some(met) = met {
            entry.reference = self.joined(entry.reference, met);
        }
        Ok(entry)
    }

    /// `reference (+others)`, others sorted and joined by commas.
    fn joined(&mut self, own: u16, met: &BTreeSet<u16>) -> u16 {
        let mut others: Vec<&str> = met
            .iter()
            .filter(|&&id| id != own)
            .map(|&id| self.references.get(u32::from(id)))
            .collect();
        if others.is_empty() {
            return own;
        }
        others.sort_unstable();
        let text = format!(
            "{} (+{})",
            self.references.get(u32::from(own)),
            others.join(",")
        );
        u16::try_from(self.references.id(&text)).unwrap_or(own)
    }
}

/// The address that a key starts with, when it ends there or at `:`, `/` or a blank.
fn leading_address(key: &str) -> Option<IpAddr> {
    if key.starts_with(|first: char| first.is_ascii_digit())
        && let Some((quad, _)) = leading_quad(key)
    {
        return quad.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let inner = key
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(key);
    inner.contains(':').then(|| parse_ip(inner)).flatten()
}

/// The finished rows, sorted by key.
#[derive(Debug)]
pub struct Built {
    infos: Texts,
    references: Texts,
    arena: String,
    entries: Vec<Entry>,
    dropped: BTreeMap<Dropped, usize>,
}

impl Built {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Rows left out after the merge, by reason.
    pub const fn dropped(&self) -> &BTreeMap<Dropped, usize> {
        &self.dropped
    }

    /// The rows, sorted by key.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.entries.iter().map(|entry| {
            let start = entry.offset as usize;
            Row {
                key: self
                    .arena
                    .get(start..start + usize::from(entry.length))
                    .unwrap_or_default(),
                info: self.infos.get(entry.info),
                reference: self.references.get(u32::from(entry.reference)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(options: BuildOptions, entries: &[(&str, &str, Stage, &str)]) -> Vec<[String; 3]> {
        let mut builder = TrailBuilder::new(options);
        for (info, reference, stage, entry) in entries {
            let source = builder.source(info, reference, *stage);
            builder.add(source, entry).expect("entry");
        }
        builder
            .finish()
            .rows()
            .map(|row| [row.key.into(), row.info.into(), row.reference.into()])
            .collect()
    }

    use Stage::{Custom, Feed, RemoteCustom, Static};

    #[test]
    fn rows_are_sorted_and_twins_of_other_spelling_meet() {
        let rows = build(
            BuildOptions::default(),
            &[
                ("ek x (malicious)", "(static)", Static, "M4.biz"),
                ("b", "(static)", Static, "a.biz"),
                ("zeus (malware)", "(static)", Static, "m4.biz"),
            ],
        );
        assert_eq!(
            rows,
            [
                ["a.biz", "b", "(static)"],
                ["m4.biz", "zeus (malware)", "(static)"]
            ]
        );
    }

    #[test]
    fn a_low_priority_feed_never_replaces_and_all_references_are_kept() {
        let rows = build(
            BuildOptions::default(),
            &[
                ("foo (malware)", "abuse.ch", Feed, "dup.biz"),
                ("known attacker", "greensnow.co", Feed, "dup.biz"),
                ("mine", "(custom)", Custom, "own.biz"),
                ("foo", "b.example", Feed, "own.biz"),
                ("foo", "a.example", Feed, "own.biz"),
                ("zeus (malware)", "(static)", Static, "own.biz"),
            ],
        );
        assert_eq!(
            rows[0],
            ["dup.biz", "foo (malware)", "abuse.ch (+greensnow.co)"]
        );
        assert_eq!(
            rows[1],
            [
                "own.biz",
                "zeus (malware)",
                "(static) (+(custom),a.example,b.example)"
            ]
        );
    }

    #[test]
    fn remote_custom_replaces_feeds_only_and_both_are_noted() {
        let rows = build(
            BuildOptions::default(),
            &[
                ("zeus (malware)", "(static)", Static, "r7.biz"),
                ("x", "feed.example", Feed, "r8.biz"),
                ("blacklisted", "(remote custom)", RemoteCustom, "r7.biz"),
                ("blacklisted", "(remote custom)", RemoteCustom, "r8.biz"),
            ],
        );
        assert_eq!(
            rows[0],
            ["r7.biz", "zeus (malware)", "(static) (+(remote custom))"]
        );
        assert_eq!(
            rows[1],
            ["r8.biz", "blacklisted", "(remote custom) (+feed.example)"]
        );
    }

    #[test]
    fn single_feed_addresses_need_company() {
        let options = || BuildOptions {
            ip_minimum_feeds: 2,
            ..BuildOptions::default()
        };
        let once = build(
            options(),
            &[
                ("x", "a.example", Feed, "5.9.9.1"),
                ("x", "a.example", Feed, "5.9.9.1"),
                ("x", "a.example", Feed, "5.9.9.1:80"),
            ],
        );
        assert_eq!(once, [["5.9.9.1:80", "x", "a.example"]]);
        let twice = build(
            options(),
            &[
                ("x", "a.example", Feed, "5.9.9.1"),
                ("x", "b.example", Feed, "5.9.9.1"),
            ],
        );
        assert_eq!(twice, [["5.9.9.1", "x", "b.example (+a.example)"]]);
    }
}
