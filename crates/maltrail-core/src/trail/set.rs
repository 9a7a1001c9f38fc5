//! The trail set: every lookup that detection needs.
//!
//! A lookup by address is by number, by text is by a hash that runs from the right, so one pass over
//! a name gives the hash of each of its parents. A bitmap of a few MB answers most misses; only a
//! probable hit touches the tables. Nothing is allocated by a lookup.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::image::{Image, ImageError, MAX_PROBES, Section, read_u16, read_u32, read_u128};
use super::layout::TrailSetBuilder;
use super::nets::{Nets, net_order};
use super::origin::Origin;
use super::pattern::{PatternHit, PatternReport, Patterns};
use super::{Key, Trail, Whitelist, csv};

/// An immutable set of trails.
#[derive(Debug)]
pub struct TrailSet {
    image: Image,
    patterns: Patterns,
    nets: Nets,
    report: SetReport,
}

/// What was met while the set was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetReport {
    /// Rows of the set.
    pub rows: usize,
    /// Rows skipped because they have not exactly three columns.
    pub malformed: usize,
    /// Rows dropped because they are whitelisted.
    pub whitelisted: usize,
    /// Rows that a later row with the same key replaced.
    pub repeated: usize,
    /// Addresses.
    pub addresses: usize,
    /// Addresses with a port.
    pub address_ports: usize,
    /// Networks.
    pub networks: usize,
    /// Certificates.
    pub certificates: usize,
    /// Names, URLs and paths.
    pub texts: usize,
    /// What became of the expressions.
    pub patterns: PatternReport,
}

/// Port column of an address without a port.
pub(super) const NO_PORT: u32 = u32::MAX;

impl TrailSet {
    /// An empty set.
    ///
    /// # Errors
    /// Never in practice; as [`TrailSetBuilder::finish`].
    pub fn empty() -> Result<Self, ImageError> {
        TrailSetBuilder::new(Whitelist::default()).finish(true)
    }

    /// Reads `trails.csv`.
    ///
    /// # Errors
    /// Those of the input.
    pub fn from_csv(input: impl io::Read, whitelist: Whitelist, repair: bool) -> io::Result<Self> {
        let mut builder = TrailSetBuilder::new(whitelist);
        let counts = csv::read(input, |key, info, reference| {
            builder.push(key, info, reference)
        })?;
        builder.count_malformed(counts.malformed);
        builder.finish(repair).map_err(io::Error::other)
    }

    /// Maps an image file that [`TrailSetBuilder::write`] made. With `origin`, only one of that origin.
    ///
    /// # Errors
    /// When there is none, or it is damaged, of another format or of another origin.
    pub fn open(path: &Path, origin: Option<&Origin>, repair: bool) -> Result<Self, ImageError> {
        let (image, report, made_from) = Image::open(path)?;
        if origin.is_some_and(|origin| *origin != made_from) {
            return Err(ImageError::Stale);
        }
        Ok(Self::over(image, report, repair))
    }

    /// A set over these bytes, whatever their checksums say: for fuzzing only.
    ///
    /// # Errors
    /// When the bounds of a section are wrong.
    #[doc(hidden)]
    pub fn of_image_bytes(bytes: Vec<u8>) -> Result<Self, ImageError> {
        let (image, report) = Image::sealed(bytes)?;
        Ok(Self::over(image, report, true))
    }

    /// Number of rows.
    pub const fn len(&self) -> usize {
        self.report.rows
    }

    /// Whether there is no row.
    pub const fn is_empty(&self) -> bool {
        self.report.rows == 0
    }

