//! Compressed bodies, told by their first bytes: gzip, and zip with one file of interest. What comes out is
//! counted while it comes, so that a bomb ends at the limit. Of zip only what lists use is read: stored and
//! deflated files, named in the directory at the end; nothing is unpacked to disk under a name.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write as _};

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};

use crate::fetch::{Body, BodyWriter};

/// Most entries of a zip directory that are looked at.
const MEMBERS: usize = 1000;
/// Farthest from its end that a zip archive's directory record may start: record and comment.
const TAIL_BYTES: u64 = 22 + 65_535;

/// The body itself when it is not compressed, what is in it otherwise, at most `max_bytes`.
///
/// # Errors
/// When it is damaged, or more comes out than allowed.
pub fn inflate(mut body: Body, member: &str, max_bytes: u64) -> Result<Body, String> {
    let mut magic = [0; 4];
    let file = body.open().map_err(|error| error.to_string())?;
    let count = file.read(&mut magic).map_err(|error| error.to_string())?;
    let file = body.open().map_err(|error| error.to_string())?;
    match magic.get(..count) {
        Some([0x1f, 0x8b, ..]) => drain(MultiGzDecoder::new(BufReader::new(file)), max_bytes),
        Some([b'P', b'K', 3, 4]) => {
            let found = find(file, member).map_err(|error| format!("damaged zip: {error}"))?;
            let input = BufReader::new(file.take(found.packed_bytes));
            let mut crc = Crc::new();
            let out = match found.method {
                0 => drain(Summed(input, &mut crc), max_bytes),
                8 => drain(Summed(DeflateDecoder::new(input), &mut crc), max_bytes),
                other => Err(format!("zip method {other} is not supported: use deflate")),
            }?;
            if crc.sum() == found.crc {
                Ok(out)
            } else {
                Err("damaged zip: its checksum differs".to_owned())
            }
        }
        _ => Ok(body),
    }
}

fn drain(mut input: impl Read, max_bytes: u64) -> Result<Body, String> {
    let mut out = BodyWriter::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = input
            .read(&mut chunk)
            .map_err(|error| format!("damaged compression: {error}"))?;
        if count == 0 {
            return Ok(out.finish());
        }
        out.write_all(chunk.get(..count).unwrap_or_default())
            .map_err(|error| error.to_string())?;
        if out.len() > max_bytes {
            return Err(format!("inflates to more than {max_bytes} bytes"));
        }
    }
}

/// Sums up what is read.
struct Summed<'a, R>(R, &'a mut Crc);

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// A file of a zip archive; the reader stands at its first byte.
struct Member {
    method: u16,
    crc: u32,
    packed_bytes: u64,
}

/// Finds the first file whose name ends in `member`.
fn find<R: Read + Seek>(input: &mut R, member: &str) -> io::Result<Member> {
    let bad = |what: &str| io::Error::other(what.to_owned());
    let end = input.seek(SeekFrom::End(0))?;
    let tail_at = end.saturating_sub(TAIL_BYTES);
    input.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    input.by_ref().take(TAIL_BYTES).read_to_end(&mut tail)?;
    let at = tail
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .ok_or_else(|| bad("no directory"))?;
    let record = tail.get(at..).filter(|record| record.len() >= 22);
    let record = record.ok_or_else(|| bad("short directory"))?;
    let count = short(record, 10).ok_or_else(|| bad("short directory"))?;
    let mut offset = u64::from(long(record, 16).ok_or_else(|| bad("short directory"))?);
    for _ in 0..usize::from(count).min(MEMBERS) {
        input.seek(SeekFrom::Start(offset))?;
        let mut header = [0; 46];
        input.read_exact(&mut header)?;
        if !header.starts_with(b"PK\x01\x02") {
            return Err(bad("no directory entry"));
        }
        let field = |at| u64::from(short(&header, at).unwrap_or_default());
        let (name_len, rest) = (field(28), field(30) + field(32));
        let mut name = Vec::new();
        input.by_ref().take(name_len).read_to_end(&mut name)?;
        let name = String::from_utf8_lossy(&name);
        if !name.ends_with('/') && name.ends_with(member) {
            let found = Member {
                method: short(&header, 10).unwrap_or_default(),
                crc: long(&header, 16).unwrap_or_default(),
                packed_bytes: u64::from(long(&header, 20).unwrap_or_default()),
            };
            enter(input, u64::from(long(&header, 42).unwrap_or_default()))?;
            return Ok(found);
        }
        offset = offset + 46 + name_len + rest;
    }
    Err(bad(&format!("no file `{member}` in it")))
}

