//! The bytes of a connection: plain or through TLS, as its first byte says.
//!
//! ```text
//! Waiting ─ first byte 0x16 ─► Handshake ─► Tls
//!        └─ any other ───────► Plain
//! ```
//!
//! Everything happens when the connection's own task reads, so a handshake holds up nobody else. A
//! listener without TLS begins with `Plain`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Type of a TLS record that carries a handshake (RFC 8446, 5.1). No HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;

/// A connection's bytes.
pub(crate) enum Wire {
    Waiting(TcpStream, Arc<ServerConfig>),
    Handshake(Box<Accept<TcpStream>>),
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake failed; what it was made of is gone.
    Gone,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Waiting(..) => "Waiting",
            Self::Handshake(_) => "Handshake",
            Self::Plain(_) => "Plain",
            Self::Tls(_) => "Tls",
            Self::Gone => "Gone",
        })
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Self {
        match tls {
            Some(config) => Self::Waiting(stream, config),
            None => Self::Plain(stream),
        }
    }

    /// Whether a handshake has begun and not ended.
    pub(crate) const fn is_shaking(&self) -> bool {
        matches!(self, Self::Handshake(_))
    }

    /// Ready when bytes can be read and written. Sets `secure` when they travel through TLS.
    pub(crate) fn poll_open(
        &mut self,
        context: &mut Context<'_>,
        secure: &AtomicBool,
    ) -> Poll<io::Result<()>> {
        loop {
            let result = match self {
                Self::Plain(_) | Self::Tls(_) => return Poll::Ready(Ok(())),
                Self::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                Self::Waiting(stream, _) => {
                    let mut first = [0];
                    let mut buffer = ReadBuf::new(&mut first);
                    let count = ready!(stream.poll_peek(context, &mut buffer))?;
                    Ok((count == 1 && first == [HANDSHAKE]).then_some(None))
                }
                Self::Handshake(accept) => {
                    let result = ready!(Pin::new(&mut **accept).poll(context));
                    result.map(|stream| Some(Some(stream)))
                }
            };
            *self = match (std::mem::replace(self, Self::Gone), result) {
                (Self::Waiting(stream, _), Ok(None)) => Self::Plain(stream),
                (Self::Waiting(stream, config), Ok(Some(None))) => {
                    Self::Handshake(Box::new(TlsAcceptor::from(config).accept(stream)))
                }
                (_, Ok(Some(Some(stream)))) => {
                    secure.store(true, Ordering::Release);
                    Self::Tls(Box::new(stream))
                }
                (_, Ok(_)) => Self::Gone,
                (_, Err(error)) => return Poll::Ready(Err(error)),
            };
        }
    }
}

/// Bytes before the wire is open: nobody writes then, since nobody has asked.
fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            _ => closed(),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            _ => closed(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            _ => closed(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) | Self::Waiting(stream, _) => {
                Pin::new(stream).poll_shutdown(context)
            }
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            // Dropping the socket closes it.
            Self::Handshake(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
