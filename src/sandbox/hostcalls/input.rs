//! `wsgi.input`: the request's body, pulled from the client as the guest asks for it (S31 to S37).
//!
//! Nothing is read ahead: the first read is what sends `100 Continue`, and a guest that does not read slows its client. What ends a body
//! too early is an error that stays, never an end.

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use thiserror::Error;

use crate::sandbox::{bindings::wasgi::gateway::input, state::State, timeline::Timeline};

/// What one read returns at most.
const READ_BYTES: usize = 64 << 10;

/// Why a body cannot be read on.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InputFault {
    /// The client has gone.
    #[error("the client disconnected")]
    Disconnected,
    /// The body breaks HTTP's framing.
    #[error("the body is malformed")]
    Malformed,
    /// The body is longer than `request_body_bytes`.
    #[error("the body is too large")]
    TooLarge,
    /// The client or the exchange is out of time.
    #[error("the body did not arrive in time")]
    TimedOut,
}

/// A request's body.
pub struct Input {
    body: UnsyncBoxBody<Bytes, InputFault>,
    rest: Bytes,
    state: Reading,
    left: u64,
    taken: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reading {
    Open,
    Ended,
    Failed(InputFault),
}

impl Input {
    /// A body of at most `limit` bytes.
    pub fn new(body: impl Body<Data = Bytes, Error = InputFault> + Send + 'static, limit: u64) -> Self {
        Self { body: body.boxed_unsync(), rest: Bytes::new(), state: Reading::Open, left: limit, taken: 0 }
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn fault(&self) -> Option<InputFault> {
        match self.state {
            Reading::Failed(fault) => Some(fault),
            Reading::Open | Reading::Ended => None,
        }
    }

    /// How many bytes have come.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The next bytes, at most `max` and 64 KiB of them; none at the end.
    ///
    /// # Errors
    /// [`InputFault`], again and again.
    pub async fn read(&mut self, max: u32, timeline: &Timeline) -> Result<Bytes, InputFault> {
        let most = usize::try_from(max).unwrap_or(usize::MAX).min(READ_BYTES);
        if most > 0 && self.rest.is_empty() {
            self.fill(timeline).await?;
        }
        Ok(self.rest.split_to(most.min(self.rest.len())))
    }

    /// Waits for bytes, or the end.
    async fn fill(&mut self, timeline: &Timeline) -> Result<(), InputFault> {
        while self.state == Reading::Open && self.rest.is_empty() {
            let frame = timeline.client(self.body.frame()).await.map_err(|_| InputFault::TimedOut);
            let (state, rest) = match frame {
                Ok(Some(Ok(frame))) => self.charge(frame),
                Ok(Some(Err(fault))) | Err(fault) => (Reading::Failed(fault), Bytes::new()),
                Ok(None) => (Reading::Ended, Bytes::new()),
            };
            timeline.moved(rest.len());
            (self.state, self.rest) = (state, rest);
        }
        match self.state {
            Reading::Failed(fault) if self.rest.is_empty() => Err(fault),
            Reading::Failed(_) | Reading::Open | Reading::Ended => Ok(()),
        }
    }

    /// What of a frame is within the limit. Trailers are dropped: they never become variables (S78).
    fn charge(&mut self, frame: Frame<Bytes>) -> (Reading, Bytes) {
        let Ok(data) = frame.into_data() else { return (Reading::Open, Bytes::new()) };
        match self.left.checked_sub(u64::try_from(data.len()).unwrap_or(u64::MAX)) {
            Some(left) => {
                self.taken = self.taken.saturating_add(self.left - left);
                self.left = left;
                (Reading::Open, data)
            }
            None => (Reading::Failed(InputFault::TooLarge), Bytes::new()),
        }
    }
}

impl From<InputFault> for input::InputError {
    fn from(fault: InputFault) -> Self {
        match fault {
            InputFault::Disconnected => Self::Disconnected,
            InputFault::Malformed => Self::Malformed,
            InputFault::TooLarge => Self::TooLarge,
            InputFault::TimedOut => Self::TimedOut,
        }
    }
}

impl input::Host for State {
    async fn read(&mut self, max: u32) -> wasmtime::Result<Result<Vec<u8>, input::InputError>> {
        let Some(current) = self.running()? else { return Ok(Ok(Vec::new())) };
        let read = current.input.read(max, &current.timeline).await;
        Ok(read.map(Vec::from).map_err(input::InputError::from))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body_util::Full;

    use super::*;
    use crate::limits::Limits;

    fn timeline() -> Timeline {
        Timeline::new(&Limits::default())
    }

    fn full(data: &'static [u8], limit: u64) -> Input {
        let body = Full::new(Bytes::from_static(data)).map_err(|fault: Infallible| match fault {});
        Input::new(body, limit)
    }

    /// A body of these frames.
    struct Frames(std::vec::IntoIter<Result<&'static [u8], InputFault>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = InputFault;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InputFault>>> {
            Poll::Ready(self.0.next().map(|frame| frame.map(|data| Frame::data(Bytes::from_static(data)))))
        }
    }

    fn frames(frames: Vec<Result<&'static [u8], InputFault>>, limit: u64) -> Input {
        Input::new(Frames(frames.into_iter()), limit)
    }

    #[tokio::test]
    async fn s31_reads_are_bounded_and_the_end_stays_the_end() {
        let (mut input, timeline) = (full(b"hello", 10), timeline());
        assert_eq!(input.read(0, &timeline).await, Ok(Bytes::new()));
        assert_eq!(input.read(2, &timeline).await, Ok(Bytes::from("he")));
        assert_eq!(input.read(100, &timeline).await, Ok(Bytes::from("llo")));
        assert_eq!(input.read(1, &timeline).await, Ok(Bytes::new()));
        assert_eq!(input.read(1, &timeline).await, Ok(Bytes::new()));
    }

    #[tokio::test]
    async fn s35_a_broken_body_is_an_error_that_stays() {
        let (mut input, timeline) = (frames(vec![Ok(b"a"), Err(InputFault::Malformed)], 10), timeline());
        assert_eq!(input.read(9, &timeline).await, Ok(Bytes::from("a")));
        assert_eq!(input.read(9, &timeline).await, Err(InputFault::Malformed));
        assert_eq!(input.read(9, &timeline).await, Err(InputFault::Malformed));
    }

    #[tokio::test]
    async fn s37_a_body_is_read_under_and_at_its_limit_and_fails_over_it() {
        let timeline = timeline();
        assert_eq!(full(b"1234", 5).read(9, &timeline).await, Ok(Bytes::from("1234")));
        assert_eq!(full(b"12345", 5).read(9, &timeline).await, Ok(Bytes::from("12345")));
        assert_eq!(full(b"123456", 5).read(9, &timeline).await, Err(InputFault::TooLarge));
    }

    #[tokio::test]
    async fn an_empty_frame_is_not_the_end() {
        let mut input = frames(vec![Ok(b""), Ok(b"x")], 10);
        assert_eq!(input.read(9, &timeline()).await, Ok(Bytes::from("x")));
    }
}
