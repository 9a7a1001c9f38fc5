//! Which list names which keys: collected while a set is built, 12 bytes an entry.

use std::collections::HashMap;

use ring::digest::{Context, SHA256};

use super::blocks::Blocks;

/// Most lists of a catalog; a record names its list in 16 bits.
pub(super) const LISTS: usize = 60_000;
/// Bytes of a digest that are kept.
pub(super) const DIGEST_BYTES: usize = 16;

/// What a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListKind {
    /// A shipped list.
    Static,
    /// A file of the user.
    Custom,
    /// A feed.
    Feed,
    /// A list of the user elsewhere.
    Remote,
}

impl ListKind {
    /// Every kind, by its number.
    pub(super) const ALL: [Self; 4] = [Self::Static, Self::Custom, Self::Feed, Self::Remote];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Custom => "custom",
            Self::Feed => "feed",
            Self::Remote => "remote",
        }
    }

    pub(super) fn number(self) -> i64 {
        Self::ALL
            .iter()
            .position(|kind| *kind == self)
            .map_or(0, |at| at as i64)
    }
}

/// A key of a list and its first line there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    high: u32,
    low: u32,
    /// From 1; 0 when there are no lines.
    pub(super) line: u32,
}

impl Place {
    /// Bytes of a place in the file.
    pub(super) const BYTES: usize = 12;

    pub(super) const fn new(hash: u64, line: u32) -> Self {
        Self {
            high: (hash >> 32) as u32,
            low: hash as u32,
            line,
        }
    }

    pub(super) fn hash(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.high.to_be_bytes());
        out.extend_from_slice(&self.low.to_be_bytes());
        out.extend_from_slice(&self.line.to_be_bytes());
    }

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            high: u32::from_be_bytes([a, b, c, d]),
            low: u32::from_be_bytes([e, f, g, h]),
            line: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

/// One list with the keys it names.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) kind: ListKind,
    pub(super) name: String,
    pub(super) info: String,
    pub(super) reference: String,
    pub(super) aliases: String,
    pub(super) blocks: String,
    pub(super) confidence: Option<u8>,
    /// When it was fetched, when that is not now.
    pub(super) fetched_at: Option<u64>,
    pub(super) places: Vec<Place>,
}

impl Listed {
    /// Sorted by key, the first line of each.
    fn finish(&mut self) {
        self.places.sort_unstable();
        self.places.dedup_by_key(|place| (place.high, place.low));
        self.places.shrink_to_fit();
    }

    /// The places as they are stored.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.places.len() * Place::BYTES);
        self.places.iter().for_each(|place| place.encode(&mut out));
        out
    }

    /// Of everything that is stored of it.
    pub(super) fn digest(&self, encoded: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut context = Context::new(&SHA256);
        for text in [&self.reference, &self.aliases, &self.blocks] {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        }
        context.update(&[self.confidence.map_or(0, |confidence| confidence + 1)]);
        context.update(encoded);
        let digest = context.finish();
        digest
            .as_ref()
            .first_chunk::<DIGEST_BYTES>()
            .copied()
            .unwrap_or_default()
    }
}

/// What is known of a feed beside its entries, by the reference of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedFacts {
    /// How far it is to be trusted, 0 to 100.
    pub confidence: Option<u8>,
    /// When its entries were fetched, in seconds since 1970: earlier than now for a copy.
    pub fetched_at: Option<u64>,
}

/// Every list of a build with the keys it names.
#[derive(Debug, Default)]
pub struct Listings {
    pub(super) lists: Vec<Listed>,
    ids: HashMap<(ListKind, String, String), usize>,
    /// Entries of lists beyond the bound.
    left_out: usize,
}

/// A list that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListId(usize);

impl Listings {
    /// The list of this name and label.
    pub(crate) fn list(
        &mut self,
        kind: ListKind,
        name: &str,
        info: &str,
        reference: &str,
    ) -> ListId {
        let key = (kind, name.to_owned(), info.to_owned());
        let next = self.lists.len();
        let id = *self.ids.entry(key).or_insert(next);
        if id == next && next < LISTS {
            self.lists.push(Listed {
                kind,
                name: name.to_owned(),
                info: info.to_owned(),
                reference: reference.to_owned(),
                aliases: String::new(),
                blocks: String::new(),
                confidence: None,
                fetched_at: None,
                places: Vec::new(),
            });
        } else if id == next {
            self.ids.remove(&(kind, name.to_owned(), info.to_owned()));
        }
        ListId(id)
    }

    /// Notes that a list names a key.
    #[inline]
    pub(crate) fn name(&mut self, list: ListId, hash: u64, line: usize) {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        match self.lists.get_mut(list.0) {
            Some(list) => list.places.push(Place::new(hash, line)),
            None => self.left_out += 1,
        }
    }

    /// Notes what the comments of a list say.
    pub(crate) fn describe(&mut self, list: ListId, blocks: Blocks) {
        if let Some(list) = self.lists.get_mut(list.0) {
            list.blocks = blocks.text;
            list.aliases = blocks.aliases;
        }
    }

    /// Notes what is known of a feed.
    pub(crate) fn vouch(&mut self, list: ListId, facts: &FeedFacts) {
        if let Some(list) = self.lists.get_mut(list.0) {
            list.confidence = facts.confidence;
            list.fetched_at = facts.fetched_at;
        }
    }

    /// Ends a list: its keys are sorted, repeats go.
    pub(crate) fn close(&mut self, list: ListId) {
        if let Some(list) = self.lists.get_mut(list.0) {
            list.finish();
        }
    }

    /// Ends all lists, which several of one file may need.
    pub(crate) fn close_all(&mut self) {
        self.lists.iter_mut().for_each(Listed::finish);
        self.ids = HashMap::new();
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Entries of lists beyond the bound, which the catalog does not know.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_first_line_and_lists_are_bounded() {
        let mut listings = Listings::default();
        let list = listings.list(ListKind::Static, "a.txt", "a", "(static)");
        for (hash, line) in [(9, 4), (u64::MAX, 1), (9, 2)] {
            listings.name(list, hash, line);
        }
        listings.close(list);
        let places = &listings.lists[0].places;
        assert_eq!(places, &[Place::new(9, 2), Place::new(u64::MAX, 1)]);
        let encoded = listings.lists[0].encoded();
        let decoded: Vec<Place> = encoded.as_chunks().0.iter().map(Place::decode).collect();
        assert_eq!(&decoded, places);
        for at in 1..LISTS + 3 {
            let list = listings.list(ListKind::Feed, "feed", &at.to_string(), "feed");
            listings.name(list, 1, 0);
        }
        assert_eq!((listings.len(), listings.left_out()), (LISTS, 3));
    }

    #[test]
    fn a_digest_tells_every_part_apart() {
        let mut listings = Listings::default();
        let list = listings.list(ListKind::Static, "a.txt", "a", "(static)");
        listings.name(list, 9, 4);
        let listed = &mut listings.lists[0];
        let mut seen = vec![listed.digest(&listed.encoded())];
        let mut note = |listed: &Listed| {
            let digest = listed.digest(&listed.encoded());
            assert!(!seen.contains(&digest));
            seen.push(digest);
        };
        listed.aliases = "b".to_owned();
        note(listed);
        (listed.aliases, listed.blocks) = (String::new(), "b".to_owned());
        note(listed);
        listed.confidence = Some(0);
        note(listed);
        listed.places[0].line = 5;
        note(listed);
    }
}
