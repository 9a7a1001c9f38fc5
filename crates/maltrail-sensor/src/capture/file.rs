//! Capture files: pcap (microseconds, nanoseconds, both byte orders) and pcapng, from a file, a pipe
//! or standard input.
//!
//! Read directly, without libpcap: a pcapng file may mix link types and snap lengths, which libpcap
//! refuses. A record is a slice of the read buffer. A file that ends in the middle of a record, as a
//! capture that was killed does, gives everything before it and then says where it broke off.

use std::fmt;
use std::io::{self, Read};

use maltrail_core::time::Timestamp;

use super::pcapng::Ng;
use super::source::Source;

/// Longest record in bytes that is believed. Wireshark refuses more than 128 MiB; no link has frames
/// beyond 256 kB, so this leaves room for oddities and stops at garbage.
pub(super) const RECORD_BYTES: u32 = 16 << 20;

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Time of the capture.
    pub at: Timestamp,
    /// Link type as registered for captures (1 = Ethernet).
    pub link: u16,
    /// The bytes that were captured.
    pub frame: &'a [u8],
    /// Length of the frame on the wire.
    pub wire_bytes: u32,
}

/// What is wrong with a capture file, and where.
#[derive(Debug)]
pub struct CaptureError {
    /// Byte at which it was noticed.
    pub offset: u64,
    /// What was noticed.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug)]
pub enum Problem {
    /// The input cannot be read.
    Input(io::Error),
    /// The first bytes are of no known format.
    Format,
    /// The file ends inside a record.
    Truncated,
    /// A record whose length or order makes no sense.
    Garbled(&'static str),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Input(error) => write!(f, "cannot be read at byte {}: {error}", self.offset),
            Problem::Format => f.write_str("is neither a pcap nor a pcapng file"),
            Problem::Truncated => write!(f, "ends inside a record at byte {}", self.offset),
            Problem::Garbled(what) => write!(f, "is damaged at byte {}: {what}", self.offset),
        }
    }
}

impl std::error::Error for CaptureError {}

/// Reads the records of one capture.
pub struct CaptureFile<R> {
    source: Source<R>,
    format: Format,
}

enum Format {
    Pcap(Classic),
    Ng(Ng),
}

/// State of a classic pcap file.
#[derive(Clone, Copy, Debug)]
struct Classic {
    big_endian: bool,
    nanoseconds: bool,
    link: u16,
    /// Bytes of a record's header: 16, or 24 in the form of a patched libpcap.
    header: usize,
}

/// Numbers in the byte order of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub(super) big_endian: bool,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u16::from_be_bytes(raw)
        } else {
            u16::from_le_bytes(raw)
        })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u32::from_be_bytes(raw)
        } else {
            u32::from_le_bytes(raw)
        })
    }
}

impl<R: Read> CaptureFile<R> {
    /// Recognises the format.
    ///
    /// # Errors
    /// When the input cannot be read or is no capture.
    pub fn open(input: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(input);
        let head = source.peek(24).map_err(|error| CaptureError {
            offset: 0,
            problem: Problem::Input(error),
        })?;
        let format = match classic(head) {
            Some(classic) => {
                let got = head.len();
                if got < 24 {
                    return Err(CaptureError {
                        offset: got as u64,
                        problem: Problem::Truncated,
                    });
                }
                Format::Pcap(classic)
            }
            None if Ng::recognises(head) => Format::Ng(Ng::default()),
            None => {
                return Err(CaptureError {
                    offset: 0,
                    problem: Problem::Format,
                });
            }
        };
        if matches!(format, Format::Pcap(_)) {
            source.take(24).map_err(|error| CaptureError {
                offset: 0,
                problem: Problem::Input(error),
            })?;
        }
        Ok(Self { source, format })
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// When the rest cannot be read or understood. What came before stands.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        // The record is looked for first and read then, so that an error can name its place.
        let found = match &mut self.format {
            Format::Pcap(classic) => classic.find(&mut self.source),
            Format::Ng(ng) => ng.find(&mut self.source),
        };
        let offset = self.source.marked();
        let Some(found) = found.map_err(|problem| CaptureError { offset, problem })? else {
            return Ok(None);
        };
        let block = self.source.take(found.length);
        let block = block.map_err(|error| CaptureError {
            offset,
            problem: Problem::Input(error),
        })?;
        let end = found.from + found.captured as usize;
        match block.get(found.from..end) {
            Some(frame) => Ok(Some(Record {
                at: found.at,
                link: found.link,
                frame,
                wire_bytes: found.wire_bytes,
            })),
            None if block.len() < found.length => Err(CaptureError {
                offset,
                problem: Problem::Truncated,
            }),
            None => Err(CaptureError {
                offset,
                problem: Problem::Garbled("a packet longer than its block"),
            }),
        }
    }

    /// Bytes of the input taken so far.
    pub const fn position(&self) -> u64 {
        self.source.position()
    }
}

