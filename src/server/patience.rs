//! A socket that gives up on a client that does not read, or too slowly.
//!
//! hyper waits for ever until its buffer is written; nothing else of the connection is looked at meanwhile. So the wait ends here, whatever it
//! is that is sent: a guest's response, a file, an error. What a client has taken is what its system has acknowledged: that a socket can be
//! written again says nothing about it, for the kernel says so when a third of its buffer is free, which can be megabytes.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustix::ioctl::{Getter, Opcode, ioctl};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use crate::limits::Limits;

/// How long a client is waited for before its rate counts.
const GRACE: Duration = Duration::from_secs(5);
/// What a client has taken is looked at again after that, at the earliest.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is looked at in the time in which it may take nothing.
const LOOKS: u32 = 8;

/// `SIOCOUTQ` of `linux/sockios.h`, on the machines that wasmtime compiles for.
const SIOCOUTQ: Opcode = 0x5411;

/// What a client has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Terms {
    /// Bytes a second; 0 asks for none.
    rate: u64,
    /// For how long it may take nothing.
    patience: Duration,
}

impl Terms {
    fn of(limits: &Limits) -> Self {
        Self { rate: limits.client_bytes_per_s, patience: Duration::from_millis(limits.progress_wall_ms) }
    }
}

/// For how long a client may be waited for: what it takes earns time, and what it lets wait uses it up.
struct Pace {
    terms: Terms,
    left: Duration,
    /// For how long it has taken nothing, as far as was looked.
    idle: Duration,
}

/// A client that was waited for in vain.
#[derive(Debug, Eq, PartialEq)]
struct TooSlow;

impl Pace {
    fn new(terms: Terms) -> Self {
        let mut pace = Self { terms, left: Duration::ZERO, idle: Duration::ZERO };
        pace.renew(terms);
        pace
    }

    /// Another response begins: what the client was late with before is forgotten, and what it has earned is not.
    fn renew(&mut self, terms: Terms) {
        let Terms { rate, patience } = terms;
        (self.terms, self.idle) = (terms, Duration::ZERO);
        self.left = if rate == 0 { patience } else { self.left.max(GRACE).min(patience) };
    }

    /// It has been waited for so long, and has taken so much meanwhile.
    fn waited(&mut self, time: Duration, bytes: u64) -> Result<(), TooSlow> {
        let Terms { rate, patience } = self.terms;
        self.idle = if bytes > 0 { Duration::ZERO } else { self.idle.saturating_add(time) };
        if let Some(earned) = bytes.saturating_mul(1_000_000).checked_div(rate) {
            self.left = self.left.saturating_add(Duration::from_micros(earned)).saturating_sub(time).min(patience);
        }
        if self.left.is_zero() || self.idle >= patience { Err(TooSlow) } else { Ok(()) }
    }

    /// When what it has taken is looked at next: when it could be too slow, and a few times before, for what is found is known to be no older
    /// than the last look.
    fn next_look(&self) -> Duration {
        let patience = self.terms.patience;
        self.left.min(patience.saturating_sub(self.idle)).min(patience / LOOKS).max(LOOK)
    }
}

/// Says to a [`Patient`] that another response begins.
#[derive(Clone, Default)]
pub(super) struct Renewal(Arc<Mutex<Option<Terms>>>);

impl Renewal {
    /// `limits` are those of who answers.
    pub(super) fn renew(&self, limits: &Limits) {
        *self.terms() = Some(Terms::of(limits));
    }

    fn terms(&self) -> MutexGuard<'_, Option<Terms>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// `limits` hold until another response begins.
    pub(super) fn new(stream: TcpStream, limits: &Limits) -> Self {
        let (pace, renewal) = (Pace::new(Terms::of(limits)), Renewal::default());
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
            let (since, mut look) = match self.stalled.take() {
                Some(stalled) => stalled,
                None => self.begin()?,
            };
            if look.as_mut().poll(context).is_pending() {
                self.stalled = Some((since, look));
                return Poll::Pending;
            }
            self.looked(since)?;
        }
    }

    /// From now on it is waited for: what it has taken until now is no progress from now on.
    fn begin(&mut self) -> io::Result<(Instant, Pin<Box<Sleep>>)> {
        if let Some(terms) = self.renewal.terms().take() {
            self.pace.renew(terms);
        }
        let now = Instant::now();
        self.looked(now)?;
        Ok((now, Box::pin(sleep(self.pace.next_look()))))
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
    const THOUSAND: Terms = Terms { rate: 1_000, patience: Duration::from_secs(30) };

    #[test]
    fn who_takes_bytes_at_the_rate_is_waited_for_and_who_is_slower_is_not_for_long() {
        let waited = |bytes| {
            let mut pace = Pace::new(THOUSAND);
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
        let mut pace = Pace::new(THOUSAND);
        assert_eq!(pace.waited(4 * SECOND, 0), Ok(()));
        pace.renew(THOUSAND);
        assert_eq!(pace.left, 5 * SECOND);
        assert_eq!(pace.waited(SECOND, 9_000), Ok(()));
        pace.renew(THOUSAND);
        assert_eq!(pace.left, 13 * SECOND);
        // Another application has other limits.
        pace.renew(Terms { rate: 10, patience: 3 * SECOND });
        assert_eq!((pace.left, pace.waited(2 * SECOND, 10)), (3 * SECOND, Ok(())));
        assert_eq!(pace.left, 2 * SECOND);
    }

    #[test]
    fn who_takes_nothing_is_waited_for_as_long_as_patience_lasts_whatever_was_earned() {
        for rate in [0, 1] {
            let mut pace = Pace::new(Terms { rate, ..THOUSAND });
            assert_eq!([pace.waited(SECOND, 1_000), pace.waited(29 * SECOND, 0)], [Ok(()), Ok(())], "{rate}");
            assert_eq!([pace.waited(SECOND / 2, 1), pace.waited(29 * SECOND, 0)].map(|waited| waited.is_ok()), [true, rate == 0], "{rate}");
            assert_eq!(pace.waited(SECOND, 0), Err(TooSlow), "{rate}");
        }
    }

    #[test]
    fn it_is_looked_when_a_client_could_be_too_slow_and_some_times_before() {
        let mut pace = Pace::new(THOUSAND);
        assert_eq!(pace.next_look(), Duration::from_millis(3_750));
        assert_eq!((pace.waited(3 * SECOND, 0), pace.next_look()), (Ok(()), 2 * SECOND));
        assert_eq!(Pace::new(Terms { rate: 0, patience: SECOND / 2 }).next_look(), LOOK);
        assert_eq!(Pace::new(Terms { rate: 1, patience: SECOND }).left, SECOND);
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