    /// Size in memory, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.image.len()
    }

    /// What was met while the set was made.
    pub const fn report(&self) -> &SetReport {
        &self.report
    }

    /// The row of this address; a network that holds it when it is not listed itself.
    pub fn ip(&self, address: IpAddr) -> Option<Trail<'_>> {
        let row = match address {
            IpAddr::V4(v4) => self.v4(u32::from(v4)),
            IpAddr::V6(v6) => self.v6(u128::from(v6), NO_PORT),
        };
        row.and_then(|row| self.trail(row))
            .or_else(|| self.net(address))
    }

    /// The row of this address and port.
    pub fn ip_port(&self, address: IpAddr, port: u16) -> Option<Trail<'_>> {
        let row = match address {
            IpAddr::V4(v4) => self.v4_port(u32::from(v4), port),
            IpAddr::V6(v6) => self.v6(u128::from(v6), u32::from(port)),
        };
        row.and_then(|row| self.trail(row))
    }

    /// The row of the longest listed network that holds this address.
    pub fn net(&self, address: IpAddr) -> Option<Trail<'_>> {
        self.nets
            .find(&self.image, address)
            .and_then(|row| self.trail(row))
    }

    /// The row of exactly this network.
    fn exact_net(&self, wanted: IpNet) -> Option<Trail<'_>> {
        let records = self.image.section(Section::Nets).as_chunks::<24>().0;
        let (family, _, first) = net_order(&wanted);
        let record = records.iter().find(|record| {
            (record[0], record[1]) == (family, wanted.prefix_len())
                && read_u128(record.as_slice(), 4) == Some(first)
        })?;
        read_u32(record.as_slice(), 20).and_then(|row| self.trail(row))
    }

    /// The row whose key is exactly this text: a name, URL or path in lower case.
    pub fn text(&self, key: &str) -> Option<Trail<'_>> {
        self.probe_text(mix(hash_from_right(key.as_bytes())), key)
    }

    /// The row of `text` without its first `start` bytes, else that of the whole; each by its key. One
    /// pass gives both hashes.
    pub fn text_or_longer(&self, start: usize, text: &str) -> Option<Trail<'_>> {
        let (front, key) = text.split_at_checked(start)?;
        let hash = hash_from_right(key.as_bytes());
        self.probe_text(mix(hash), key).or_else(|| {
            let hash = front.bytes().rev().fold(hash, step);
            self.probe_text(mix(hash), text)
        })
    }

    /// The first of `name` and its parents (longest first, down to the last label) that is listed
    /// and that `accept(start of the parent in name, row)` takes.
    pub fn name_or_parent<'a>(
        &'a self,
        name: &str,
        mut accept: impl FnMut(usize, Trail<'a>) -> bool,
    ) -> Option<(usize, Trail<'a>)> {
        // Suffixes that the filter lets pass, shortest first. Nearly always there is none.
        let filter = self.image.section(Section::TextFilter);
        let mut likely = [(0u16, 0u64); LIKELY_SUFFIXES];
        let mut count = 0;
        let mut note = |start: usize, hash: u64| {
            let mixed = mix(hash);
            if may_contain(filter, mixed) {
                if let Some(slot) = likely.get_mut(count) {
                    *slot = (u16::try_from(start).unwrap_or(u16::MAX), mixed);
                }
                count += 1;
            }
        };
        let mut hash = HASH_SEED;
        for (at, &byte) in name.as_bytes().iter().enumerate().rev() {
            if byte == b'.' {
                note(at + 1, hash);
            }
            hash = step(hash, byte);
        }
        note(0, hash);
        let Some(likely) = likely.get(..count) else {
            return self.each_suffix(name, accept);
        };
        for &(start, mixed) in likely.iter().rev() {
            let start = usize::from(start);
            if let Some(trail) = self.probe_text(mixed, name.get(start..)?)
                && accept(start, trail)
            {
                return Some((start, trail));
            }
        }
        None
    }

    /// [`TrailSet::name_or_parent`] for names of which the filter lets many suffixes pass.
    #[cold]
    fn each_suffix<'a>(
        &'a self,
        name: &str,
        mut accept: impl FnMut(usize, Trail<'a>) -> bool,
    ) -> Option<(usize, Trail<'a>)> {
        crate::name::suffix_starts(name).find_map(|start| {
            let trail = self.text(name.get(start..)?)?;
            accept(start, trail).then_some((start, trail))
        })
    }

    /// The leftmost match of any expression in `name`, with its row.
    pub fn pattern(&self, name: &str) -> Option<(PatternHit, Trail<'_>)> {
        let hit = self.patterns.find(name)?;
        self.trail(hit.row).map(|trail| (hit, trail))
    }

    /// The row of a certificate by its SHA-1.
    pub fn certificate(&self, sha1: &[u8; 20]) -> Option<Trail<'_>> {
        let records = self.image.section(Section::Certs);
        let count = self.image.count(Section::Certs);
        let at = search(0, count, |at| {
            records
                .get(at * 24..at * 24 + 20)
                .map(|digest| digest.cmp(sha1.as_slice()))
        })?;
        read_u32(records, at * 24 + 20).and_then(|row| self.trail(row))
    }

    /// The row that a key's own text finds, by the lookup of its kind. For tests, `explain` and
    /// checks of a whole set.
    pub fn find(&self, key: &str, reference: &str) -> Option<Trail<'_>> {
        match Key::of(key, reference) {
            Key::Ip(address) => self.ip(address),
            Key::IpPort(address, port) => self.ip_port(address, port),
            Key::Net(net) => self.exact_net(net),
            Key::Cert(digest) => self.certificate(&digest),
            Key::Text(text) => self.text(text),
            Key::Pattern(text) => {
                let rows = self.image.section(Section::Patterns);
                let count = self.image.count(Section::Patterns);
                (0..count)
                    .filter_map(|at| read_u32(rows, at * 4))
                    .filter_map(|row| self.trail(row))
                    .find(|trail| trail.key == text)
            }
        }
    }

    /// All rows, in file order. Rows that a later one replaced are among them.
    pub fn rows(&self) -> impl Iterator<Item = Trail<'_>> {
        (0..self.image.count(Section::Rows)).filter_map(|row| self.trail(u32::try_from(row).ok()?))
    }

    fn trail(&self, row: u32) -> Option<Trail<'_>> {
        let rows = self.image.section(Section::Rows);
        let at = (row as usize).checked_mul(16)?;
        let start = read_u32(rows, at)? as usize;
        let end = start + usize::from(read_u16(rows, at + 4)?);
        Some(Trail {
            key: std::str::from_utf8(self.image.section(Section::Keys).get(start..end)?).ok()?,
            reference: self.image.text(
                Section::References,
                Section::ReferenceText,
                u32::from(read_u16(rows, at + 6)?),
            ),
            info: self
                .image
                .text(Section::Infos, Section::InfoText, read_u32(rows, at + 8)?),
        })
    }

    fn probe_text(&self, mixed: u64, key: &str) -> Option<Trail<'_>> {
        if !may_contain(self.image.section(Section::TextFilter), mixed) {
            return None;
        }
        let table = self.image.section(Section::TextTable);
        let fingerprint = fingerprint(mixed);
        probe(table, 8, mixed, |at| {
            let row = read_u32(table, at + 4)?.checked_sub(1)?;
            Some(
                (read_u32(table, at)? == fingerprint)
                    .then(|| self.trail(row).filter(|trail| trail.key == key))
                    .flatten(),
            )
        })
    }

    fn v4(&self, address: u32) -> Option<u32> {
        let mixed = mix(u64::from(address));
        if !may_contain(self.image.section(Section::V4Filter), mixed) {
            return None;
        }
        let table = self.image.section(Section::V4);
        probe(table, 8, mixed, |at| {
            let row = read_u32(table, at + 4)?.checked_sub(1)?;
            Some((read_u32(table, at)? == address).then_some(row))
        })
    }

    fn v4_port(&self, address: u32, port: u16) -> Option<u32> {
        let mixed = mix(v4_port_hash(address, port));
        if !may_contain(self.image.section(Section::V4PortFilter), mixed) {
            return None;
        }
        let table = self.image.section(Section::V4Port);
        probe(table, 12, mixed, |at| {
            let row = read_u32(table, at + 8)?.checked_sub(1)?;
            Some(
                (read_u32(table, at)? == address && read_u32(table, at + 4)? == u32::from(port))
                    .then_some(row),
            )
        })
    }

    fn v6(&self, address: u128, port: u32) -> Option<u32> {
        let table = self.image.section(Section::V6);
        probe(table, 24, mix(v6_hash(address, port)), |at| {
            let row = read_u32(table, at + 20)?.checked_sub(1)?;
            Some(
                (read_u128(table, at)? == address && read_u32(table, at + 16)? == port)
                    .then_some(row),
            )
        })
    }
}