fn classic(head: &[u8]) -> Option<Classic> {
    let magic: [u8; 4] = *head.first_chunk()?;
    let (big_endian, value) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (value @ (0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34), _) => (false, value),
        (_, value @ (0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34)) => (true, value),
        _ => return None,
    };
    let link = Order { big_endian }.u32(head, 20).unwrap_or_default();
    Some(Classic {
        big_endian,
        nanoseconds: value == 0xa1b2_3c4d,
        // The upper half holds flags such as the length of a frame check sequence.
        link: (link & 0xffff) as u16,
        header: if value == 0xa1b2_cd34 { 24 } else { 16 },
    })
}

/// A record that lies at the front of the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) at: Timestamp,
    pub(super) link: u16,
    pub(super) wire_bytes: u32,
    /// Bytes of the whole record or block.
    pub(super) length: usize,
    /// Where the frame starts in it.
    pub(super) from: usize,
    /// Bytes of the frame.
    pub(super) captured: u32,
}

impl Classic {
    fn find<R: Read>(&self, source: &mut Source<R>) -> Result<Option<Found>, Problem> {
        let order = Order {
            big_endian: self.big_endian,
        };
        source.mark();
        let head = source.peek(self.header).map_err(Problem::Input)?;
        if head.is_empty() {
            return Ok(None);
        }
        if head.len() < self.header {
            return Err(Problem::Truncated);
        }
        let field = |at| order.u32(head, at).ok_or(Problem::Truncated);
        let (secs, fraction, captured, wire_bytes) = (field(0)?, field(4)?, field(8)?, field(12)?);
        if captured > RECORD_BYTES {
            return Err(Problem::Garbled("a record longer than any frame"));
        }
        let micros = if self.nanoseconds {
            fraction / 1000
        } else {
            fraction
        };
        Ok(Some(Found {
            at: Timestamp::from_parts(i64::from(secs), micros),
            link: self.link,
            wire_bytes,
            length: self.header + captured as usize,
            from: self.header,
            captured,
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn pcap(magic: u32, big_endian: bool, records: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let u32 = |value: u32| {
            if big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let mut out = Vec::new();
        out.extend(u32(magic));
        out.extend([0; 12]);
        out.extend(u32(262_144));
        out.extend(u32(1));
        for (secs, fraction, frame) in records {
            out.extend(u32(*secs));
            out.extend(u32(*fraction));
            out.extend(u32(frame.len() as u32));
            out.extend(u32(frame.len() as u32 + 5));
            out.extend(*frame);
        }
        out
    }

    /// Microseconds, link type and frame of a record.
    type Seen = (i64, u16, Vec<u8>);

    pub(in super::super) fn read(bytes: &[u8]) -> (Vec<Seen>, Option<String>) {
        let mut file = match CaptureFile::open(bytes) {
            Ok(file) => file,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let mut records = Vec::new();
        loop {
            match file.next_record() {
                Ok(Some(record)) => {
                    records.push((record.at.micros(), record.link, record.frame.to_vec()))
                }
                Ok(None) => return (records, None),
                Err(error) => return (records, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn both_byte_orders_and_both_resolutions() {
        for big_endian in [false, true] {
            let micro = pcap(0xa1b2_c3d4, big_endian, &[(1, 2, b"abc"), (3, 4, b"")]);
            assert_eq!(
                read(&micro),
                (
                    vec![(1_000_002, 1, b"abc".to_vec()), (3_000_004, 1, Vec::new())],
                    None
                )
            );
            let nano = pcap(0xa1b2_3c4d, big_endian, &[(1, 2_999, b"abc")]);
            assert_eq!(read(&nano).0[0].0, 1_000_002);
        }
    }

    #[test]
    fn a_cut_file_gives_what_is_whole() {
        let whole = pcap(0xa1b2_c3d4, false, &[(1, 2, b"abc"), (3, 4, b"defg")]);
        for cut in 0..whole.len() {
            let (records, error) = read(&whole[..cut]);
            let wanted = usize::from(cut >= 24 + 19);
            assert_eq!(records.len(), wanted, "cut at {cut}");
            let at_end = cut == 24 || cut == 24 + 19;
            assert_eq!(error.is_none(), at_end, "cut at {cut}: {error:?}");
        }
        assert_eq!(
            read(&whole[..whole.len() - 1]).1.as_deref(),
            Some("ends inside a record at byte 43")
        );
    }

    #[test]
    fn garbage_is_named() {
        assert_eq!(
            read(b"GET / HTTP/1.1\r\n\r\nmore than that").1.as_deref(),
            Some("is neither a pcap nor a pcapng file")
        );
        assert_eq!(
            read(b"").1.as_deref(),
            Some("is neither a pcap nor a pcapng file")
        );
        let mut long = pcap(0xa1b2_c3d4, false, &[(1, 2, b"abc")]);
        long[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            read(&long).1.as_deref(),
            Some("is damaged at byte 24: a record longer than any frame")
        );
    }
}
