//! A socket that gives up on a client that does not read, or too slowly.
//!
//! hyper waits for ever until its buffer is written; nothing else of the connection is looked at meanwhile. So the wait ends here, whatever it
//! is that is sent: a guest's response, a file, an error. What a client has taken is what its system has acknowledged: that a socket can be
//! written again says nothing about it, for the kernel says so when a third of its buffer is free, which can be megabytes.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::ioctl::{Getter, Opcode, ioctl};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// How long a client is waited for before its rate counts.
const GRACE: Duration = Duration::from_secs(5);
/// What a client has taken is looked at again after that, at the earliest.
const LOOK: Duration = Duration::from_millis(100);

/// `SIOCOUTQ` of `linux/sockios.h`, on the machines that wasmtime compiles for.
const SIOCOUTQ: Opcode = 0x5411;

/// For how long a client may be waited for: what it takes earns time, and what it lets wait uses it up.
struct Pace {
    /// Bytes a second; 0 asks for none.
    rate: u64,
    /// Without any progress.
    patience: Duration,
    left: Duration,
}

/// A client that was waited for in vain.
#[derive(Debug, Eq, PartialEq)]
struct TooSlow;

impl Pace {
    fn new(rate: u64, patience: Duration) -> Self {
        let mut pace = Self { rate, patience, left: Duration::ZERO };
        pace.renew();
        pace
    }

    /// Another response begins: what the client was late with before is forgotten, and what it has earned is not.
    fn renew(&mut self) {
        self.left = if self.rate == 0 { self.patience } else { self.left.max(GRACE.min(self.patience)) };
    }

    /// It has been waited for so long, and has taken so much meanwhile.
    fn waited(&mut self, time: Duration, bytes: u64) -> Result<(), TooSlow> {
        self.left = match bytes.saturating_mul(1_000_000).checked_div(self.rate) {
            Some(earned) => self.left.saturating_add(Duration::from_micros(earned)).saturating_sub(time).min(self.patience),
            None if bytes > 0 => self.patience,
            None => self.left.saturating_sub(time),
        };
        if self.left.is_zero() { Err(TooSlow) } else { Ok(()) }
    }
}

/// Says to a [`Patient`] that another response begins.
#[derive(Clone, Default)]
pub(super) struct Renewal(Arc<AtomicBool>);

