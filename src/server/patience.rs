//! A socket that gives up on a client that does not read, or too slowly.
//!
//! hyper waits for ever until its buffer is written; nothing else of the connection is looked at meanwhile. So the wait ends here, whatever it
//! is that is sent: a guest's response, a file, an error.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// How long a client is waited for before its rate counts.
const GRACE: Duration = Duration::from_secs(5);

/// For how long a client may be waited for: what it takes earns time, and what it lets wait uses it up.
struct Pace {
    /// Bytes a second; 0 asks for none.
    rate: u64,
    /// Without any progress.
    patience: Duration,
    left: Duration,
}

impl Pace {
    fn new(rate: u64, patience: Duration) -> Self {
        Self { rate, patience, left: if rate == 0 { patience } else { GRACE.min(patience) } }
    }

    fn waited(&mut self, time: Duration) {
        if self.rate > 0 {
            self.left = self.left.saturating_sub(time);
        }
    }

    fn took(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if let Some(earned) = bytes.saturating_mul(1_000_000).checked_div(self.rate) {
            self.left = self.left.saturating_add(Duration::from_micros(earned)).min(self.patience);
        }
    }
}

/// A stream whose writes fail when none succeeds for a time, or when they succeed too slowly; it is reset when it is dropped before its end.
pub(super) struct Patient {
    /// There until it is taken.
    stream: Option<TcpStream>,
    pace: Pace,
    /// Since when a write waits, and until when it may.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patient {
    /// `rate` is what a client has to take, in bytes a second; `patience` is how long it may take nothing.
    pub(super) fn new(stream: TcpStream, rate: u64, patience: Duration) -> Self {
        Self { stream: Some(stream), pace: Pace::new(rate, patience), stalled: None }
    }

    /// The stream, which then ends in order.
    pub(super) fn into_orderly(mut self) -> Option<TcpStream> {
        self.stream.take()
    }

    fn stream<T>(&mut self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Lets a write through that is done, and times one that waits. `bytes` says how many went out.
    fn timed<T>(&mut self, context: &mut Context<'_>, write: Poll<io::Result<T>>, bytes: impl FnOnce(&T) -> usize) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = &write {
            if let Some((since, _)) = self.stalled.take() {
                self.pace.waited(since.elapsed());
            }
            self.pace.took(written.as_ref().map_or(0, bytes));
            return write;
        }
        let left = self.pace.left;
        let (_, end) = self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        if end.deadline() <= Instant::now() || end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read, or too slowly")));
        }
        Poll::Pending
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream(|stream| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let write = self.stream(|stream| stream.poll_write(context, data));
        self.timed(context, write, |bytes| *bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let write = self.stream(|stream| stream.poll_write_vectored(context, data));
        self.timed(context, write, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(TcpStream::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = self.stream(|stream| stream.poll_flush(context));
        self.timed(context, flush, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(|stream| stream.poll_shutdown(context))
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        let reset = self.stream.as_ref().map_or(Ok(()), TcpStream::set_zero_linger);
        if let Err(error) = reset {
            tracing::debug!("a connection could not be reset: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_takes_bytes_at_the_rate_is_waited_for_and_who_is_slower_is_not_for_long() {
        let left_after = |bytes| {
            let mut pace = Pace::new(1_000, 30 * SECOND);
            for _ in 0..100 {
                pace.waited(SECOND);
                pace.took(bytes);
            }
            pace.left
        };
        assert_eq!([left_after(1_000), left_after(900)], [5 * SECOND, SECOND / 10 * 9]);
        assert_eq!(left_after(2_000), 30 * SECOND, "more than its patience it never has");
    }

    #[test]
    fn without_a_rate_only_patience_counts() {
        let mut pace = Pace::new(0, 30 * SECOND);
        pace.took(1);
        pace.waited(29 * SECOND);
        assert_eq!(pace.left, 30 * SECOND);
        assert_eq!(Pace::new(1, SECOND).left, SECOND);
    }
}
