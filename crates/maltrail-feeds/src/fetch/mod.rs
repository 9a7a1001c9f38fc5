//! Downloading, within bounds.
//!
//! [`Fetch`] is the seam at which tests put bodies of their own; [`HttpFetch`] is the one that asks the
//! network. A request may be conditional: a server that has nothing new then sends nothing. A body never
//! lies in memory as a whole ([`Body`]).

mod body;
mod http;

pub(crate) use body::hex;

pub use body::{Body, BodyWriter};
pub use http::{HttpFetch, Limits};

/// Largest body of a list in bytes, unless its feed says otherwise.
pub const LIST_BYTES: u64 = 64 << 20;
/// Largest body of an archive or a whole set in bytes. The archive of the public static list has 16 MB, a
/// whole set as CSV 83 MB.
pub const ARCHIVE_BYTES: u64 = 256 << 20;

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The address.
    pub url: &'a str,
    /// `ETag` of the copy at hand: answer only if changed.
    pub etag: Option<&'a str>,
    /// `Last-Modified` of the copy at hand.
    pub last_modified: Option<&'a str>,
    /// Name and value of the header with the user's key. It is never sent to another host.
    pub key: Option<(&'a str, &'a str)>,
    /// Largest body that is taken.
    pub max_bytes: u64,
}

impl<'a> Request<'a> {
    /// An unconditional request for a list.
    pub const fn plain(url: &'a str) -> Self {
        Self {
            url,
            etag: None,
            last_modified: None,
            key: None,
            max_bytes: LIST_BYTES,
        }
    }

    /// Whether "nothing new" is an answer to it.
    pub const fn is_conditional(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

/// What a server answered.
#[derive(Debug)]
pub enum Answer {
    /// A body.
    Fresh(Fresh),
    /// 304: what is at hand still holds.
    Unchanged,
}

/// A body with what makes the next request conditional.
#[derive(Debug)]
pub struct Fresh {
    /// The bytes.
    pub body: Body,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    pub last_modified: Option<String>,
}

impl Fresh {
    /// A body without validators.
    pub fn of(bytes: impl AsRef<[u8]>) -> std::io::Result<Self> {
        Ok(Self {
            body: Body::of(bytes.as_ref())?,
            etag: None,
            last_modified: None,
        })
    }
}

/// Why a download gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, no answer, broken answer.
    #[error("{0}")]
    Transport(String),
    /// Another status than 200 and 304.
    #[error("answer {0}")]
    Status(u16),
    /// More than the limit.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    /// Too little in too much time.
    #[error("too slow: {bytes} bytes in {secs} s")]
    TooSlow {
        /// Bytes that came.
        bytes: u64,
        /// Seconds that it took.
        secs: u64,
    },
    /// A redirect that is not followed.
    #[error("redirect refused: {0}")]
    Redirect(String),
    /// No room for the body.
    #[error("cannot keep the answer: {0}")]
    Spool(#[from] std::io::Error),
}

impl FetchError {
    /// The status of the answer, when there was one.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status(code) => Some(*code),
            _ => None,
        }
    }
}

/// Something that downloads.
pub trait Fetch: Sync {
    /// The answer to `request`.
    ///
    /// # Errors
    /// When there is none, in time and within the limits.
    fn get(&self, request: &Request<'_>) -> Result<Answer, FetchError>;
}
