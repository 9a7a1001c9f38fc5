//! Which trails were there before: what `new:today` asks.
//!
//! A trail (without its variable parts) is new on a day when none of the [`LOOK_BACK`] days before has it.
//! Those days are read once for each first day asked for; the answer is kept for the last one. Bound:
//! [`MAX_TRAILS`]; with more, the days furthest back do not count.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock, Mutex};

use foldhash::quality::RandomState;
use maltrail_core::time::Day;

use super::span::{NoAnswer, ask_day};
use crate::store::scoped::Scope;
use crate::store::{Store, dayfile, lock};

/// Days before the first day that count.
pub(crate) const LOOK_BACK: i32 = 30;
/// Most trails that are remembered: about 40 MB.
const MAX_TRAILS: usize = 2_000_000;

/// A trail as it is remembered. The seed is this process's own, so nobody can make a new trail look old; by
/// chance that happens to one trail in ten million such sets.
pub(crate) fn hash(norm: &str) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    SEED.hash_one(norm)
}

/// Trails of the days before one day.
#[derive(Debug)]
struct Before {
    day: Day,
    /// Size of the last of those days, which may still have been growing.
    size: u64,
    trails: Arc<HashSet<u64>>,
}

/// What is kept. std lock: held while days are read, on blocking threads only.
#[derive(Debug, Default)]
pub(crate) struct Novelty(Mutex<Option<Before>>);

impl Novelty {
    /// Trails of the days before `day`. Blocks.
    pub(crate) fn before(&self, store: &Store, day: Day) -> Result<Arc<HashSet<u64>>, NoAnswer> {
        let mut kept = lock(&self.0);
        let size = dayfile::disk_bytes(store.log_dir(), day.plus(-1));
        if let Some(before) = kept
            .as_ref()
            .filter(|kept| kept.day == day && kept.size == size)
        {
            return Ok(Arc::clone(&before.trails));
        }
        *kept = None;
        let mut trails = HashSet::new();
        for back in 1..=LOOK_BACK {
            let earlier = day.plus(-back);
            if !dayfile::exists(store.log_dir(), earlier) {
                continue;
            }
            ask_day(store, earlier, &Scope::default(), |table| {
                let live = table.atoms.iter().filter(|atom| atom.count > 0);
                for norm in live.map(|atom| atom.key.norm) {
                    if trails.len() < MAX_TRAILS {
                        trails.insert(hash(table.texts.get(norm)));
                    }
                }
            })?;
        }
        let trails = Arc::new(trails);
        *kept = Some(Before {
            day,
            size,
            trails: Arc::clone(&trails),
        });
        Ok(trails)
    }
}
