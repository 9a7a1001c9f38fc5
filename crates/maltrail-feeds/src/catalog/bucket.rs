//! Records of the catalog, packed: the file's table has a row for each of 65,536 buckets of keys.
//!
//! A bucket is named by the upper 16 bits of a key's hash and holds records of [`Record::BYTES`] bytes,
//! sorted by the other 48 bits and the list:
//!
//! ```text
//! 6 hash │ 2 list │ 2 first day │ 2 last day, 0 while still listed      (big-endian, days since 1970)
//! ```
//!
//! A row per key would be five times as slow to write, and the same to look up.

/// Records of a bucket that are no longer listed; beyond it the oldest go. Sixteen million in all.
const GONE: usize = 256;
/// Days after which a record that is no longer listed is forgotten.
pub(super) const GONE_DAYS: u16 = 365;

/// One key of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    /// The lower 48 bits of the hash.
    pub(super) tail: u64,
    pub(super) list: u16,
    pub(super) first: u16,
    /// 0 while it is listed.
    pub(super) last: u16,
}

/// Which bucket a hash belongs to.
pub(super) const fn bucket_of(hash: u64) -> u16 {
    (hash >> 48) as u16
}

/// What of a hash a record keeps.
pub(super) const fn tail_of(hash: u64) -> u64 {
    hash & 0xffff_ffff_ffff
}

impl Record {
    pub(super) const BYTES: usize = 12;

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let [_, _, tail @ ..] = self.tail.to_be_bytes();
        out.extend_from_slice(&tail);
        for number in [self.list, self.first, self.last] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, list @ .., g, h, i, j] = *bytes;
        Self {
            tail: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            list: u16::from_be_bytes(list),
            first: u16::from_be_bytes([g, h]),
            last: u16::from_be_bytes([i, j]),
        }
    }
}

/// The records of a bucket; a rest that is no record is left out.
pub(super) fn decode(bytes: &[u8]) -> Vec<Record> {
    bytes.as_chunks().0.iter().map(Record::decode).collect()
}

/// What happened to a key of a list since the last build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) hash: u64,
    pub(super) list: u16,
    /// Listed now, or no longer.
    pub(super) listed: bool,
}

/// Applies changes of one bucket; whether anything differs then.
pub(super) fn apply(records: &mut Vec<Record>, changes: &[Change], today: u16) -> bool {
    let mut changed = false;
    let mut new = Vec::new();
    for change in changes {
        let tail = tail_of(change.hash);
        let at =
            records.binary_search_by_key(&(tail, change.list), |record| (record.tail, record.list));
        match (at, change.listed) {
            (Ok(at), listed) => {
                if let Some(record) = records.get_mut(at) {
                    record.last = if listed { 0 } else { today };
                    changed = true;
                }
            }
            (Err(_), true) => new.push(Record {
                tail,
                list: change.list,
                first: today,
                last: 0,
            }),
            (Err(_), false) => {}
        }
    }
    changed |= !new.is_empty();
    records.append(&mut new);
    records.sort_unstable();
    changed
}

/// Forgets what is long gone, what belongs to no list, and what is beyond the bound; whether anything was.
pub(super) fn sweep(records: &mut Vec<Record>, today: u16, is_list: impl Fn(u16) -> bool) -> bool {
    let before = records.len();
    records.retain(|record| {
        is_list(record.list) && (record.last == 0 || today.saturating_sub(record.last) <= GONE_DAYS)
    });
    let mut gone: Vec<u16> = records
        .iter()
        .map(|record| record.last)
        .filter(|last| *last > 0)
        .collect();
    if let Some(beyond) = gone.len().checked_sub(GONE).filter(|beyond| *beyond > 0) {
        gone.sort_unstable();
        let oldest = gone.get(beyond - 1).copied().unwrap_or_default();
        records.retain(|record| record.last == 0 || record.last > oldest);
    }
    records.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn record(tail: u64, list: u16, first: u16, last: u16) -> Record {
        Record {
            tail,
            list,
            first,
            last,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let records = [
            record(0, 0, 1, 0),
            record(0xffff_ffff_ffff, 60_000, 20_000, 65_535),
        ];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(&mut bytes));
        assert_eq!(bytes.len(), 2 * Record::BYTES);
        assert_eq!(decode(&bytes), records);
        assert_eq!(decode(&bytes[..13]), records[..1]);
        assert_eq!(
            (
                bucket_of(0x1234_5678_9abc_def0),
                tail_of(0x1234_5678_9abc_def0)
            ),
            (0x1234, 0x5678_9abc_def0)
        );
    }

    #[test]
    fn a_key_that_returns_keeps_its_first_day() {
        let change = |hash, list, listed| Change { hash, list, listed };
        let mut records = Vec::new();
        assert!(apply(
            &mut records,
            &[change(7, 1, true), change(5, 1, true)],
            100
        ));
        assert_eq!(records, [record(5, 1, 100, 0), record(7, 1, 100, 0)]);
        assert!(apply(&mut records, &[change(7, 1, false)], 110));
        assert_eq!(records[1], record(7, 1, 100, 110));
        assert!(apply(
            &mut records,
            &[change(7, 1, true), change(7, 2, true)],
            120
        ));
        assert_eq!(records[1..], [record(7, 1, 100, 0), record(7, 2, 120, 0)]);
        assert!(!apply(&mut records, &[change(99, 1, false)], 130));
    }

    #[test]
    fn what_is_long_gone_is_forgotten_and_the_rest_is_bounded() {
        let mut records = vec![
            record(1, 1, 1, 0),
            record(2, 1, 1, 100),
            record(3, 1, 1, 101),
            record(4, 9, 1, 0),
        ];
        assert!(sweep(&mut records, 466, |list| list == 1));
        assert_eq!(records, [record(1, 1, 1, 0), record(3, 1, 1, 101)]);
        assert!(!sweep(&mut records, 466, |list| list == 1));
        let mut many: Vec<Record> = (0..GONE as u64 + 10)
            .map(|at| record(at, 1, 1, 100 + at as u16))
            .collect();
        many.push(record(u64::from(u32::MAX), 1, 1, 0));
        assert!(sweep(&mut many, 400, |_| true));
        assert_eq!((many.len(), many[0].last), (GONE + 1, 110));
    }
}
