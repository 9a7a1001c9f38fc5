//! A trail set as one block of bytes.
//!
//! The lookups of [`super::TrailSet`] run directly on this form, so that a file of it can be mapped
//! and shared between processes. All numbers are little-endian.
//!
//! ```text
//! magic "MTRLIMG\0" │ version u32 │ sections u32 │ per section: offset u64, length u64 │ sections…
//!
//! Rows         16 bytes each: key offset u32, key length u16, reference u16, info u32, 0 u32
//! Keys         text of all keys, not separated
//! Infos, References   u32 count+1 offsets, then the texts (`…Text` sections)
//! TextTable    slots of 8 bytes: fingerprint u32, row+1 u32; open addressing, power of two
//! TextFilter   bitmap of a power of two bits, one bit a key: may answer "no" only
//! V4           slots of 8: address u32, row+1 u32; V4Filter is its bitmap
//! V4Port       slots of 12: address u32, port u32, row+1 u32; V4PortFilter is its bitmap
//! V6           slots of 24: address 16, port or 0xffff_ffff u32, row+1 u32
//! Nets         24 bytes, sorted: family u8, bits u8, 0 u16, first address 16, row u32
//! Certs        24 bytes, sorted: SHA-1 20, row u32
//! Patterns     u32 row each, in file order
//! ```
//!
//! **Invariant:** every read is bounds-checked and answers "nothing" outside; no offset found in the
//! bytes is trusted. A damaged image can give wrong answers, never a panic or an endless loop.

use std::ops::Range;

/// Why bytes are not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The first bytes are not the magic.
    #[error("not a trail image")]
    Magic,
    /// Another version of the format.
    #[error("trail image of format {0}, expected {VERSION}")]
    Version(u32),
    /// A section lies outside of the bytes, or has a size that its records cannot have.
    #[error("trail image is damaged or cut short")]
    Damaged,
}

pub(super) const MAGIC: &[u8; 8] = b"MTRLIMG\0";
pub(super) const VERSION: u32 = 1;

/// Slots looked at before a lookup gives up. The builder keeps tables at most two thirds full, where
/// linear probing of a well mixed hash stays far below (longest run measured on 1.6 M keys: 80).
pub(super) const MAX_PROBES: usize = 512;

macro_rules! sections {
    ($($name:ident = $record:literal,)*) => {
        /// Sections in file order.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Section { $($name,)* }

        /// Size of a record of each section in bytes.
        const RECORDS: &[usize] = &[$($record,)*];
    };
}

sections! {
    Rows = 16,
    Keys = 1,
    Infos = 4,
    InfoText = 1,
    References = 4,
    ReferenceText = 1,
    TextTable = 8,
    TextFilter = 1,
    V4 = 8,
    V4Filter = 1,
    V4Port = 12,
    V4PortFilter = 1,
    V6 = 24,
    Nets = 24,
    Certs = 24,
    Patterns = 4,
}

const SECTIONS: usize = RECORDS.len();
const HEADER: usize = 16 + SECTIONS * 16;

/// A validated block.
#[derive(Debug)]
pub(super) struct Image {
    bytes: Box<[u8]>,
    sections: [Range<usize>; SECTIONS],
}

impl Image {
    /// Lays the sections (in file order) out behind a header.
    pub(super) fn assemble(parts: &[Vec<u8>; SECTIONS]) -> Result<Self, ImageError> {
        let total = parts
            .iter()
            .fold(HEADER, |sum, part| sum + part.len().next_multiple_of(8));
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(SECTIONS as u32).to_le_bytes());
        let mut at = HEADER as u64;
        for part in parts {
            bytes.extend_from_slice(&at.to_le_bytes());
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            at += part.len().next_multiple_of(8) as u64;
        }
        for part in parts {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        Self::open(bytes.into_boxed_slice())
    }

    /// Checks header and section bounds.
    pub(super) fn open(bytes: Box<[u8]>) -> Result<Self, ImageError> {
        if !bytes.starts_with(MAGIC) {
            return Err(ImageError::Magic);
        }
        let version = read_u32(&bytes, 8).ok_or(ImageError::Damaged)?;
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        if read_u32(&bytes, 12) != Some(SECTIONS as u32) {
            return Err(ImageError::Damaged);
        }
        let mut sections: [Range<usize>; SECTIONS] = std::array::from_fn(|_| 0..0);
        for (at, (section, record)) in sections.iter_mut().zip(RECORDS).enumerate() {
            let start =
                read_u64(&bytes, 16 + at * 16).and_then(|start| usize::try_from(start).ok());
            let length =
                read_u64(&bytes, 24 + at * 16).and_then(|length| usize::try_from(length).ok());
            let (start, length) = start.zip(length).ok_or(ImageError::Damaged)?;
            let end = start
                .checked_add(length)
                .filter(|&end| end <= bytes.len())
                .ok_or(ImageError::Damaged)?;
            if start < HEADER || !length.is_multiple_of(*record) {
                return Err(ImageError::Damaged);
            }
            *section = start..end;
        }
        Ok(Self { bytes, sections })
    }

    /// The bytes of a section.
    pub(super) fn section(&self, section: Section) -> &[u8] {
        self.sections
            .get(section as usize)
            .and_then(|range| self.bytes.get(range.clone()))
            .unwrap_or_default()
    }

    /// The whole block.
    #[cfg(test)]
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of records of a section.
    pub(super) fn count(&self, section: Section) -> usize {
        self.section(section).len() / RECORDS.get(section as usize).copied().unwrap_or(1)
    }

    /// Size of the whole block in bytes.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Text number `at` of a pair of sections (offsets, texts).
    pub(super) fn text(&self, offsets: Section, texts: Section, at: u32) -> &str {
        let table = self.section(offsets);
        let bound = |at: usize| read_u32(table, at.checked_mul(4)?).map(|offset| offset as usize);
        let range = bound(at as usize).zip(bound(at as usize + 1));
        range
            .and_then(|(start, end)| self.section(texts).get(start..end))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

pub(super) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn read_u128(bytes: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
