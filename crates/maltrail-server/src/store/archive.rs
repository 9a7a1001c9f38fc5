//! Packed day files: `DATE.log.gz` beside or instead of `DATE.log`.
//!
//! What the server packs is a row of gzip members of about [`BLOCK_BYTES`] each and a mark at the end, so
//! that `zcat` gives the same bytes and a line in the middle costs one member:
//!
//! ```text
//! member: gzip header with field "Mt": its packed size, its plain size │ deflate │ CRC, size
//! mark:   empty member with field "Ms": plain size of the whole archive, size and digest of the last source
//! ```
//!
//! Any other gzip file (of logrotate, of a user) is read as a stream: going back means beginning anew.
//! An archive that breaks off ends where it breaks. Bounds: one inflated member per open archive, of at
//! most [`MAX_BLOCK`]; [`MAX_BLOCKS`] members, beyond them it is a stream.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::write::DeflateEncoder;
use ring::digest::{Context, SHA256};

use super::lock;

/// Plain bytes of a member: whole lines where lines are shorter.
const BLOCK_BYTES: usize = 256 << 10;
/// Largest member that is taken for one of ours.
const MAX_BLOCK: u32 = 4 << 20;
/// A quarter of a terabyte.
const MAX_BLOCKS: usize = 1 << 20;
/// gzip, deflate, with extra field, no time, no hint, unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255];
/// Header, length of the extra field, one subfield of eight bytes.
const BLOCK_HEAD: usize = 10 + 2 + 4 + 8;
const MARK_FIELD: usize = 8 + 8 + 16;
/// With an empty deflate stream and its trailer.
const MARK_BYTES: usize = 10 + 2 + 4 + MARK_FIELD + 2 + 8;
/// Bytes at either end of a source that its digest covers.
const DIGESTED: u64 = 64 << 10;
/// Buffer for reading packed streams.
const BUFFER: usize = 64 << 10;

/// What was packed last: plain bytes of a day file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Plain bytes of the whole archive.
    pub(crate) total: u64,
    /// Bytes of the file that was packed last.
    pub(crate) size: u64,
    digest: [u8; 16],
}

impl Mark {
    /// The mark at the end of an archive of ours.
    pub(crate) fn of(archive: &File) -> io::Result<Option<Self>> {
        let len = archive.metadata()?.len();
        let Some(at) = len.checked_sub(MARK_BYTES as u64) else {
            return Ok(None);
        };
        let mut bytes = [0; MARK_BYTES];
        archive.read_exact_at(&mut bytes, at)?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&field_head(*b"Ms", MARK_FIELD as u16)[..])?;
        let (field, end) = rest.split_at_checked(MARK_FIELD)?;
        let (total, field) = field.split_first_chunk::<8>()?;
        let (size, field) = field.split_first_chunk::<8>()?;
        let digest = *field.first_chunk()?;
        (end == EMPTY).then_some(Self {
            total: u64::from_le_bytes(*total),
            size: u64::from_le_bytes(*size),
            digest,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = field_head(*b"Ms", MARK_FIELD as u16).to_vec();
        bytes.extend(self.total.to_le_bytes());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.digest);
        bytes.extend(EMPTY);
        bytes
    }

    /// Whether `source` begins with what was packed last: then a crash, or a writer, came between the
    /// packing and the removal.
    pub(crate) fn covers(&self, source: &File) -> io::Result<bool> {
        let len = source.metadata()?.len();
        Ok(self.size > 0 && len >= self.size && digest(source, self.size)? == self.digest)
    }
}

/// An empty deflate stream, CRC and size.
const EMPTY: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A header with one subfield of `len` bytes.
fn field_head(name: [u8; 2], len: u16) -> [u8; 16] {
    let mut head = [0; 16];
    head[..10].copy_from_slice(&HEADER);
    head[10..12].copy_from_slice(&(len + 4).to_le_bytes());
    head[12..14].copy_from_slice(&name);
    head[14..16].copy_from_slice(&len.to_le_bytes());
    head
}

