//! A request's body that nobody read to its end (S38).
//!
//! The next request on the connection begins behind it. A short rest is read and thrown away, so that the connection can be kept; a long
//! one is left to the connection, which then closes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{ClientBody, Tasks};
use crate::sandbox::InputFault;

/// What is thrown away at most.
const BYTES: usize = 256 << 10;
/// How long it may take.
const TIME: Duration = Duration::from_secs(1);

/// A client's body that drains itself when it is dropped unread.
pub(super) struct Drained {
    body: Option<ClientBody>,
    touched: bool,
    tasks: Tasks,
}

impl Drained {
    pub(super) fn new(body: ClientBody, tasks: Tasks) -> Self {
        Self { body: Some(body), touched: false, tasks }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
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
        match self.body.as_mut() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
