//! Rows → the image of a trail set.
//!
//! Tables are open-addressing with linear probing, at most two thirds full, so that a lookup ends
//! after a few slots; the builder refuses a layout that would need more than the lookups' bound.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::image::{Image, ImageError, MAX_PROBES, SECTIONS};
use super::nets::net_order;
use super::origin::Origin;
use super::set::{
    NO_PORT, SetReport, TrailSet, filter_bit, fingerprint, hash_from_right, mix, v4_port_hash,
    v6_hash,
};
use super::{Key, Whitelist};

/// Collects rows, then lays out the set.
#[derive(Debug)]
pub struct TrailSetBuilder {
    whitelist: Whitelist,
    rows: Vec<[u8; 16]>,
    keys: Vec<u8>,
    infos: Texts,
    references: Texts,
    report: SetReport,
}

#[derive(Debug, Default)]
struct Texts {
    ids: HashMap<Box<str>, u32>,
    offsets: Vec<u8>,
    text: Vec<u8>,
}

impl Texts {
    fn id(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.offsets
            .extend_from_slice(&(self.text.len() as u32).to_le_bytes());
        self.text.extend_from_slice(text.as_bytes());
        self.ids.insert(text.into(), id);
        id
    }

    fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.offsets
            .extend_from_slice(&(self.text.len() as u32).to_le_bytes());
        (self.offsets, self.text)
    }
}

impl TrailSetBuilder {
    /// A builder that leaves out what `whitelist` drops.
    pub fn new(whitelist: Whitelist) -> Self {
        Self {
            whitelist,
            rows: Vec::new(),
            keys: Vec::new(),
            infos: Texts::default(),
            references: Texts::default(),
            report: SetReport::default(),
        }
    }

    /// Adds a row; the last of several with one key wins. Rows beyond what 32-bit offsets hold
    /// (4 GiB of keys, 65,535 references) count as malformed.
    pub fn push(&mut self, key: &str, info: &str, reference: &str) {
        if self.whitelist.drops_trail(key) {
            self.report.whitelisted += 1;
            return;
        }
        let reference = self.references.id(reference);
        let info = self.infos.id(info);
        let sizes = (
            u32::try_from(self.keys.len()),
            u16::try_from(key.len()),
            u16::try_from(reference),
        );
        let (Ok(offset), Ok(length), Ok(reference)) = sizes else {
            self.report.malformed += 1;
            return;
        };
        let mut row = [0; 16];
        row[..4].copy_from_slice(&offset.to_le_bytes());
        row[4..6].copy_from_slice(&length.to_le_bytes());
        row[6..8].copy_from_slice(&reference.to_le_bytes());
        row[8..12].copy_from_slice(&info.to_le_bytes());
        self.rows.push(row);
        self.keys.extend_from_slice(key.as_bytes());
    }

    /// Counts rows that could not be read.
    pub const fn count_malformed(&mut self, rows: usize) {
        self.report.malformed += rows;
    }

    /// Lays out the set in memory. With `repair`, expressions cut inside a group are used without their
    /// last alternative.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] when the set is too large for the format.
    pub fn finish(self, repair: bool) -> Result<TrailSet, ImageError> {
        let (parts, report) = self.lay_out()?;
        let image = Image::assemble(parts, &report)?;
        Ok(TrailSet::over(image, report, repair))
    }

    /// Writes the set to a file that [`TrailSet::open`] maps.
    ///
    /// # Errors
    /// When it cannot be written, or is too large for the format.
    pub fn write(self, file: &File, origin: &Origin) -> io::Result<()> {
        let (parts, report) = self.lay_out().map_err(io::Error::other)?;
        Image::write(file, parts, &report, origin)
    }

