//! TLS handshakes (RFC 8446, RFC 5246) as far as they are sent in the clear: the name in a
//! ClientHello and the first certificate of a server up to TLS 1.2.
//!
//! Everything is a view of one TCP payload. A segment that ends inside a message keeps what came
//! before its end; a name or certificate that is cut itself is not found. Nothing is put together
//! over records or segments here; [`stream::fragments`] is what a caller does that with.
//!
//! Bounds: [`record::MAX_RECORDS`], [`record::MAX_MESSAGES`], [`hello::MAX_EXTENSIONS`],
//! [`hello::MAX_NAMES`], [`hello::MAX_HOST_NAME`].

pub mod cert;
pub mod hello;
pub mod record;
pub mod stream;

pub use cert::{Sha1, first_certificate, sha1};
pub use hello::{ClientHello, HostNameBuf};
pub use record::is_handshake;
pub use stream::{Fragment, fragments};
