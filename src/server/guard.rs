//! What stands between the socket and hyper: the [`Framer`], fed from the one and feeding the other.
//!
//! hyper is shown one message at a time, in its canonical form. The head as the client sent it goes past hyper to whoever answers, through
//! the [`Turn`] that both share; the next one follows when the answer is sent. So nothing that a client sends early is held beyond
//! one read, and the clocks of a connection stand here, where it is known what it waits for: for a head, for its rest, or for nothing.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::io::poll_read_buf;

use crate::{
    environ::{Head, Peer},
    framing::{Framed, Framer, Refused, Rules},
};

/// What is read at once, of heads and of chunked bodies.
const READ: usize = 8 << 10;
/// Room for less than that is not read into.
const LEAST: usize = 1 << 10;
/// How long a request may be on its way when the server stops.
const LAST_MS: u64 = 500;

/// A request, as the one who answers it gets it.
pub(super) type Offered = Result<Box<Head>, Refused>;

/// Whose turn it is on a connection: the client's, or the one's who answers.
#[derive(Clone, Default)]
pub(super) struct Turn(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    place: Place,
    /// The server stops: a request that is on its way is the last.
    hurried: bool,
    /// Interim responses (RFC 9110, section 15.2) to the request that is being answered, which hyper cannot send.
    interim: Interim,
    /// The connection, when it waits for its turn.
    waiting: Option<Waker>,
}

#[derive(Default)]
struct Interim {
    /// What is to be written yet.
    text: Bytes,
    sender: Option<Waker>,
}

#[derive(Default)]
enum Place {
    /// The next request may come.
    #[default]
    Free,
    /// One has come, and hyper has not asked for the answer yet.
    Offered(Offered),
    /// It is being answered.
    Taken,
    /// The answer is whole; hyper may still have some of it.
    Answered,
}

/// A request is being answered; dropped, the answer is whole, and the next one may come when it is sent.
pub(super) struct Answering(Turn);

impl Turn {
    /// The request that hyper asks an answer for. There is one, for hyper was shown one.
    pub(super) fn take(&self) -> Option<(Offered, Answering)> {
        match std::mem::replace(&mut self.shared().place, Place::Taken) {
            Place::Offered(offered) => Some((offered, Answering(self.clone()))),
            Place::Free | Place::Taken | Place::Answered => None,
        }
    }

    /// From now on the connection waits for a request only as long as one can be on its way.
    pub(super) fn hurry(&self) {
        let mut shared = self.shared();
        shared.hurried = true;
        shared.wake();
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.shared().hurried
    }

    fn offer(&self, offered: Offered) {
        self.shared().place = Place::Offered(offered);
    }

