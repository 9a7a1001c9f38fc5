//! DNS messages (RFC 1035), as far as a passive reader needs them: header, questions, answers.
//!
//! A message is a view; nothing is copied until a caller asks for a name in lower case, which goes
//! into the caller's [`NameBuf`]. A cut message keeps its readable questions and records: the
//! iterators end there and say why.
//!
//! Bounds: [`name::MAX_WIRE_LEN`], [`name::MAX_LABELS`], [`name::MAX_POINTERS`],
//! [`message::MAX_QUESTIONS`], [`message::MAX_ANSWERS`]. Authority and additional records are not
//! read.

pub mod header;
pub mod message;
pub mod name;

pub use header::Header;
pub use message::{Answers, DnsError, Message, Question, Questions, RData, Record};
pub use name::{Name, NameBuf, NameError};

/// Record and question types of interest.
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Reverse name.
    pub const PTR: u16 = 12;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
}

/// The Internet class.
pub const CLASS_IN: u16 = 1;