/// Walks the slots from the hash's home. `look(byte offset of a slot)` says `None` for an empty slot
/// (the end of the search), `Some(None)` for another key, `Some(Some(found))` for the key.
fn probe<T>(
    table: &[u8],
    record: usize,
    mixed: u64,
    look: impl Fn(usize) -> Option<Option<T>>,
) -> Option<T> {
    let slots = table.len() / record;
    if !slots.is_power_of_two() {
        return None;
    }
    let home = (mixed >> 32) as usize;
    for step in 0..MAX_PROBES.min(slots) {
        let slot = (home + step) & (slots - 1);
        if let Some(found) = look(slot * record)? {
            return Some(found);
        }
    }
    None
}

/// Binary search between two indices; `None` from `compare` ends it.
pub(super) fn search(
    mut start: usize,
    mut end: usize,
    compare: impl Fn(usize) -> Option<std::cmp::Ordering>,
) -> Option<usize> {
    while start < end {
        let middle = start + (end - start) / 2;
        match compare(middle)? {
            std::cmp::Ordering::Less => start = middle + 1,
            std::cmp::Ordering::Greater => end = middle,
            std::cmp::Ordering::Equal => return Some(middle),
        }
    }
    None
}

/// Suffixes of one name that are kept while the rest of it is hashed.
const LIKELY_SUFFIXES: usize = 8;