    fn lay_out(mut self) -> Result<([Vec<u8>; SECTIONS], SetReport), ImageError> {
        let references: Vec<Box<str>> = ordered(&self.references);
        let mut texts = Vec::new();
        let mut v4 = Vec::new();
        let mut v4_port = Vec::new();
        let mut v6 = Vec::new();
        let mut nets: Vec<(IpNet, u32)> = Vec::new();
        let mut certs: Vec<([u8; 20], u32)> = Vec::new();
        let mut patterns: Vec<u32> = Vec::new();
        for (row, record) in (0u32..).zip(&self.rows) {
            let key = row_key(record, &self.keys);
            let reference = references.get(usize::from(u16::from_le_bytes([record[6], record[7]])));
            match Key::of(key, reference.map_or("", |text| text)) {
                Key::Ip(IpAddr::V4(address)) => v4.push((u32::from(address), row)),
                Key::Ip(IpAddr::V6(address)) => v6.push((u128::from(address), NO_PORT, row)),
                Key::IpPort(IpAddr::V4(address), port) => {
                    v4_port.push((u32::from(address), port, row))
                }
                Key::IpPort(IpAddr::V6(address), port) => {
                    v6.push((u128::from(address), u32::from(port), row))
                }
                Key::Net(net) => nets.push((net, row)),
                Key::Cert(digest) => certs.push((digest, row)),
                Key::Pattern(_) => patterns.push(row),
                Key::Text(_) => texts.push(row),
            }
        }
        let report = &mut self.report;
        report.addresses = v4.len() + v6.iter().filter(|(_, port, _)| *port == NO_PORT).count();
        report.address_ports = v4_port.len() + v6.len() + v4.len() - report.addresses;
        (report.networks, report.certificates, report.texts) =
            (nets.len(), certs.len(), texts.len());

        let (table, filter, repeated) =
            text_table(&texts, &self.rows, &self.keys).ok_or(ImageError::Damaged)?;
        let mut table4 = OpenTable::new(v4.len(), 8);
        for &(address, row) in &v4 {
            let mut record = [0; 8];
            record[..4].copy_from_slice(&address.to_le_bytes());
            table4.put(mix(u64::from(address)), &mut record, row)?;
        }
        let mut table_port = OpenTable::new(v4_port.len(), 12);
        for &(address, port, row) in &v4_port {
            let mut record = [0; 12];
            record[..4].copy_from_slice(&address.to_le_bytes());
            record[4..8].copy_from_slice(&u32::from(port).to_le_bytes());
            table_port.put(mix(v4_port_hash(address, port)), &mut record, row)?;
        }
        let mut table6 = OpenTable::new(v6.len(), 24);
        for &(address, port, row) in &v6 {
            let mut record = [0; 24];
            record[..16].copy_from_slice(&address.to_le_bytes());
            record[16..20].copy_from_slice(&port.to_le_bytes());
            table6.put(mix(v6_hash(address, port)), &mut record, row)?;
        }
        let repeated = repeated + table4.repeated + table_port.repeated + table6.repeated;
        let (nets, net_repeats) = net_records(nets);
        let (certs, cert_repeats) = cert_records(certs);
        report.repeated = repeated + net_repeats + cert_repeats;
        report.rows = self.rows.len() - report.repeated;

        let (infos, info_text) = self.infos.finish();
        let (reference_offsets, reference_text) = self.references.finish();
        let parts = [
            self.rows.into_flattened(),
            self.keys,
            infos,
            info_text,
            reference_offsets,
            reference_text,
            table,
            filter,
            table4.bytes,
            table4.filter,
            table_port.bytes,
            table_port.filter,
            table6.bytes,
            nets,
            certs,
            patterns.iter().flat_map(|row| row.to_le_bytes()).collect(),
        ];
        Ok((parts, self.report))
    }
}

fn ordered(texts: &Texts) -> Vec<Box<str>> {
    let mut list: Vec<(u32, Box<str>)> = texts
        .ids
        .iter()
        .map(|(text, id)| (*id, text.clone()))
        .collect();
    list.sort_unstable();
    list.into_iter().map(|(_, text)| text).collect()
}

fn row_key<'a>(record: &[u8; 16], keys: &'a [u8]) -> &'a str {
    let start = u32::from_le_bytes([record[0], record[1], record[2], record[3]]) as usize;
    let length = usize::from(u16::from_le_bytes([record[4], record[5]]));
    keys.get(start..start + length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default()
}

/// Slots for `keys` keys at most two thirds full; none for none.
const fn slots_for(keys: usize) -> usize {
    if keys == 0 {
        0
    } else {
        (keys + keys / 2 + 1).next_power_of_two()
    }
}