impl Renewal {
    pub(super) fn renew(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream whose writes fail when none succeeds for a time, or when the client takes too slowly what was written; it is reset when it is
/// dropped before its end.
pub(super) struct Patient {
    /// There until it is taken.
    stream: Option<TcpStream>,
    pace: Pace,
    renewal: Renewal,
    /// Bytes that the socket was given, and how many of them counted as taken when that was looked at last.
    written: u64,
    taken: u64,
    /// Since when a write waits, and when what the client has taken is looked at.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patient {
    /// `rate` is what a client has to take, in bytes a second; `patience` is how long it may take nothing.
    pub(super) fn new(stream: TcpStream, rate: u64, patience: Duration) -> Self {
        let (pace, renewal) = (Pace::new(rate, patience), Renewal::default());
        Self { stream: Some(stream), pace, renewal, written: 0, taken: 0, stalled: None }
    }

    /// For who knows when another response begins.
    pub(super) fn renewal(&self) -> Renewal {
        self.renewal.clone()
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
        if let Poll::Ready(written) = write {
            let written = written?;
            self.written = self.written.saturating_add(u64::try_from(bytes(&written)).unwrap_or(u64::MAX));
            if let Some((since, _)) = self.stalled.take() {
                self.looked(since)?;
            }
            return Poll::Ready(Ok(written));
        }
        loop {
            if self.stalled.is_none() && self.renewal.0.swap(false, Ordering::Relaxed) {
                self.pace.renew();
            }
            let left = self.pace.left.max(LOOK);
            let (since, look) = self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
            ready!(look.as_mut().poll(context));
            let since = *since;
            self.stalled = None;
            self.looked(since)?;
        }
    }

    /// Counts what the client has taken against the time it was waited for.
    fn looked(&mut self, since: Instant) -> io::Result<()> {
        let waiting = self.stream.as_ref().map_or(Ok(0), in_socket)?;
        let taken = self.written.saturating_sub(waiting).max(self.taken);
        let bytes = taken.saturating_sub(self.taken);
        self.taken = taken;
        self.pace
            .waited(since.elapsed(), bytes)
            .map_err(|TooSlow| io::Error::new(io::ErrorKind::TimedOut, "the client does not read, or too slowly"))
    }
}

/// Bytes that were written into a socket, and that its other end has not acknowledged (`SIOCOUTQ`, tcp(7)).
#[expect(unsafe_code, reason = "a call of the kernel that rustix has no name for; see the proof")]
fn in_socket(stream: &TcpStream) -> io::Result<u64> {
    // SAFETY: `SIOCOUTQ` takes a pointer to an `int` and writes one number there (tcp(7)); the descriptor is open as long as `stream` is
    // borrowed, and is a socket.
    let bytes = unsafe { ioctl(stream.as_fd(), Getter::<SIOCOUTQ, libc::c_int>::new()) }?;
    Ok(u64::try_from(bytes).unwrap_or(0))
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
    use tokio::{io::AsyncReadExt, net::TcpListener, task::yield_now, time::timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_takes_bytes_at_the_rate_is_waited_for_and_who_is_slower_is_not_for_long() {
        let waited = |bytes| {
            let mut pace = Pace::new(1_000, 30 * SECOND);
            let good = (0..100).take_while(|_| pace.waited(SECOND, bytes).is_ok()).count();
            (good, pace.left)
        };
        assert_eq!(waited(1_000), (100, 5 * SECOND));
        assert_eq!(waited(900), (49, Duration::ZERO), "each second costs a tenth of one");
        assert_eq!(waited(0), (4, Duration::ZERO));
        assert_eq!(waited(2_000), (100, 30 * SECOND), "more than its patience it never has");
    }

    #[test]
    fn another_response_has_its_own_grace_and_keeps_what_was_earned() {
        let mut pace = Pace::new(1_000, 30 * SECOND);
        assert_eq!(pace.waited(4 * SECOND, 0), Ok(()));
        pace.renew();
        assert_eq!(pace.left, 5 * SECOND);
        assert_eq!(pace.waited(SECOND, 9_000), Ok(()));
        pace.renew();
        assert_eq!(pace.left, 13 * SECOND);
    }

    #[test]
    fn without_a_rate_only_patience_counts() {
        let mut pace = Pace::new(0, 30 * SECOND);
        assert_eq!((pace.waited(29 * SECOND, 0), pace.left), (Ok(()), SECOND));
        assert_eq!((pace.waited(SECOND, 1), pace.left), (Ok(()), 30 * SECOND));
        assert_eq!(pace.waited(30 * SECOND, 0), Err(TooSlow));
        assert_eq!(Pace::new(1, SECOND).left, SECOND);
    }

    #[tokio::test]
    async fn what_a_client_has_not_acknowledged_is_in_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(in_socket(&server).unwrap(), 0);
        let mut written = 0;
        // Until the client's buffer and the socket's own are full.
        while let Ok(bytes) = server.try_write(&[0; 8 << 10]) {
            written += u64::try_from(bytes).unwrap();
        }
        let waiting = in_socket(&server).unwrap();
        assert!((1..written).contains(&waiting), "{waiting} of {written}");
        client.read_exact(&mut vec![0; usize::try_from(written).unwrap()]).await.unwrap();
        let all_taken = async {
            while in_socket(&server).unwrap() > 0 {
                yield_now().await;
            }
        };
        timeout(30 * SECOND, all_taken).await.unwrap();
    }
}
