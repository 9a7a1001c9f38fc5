//! Bodies made piece by piece: a bounded channel seen as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that wait for a slow client.
const PIECES: usize = 4;

/// The sending side's pieces, in order; ends when the sender is dropped.
pub(crate) struct Pieces<T>(Receiver<T>);

impl<T> futures_core::Stream for Pieces<T> {
    type Item = Result<T, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}

/// A stream and its sender.
pub(crate) fn pieces<T>() -> (Sender<T>, Pieces<T>) {
    let (sender, receiver) = channel(PIECES);
    (sender, Pieces(receiver))
}

/// A body whose bytes `write` makes on a blocking thread. It ends early when the client leaves.
pub(crate) fn written(write: impl FnOnce(&dyn Fn(Vec<u8>) -> bool) + Send + 'static) -> Body {
    let (sender, stream) = pieces::<Bytes>();
    tokio::task::spawn_blocking(move || write(&|piece| sender.blocking_send(piece.into()).is_ok()));
    Body::from_stream(stream)
}