/// Of the first and the last bytes up to `size`.
fn digest(source: &File, size: u64) -> io::Result<[u8; 16]> {
    let mut context = Context::new(&SHA256);
    let part = size.min(DIGESTED);
    let mut bytes = vec![0; part as usize];
    for at in [0, size - part] {
        source.read_exact_at(&mut bytes, at)?;
        context.update(&bytes);
    }
    let digest = context.finish();
    Ok(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

/// One member.
#[derive(Clone, Copy, Debug)]
struct Block {
    at: u64,
    packed: u32,
    start: u64,
    plain: u32,
}

#[derive(Debug)]
enum Layout {
    Blocks(Vec<Block>),
    Stream,
}

/// A packed file that is being read.
#[derive(Debug)]
pub(crate) struct Archive {
    file: Arc<File>,
    layout: Layout,
    /// std lock: held while a member or a stretch of the stream is inflated.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The inflated member and its number.
    block: Option<(usize, Vec<u8>)>,
    stream: Option<Stream>,
    /// Where the stream ends, once it was read that far.
    end: Option<u64>,
    broken: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("State").finish_non_exhaustive()
    }
}

struct Stream {
    decoder: MultiGzDecoder<BufReader<At>>,
    at: u64,
}

/// Reads a shared file from an offset on.
#[derive(Debug)]
struct At {
    file: Arc<File>,
    at: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Archive {
    /// Takes an open file.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let blocks = match Mark::of(&file)? {
            Some(mark) => blocks(&file, mark.total)?,
            None => None,
        };
        Ok(Self {
            file: Arc::new(file),
            layout: blocks.map_or(Layout::Stream, Layout::Blocks),
            state: Mutex::default(),
        })
    }

    /// Plain size where it need not be found by reading everything, or was found before.
    pub(crate) fn known_len(&self) -> Option<u64> {
        match &self.layout {
            Layout::Blocks(blocks) => Some(
                blocks
                    .last()
                    .map_or(0, |block| block.start + u64::from(block.plain)),
            ),
            Layout::Stream => lock(&self.state).end,
        }
    }

    /// Plain size, found by reading everything where nothing else says it.
    pub(crate) fn len(&self) -> io::Result<u64> {
        if let Some(len) = self.known_len() {
            return Ok(len);
        }
        let (mut at, mut buffer) = (0, vec![0; BUFFER]);
        loop {
            match self.read_at(&mut buffer, at)? {
                0 => return Ok(at),
                count => at += count as u64,
            }
        }
    }

    /// Reads some plain bytes at `offset`; 0 at the end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let result = match &self.layout {
            Layout::Blocks(blocks) => self.read_block(&mut state, blocks, buffer, offset),
            Layout::Stream => self.read_stream(&mut state, buffer, offset),
        };
        match result {
            Err(error) if is_broken(&error) => {
                if !std::mem::replace(&mut state.broken, true) {
                    tracing::warn!(%error, "archive: a packed day file is damaged; what comes after the damage is not read");
                }
                state.end = state.stream.as_ref().map(|stream| stream.at);
                Ok(0)
            }
            result => result,
        }
    }

    fn read_block(
        &self,
        state: &mut State,
        blocks: &[Block],
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let after = blocks.partition_point(|block| block.start <= offset);
        let Some((number, block)) = after
            .checked_sub(1)
            .and_then(|number| Some((number, *blocks.get(number)?)))
        else {
            return Ok(0);
        };
        if state
            .block
            .as_ref()
            .is_none_or(|(known, _)| *known != number)
        {
            state.block = Some((number, self.inflate(block)?));
        }
        let bytes = state.block.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let from = usize::try_from(offset - block.start).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn inflate(&self, block: Block) -> io::Result<Vec<u8>> {
        let source = At {
            file: Arc::clone(&self.file),
            at: block.at,
        };
        let mut bytes = Vec::with_capacity(block.plain as usize);
        let decoder = GzDecoder::new(source.take(block.packed.into()));
        decoder
            .take(u64::from(block.plain) + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() == block.plain as usize {
            Ok(bytes)
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a member has another size than it says",
            ))
        }
    }

    fn read_stream(&self, state: &mut State, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if state
            .stream
            .as_ref()
            .is_none_or(|stream| stream.at > offset)
        {
            let source = At {
                file: Arc::clone(&self.file),
                at: 0,
            };
            state.stream = Some(Stream {
                decoder: MultiGzDecoder::new(BufReader::with_capacity(BUFFER, source)),
                at: 0,
            });
        }
        let Some(stream) = &mut state.stream else {
            return Ok(0);
        };
        let behind = offset - stream.at;
        let passed = io::copy(&mut (&mut stream.decoder).take(behind), &mut io::sink())?;
        stream.at += passed;
        let count = if passed < behind {
            0
        } else {
            stream.decoder.read(buffer)?
        };
        stream.at += count as u64;
        if count == 0 && !buffer.is_empty() {
            state.end = Some(stream.at);
        }
        Ok(count)
    }
}

