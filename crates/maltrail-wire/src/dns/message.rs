//! A whole message: questions and answer records.
//!
//! The first question is read as a plain name, the rest of the message as compressed names. The
//! iterators yield what is complete and stop at the first item that is not; `error()` then says
//! why, and stays `None` when all items that the header claims were there.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::header::{HEADER_LEN, Header};
use super::name::{Name, NameError};
use super::rtype;

/// Most questions read. Real messages have one.
pub const MAX_QUESTIONS: usize = 16;
/// Most answer records read. Answers with more than a few dozen are rare even over TCP.
pub const MAX_ANSWERS: usize = 1024;

/// Why a message cannot be read (further).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsError {
    /// The message ends inside its header, a question or a record.
    Truncated,
    /// The header claims no question.
    NoQuestion,
    /// A name that cannot be passed.
    Name(NameError),
    /// More than [`MAX_QUESTIONS`] questions.
    TooManyQuestions,
    /// More than [`MAX_ANSWERS`] answers.
    TooManyAnswers,
}

impl From<NameError> for DnsError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Truncated => Self::Truncated,
            other => Self::Name(other),
        }
    }
}

/// A message with a complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    header: Header<'a>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name.
    pub name: Name<'a>,
    /// The record type; see [`rtype`].
    pub qtype: u16,
    /// The class; [`CLASS_IN`](super::CLASS_IN) nearly always.
    pub qclass: u16,
}

/// An answer record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Owner of the record.
    pub name: Name<'a>,
    /// The record type; see [`rtype`].
    pub rtype: u16,
    /// The class.
    pub class: u16,
    /// Seconds that the record may be kept.
    pub ttl_secs: u32,
    /// The data.
    pub rdata: RData<'a>,
}

/// The data of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RData<'a> {
    /// An A record.
    A(Ipv4Addr),
    /// An AAAA record.
    Aaaa(Ipv6Addr),
    /// A CNAME record's target.
    Cname(Name<'a>),
    /// Another type, or data whose length does not fit the type.
    Other(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Reads the header; the rest is read on demand.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DnsError> {
        let header = Header::parse(bytes).ok_or(DnsError::Truncated)?;
        Ok(Self { bytes, header })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> Header<'a> {
        self.header
    }

    /// The first question.
    pub fn first_question(&self) -> Result<Question<'a>, DnsError> {
        if self.header.question_count() == 0 {
            return Err(DnsError::NoQuestion);
        }
        let (question, _) = question(self.bytes, HEADER_LEN)?;
        Ok(question)
    }

    /// The questions in order.
    #[must_use]
    pub const fn questions(&self) -> Questions<'a> {
        Questions {
            bytes: self.bytes,
            at: HEADER_LEN,
            read: 0,
            claimed: self.header.question_count() as usize,
            error: None,
        }
    }

    /// The answer records in order. Empty, with an error, when a question cannot be passed.
    #[must_use]
    pub fn answers(&self) -> Answers<'a> {
        let mut questions = self.questions();
        while questions.next().is_some() {}
        Answers {
            bytes: self.bytes,
            at: questions.at,
            read: 0,
            claimed: self.header.answer_count() as usize,
            error: questions.error,
        }
    }
}

/// Iterator over the questions of a message.
#[derive(Clone, Debug)]
pub struct Questions<'a> {
    bytes: &'a [u8],
    at: usize,
    read: usize,
    claimed: usize,
    error: Option<DnsError>,
}

impl Questions<'_> {
    /// Why the iteration ended before the claimed count; `None` if it did not (yet).
    #[must_use]
    pub const fn error(&self) -> Option<DnsError> {
        self.error
    }
}

impl<'a> Iterator for Questions<'a> {
    type Item = Question<'a>;

