//! The response's body on its way from the guest to the connection.
//!
//! The end of a body is a message, not a closed channel: a guest that dies in the middle must not look finished (S64).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame as HttpFrame, SizeHint};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{response::Framing, sandbox::Frame};

/// The guest ended before its body did: the connection must be broken off, so that the client can tell.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the response was broken off")]
pub struct Aborted;

/// The body of a response.
#[derive(Debug)]
pub struct ReplyBody {
    frames: mpsc::Receiver<Frame>,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Frames come; with a length, so many bytes are still to come.
    Open(Option<u64>),
    Ended,
}

impl ReplyBody {
    pub(super) fn new(frames: mpsc::Receiver<Frame>, framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty { .. } | Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Open(Some(length)),
            Framing::Open => State::Open(None),
        };
        Self { frames, state }
    }

    fn take(&mut self, left: Option<u64>, data: Bytes) -> Result<HttpFrame<Bytes>, Aborted> {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let left = match left {
            Some(left) => Some(left.checked_sub(bytes).ok_or(Aborted)?),
            None => None,
        };
        self.state = if left == Some(0) { State::Ended } else { State::Open(left) };
        Ok(HttpFrame::data(data))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<HttpFrame<Bytes>, Aborted>>> {
        let State::Open(left) = self.state else { return Poll::Ready(None) };
        self.frames.poll_recv(context).map(|frame| match frame {
            Some(Frame::Data(data)) => Some(self.take(left, data)),
            Some(Frame::End) if left.is_none() => {
                self.state = State::Ended;
                None
            }
            Some(Frame::End) | None => {
                self.state = State::Ended;
                Some(Err(Aborted))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Ended => SizeHint::with_exact(0),
            State::Open(Some(left)) => SizeHint::with_exact(left),
            State::Open(None) => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn collect(framing: Framing, frames: Vec<Frame>) -> Result<Bytes, Aborted> {
        let (sender, receiver) = mpsc::channel(8);
        for frame in frames {
            sender.send(frame).await.unwrap();
        }
        drop(sender);
        ReplyBody::new(receiver, framing).collect().await.map(http_body_util::Collected::to_bytes)
    }

    fn data(text: &'static str) -> Frame {
        Frame::Data(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn s64_a_dropped_sender_is_an_abort_and_an_end_is_an_end() {
        assert_eq!(collect(Framing::Open, vec![data("ab"), Frame::End]).await, Ok(Bytes::from("ab")));
        assert_eq!(collect(Framing::Open, vec![data("ab")]).await, Err(Aborted));
    }

    #[tokio::test]
    async fn s61_a_body_of_known_length_ends_with_its_last_byte_and_not_before() {
        assert_eq!(collect(Framing::Length(2), vec![data("ab")]).await, Ok(Bytes::from("ab")));
        assert_eq!(collect(Framing::Length(3), vec![data("ab"), Frame::End]).await, Err(Aborted));
        assert_eq!(collect(Framing::Length(1), vec![data("ab")]).await, Err(Aborted));
        assert_eq!(collect(Framing::Empty { content_length: Some(5) }, vec![]).await, Ok(Bytes::new()));
    }
}