fn is_broken(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// The members, if all of the file is of our making and holds `total` bytes.
fn blocks(file: &File, total: u64) -> io::Result<Option<Vec<Block>>> {
    let end = file.metadata()?.len();
    let (mut at, mut start, mut blocks) = (0, 0, Vec::new());
    while at < end && blocks.len() < MAX_BLOCKS {
        let mut head = [0; BLOCK_HEAD];
        if end - at < BLOCK_HEAD as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut head, at)?;
        if head.starts_with(&field_head(*b"Ms", MARK_FIELD as u16)) {
            at += MARK_BYTES as u64;
            continue;
        }
        let Some((packed, plain)) = block_sizes(&head) else {
            return Ok(None);
        };
        blocks.push(Block {
            at,
            packed,
            start,
            plain,
        });
        at += u64::from(packed);
        start += u64::from(plain);
    }
    Ok((at == end && start == total).then_some(blocks))
}

fn block_sizes(head: &[u8]) -> Option<(u32, u32)> {
    let field = head.strip_prefix(&field_head(*b"Mt", 8)[..])?;
    let (packed, field) = field.split_first_chunk::<4>()?;
    let plain = field.first_chunk::<4>()?;
    let (packed, plain) = (u32::from_le_bytes(*packed), u32::from_le_bytes(*plain));
    (packed as usize > BLOCK_HEAD && plain > 0 && plain <= MAX_BLOCK).then_some((packed, plain))
}

/// One member that holds `bytes`.
fn member(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut member = field_head(*b"Mt", 8).to_vec();
    member.extend([0; 4]);
    member.extend((bytes.len() as u32).to_le_bytes());
    let mut encoder = DeflateEncoder::new(member, Compression::default());
    encoder.write_all(bytes)?;
    let mut member = encoder.finish()?;
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    member.extend(crc.sum().to_le_bytes());
    member.extend((bytes.len() as u32).to_le_bytes());
    let size = (member.len() as u32).to_le_bytes();
    if let Some(field) = member.get_mut(16..20) {
        field.copy_from_slice(&size);
    }
    Ok(member)
}