    /// Ready when the last request is answered.
    fn poll_free(&self, context: &Context<'_>) -> Poll<()> {
        let mut shared = self.shared();
        if matches!(shared.place, Place::Free) {
            return Poll::Ready(());
        }
        shared.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    /// All that hyper had is sent.
    fn flushed(&self) {
        let mut shared = self.shared();
        if matches!(shared.place, Place::Answered) {
            shared.place = Place::Free;
            shared.wake();
        }
    }

    /// Sends an interim response, before the final one is given to hyper; returns when the socket has it.
    pub(super) async fn send_interim(&self, response: Bytes) {
        self.shared().interim.text = response;
        std::future::poll_fn(|context| {
            let mut shared = self.shared();
            if shared.interim.text.is_empty() {
                return Poll::Ready(());
            }
            // hyper asks for an answer, and flushes behind that: no need to wake it.
            shared.interim.sender = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut shared = self.0.shared();
        shared.place = Place::Answered;
        // So that hyper flushes.
        shared.wake();
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wait {
    /// The rest of a head, or the first one.
    Head,
    /// Another request.
    Idle,
    /// One that is on its way when the server stops.
    Last,
}

/// The socket, as hyper sees it.
pub(super) struct Guard<S> {
    stream: S,
    framer: Framer,
    rules: Arc<Rules>,
    turn: Turn,
    /// For hyper.
    canonical: Bytes,
    /// Until when the connection waits, and for what.
    clock: Option<(Wait, Pin<Box<Sleep>>)>,
    /// A request has come.
    used: bool,
    /// An interim response is being written.
    in_interim: bool,
}

impl<S> Guard<S> {
    /// Watches over a connection of `peer`.
    pub(super) fn new(stream: S, rules: Arc<Rules>, peer: Peer, turn: Turn) -> Self {
        let framer = Framer::new(Arc::clone(&rules), peer);
        Self { stream, framer, rules, turn, canonical: Bytes::new(), clock: None, used: false, in_interim: false }
    }

    /// The socket.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn show(&mut self, framed: Framed) {
        match framed {
            Framed::Nothing => {}
            Framed::Request(offered, canonical) => {
                (self.used, self.clock) = (true, None);
                self.turn.offer(offered);
                self.canonical = canonical;
            }
            Framed::Body(canonical) => self.canonical = canonical,
        }
    }

    /// Ready when the client has taken too long; what it waits for is known from what has come.
    fn poll_clock(&mut self, context: &mut Context<'_>) -> Poll<Wait> {
        if !self.framer.is_between() {
            return Poll::Pending;
        }
        let wait = match (self.framer.is_idle(), self.used) {
            (true, _) if self.turn.is_hurried() => Wait::Last,
            (true, true) => Wait::Idle,
            (true, false) | (false, _) => Wait::Head,
        };
        if !matches!(&self.clock, Some((running, _)) if *running == wait) {
            let limit = match wait {
                Wait::Head => self.rules.limits.head_read_ms,
                Wait::Idle => self.rules.limits.idle_ms,
                Wait::Last => LAST_MS.min(self.rules.limits.idle_ms),
            };
            self.clock = Some((wait, Box::pin(sleep_until(Instant::now() + Duration::from_millis(limit)))));
        }
        match &mut self.clock {
            Some((_, sleep)) => sleep.as_mut().poll(context).map(|()| wait),
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads what the framer will look at; how much.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let received = self.framer.received();
        // Many requests fit into one reservation.
        if received.capacity() - received.len() < LEAST {
            received.reserve(READ);
        }
        poll_read_buf(Pin::new(&mut self.stream), context, received)
    }

    /// While a request is being answered, only whether its client is still there; what it sends meanwhile waits.
    fn poll_watch(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.framer.received().len() < READ { self.poll_fill(context) } else { Poll::Pending }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        loop {
            if guard.canonical.has_remaining() {
                let piece = guard.canonical.split_to(guard.canonical.len().min(buffer.remaining()));
                buffer.put_slice(&piece);
                return Poll::Ready(Ok(()));
            }
            if guard.framer.is_between() && guard.turn.poll_free(context).is_pending() {
                // hyper takes an end for a client that left.
                if ready!(guard.poll_watch(context))? == 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            if let Some(left) = guard.framer.passes() {
                let before = buffer.filled().len();
                let read = Pin::new(&mut (&mut guard.stream).take(left)).poll_read(context, buffer);
                let bytes = buffer.filled().len().saturating_sub(before);
                guard.framer.passed(bytes);
                return read;
            }
            match guard.framer.advance() {
                Ok(Framed::Nothing) => {}
                Ok(framed) => {
                    guard.show(framed);
                    continue;
                }
                Err(broken) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, broken))),
            }
            // What stands for a refused request is followed by nothing, and hyper closes behind the answer.
            if guard.framer.is_over() {
                return Poll::Pending;
            }
            match guard.poll_fill(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(end) => return Poll::Ready(end.map(drop)),
                Poll::Pending => match guard.poll_clock(context) {
                    Poll::Ready(Wait::Head) if !guard.framer.is_idle() => {
                        let refusal = guard.framer.give_up();
                        guard.show(refusal);
                    }
                    // Nobody has asked for anything: an end is answer enough.
                    Poll::Ready(Wait::Head | Wait::Idle | Wait::Last) => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    /// Writes an interim response.
    fn begin_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_interim = true;
        self.poll_interim(context)
    }

    /// Writes what is left of an interim response that was begun.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.in_interim {
            return Poll::Ready(Ok(()));
        }
        let mut shared = self.turn.shared();
        let interim = &mut shared.interim;
        while !interim.text.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &interim.text))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            interim.text.advance(written.min(interim.text.len()));
        }
        self.in_interim = false;
        if let Some(sender) = interim.sender.take() {
            sender.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(context))?;
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper has nothing to write now, and no head: whoever sends an interim response still has it.
        ready!(self.begin_interim(context))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // hyper asks for it only when it has handed over all that it had.
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.turn.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn guarded(room: usize) -> (Guard<DuplexStream>, Turn, DuplexStream) {
        let (client, server) = duplex(room);
        let (rules, turn) = (Arc::new(Rules::default()), Turn::default());
        let guard = Guard::new(server, rules, Peer(([127, 0, 0, 1], 9).into()), turn.clone());
        (guard, turn, client)
    }

    /// What hyper is shown now.
    fn shown(guard: &mut Guard<DuplexStream>) -> Option<String> {
        let (mut space, waker) = ([0; 512], Waker::noop());
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(guard).poll_read(&mut Context::from_waker(waker), &mut buffer) {
            Poll::Ready(read) => read.map(|()| String::from_utf8(buffer.filled().to_vec()).unwrap()).ok(),
            Poll::Pending => None,
        }
    }

    fn flush(guard: &mut Guard<DuplexStream>) -> bool {
        Pin::new(guard).poll_flush(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test]
    async fn the_next_request_is_shown_when_the_last_answer_is_sent_and_not_before() {
        let (mut guard, turn, mut client) = guarded(1_024);
        client.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(shown(&mut guard).as_deref(), Some("POST / HTTP/1.1\r\n\r\n"));
        let (offered, answering) = turn.take().unwrap();
        assert_eq!(offered.unwrap().parts().uri, "/a");
        assert!(flush(&mut guard));
        assert_eq!((shown(&mut guard), turn.take().is_none()), (None, true), "it is being answered");

        drop(answering);
        assert_eq!(shown(&mut guard), None, "the answer may be hyper's still");
        assert!(flush(&mut guard));
        assert_eq!(shown(&mut guard).as_deref(), Some("POST / HTTP/1.1\r\n\r\n"));
        assert_eq!(turn.take().unwrap().0.unwrap().parts().uri, "/b");
    }

    #[tokio::test]
    async fn an_interim_response_that_cannot_be_written_keeps_nobody_busy_and_nothing_overtakes_it() {
        let (mut guard, turn, mut client) = guarded(4);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut sending = pin!(turn.send_interim(Bytes::from_static(b"interim ")));
        for _ in 0..3 {
            assert!(sending.as_mut().poll(&mut context).is_pending());
            assert!(Pin::new(&mut guard).poll_flush(&mut context).is_pending());
            assert!(Pin::new(&mut guard).poll_write(&mut context, b"final").is_pending());
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 0);

        let mut text = [0; 12];
        client.read_exact(text.get_mut(..4).unwrap()).await.unwrap();
        assert!(count.0.load(Ordering::SeqCst) > 0 && Pin::new(&mut guard).poll_flush(&mut context).is_ready());
        assert!(sending.as_mut().poll(&mut context).is_ready());
        client.read_exact(text.get_mut(4..8).unwrap()).await.unwrap();
        assert!(matches!(Pin::new(&mut guard).poll_write(&mut context, b"final"), Poll::Ready(Ok(4))));
        client.read_exact(text.get_mut(8..).unwrap()).await.unwrap();
        assert_eq!(&text, b"interim fina");
    }
}
