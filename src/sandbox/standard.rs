//! Standard input, output and error of a guest: there is nothing to read, and what is written goes to its log. Who holds a handle of one is
//! known, so that an instance that is rewound has as many as when it began, and the same ones.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::{
    cli::{IsTerminal, StdinStream, StdoutStream},
    p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult},
};

use super::log::{RequestLog, Stream};

/// What a write to stdout may carry at once.
const WRITE_BYTES: usize = 64 << 10;

/// The handles that were given out, and are not dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(Arc<Mutex<Vec<Weak<()>>>>);

impl Given {
    fn one(&self) -> Arc<()> {
        let (handle, mut given) = (Arc::new(()), self.given());
        given.retain(|handle| handle.strong_count() > 0);
        given.push(Arc::downgrade(&handle));
        handle
    }

    /// Those that there are now.
    pub(super) fn alive(&self) -> Handles {
        Handles(self.given().iter().filter(|handle| handle.strong_count() > 0).cloned().collect())
    }

    fn given(&self) -> MutexGuard<'_, Vec<Weak<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles that there were once.
#[derive(Debug)]
pub(super) struct Handles(Vec<Weak<()>>);

impl Handles {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none of them was dropped. Another one is never the same.
    pub(super) fn are_alive(&self) -> bool {
        self.0.iter().all(|handle| handle.strong_count() > 0)
    }
}

/// Standard input, which is at its end.
#[derive(Clone, Debug)]
pub(super) struct Nothing(pub Given);

impl IsTerminal for Nothing {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Nothing {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Read { _handle: self.0.one() })
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Read { _handle: self.0.one() })
    }
}

struct Read {
    _handle: Arc<()>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Read {
    async fn ready(&mut self) {}
}

impl InputStream for Read {
    fn read(&mut self, _: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

impl AsyncRead for Read {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Standard output or error.
#[derive(Clone, Debug)]
pub(super) struct StandardStream {
    pub log: RequestLog,
    pub stream: Stream,
    pub given: Given,
}

impl StandardStream {
    fn write(&self) -> Write {
        Write { log: self.log.clone(), stream: self.stream, _handle: self.given.one() }
    }
}

impl IsTerminal for StandardStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StandardStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.write())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.write())
    }
}

struct Write {
    log: RequestLog,
    stream: Stream,
    _handle: Arc<()>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Write {
    async fn ready(&mut self) {}
}

impl OutputStream for Write {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write(self.stream, &String::from_utf8_lossy(&bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for Write {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.log.write(self.stream, &String::from_utf8_lossy(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_known_while_they_live_and_another_is_never_the_same() {
        let given = Given::default();
        let first = Nothing(given.clone()).p2_stream();
        let then = given.alive();
        let second = Nothing(given.clone()).p2_stream();
        assert_eq!((then.len(), then.are_alive(), given.alive().len()), (1, true, 2));
        drop(first);
        assert_eq!((then.are_alive(), given.alive().len()), (false, 1));
        drop(second);
    }
}
