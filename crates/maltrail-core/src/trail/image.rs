//! A trail set as one block of bytes: a file that is mapped and used as it is.
//!
//! All numbers are little-endian; sections start at multiples of eight.
//!
//! ```text
//! header 416 bytes:
//!     0 magic "MTRLIMG\0" │ 8 version u32 │ 12 sections u32 │ 16 CRC-32 of the header, itself as 0
//!    20 CRC-32 of all sections │ 24 origin: size u64, modified 2 × i64, switches u64, whitelist 32
//!    88 counts, nine u64 │ 160 per section: offset u64, length u64
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
//! The checksums tell accidents, not attackers: who may write the file may write the trails as well.
//! **Invariant:** every read is bounds-checked and answers "nothing" outside; no offset found in the
//! bytes is trusted. Whatever the bytes are, a lookup gives a wrong answer at worst, never a panic or an
//! endless loop. The file is replaced, never rewritten: the bytes under a map do not change.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use super::origin::Origin;
use super::set::SetReport;

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
    /// It was made from another `trails.csv` or whitelist.
    #[error("trail image is of another trails file or whitelist")]
    Stale,
    /// It cannot be read, or there is none.
    #[error("{0}")]
    Unreadable(io::ErrorKind),
}

pub(super) const MAGIC: &[u8; 8] = b"MTRLIMG\0";
pub(super) const VERSION: u32 = 2;

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

pub(super) const SECTIONS: usize = RECORDS.len();
/// Where the counts stand, and how many they are.
const COUNTS: usize = 88;
const SECTION_TABLE: usize = COUNTS + 9 * 8;
const HEADER: usize = SECTION_TABLE + SECTIONS * 16;
/// Where the CRC-32 of the header stands.
const HEADER_CRC: usize = 16;

/// A validated block.
#[derive(Debug)]
pub(super) struct Image {
    bytes: Mmap,
    sections: [Range<usize>; SECTIONS],
}

/// The header of these sections, which will stand behind it one after the other.
fn header(
    parts: &[Vec<u8>; SECTIONS],
    crc: u32,
    report: &SetReport,
    origin: &Origin,
) -> [u8; HEADER] {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(SECTIONS as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&origin.to_bytes());
    for count in counts(report) {
        bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }
    let mut at = HEADER as u64;
    for part in parts {
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        at += part.len().next_multiple_of(8) as u64;
    }
    let mut header = [0; HEADER];
    header
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from);
    let crc = crc32fast::hash(&header);
    header[HEADER_CRC..HEADER_CRC + 4].copy_from_slice(&crc.to_le_bytes());
    header
}

const fn counts(report: &SetReport) -> [usize; 9] {
    [
        report.rows,
        report.malformed,
        report.whitelisted,
        report.repeated,
        report.addresses,
        report.address_ports,
        report.networks,
        report.certificates,
        report.texts,
    ]
}

/// Zeros that bring a section to a multiple of eight.
const fn padding(part: &[u8]) -> &'static [u8] {
    const ZEROS: &[u8] = &[0; 8];
    ZEROS
        .split_at(part.len().next_multiple_of(8) - part.len())
        .0
}

fn crc_of(parts: &[Vec<u8>; SECTIONS]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
        hasher.update(padding(part));
    }
    hasher.finalize()
}

impl Image {
    /// Lays the sections (in file order) out in memory.
    pub(super) fn assemble(
        parts: [Vec<u8>; SECTIONS],
        report: &SetReport,
    ) -> Result<Self, ImageError> {
        let total = parts
            .iter()
            .fold(HEADER, |sum, part| sum + part.len().next_multiple_of(8));
        let crc = crc_of(&parts);
        let mut bytes = MmapMut::map_anon(total).map_err(|error| unreadable(&error))?;
        let mut rest = bytes.as_mut();
        let header = header(&parts, crc, report, &Origin::default());
        rest.write_all(&header)
            .map_err(|error| unreadable(&error))?;
        // Each part is freed as soon as it is copied: two copies of a large set would be too much.
        for part in parts {
            let written = rest.write_all(&part);
            written
                .and_then(|()| rest.write_all(padding(&part)))
                .map_err(|error| unreadable(&error))?;
        }
        let bytes = bytes.make_read_only().map_err(|error| unreadable(&error))?;
        Self::over(bytes).map(|(image, _, _)| image)
    }