/// A bitmap of 12 to 24 bits a key: of the keys that are not there, one in twelve or fewer goes on to
/// the table.
fn empty_filter(keys: usize) -> Vec<u8> {
    vec![0; slots_for(keys).max(8)]
}

/// Table and filter of all text keys, and how many keys were repeated.
fn text_table(texts: &[u32], rows: &[[u8; 16]], keys: &[u8]) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    let slots = slots_for(texts.len());
    let mut table: Vec<[u8; 8]> = vec![[0; 8]; slots];
    let mut filter = empty_filter(texts.len());
    let filter_bytes = filter.len();
    let mut repeated = 0;
    for &row in texts {
        let key = row_key(rows.get(row as usize)?, keys);
        let mixed = mix(hash_from_right(key.as_bytes()));
        let print = fingerprint(mixed).to_le_bytes();
        let home = (mixed >> 32) as usize;
        let free = (0..MAX_PROBES.min(slots))
            .map(|step| (home + step) & (slots - 1))
            .find(|&slot| {
                table
                    .get(slot)
                    .is_some_and(|[slot_print @ .., a, b, c, d]| {
                        let taken = u32::from_le_bytes([*a, *b, *c, *d]);
                        taken == 0
                            || (*slot_print == print
                                && rows
                                    .get(taken as usize - 1)
                                    .is_some_and(|old| row_key(old, keys) == key))
                    })
            })?;
        let slot = table.get_mut(free)?;
        repeated += usize::from(slot[4..] != [0; 4]);
        slot[..4].copy_from_slice(&print);
        slot[4..].copy_from_slice(&(row + 1).to_le_bytes());
        let (byte, bit) = filter_bit(filter_bytes, mixed);
        *filter.get_mut(byte)? |= bit;
    }
    Some((table.into_flattened(), filter, repeated))
}

/// An open-addressing table under construction; the last four bytes of a record are row + 1.
struct OpenTable {
    bytes: Vec<u8>,
    /// One bit a key.
    filter: Vec<u8>,
    record: usize,
    repeated: usize,
}

impl OpenTable {
    fn new(keys: usize, record: usize) -> Self {
        Self {
            bytes: vec![0; slots_for(keys) * record],
            filter: empty_filter(keys),
            record,
            repeated: 0,
        }
    }

    fn put(&mut self, mixed: u64, record: &mut [u8], row: u32) -> Result<(), ImageError> {
        let slots = self.bytes.len() / self.record;
        let key = self.record - 4;
        record[key..].copy_from_slice(&(row + 1).to_le_bytes());
        let (byte, bit) = filter_bit(self.filter.len(), mixed);
        if let Some(byte) = self.filter.get_mut(byte) {
            *byte |= bit;
        }
        let home = (mixed >> 32) as usize;
        for step in 0..MAX_PROBES.min(slots) {
            let at = ((home + step) & (slots - 1)) * self.record;
            let slot = &mut self.bytes[at..at + self.record];
            let empty = slot[key..].iter().all(|&byte| byte == 0);
            if empty || slot[..key] == record[..key] {
                self.repeated += usize::from(!empty);
                slot.copy_from_slice(record);
                return Ok(());
            }
        }
        Err(ImageError::Damaged)
    }
}

fn net_records(mut nets: Vec<(IpNet, u32)>) -> (Vec<u8>, usize) {
    nets.sort_by_key(|(net, row)| (net_order(net), std::cmp::Reverse(*row)));
    let before = nets.len();
    nets.dedup_by_key(|(net, _)| net_order(net));
    let mut bytes = Vec::with_capacity(nets.len() * 24);
    for (net, row) in &nets {
        let (family, _, first) = net_order(net);
        bytes.extend_from_slice(&[family, net.prefix_len(), 0, 0]);
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&row.to_le_bytes());
    }
    (bytes, before - nets.len())
}

fn cert_records(mut certs: Vec<([u8; 20], u32)>) -> (Vec<u8>, usize) {
    certs.sort_unstable_by_key(|(digest, row)| (*digest, std::cmp::Reverse(*row)));
    let before = certs.len();
    certs.dedup_by_key(|(digest, _)| *digest);
    let bytes = certs
        .iter()
        .flat_map(|(digest, row)| [digest.as_slice(), &row.to_le_bytes()].concat())
        .collect();
    (bytes, before - certs.len())
}