/// FNV-1a offset and prime: one multiplication a byte, run from the last byte to the first.
const HASH_SEED: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0000_0100_0000_01b3;

const fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(HASH_PRIME)
}

pub(super) fn hash_from_right(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(HASH_SEED, |hash, &byte| step(hash, byte))
}

/// Finalizer of MurmurHash3 (public domain): every input bit reaches every output bit.
pub(super) const fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

pub(super) const fn fingerprint(mixed: u64) -> u32 {
    mixed as u32
}

fn may_contain(filter: &[u8], mixed: u64) -> bool {
    let (byte, bit) = filter_bit(filter.len(), mixed);
    filter.get(byte).is_some_and(|byte| byte & bit != 0)
}

/// Byte and bit of a key in a bitmap of `bytes` bytes (a power of two).
pub(super) const fn filter_bit(bytes: usize, mixed: u64) -> (usize, u8) {
    let at = (mixed >> 7) as usize & (bytes.wrapping_mul(8)).wrapping_sub(1);
    (at / 8, 1 << (at % 8))
}

pub(super) fn v4_port_hash(address: u32, port: u16) -> u64 {
    u64::from(address) << 16 | u64::from(port)
}

pub(super) fn v6_hash(address: u128, port: u32) -> u64 {
    mix(address as u64) ^ (address >> 64) as u64 ^ (u64::from(port) << 17)
}