/// Packs the first `size` bytes of `source` behind what `archive` holds already, into a new file that
/// takes the archive's place when it is complete, on disk and read back. `go_on` is asked between members.
///
/// # Errors
/// The archive is as it was then.
pub(crate) fn pack(
    source: &File,
    size: u64,
    archive: &Path,
    go_on: &dyn Fn() -> bool,
) -> io::Result<()> {
    let new = archive.with_extension("gz.new");
    let result = write_new(source, size, archive, &new, go_on).and_then(|before| {
        verify(&new, before, source, size)?;
        std::fs::rename(&new, archive)?;
        sync_folder(archive)
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    result
}

/// Makes a rename or a removal last.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

/// Writes the new archive; tells how many plain bytes stand before those of `source`.
fn write_new(
    source: &File,
    size: u64,
    archive: &Path,
    new: &Path,
    go_on: &dyn Fn() -> bool,
) -> io::Result<u64> {
    let mode = source.metadata()?.permissions().mode() & 0o777;
    let _ = std::fs::remove_file(new);
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(mode).open(new)?;
    let before = match File::open(archive) {
        Ok(mut old) => {
            io::copy(&mut old, &mut out)?;
            Archive::new(old)?.len()?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let (mut at, mut chunk) = (0, vec![0; BLOCK_BYTES]);
    while at < size {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = usize::try_from(size - at)
            .unwrap_or(usize::MAX)
            .min(BLOCK_BYTES);
        let some = chunk.get_mut(..most).unwrap_or_default();
        source.read_exact_at(some, at)?;
        let whole = match memchr::memrchr(b'\n', some) {
            Some(end) if at + (most as u64) < size => end + 1,
            _ => most,
        };
        let lines = some.get(..whole).unwrap_or_default();
        out.write_all(&member(lines)?)?;
        at += whole as u64;
    }
    let mark = Mark {
        total: before + size,
        size,
        digest: digest(source, size)?,
    };
    out.write_all(&mark.bytes())?;
    out.sync_all()?;
    Ok(before)
}

/// Compares what the new archive gives with the source: the source is about to be removed.
fn verify(new: &Path, before: u64, source: &File, size: u64) -> io::Result<()> {
    let archive = Archive::new(File::open(new)?)?;
    let (mut packed, mut plain) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut at = 0;
    loop {
        let count = archive.read_at(&mut packed, before + at)?;
        let same = match (packed.get(..count), plain.get_mut(..count)) {
            (Some(packed), Some(plain)) if at + count as u64 <= size => {
                source.read_exact_at(plain, at)?;
                packed == plain
            }
            _ => false,
        };
        at += count as u64;
        if !same || (count == 0 && at != size) {
            return Err(io::Error::other(
                "the packed file does not give back what was packed",
            ));
        }
        if count == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that pack neither too well nor too badly.
    fn text(lines: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut seed = 1_u64;
        for n in 0..lines {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            writeln!(text, "line {n} {seed:x} evil{}.example", seed % 97).unwrap();
        }
        text
    }

    fn packed(dir: &Path, text: &[u8]) -> std::path::PathBuf {
        let (source, archive) = (dir.join("x.log"), dir.join("x.log.gz"));
        std::fs::write(&source, text).unwrap();
        let source = File::open(source).unwrap();
        pack(&source, text.len() as u64, &archive, &|| true).unwrap();
        archive
    }

    fn zcat(path: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(File::open(path).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    }

    fn read(archive: &Archive, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut used = 0;
        while used < len {
            match archive
                .read_at(&mut bytes[used..], at + used as u64)
                .unwrap()
            {
                0 => break,
                count => used += count,
            }
        }
        bytes.truncate(used);
        bytes
    }

    #[test]
    fn any_gzip_program_gives_the_same_bytes_and_any_place_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = text(40_000);
        assert!(text.len() > 4 * BLOCK_BYTES);
        let path = packed(dir.path(), &text);
        assert_eq!(zcat(&path), text);
        let archive = Archive::new(File::open(&path).unwrap()).unwrap();
        let Layout::Blocks(blocks) = &archive.layout else {
            panic!("a stream");
        };
        assert!(blocks.len() >= 5 && blocks.len() <= 7, "{}", blocks.len());
        assert_eq!(archive.len().unwrap(), text.len() as u64);
        for at in [
            0,
            1,
            text.len() - 3,
            BLOCK_BYTES - 1,
            BLOCK_BYTES + 1,
            777_777,
        ] {
            let wanted = &text[at..(at + 300_000).min(text.len())];
            assert!(read(&archive, at as u64, 300_000) == wanted, "{at}");
        }
        assert!(read(&archive, text.len() as u64, 10).is_empty());
        assert!(read(&archive, u64::MAX, 10).is_empty());
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size < text.len() as u64 / 2, "{size}");
    }

    #[test]
    fn packing_again_adds_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (text(5000), text(7000));
        packed(dir.path(), &one);
        let path = packed(dir.path(), &two);
        let all = [one, two.clone()].concat();
        assert_eq!(zcat(&path), all);
        let archive = Archive::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(archive.known_len(), Some(all.len() as u64));
        assert_eq!(read(&archive, 0, all.len()), all);
        let mark = Mark::of(&File::open(&path).unwrap()).unwrap().unwrap();
        let source = dir.path().join("x.log");
        let covers = || mark.covers(&File::open(&source).unwrap()).unwrap();
        assert_eq!(mark.size, two.len() as u64);
        assert!(covers(), "a crash before the removal");
        std::fs::write(&source, [&two[..], b"more\n"].concat()).unwrap();
        assert!(covers(), "and a line after it");
        std::fs::write(&source, "another\n").unwrap();
        assert!(!covers());
        std::fs::write(&source, vec![b'x'; two.len()]).unwrap();
        assert!(!covers());
    }

    #[test]
    fn archives_of_others_are_read_as_they_are_and_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log.gz");
        let text = text(20_000);
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap();
        let archive = Archive::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(archive.known_len(), None);
        assert_eq!(archive.len().unwrap(), text.len() as u64);
        for at in [500_000, 3, 700_000, 699_999] {
            assert_eq!(read(&archive, at, 99), text[at as usize..at as usize + 99]);
        }
        packed(dir.path(), b"late\n");
        let all = [&text[..], b"late\n"].concat();
        assert_eq!(zcat(&path), all);
        let archive = Archive::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(read(&archive, 0, all.len() + 10), all);
    }

    #[test]
    fn a_damaged_archive_ends_where_it_breaks_and_never_panics() {
        let dir = tempfile::tempdir().unwrap();
        let text = text(30_000);
        let path = packed(dir.path(), &text);
        let good = std::fs::read(&path).unwrap();
        let bad = dir.path().join("bad.gz");
        let check = |bytes: &[u8]| {
            std::fs::write(&bad, bytes).unwrap();
            let archive = Archive::new(File::open(&bad).unwrap()).unwrap();
            let got = read(&archive, 0, text.len() + 1);
            let common = got.len().min(text.len());
            (got[..common] == text[..common], got.len())
        };
        for end in (0..good.len()).step_by(good.len() / 40) {
            let (right, len) = check(&good[..end]);
            assert!(right && len <= text.len(), "cut at {end}");
        }
        let first = block_sizes(&good).unwrap().0 as usize;
        assert!(check(&good[..good.len() / 2]).1 > 0, "whole members stay");
        for at in (0..BLOCK_HEAD).chain((BLOCK_HEAD..good.len()).step_by(good.len() / 60)) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            check(&bytes);
        }
        let mut bytes = good.clone();
        bytes[first + 1000] ^= 1;
        let (_, len) = check(&bytes);
        assert_eq!(
            len as u32,
            block_sizes(&good).unwrap().1,
            "the first member is whole"
        );
        for bytes in [&b""[..], b"x", &[0; 200], &HEADER] {
            assert_eq!(check(bytes).1, 0);
        }
    }

    #[test]
    fn a_stop_or_a_full_disk_leaves_the_archive_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = packed(dir.path(), &text(100));
        let before = std::fs::read(&path).unwrap();
        let source = File::open(dir.path().join("x.log")).unwrap();
        let size = source.metadata().unwrap().len();
        assert!(pack(&source, size, &path, &|| false).is_err());
        assert!(pack(&source, size + 1, &path, &|| true).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