/// Goes to the first byte of the file whose local header is at `offset`.
fn enter<R: Read + Seek>(input: &mut R, offset: u64) -> io::Result<()> {
    input.seek(SeekFrom::Start(offset))?;
    let mut header = [0; 30];
    input.read_exact(&mut header)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(io::Error::other("no file where the directory says"));
    }
    let skip = [26, 28].map(|at| i64::from(short(&header, at).unwrap_or_default()));
    input.seek(SeekFrom::Current(skip[0] + skip[1]))?;
    Ok(())
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes(*pair))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*four))
}

#[cfg(test)]
pub(crate) mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder};

    use super::*;

    /// A zip archive (APPNOTE 4.3) of deflated files.
    pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, bytes) in files {
            let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
            packer.write_all(bytes).expect("memory");
            let packed = packer.finish().expect("memory");
            let offset = out.len() as u32;
            let sizes = [packed.len() as u32, bytes.len() as u32];
            let mut crc = Crc::new();
            crc.update(bytes);
            // Version, flags, method, time, date, CRC, sizes, name, extra.
            let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
            common.extend(crc.sum().to_le_bytes());
            common.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0, 0]);
            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(name.as_bytes());
            out.extend(&packed);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (start, count) = (out.len() as u32, files.len() as u16);
        let size = directory.len() as u32;
        out.extend(directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0, 0]);
        out
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(bytes).expect("memory");
        packer.finish().expect("memory")
    }

    fn out(bytes: &[u8], member: &str) -> Result<Vec<u8>, String> {
        let body = Body::of(bytes).expect("room");
        let mut body = inflate(body, member, 1000)?;
        body.bytes(1 << 20).map_err(|error| error.to_string())
    }

    #[test]
    fn gzip_and_zip_come_out_and_plain_stays() {
        assert_eq!(out(b"a.biz\n", "").as_deref(), Ok(b"a.biz\n".as_slice()));
        assert_eq!(
            out(&gzip(b"a.biz\n"), "").as_deref(),
            Ok(b"a.biz\n".as_slice())
        );
        let archive = zip(&[("readme.md", b"hello"), ("x/list.csv", b"a.biz")]);
        assert_eq!(
            out(&archive, "list.csv").as_deref(),
            Ok(b"a.biz".as_slice())
        );
        assert_eq!(out(&archive, "").as_deref(), Ok(b"hello".as_slice()));
        assert!(
            out(&archive, "nope")
                .expect_err("none")
                .contains("no file `nope`")
        );
    }

    #[test]
    fn bombs_end_at_the_limit_and_damage_is_an_error() {
        let bomb = vec![b'0'; 100_000];
        for bytes in [gzip(&bomb), zip(&[("x", &bomb)])] {
            let error = out(&bytes, "").expect_err("bomb");
            assert_eq!(error, "inflates to more than 1000 bytes");
        }
        for whole in [gzip(b"a.biz, b.biz, c.biz"), zip(&[("x", b"a.biz, b.biz")])] {
            for len in 4..whole.len() {
                assert!(out(&whole[..len], "").is_err(), "cut at {len}");
            }
            for at in 4..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 0xff;
                // No answer is expected of it, only an end.
                let _ = out(&flipped, "");
            }
        }
    }
}
