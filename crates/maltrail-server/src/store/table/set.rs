//! Small exact sets of dictionary ids, and counts per hour.
//!
//! Nearly every atom has one destination, one port and one busy hour, so both types keep the usual
//! case inline in 16 bytes and go to the heap only beyond it. Nothing is capped: totals are exact.

use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// Ids kept inline before the set goes to the heap.
const INLINE: usize = 3;

/// An exact set of ids.
#[derive(Clone, Debug)]
pub(crate) enum Set {
    /// The first `len` ids of the array.
    Few(u8, [u32; INLINE]),
    /// More than [`INLINE`] ids.
    Many(Box<HashSet<u32, FixedState>>),
}

impl Default for Set {
    fn default() -> Self {
        Self::Few(0, [0; INLINE])
    }
}

impl Set {
    /// Adds `id`; tells whether it is new.
    pub(crate) fn insert(&mut self, id: u32) -> bool {
        match self {
            Self::Few(len, ids) => {
                let used = usize::from(*len);
                if ids.iter().take(used).any(|&known| known == id) {
                    return false;
                }
                if let Some(slot) = ids.get_mut(used) {
                    *slot = id;
                    *len += 1;
                    return true;
                }
                let mut many = HashSet::with_capacity_and_hasher(8, FixedState::default());
                many.extend(ids.iter().copied());
                many.insert(id);
                *self = Self::Many(Box::new(many));
                true
            }
            Self::Many(ids) => ids.insert(id),
        }
    }

    /// Removes `id` if present.
    pub(crate) fn remove(&mut self, id: u32) {
        let rest: Self = self.iter().filter(|&known| known != id).collect();
        *self = rest;
    }

    /// Number of ids.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(len, _) => usize::from(*len),
            Self::Many(ids) => ids.len(),
        }
    }

    /// Each id, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (few, many) = match self {
            Self::Few(len, ids) => (ids.get(..usize::from(*len)).unwrap_or_default(), None),
            Self::Many(ids) => (&[] as &[u32], Some(ids)),
        };
        few.iter()
            .copied()
            .chain(many.into_iter().flat_map(|ids| ids.iter().copied()))
    }

    /// Bytes on the heap, roughly.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Few(..) => 0,
            Self::Many(ids) => 48 + ids.capacity() * 5,
        }
    }

    /// Ids as little-endian bytes, for the index file.
    pub(crate) fn to_blob(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(self.len() * 4);
        for id in self.iter() {
            blob.extend_from_slice(&id.to_le_bytes());
        }
        blob
    }

    /// The set written by [`Set::to_blob`].
    pub(crate) fn from_blob(blob: &[u8]) -> Self {
        blob.as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect()
    }
}

impl FromIterator<u32> for Set {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

/// Events per hour of the day.
#[derive(Clone, Debug)]
pub(crate) enum Hours {
    /// All in one hour.
    One(u8, u32),
    /// Spread over the day.
    Many(Box<[u32; 24]>),
}

impl Hours {
    /// Counts one more event.
    pub(crate) fn add(&mut self, hour: u8) {
        match self {
            Self::One(known, count) if *known == hour => *count = count.saturating_add(1),
            Self::One(..) => {
                let mut all = Box::new([0; 24]);
                self.add_to(&mut all);
                if let Some(slot) = all.get_mut(usize::from(hour)) {
                    *slot = slot.saturating_add(1);
                }
                *self = Self::Many(all);
            }
            Self::Many(all) => {
                if let Some(slot) = all.get_mut(usize::from(hour)) {
                    *slot = slot.saturating_add(1);
                }
            }
        }
    }

    /// Adds these counts to `sum`.
    pub(crate) fn add_to(&self, sum: &mut [u32; 24]) {
        match self {
            Self::One(hour, count) => {
                if let Some(slot) = sum.get_mut(usize::from(*hour)) {
                    *slot = slot.saturating_add(*count);
                }
            }
            Self::Many(all) => {
                for (slot, count) in sum.iter_mut().zip(all.iter()) {
                    *slot = slot.saturating_add(*count);
                }
            }
        }
    }

    /// Whether any event is in one of these hours, a bit each.
    pub(crate) fn in_any(&self, mask: u32) -> bool {
        match self {
            Self::One(hour, count) => *count > 0 && mask >> hour & 1 == 1,
            Self::Many(all) => (0..)
                .zip(all.iter())
                .any(|(hour, &count)| count > 0 && mask >> hour & 1 == 1),
        }
    }

    /// Little-endian bytes for the index file.
    pub(crate) fn to_blob(&self) -> Vec<u8> {
        let mut sum = [0; 24];
        self.add_to(&mut sum);
        sum.iter().flat_map(|count| count.to_le_bytes()).collect()
    }

    /// What [`Hours::to_blob`] wrote.
    pub(crate) fn from_blob(blob: &[u8]) -> Self {
        let mut all = Box::new([0_u32; 24]);
        for (slot, bytes) in all.iter_mut().zip(blob.as_chunks::<4>().0) {
            *slot = u32::from_le_bytes(*bytes);
        }
        let mut busy = all.iter().enumerate().filter(|(_, count)| **count > 0);
        match (busy.next(), busy.next()) {
            (Some((hour, &count)), None) => Self::One(hour as u8, count),
            _ => Self::Many(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_exact_beyond_any_cap() {
        let mut set = Set::default();
        for id in 0..1000 {
            assert!(set.insert(id) && !set.insert(id));
            assert_eq!(set.len(), id as usize + 1);
        }
        assert_eq!(set.len(), 1000);
        set.remove(7);
        assert_eq!((set.len(), set.iter().any(|id| id == 7)), (999, false));
        assert_eq!(Set::from_blob(&set.to_blob()).len(), 999);
        assert_eq!(size_of::<Set>(), 16);
    }

    #[test]
    fn hours_count_and_survive_the_index_file() {
        let mut hours = Hours::One(9, 1);
        hours.add(9);
        assert!(matches!(
            Hours::from_blob(&hours.to_blob()),
            Hours::One(9, 2)
        ));
        hours.add(23);
        let mut sum = [0; 24];
        Hours::from_blob(&hours.to_blob()).add_to(&mut sum);
        assert_eq!((sum[9], sum[23], sum.iter().sum::<u32>()), (2, 1, 3));
        assert!(hours.in_any(1 << 23 | 1 << 3) && !hours.in_any(1 << 22));
        assert!(Hours::One(5, 1).in_any(1 << 5) && !Hours::One(5, 0).in_any(1 << 5));
    }
}
