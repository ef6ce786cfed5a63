//! A request's body that nobody read to its end (S38).
//!
//! The next request on the connection begins behind it. A short rest is read and thrown away, so that the connection can be kept; a long
//! one is left to the connection, which then closes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{ClientBody, Tasks};
use crate::{environ::Length, sandbox::InputFault};

/// What is thrown away at most.
const BYTES: usize = 256 << 10;
/// How long it may take.
const TIME: Duration = Duration::from_secs(1);

/// A client's body that drains itself when it is dropped unread.
///
/// It is at its end when it has its length: whoever reads the connection may tell of the end only with the next request.
pub(super) struct Drained {
    body: Option<ClientBody>,
    /// What is to come, where that is known.
    left: Option<u64>,
    touched: bool,
    tasks: Tasks,
}

impl Drained {
    pub(super) fn new(body: ClientBody, length: Length, tasks: Tasks) -> Self {
        let left = match length {
            Length::None => Some(0),
            Length::Known(length) => Some(length),
            Length::Chunked => None,
        };
        Self { body: Some(body), left, touched: false, tasks }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if self.is_end_stream() {
            return;
        }
        let Some(body) = self.body.take() else { return };
        // A body that was never asked for may wait for `100 Continue`: asking for it now would send that for nothing.
        if self.touched {
            self.tasks.spawn(timeout(TIME, drain(body)));
        }
    }
}

async fn drain(mut body: ClientBody) {
    let mut left = BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

impl Body for Drained {
    type Data = Bytes;
    type Error = InputFault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InputFault>>> {
        self.touched = true;
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if let (Some(left), Some(Ok(frame))) = (&mut self.left, &frame) {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            *left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) || self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
