//! Lookup by network: which listed network of the longest prefix holds an address.
//!
//! The records stand sorted by family and prefix length; a run of equal length is searched by
//! bisection. A bitmap of first halves answers most addresses before any search.

use std::net::IpAddr;

use ipnet::IpNet;

use super::image::{Image, Section, read_u32, read_u128};
use super::set::search;

/// What is derived from the network section when a set is opened.
#[derive(Debug)]
pub(super) struct Nets {
    runs: Vec<NetRun>,
    heads: NetHeads,
}

impl Nets {
    /// Of an image.
    pub(super) fn of(image: &Image) -> Self {
        Self {
            runs: net_runs(image),
            heads: NetHeads::of(image),
        }
    }

    /// The row of the longest network that holds `address`.
    pub(super) fn find(&self, image: &Image, address: IpAddr) -> Option<u32> {
        if !self.heads.may_hold(address) {
            return None;
        }
        let (family, width, value) = match address {
            IpAddr::V4(v4) => (4, 32, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (6, 128, u128::from(v6)),
        };
        let records = image.section(Section::Nets);
        self.runs
            .iter()
            .filter(|run| run.family == family)
            .find_map(|run| {
                let shift = width - u32::from(run.bits);
                let first = value.checked_shr(shift).map_or(0, |head| head << shift);
                let found = search(run.start, run.end, |at| {
                    read_u128(records, at * 24 + 4).map(|net| net.cmp(&first))
                })?;
                read_u32(records, found * 24 + 20)
            })
    }
}

/// Which first halves of IPv4 addresses any network touches: 65,536 bits, so that most addresses cost
/// one look into 8 kB instead of a search for each prefix length.
#[derive(Debug)]
struct NetHeads {
    v4: Box<[u64; 1024]>,
    v6: bool,
}

impl NetHeads {
    fn of(image: &Image) -> Self {
        let mut heads = Self {
            v4: Box::new([0; 1024]),
            v6: false,
        };
        for record in image.section(Section::Nets).as_chunks::<24>().0 {
            if record[0] != 4 {
                heads.v6 = true;
                continue;
            }
            let first = read_u128(record.as_slice(), 4).map_or(0, |first| first as u32) >> 16;
            // A network shorter than /16 touches several heads; one shorter than /10 whole words.
            let last = (first | (0xffff_u32 >> u32::from(record[1]).min(16))).min(0xffff);
            let (first_word, last_word) = (first as usize / 64, last as usize / 64);
            for (at, word) in heads.v4.iter_mut().enumerate().skip(first_word) {
                let low = if at == first_word { first % 64 } else { 0 };
                let high = if at == last_word { last % 64 } else { 63 };
                *word |= (u64::MAX << low) & (u64::MAX >> (63 - high));
                if at >= last_word {
                    break;
                }
            }
        }
        heads
    }

    fn may_hold(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let head = u32::from(v4) >> 16;
                self.v4
                    .get(head as usize / 64)
                    .is_some_and(|word| word >> (head % 64) & 1 == 1)
            }
            IpAddr::V6(_) => self.v6,
        }
    }
}

/// A stretch of the section with equal family and length.
#[derive(Clone, Copy, Debug)]
struct NetRun {
    family: u8,
    bits: u8,
    start: usize,
    end: usize,
}

/// Sort key of a network: family, longest prefix first, first address.
pub(super) fn net_order(net: &IpNet) -> (u8, u8, u128) {
    match net {
        IpNet::V4(net) => (
            4,
            u8::MAX - net.prefix_len(),
            u128::from(u32::from(net.network())),
        ),
        IpNet::V6(net) => (6, u8::MAX - net.prefix_len(), u128::from(net.network())),
    }
}

fn net_runs(image: &Image) -> Vec<NetRun> {
    let mut runs: Vec<NetRun> = Vec::new();
    for (at, record) in image
        .section(Section::Nets)
        .as_chunks::<24>()
        .0
        .iter()
        .enumerate()
    {
        let (family, bits) = (record[0], record[1]);
        let width = if family == 4 { 32 } else { 128 };
        match runs.last_mut() {
            Some(run) if (run.family, run.bits) == (family, bits) => run.end = at + 1,
            _ if bits <= width => runs.push(NetRun {
                family,
                bits,
                start: at,
                end: at + 1,
            }),
            _ => {}
        }
    }
    runs
}
