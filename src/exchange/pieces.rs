//! A request's body that is read from a file or a pipe, piece by piece as it is asked for.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, ReadBuf};

use crate::sandbox::InputFault;

const PIECE: usize = 64 << 10;

/// A body of so many bytes; one that ends before is broken.
pub struct Pieces<R> {
    source: R,
    left: u64,
    piece: Box<[u8]>,
}

impl<R> Pieces<R> {
    /// The next `length` bytes of `source`.
    pub fn new(source: R, length: u64) -> Self {
        Self { source, left: length, piece: vec![0; PIECE].into() }
    }
}

impl<R: AsyncRead + Unpin> Body for Pieces<R> {
    type Data = Bytes;
    type Error = InputFault;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InputFault>>> {
        let Self { source, left, piece } = self.get_mut();
        let most = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut piece = ReadBuf::new(piece.get_mut(..most).unwrap_or_default());
        let read = ready!(Pin::new(source).poll_read(context, &mut piece));
        let bytes = u64::try_from(piece.filled().len()).unwrap_or(u64::MAX);
        *left = left.saturating_sub(bytes);
        Poll::Ready(Some(match read {
            Ok(()) if bytes > 0 => Ok(Frame::data(Bytes::copy_from_slice(piece.filled()))),
            // It has ended too early, or our own disk failed: for the application it is as if the client had gone.
            Ok(()) | Err(_) => Err(InputFault::Disconnected),
        }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(source: &'static [u8], length: u64) -> Result<Bytes, InputFault> {
        Pieces::new(source, length).collect().await.map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn s31_s35_a_body_is_its_length_and_a_shorter_one_is_broken() {
        assert_eq!(read(b"hello, world", 5).await, Ok(Bytes::from("hello")));
        assert_eq!(read(b"hello", 5).await, Ok(Bytes::from("hello")));
        assert_eq!(read(b"hell", 5).await, Err(InputFault::Disconnected));
        assert_eq!(read(b"", 0).await, Ok(Bytes::new()));
    }
}
