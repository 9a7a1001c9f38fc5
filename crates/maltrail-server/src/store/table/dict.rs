//! Texts of one day, each stored once and known by a number.
//!
//! All texts lie in one string; ids count up from 0 and never change, so the index file can append
//! what is new. The hash is seeded, as the texts come from the network. Bound: [`MAX_BYTES`].

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Most bytes of text in one dictionary. A full dictionary refuses new texts (counted by the caller).
pub(crate) const MAX_BYTES: usize = 1 << 30;

/// A dictionary.
#[derive(Debug, Default)]
pub(crate) struct Dict {
    text: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
    state: RandomState,
}

impl Dict {
    /// The id of `text`, added if new. `None` when the dictionary is full.
    pub(crate) fn intern(&mut self, text: &str) -> Option<u32> {
        let hash = self.state.hash_one(text);
        if let Some(&id) = self.table.find(hash, |&id| self.get(id) == text) {
            return Some(id);
        }
        if self.text.len() + text.len() > MAX_BYTES {
            return None;
        }
        let id = u32::try_from(self.ends.len()).ok()?;
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
        let (all, ends, state) = (&self.text, &self.ends, &self.state);
        self.table
            .insert_unique(hash, id, |&id| state.hash_one(slice(all, ends, id)));
        Some(id)
    }

    /// The id of a known text.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.table
            .find(self.state.hash_one(text), |&id| self.get(id) == text)
            .copied()
    }

    /// The text with this id; empty for an id that was never given out.
    pub(crate) fn get(&self, id: u32) -> &str {
        slice(&self.text, &self.ends, id)
    }

    /// Number of texts; ids are `0..len`.
    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Memory in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 4 + self.table.capacity() * 5
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], id: u32) -> &'a str {
    let id = id as usize;
    let start = id
        .checked_sub(1)
        .and_then(|before| ends.get(before))
        .copied()
        .unwrap_or(0);
    let end = ends.get(id).copied().unwrap_or(start);
    text.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_id_for_ever() {
        let mut dict = Dict::default();
        let ids: Vec<_> = (0..5000)
            .map(|n| dict.intern(&format!("text{n}")))
            .collect();
        for (n, id) in ids.iter().enumerate() {
            let text = format!("text{n}");
            assert_eq!(*id, Some(n as u32));
            assert_eq!(dict.intern(&text), *id);
            assert_eq!(dict.find(&text), *id);
            assert_eq!(dict.get(n as u32), text);
        }
        assert_eq!(dict.intern(""), Some(5000));
        assert_eq!(
            (dict.get(5000), dict.get(9999), dict.find("none")),
            ("", "", None)
        );
    }
}