    /// Writes the sections (in file order) to a file.
    pub(super) fn write(
        mut file: &File,
        parts: [Vec<u8>; SECTIONS],
        report: &SetReport,
        origin: &Origin,
    ) -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header(&parts, crc_of(&parts), report, origin))?;
        for part in parts {
            file.write_all(&part)?;
            file.write_all(padding(&part))?;
        }
        Ok(())
    }

    /// Maps a file and checks it whole: header, bounds and the checksum of all bytes.
    pub(super) fn open(path: &Path) -> Result<(Self, SetReport, Origin), ImageError> {
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        #[expect(unsafe_code, reason = "mapping a file is unsafe in any crate")]
        // SAFETY: image files are written under another name, renamed into place and never changed
        // afterwards, so nobody alters or shortens the bytes under the map.
        let bytes = unsafe { Mmap::map(&file) }.map_err(|error| unreadable(&error))?;
        let opened = Self::over(bytes)?;
        opened.0.check()?;
        Ok(opened)
    }

    /// Bytes as they are, with both checksums set to what fits: for fuzzing.
    pub(super) fn sealed(mut bytes: Vec<u8>) -> Result<(Self, SetReport), ImageError> {
        if let Some((header, body)) = bytes.split_first_chunk_mut::<HEADER>() {
            header[HEADER_CRC + 4..HEADER_CRC + 8]
                .copy_from_slice(&crc32fast::hash(body).to_le_bytes());
            header[HEADER_CRC..HEADER_CRC + 4].fill(0);
            let crc = crc32fast::hash(header);
            header[HEADER_CRC..HEADER_CRC + 4].copy_from_slice(&crc.to_le_bytes());
        }
        let mut map = MmapMut::map_anon(bytes.len().max(1)).map_err(|error| unreadable(&error))?;
        map.as_mut()
            .write_all(&bytes)
            .map_err(|error| unreadable(&error))?;
        let map = map.make_read_only().map_err(|error| unreadable(&error))?;
        Self::over(map).map(|(image, report, _)| (image, report))
    }

    /// Checks header and section bounds.
    pub(super) fn over(bytes: Mmap) -> Result<(Self, SetReport, Origin), ImageError> {
        if !bytes.starts_with(MAGIC) {
            return Err(ImageError::Magic);
        }
        let version = read_u32(&bytes, 8).ok_or(ImageError::Damaged)?;
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        let mut header = *bytes.first_chunk::<HEADER>().ok_or(ImageError::Damaged)?;
        let crc = read_u32(&header, HEADER_CRC);
        header[HEADER_CRC..HEADER_CRC + 4].fill(0);
        if crc != Some(crc32fast::hash(&header)) || read_u32(&header, 12) != Some(SECTIONS as u32) {
            return Err(ImageError::Damaged);
        }
        let mut sections: [Range<usize>; SECTIONS] = std::array::from_fn(|_| 0..0);
        let mut next = HEADER;
        for (at, (section, record)) in sections.iter_mut().zip(RECORDS).enumerate() {
            let start = read_size(&header, SECTION_TABLE + at * 16);
            let length = read_size(&header, SECTION_TABLE + at * 16 + 8);
            let (start, length) = start.zip(length).ok_or(ImageError::Damaged)?;
            let end = start
                .checked_add(length)
                .filter(|&end| end <= bytes.len())
                .ok_or(ImageError::Damaged)?;
            if start != next || !length.is_multiple_of(*record) {
                return Err(ImageError::Damaged);
            }
            *section = start..end;
            next = end.next_multiple_of(8);
        }
        if next != bytes.len() {
            return Err(ImageError::Damaged);
        }
        let origin = Origin::of_bytes(&header[24..COUNTS]).ok_or(ImageError::Damaged)?;
        let mut counts =
            (0..9).map(|at| read_size(&header, COUNTS + at * 8).ok_or(ImageError::Damaged));
        let mut count = || counts.next().unwrap_or(Err(ImageError::Damaged));
        let report = SetReport {
            rows: count()?,
            malformed: count()?,
            whitelisted: count()?,
            repeated: count()?,
            addresses: count()?,
            address_ports: count()?,
            networks: count()?,
            certificates: count()?,
            texts: count()?,
            ..SetReport::default()
        };
        Ok((Self { bytes, sections }, report, origin))
    }

    /// Compares the checksum of all sections.
    fn check(&self) -> Result<(), ImageError> {
        let body = self.bytes.get(HEADER..).unwrap_or_default();
        if read_u32(&self.bytes, 20) == Some(crc32fast::hash(body)) {
            Ok(())
        } else {
            Err(ImageError::Damaged)
        }
    }

    /// The bytes of a section.
    pub(super) fn section(&self, section: Section) -> &[u8] {
        self.sections
            .get(section as usize)
            .and_then(|range| self.bytes.get(range.clone()))
            .unwrap_or_default()
    }

    /// Number of records of a section.
    pub(super) fn count(&self, section: Section) -> usize {
        self.section(section).len() / RECORDS.get(section as usize).copied().unwrap_or(1)
    }

    /// Size of the whole block in bytes.
    pub(super) fn len(&self) -> usize {
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

fn read_size(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

fn unreadable(error: &io::Error) -> ImageError {
    ImageError::Unreadable(error.kind())
}

pub(super) fn read_u128(bytes: &[u8], at: usize) -> Option<u128> {
    Some(u128::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::parse_ip;
    use crate::trail::{TrailSet, TrailSetBuilder, Whitelist};

    fn builder() -> TrailSetBuilder {
        let mut builder = TrailSetBuilder::new(Whitelist::default());
        for (key, reference) in [
            ("evil.com", "r"),
            ("5.5.5.5", "r"),
            ("5.5.5.5:1", "r"),
            ("5.0.0.0/8", "r"),
            ("2001:db8::1", "r"),
            ("ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12", "sslbl"),
            (r"a[0-9]+\.b", "(static)"),
        ] {
            builder.push(key, "i", reference);
        }
        builder
    }

    /// The bytes of a file of a small set.
    fn file_bytes() -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().expect("file");
        let written = builder().write(file.as_file(), &Origin::default());
        written.expect("written");
        std::fs::read(file.path()).expect("bytes")
    }

    fn opened(bytes: &[u8]) -> Result<TrailSet, ImageError> {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), bytes).expect("bytes");
        TrailSet::open(file.path(), None, true)
    }

    /// Every lookup there is.
    fn look_everywhere(set: &TrailSet) {
        for text in ["5.5.5.5", "5.1.1.1", "2001:db8::1", "::"] {
            let address = parse_ip(text).expect("address");
            let _ = (set.ip(address), set.ip_port(address, 1), set.net(address));
        }
        let _ = (
            set.name_or_parent("a.evil.com", |_, _| true),
            set.text_or_longer(1, "aevil.com"),
            set.pattern("a1.b"),
            set.certificate(&[0xab; 20]),
            set.find("5.0.0.0/8", "r"),
            set.rows().count(),
        );
    }

    #[test]
    fn a_file_answers_as_the_set_in_memory() {
        let (file, memory) = (
            opened(&file_bytes()).expect("good"),
            builder().finish(true).expect("small"),
        );
        assert_eq!(file.report(), memory.report());
        assert!(file.rows().eq(memory.rows()) && file.len() == 7);
        for row in memory.rows() {
            assert_eq!(file.find(row.key, row.reference), Some(row));
        }
    }

    #[test]
    fn any_cut_flip_or_added_byte_is_found() {
        let whole = file_bytes();
        for cut in 0..whole.len() {
            assert!(opened(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                assert!(opened(&bytes).is_err(), "flip at {at}");
            }
        }
        let longer = [whole.as_slice(), &[0; 8]].concat();
        assert_eq!(opened(&longer).err(), Some(ImageError::Damaged));
    }

    #[test]
    fn lookups_in_a_hostile_file_end_without_a_panic() {
        let whole = file_bytes();
        let mut accepted = 0;
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Ok(set) = TrailSet::of_image_bytes(bytes) {
                    accepted += 1;
                    look_everywhere(&set);
                }
            }
        }
        assert!(
            accepted > whole.len(),
            "{accepted} of {} bytes",
            whole.len()
        );
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let mut bytes = file_bytes();
        assert_eq!(opened(b"").err(), Some(ImageError::Magic));
        assert_eq!(opened(b"evil.com,i,r\r\n").err(), Some(ImageError::Magic));
        bytes[8] = 1;
        assert_eq!(opened(&bytes).err(), Some(ImageError::Version(1)));
        let missing = TrailSet::open(Path::new("/nowhere/trails.img"), None, true);
        assert_eq!(
            missing.err(),
            Some(ImageError::Unreadable(io::ErrorKind::NotFound))
        );
    }

    #[test]
    fn an_image_of_another_origin_is_stale() {
        let folder = tempfile::tempdir().expect("folder");
        let (csv, img) = (
            folder.path().join("trails.csv"),
            folder.path().join("trails.img"),
        );
        std::fs::write(&csv, "evil.com,i,r\r\n").expect("trails");
        let whitelist = Whitelist::parse(["good.com\n1.2.3.0/24\n"]);
        let origin = |whitelist: &Whitelist, repair| {
            Origin::of(&std::fs::metadata(&csv).expect("file"), whitelist, repair)
        };
        let first = origin(&whitelist, true);
        let file = File::create(&img).expect("image");
        builder().write(&file, &first).expect("written");
        let open = |origin: &Origin| TrailSet::open(&img, Some(origin), true).map(|set| set.len());
        assert_eq!(open(&first), Ok(7));
        let same = Whitelist::parse(["1.2.3.4/24 # x\n", "GOOD.com\n"]);
        assert_eq!(open(&origin(&same, true)), Ok(7));
        let others = [
            origin(&Whitelist::parse(["good.com\n"]), true),
            origin(&whitelist, false),
            {
                std::fs::write(&csv, "evil.com,i,rr\r\n").expect("trails");
                origin(&whitelist, true)
            },
        ];
        for other in others {
            assert_eq!(open(&other), Err(ImageError::Stale));
        }
    }
}