    fn next(&mut self) -> Option<Question<'a>> {
        if self.error.is_some() || self.read == self.claimed {
            return None;
        }
        let found = if self.read == MAX_QUESTIONS {
            Err(DnsError::TooManyQuestions)
        } else {
            question(self.bytes, self.at)
        };
        match found {
            Ok((question, end)) => {
                self.at = end;
                self.read = self.read.saturating_add(1);
                Some(question)
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

/// Iterator over the answer records of a message.
#[derive(Clone, Debug)]
pub struct Answers<'a> {
    bytes: &'a [u8],
    at: usize,
    read: usize,
    claimed: usize,
    error: Option<DnsError>,
}

impl Answers<'_> {
    /// Why the iteration ended before the claimed count; `None` if it did not (yet).
    #[must_use]
    pub const fn error(&self) -> Option<DnsError> {
        self.error
    }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.error.is_some() || self.read == self.claimed {
            return None;
        }
        let found = if self.read == MAX_ANSWERS {
            Err(DnsError::TooManyAnswers)
        } else {
            record(self.bytes, self.at)
        };
        match found {
            Ok((record, end)) => {
                self.at = end;
                self.read = self.read.saturating_add(1);
                Some(record)
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

/// The question at `at`, and where it ends.
fn question(bytes: &[u8], at: usize) -> Result<(Question<'_>, usize), DnsError> {
    // compat: in the first question a length byte is always a length.
    let name = if at == HEADER_LEN {
        Name::plain(bytes, at)?
    } else {
        Name::compressed(bytes, at)?
    };
    let (&[t0, t1, c0, c1], end) = fixed::<4>(bytes, name.end())?;
    let (qtype, qclass) = (u16::from_be_bytes([t0, t1]), u16::from_be_bytes([c0, c1]));
    Ok((
        Question {
            name,
            qtype,
            qclass,
        },
        end,
    ))
}

/// The record at `at`, and where it ends.
fn record(bytes: &[u8], at: usize) -> Result<(Record<'_>, usize), DnsError> {
    let name = Name::compressed(bytes, at)?;
    let (&[t0, t1, c0, c1, l0, l1, l2, l3, d0, d1], start) = fixed::<10>(bytes, name.end())?;
    let rtype = u16::from_be_bytes([t0, t1]);
    let end = start.saturating_add(usize::from(u16::from_be_bytes([d0, d1])));
    let data = bytes.get(start..end).ok_or(DnsError::Truncated)?;
    let record = Record {
        name,
        rtype,
        class: u16::from_be_bytes([c0, c1]),
        ttl_secs: u32::from_be_bytes([l0, l1, l2, l3]),
        rdata: rdata(bytes, rtype, start, data),
    };
    Ok((record, end))
}

/// The data of a record, which stands at `start`.
fn rdata<'a>(bytes: &'a [u8], rtype: u16, start: usize, data: &'a [u8]) -> RData<'a> {
    let typed = match rtype {
        rtype::A => <[u8; 4]>::try_from(data)
            .ok()
            .map(|octets| RData::A(octets.into())),
        rtype::AAAA => <[u8; 16]>::try_from(data)
            .ok()
            .map(|octets| RData::Aaaa(octets.into())),
        rtype::CNAME => Name::compressed(bytes, start)
            .ok()
            .filter(|name| name.end() == start.saturating_add(data.len()))
            .map(RData::Cname),
        _ => None,
    };
    typed.unwrap_or(RData::Other(data))
}

/// The `N` bytes at `at`, and where they end.
fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Result<(&[u8; N], usize), DnsError> {
    let chunk = bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .ok_or(DnsError::Truncated)?;
    Ok((chunk, at.saturating_add(N)))
}

#[cfg(test)]
mod tests {
    use super::super::NameBuf;
    use super::*;

    fn header(questions: u16, answers: u16) -> Vec<u8> {
        let mut bytes = vec![0x11, 0x11, 0x81, 0x80];
        for count in [questions, answers, 0, 0] {
            bytes.extend(count.to_be_bytes());
        }
        bytes
    }

    fn record_bytes(name: &[u8], rtype: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = name.to_vec();
        bytes.extend(rtype.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]); // class IN, TTL 60
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        bytes
    }

    /// `bot.evil-c2.com` A? with a CNAME, an A and an AAAA record.
    fn response() -> Vec<u8> {
        let mut bytes = header(1, 3);
        bytes.extend(b"\x03bot\x07evil-c2\x03com\x00\x00\x01\x00\x01");
        bytes.extend(record_bytes(b"\xc0\x0c", rtype::CNAME, b"\x03CDN\xc0\x10"));
        bytes.extend(record_bytes(b"\xc0\x2d", rtype::A, &[203, 0, 113, 99]));
        bytes.extend(record_bytes(
            b"\xc0\x2d",
            rtype::AAAA,
            &[0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
        ));
        bytes
    }

    fn text(name: Name<'_>) -> String {
        let mut out = NameBuf::new();
        name.write_lower(&mut out).unwrap();
        out.as_str().unwrap().to_owned()
    }

    #[test]
    fn question_and_answers() {
        let bytes = response();
        let message = Message::parse(&bytes).unwrap();
        let question = message.first_question().unwrap();
        assert_eq!(text(question.name), "bot.evil-c2.com");
        assert_eq!((question.qtype, question.qclass), (1, 1));

        let mut answers = message.answers();
        let cname = answers.next().unwrap();
        assert_eq!(
            (text(cname.name).as_str(), cname.ttl_secs),
            ("bot.evil-c2.com", 60)
        );
        let RData::Cname(target) = cname.rdata else {
            panic!("{cname:?}")
        };
        assert_eq!(text(target), "cdn.evil-c2.com");
        let a = answers.next().unwrap();
        assert_eq!(text(a.name), "cdn.evil-c2.com");
        assert_eq!(a.rdata, RData::A(Ipv4Addr::new(203, 0, 113, 99)));
        let aaaa = answers.next().unwrap();
        assert_eq!(aaaa.rdata, RData::Aaaa("2001::9".parse().unwrap()));
        assert_eq!((answers.next(), answers.error()), (None, None));
    }

    #[test]
    fn a_cut_message_keeps_what_was_readable() {
        let bytes = response();
        // Ends of: question, CNAME, A, AAAA.
        let ends = [33, 51, 67, 95];
        assert_eq!(bytes.len(), ends[3]);
        for cut in 0..bytes.len() {
            let Ok(message) = Message::parse(&bytes[..cut]) else {
                assert!(cut < HEADER_LEN);
                continue;
            };
            let mut answers = message.answers();
            let whole = ends[1..].iter().filter(|&&end| cut >= end).count();
            assert_eq!(answers.by_ref().count(), whole, "{cut} bytes");
            assert_eq!(answers.error(), Some(DnsError::Truncated));
            let question = message.first_question();
            assert_eq!(question.is_ok(), cut >= ends[0], "{cut} bytes");
        }
    }

    #[test]
    fn no_question_is_said_so() {
        let bytes = header(0, 0);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.first_question(), Err(DnsError::NoQuestion));
        assert_eq!(message.questions().count(), 0);
    }

    #[test]
    fn later_questions_may_be_compressed() {
        let mut bytes = header(2, 0);
        bytes.extend(b"\x01a\x03com\x00\x00\x1c\x00\x01");
        bytes.extend(b"\x01b\xc0\x0e\x00\x01\x00\x03");
        let message = Message::parse(&bytes).unwrap();
        let found: Vec<_> = message
            .questions()
            .map(|q| (text(q.name), q.qtype, q.qclass))
            .collect();
        assert_eq!(found, [("a.com".into(), 28, 1), ("b.com".into(), 1, 3)]);
    }

    #[test]
    fn counts_beyond_the_bounds_stop_there() {
        let mut bytes = header(17, 0);
        bytes.extend(b"\x00\x00\x01\x00\x01".repeat(17));
        let mut questions = Message::parse(&bytes).unwrap().questions();
        assert_eq!(questions.by_ref().count(), MAX_QUESTIONS);
        assert_eq!(questions.error(), Some(DnsError::TooManyQuestions));

        let mut bytes = header(0, 1025);
        bytes.extend(record_bytes(b"\x00", rtype::A, &[1, 2, 3, 4]).repeat(1025));
        let mut answers = Message::parse(&bytes).unwrap().answers();
        assert_eq!(answers.by_ref().count(), MAX_ANSWERS);
        assert_eq!(answers.error(), Some(DnsError::TooManyAnswers));
    }

    #[test]
    fn data_that_does_not_fit_its_type_stays_bytes() {
        let cases: [(u16, &[u8]); 4] = [
            (rtype::A, &[1, 2, 3]),
            (rtype::AAAA, &[1, 2, 3, 4]),
            (rtype::CNAME, b"\x01a\x00tail"),
            (16, b"\x03txt"),
        ];
        for (rtype, data) in cases {
            let mut bytes = header(0, 1);
            bytes.extend(record_bytes(b"\x00", rtype, data));
            let record = Message::parse(&bytes).unwrap().answers().next().unwrap();
            assert_eq!(record.rdata, RData::Other(data), "type {rtype}");
        }
    }

    #[test]
    fn a_looping_owner_name_costs_its_own_record_only() {
        let mut bytes = header(0, 2);
        bytes.extend(record_bytes(b"\xc0\x0c", rtype::A, &[1, 2, 3, 4])); // points at itself
        bytes.extend(record_bytes(b"\x01a\x00", rtype::A, &[5, 6, 7, 8]));
        let records: Vec<_> = Message::parse(&bytes).unwrap().answers().collect();
        let mut out = NameBuf::new();
        assert_eq!(
            records[0].name.write_lower(&mut out),
            Err(NameError::Pointer)
        );
        assert_eq!(records[0].rdata, RData::A(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(text(records[1].name), "a");
    }
}
