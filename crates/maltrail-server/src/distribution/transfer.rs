//! Who may fetch a large file right now. A file of the full set has megabytes and asking for it costs a
//! stranger nothing, so transfers have places: [`PLACES`] in all, [`PER_ADDRESS`] for one address (loopback
//! aside, where a proxy may stand for many), [`LONGEST`] for each.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::store::lock;

/// Transfers at the same time.
const PLACES: usize = 32;
/// Of one address.
const PER_ADDRESS: usize = 4;
/// Longest transfer.
const LONGEST: Duration = Duration::from_secs(900);
/// Bytes sent at a time.
const PIECE: usize = 64 * 1024;

/// The places. Bounded by their number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transfers(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Transfers {
    /// A place, unless all are taken or this address has its share.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut taken = lock(&self.0);
        let own = taken.get(&address).copied().unwrap_or(0);
        let all: usize = taken.values().sum();
        if all >= PLACES || (own >= PER_ADDRESS && !address.is_loopback()) {
            return None;
        }
        taken.insert(address, own + 1);
        Some(Place {
            address,
            transfers: self.clone(),
        })
    }
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    transfers: Transfers,
}

impl Place {
    /// Sends all of `source`, or as much as the time allows.
    pub(crate) fn send(self, mut source: impl Read, send: &dyn Fn(Vec<u8>) -> bool) {
        let end = Instant::now() + LONGEST;
        let mut piece = vec![0; PIECE];
        while Instant::now() < end {
            match source.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => {
                    if !send(piece.get(..count).unwrap_or_default().to_vec()) {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "trails: cannot read a prepared file");
                    return;
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.transfers.0);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_for_one_and_bounded_for_all() {
        let transfers = Transfers::default();
        let address = |n: u8| IpAddr::from([203, 0, 113, n]);
        let mut held: Vec<Place> = (0..PER_ADDRESS)
            .filter_map(|_| transfers.enter(address(1)))
            .collect();
        assert_eq!(held.len(), PER_ADDRESS);
        assert!(transfers.enter(address(1)).is_none());
        held.extend((2..=255).filter_map(|n| transfers.enter(address(n))));
        assert_eq!(held.len(), PLACES);
        assert!(transfers.enter(IpAddr::from([127, 0, 0, 1])).is_none());
        held.clear();
        assert!(lock(&transfers.0).is_empty());
        assert!(transfers.enter(address(1)).is_some());
    }
}