impl TrailSet {
    /// The lookups over a validated image.
    pub(super) fn over(image: Image, report: SetReport, repair: bool) -> Self {
        let mut set = Self {
            nets: Nets::of(&image),
            image,
            patterns: Patterns::default(),
            report,
        };
        let rows = set.image.section(Section::Patterns).as_chunks::<4>().0;
        let rows: Vec<u32> = rows.iter().map(|row| u32::from_le_bytes(*row)).collect();
        set.patterns = Patterns::compile(
            rows.iter()
                .filter_map(|&row| Some((set.trail(row)?.key, row))),
            repair,
        );
        set.report.patterns = set.patterns.report.clone();
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::addr::parse_ip;

    fn set(rows: &[(&str, &str, &str)]) -> TrailSet {
        let mut builder =
            TrailSetBuilder::new(Whitelist::parse(["8.8.8.8\ngoogle.com\n10.9.0.0/16\n"]));
        for (key, info, reference) in rows {
            builder.push(key, info, reference);
        }
        builder.finish(true).expect("small")
    }

    fn info(trail: Option<Trail<'_>>) -> Option<&str> {
        trail.map(|trail| trail.info)
    }

    #[test]
    fn each_kind_has_its_lookup() {
        let set = set(&[
            ("203.0.113.7", "v4", "r"),
            ("203.0.113.7:443", "v4 port", "r"),
            ("2001:0DB8::0066", "v6", "r"),
            ("[2001:db8::66]:443", "v6 port", "r"),
            ("198.51.100.0/24", "net", "r"),
            ("198.51.100.128/25", "half", "r"),
            ("2001:db8:5::/48", "net6", "r"),
            ("0.0.0.0/0", "all", "r"),
            ("evil.com", "name", "(static)"),
            ("/gate.php", "path", "r"),
            ("evil.com/a", "url", "r"),
            ("ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12", "cert", "sslbl"),
            (r"dga[0-9]+\.biz", "dga", "(static)"),
            ("8.8.8.8", "listed", "r"),
            ("10.9.1.1", "listed", "r"),
            ("google.com", "g", "r"),
        ]);
        let ip = |text: &str| parse_ip(text).expect("address");
        assert_eq!(info(set.ip(ip("203.0.113.7"))), Some("v4"));
        assert_eq!(info(set.ip_port(ip("203.0.113.7"), 443)), Some("v4 port"));
        assert_eq!(info(set.ip_port(ip("203.0.113.7"), 444)), None);
        assert_eq!(info(set.ip(ip("2001:db8::66"))), Some("v6"));
        assert_eq!(info(set.ip_port(ip("2001:db8::66"), 443)), Some("v6 port"));
        assert_eq!(info(set.ip(ip("198.51.100.5"))), Some("net"));
        assert_eq!(
            info(set.ip(ip("198.51.100.200"))),
            Some("half"),
            "the longest prefix wins"
        );
        assert_eq!(info(set.ip(ip("2001:db8:5::1"))), Some("net6"));
        assert_eq!(
            info(set.ip(ip("8.8.8.8"))),
            Some("all"),
            "whitelisted rows are not in the set"
        );
        assert_eq!(info(set.ip(ip("2001:db8:6::1"))), None);
        assert_eq!(info(set.text("/gate.php")), Some("path"));
        assert_eq!(info(set.text("evil.com/a")), Some("url"));
        let digest =
            *b"\xab\x12\xcd\x34\xef\x56\xab\x12\xcd\x34\xef\x56\xab\x12\xcd\x34\xef\x56\xab\x12";
        assert_eq!(info(set.certificate(&digest)), Some("cert"));
        assert_eq!(
            set.pattern("x.dga12.biz")
                .map(|(hit, trail)| (hit.start, hit.end, trail.info)),
            Some((2, 11, "dga"))
        );
        let report = set.report();
        assert_eq!((report.rows, report.whitelisted), (13, 3));
        assert_eq!(
            (
                report.addresses,
                report.address_ports,
                report.networks,
                report.texts
            ),
            (2, 2, 4, 3)
        );
    }

    #[test]
    fn parents_are_tried_longest_first_and_may_be_passed_over() {
        let set = set(&[
            ("evil.com", "parent", "r"),
            ("b.evil.com", "child", "r"),
            ("zz", "tld", "r"),
        ]);
        let all = |name: &str| {
            set.name_or_parent(name, |_, _| true)
                .map(|(at, trail)| (at, trail.info))
        };
        assert_eq!(all("a.b.evil.com"), Some((2, "child")));
        assert_eq!(all("c.evil.com"), Some((2, "parent")));
        assert_eq!(all("shop.zz"), Some((5, "tld")));
        assert_eq!(
            (all("notevil.com"), all("evil.com.br"), all("")),
            (None, None, None)
        );
        let passed = set.name_or_parent("a.b.evil.com", |_, trail| trail.info != "child");
        assert_eq!(
            passed.map(|(at, trail)| (at, trail.info)),
            Some((4, "parent"))
        );
        let deep = format!("{}evil.com", "a.".repeat(200));
        assert_eq!(
            set.name_or_parent(&deep, |_, _| true).map(|(at, _)| at),
            Some(400),
            "more labels than a name can have"
        );
    }

    #[test]
    fn the_last_of_several_rows_wins() {
        let set = set(&[
            ("evil.com", "one", "r1"),
            ("5.5.5.5", "a", "r"),
            ("evil.com", "two", "r2"),
            ("5.5.5.5", "b", "r"),
            ("5.5.5.0/24", "c", "r"),
            ("5.5.5.0/24", "d", "r"),
        ]);
        assert_eq!(info(set.text("evil.com")), Some("two"));
        assert_eq!(
            info(set.ip(parse_ip("5.5.5.5").expect("address"))),
            Some("b")
        );
        assert_eq!(
            info(set.ip(parse_ip("5.5.5.6").expect("address"))),
            Some("d")
        );
        assert_eq!((set.report().rows, set.report().repeated), (3, 3));
    }

    #[test]
    fn csv_goes_in_and_damaged_rows_are_counted() {
        let set = TrailSet::from_csv(
            &b"evil.com,\"a, b\",(static)\r\nbroken\r\n"[..],
            Whitelist::default(),
            true,
        )
        .expect("memory");
        assert_eq!(info(set.text("evil.com")), Some("a, b"));
        assert_eq!((set.len(), set.report().malformed), (1, 1));
        assert!(TrailSet::empty().expect("empty").is_empty());
    }

    proptest! {
        #[test]
        fn networks_agree_with_asking_each(
            nets in proptest::collection::vec((0u32..1 << 20, 0u8..=32), 0..20),
            addresses in proptest::collection::vec(0u32..1 << 20, 0..40),
        ) {
            // Few distinct high bits, so that networks nest and neighbour.
            let spread = |value: u32| std::net::Ipv4Addr::from(value << 12 | value >> 8);
            let mut builder = TrailSetBuilder::new(Whitelist::default());
            let mut model = Vec::new();
            for (value, bits) in nets {
                let net = ipnet::Ipv4Net::new(spread(value), bits).expect("bits").trunc();
                builder.push(&net.to_string(), &net.to_string(), "r");
                model.push(net);
            }
            let set = builder.finish(true).expect("small");
            for address in addresses.into_iter().map(spread) {
                let wanted = model.iter().filter(|net| net.contains(&address)).max_by_key(|net| net.prefix_len());
                let wanted = wanted.map(ToString::to_string);
                prop_assert_eq!(info(set.net(address.into())), wanted.as_deref());
            }
        }

        #[test]
        fn lookups_agree_with_a_map(
            keys in proptest::collection::vec("[a-c]{1,2}(\\.[a-c]{1,2}){0,2}", 0..60),
            names in proptest::collection::vec("[a-c]{1,2}(\\.[a-c]{1,2}){0,4}", 0..60),
        ) {
            let rows: Vec<(String, String)> = keys.into_iter().enumerate().map(|(at, key)| (key, at.to_string())).collect();
            let model: BTreeMap<&str, &str> = rows.iter().map(|(key, info)| (key.as_str(), info.as_str())).collect();
            let mut builder = TrailSetBuilder::new(Whitelist::default());
            rows.iter().for_each(|(key, info)| builder.push(key, info, "r"));
            let set = builder.finish(true).expect("small");
            prop_assert_eq!(set.len(), model.len());
            for name in &names {
                prop_assert_eq!(info(set.text(name)), model.get(name.as_str()).copied());
                let wanted = crate::name::suffix_starts(name).find_map(|at| Some((at, *model.get(&name[at..])?)));
                prop_assert_eq!(set.name_or_parent(name, |_, _| true).map(|(at, trail)| (at, trail.info)), wanted);
            }
        }
    }
}
