//! Where messages begin and end on a connection (RFC 9112): the one authority, before any HTTP library reads a byte.
//!
//! Pure: no I/O, no clock. A [`Framer`] is given what a client sends, and hands out requests that were understood whole, or why one was
//! refused. What the HTTP library behind it reads is not the client's text but a canonical form of what was understood here: method,
//! version, length, and nothing that could be read in two ways. So the two cannot disagree about where a message ends, and behind a
//! refusal nothing is looked at (S73 to S83).
//!
//! Next: [`crate::server`] puts a framer between the socket and hyper.

mod chunks;
mod head;

use std::{net::IpAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Method, Uri};
use thiserror::Error;

use self::{chunks::Chunks, head::Reading};
use crate::{
    environ::{Head, Length, Peer, Proxies},
    fault::ClientFault,
    limits::Limits,
};

/// What all connections of a server go by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `request_line_bytes`, `request_field_bytes`, `request_fields`, `request_head_bytes`.
    pub limits: Limits,
    /// Who may say who the client is.
    pub proxies: Proxies,
}

/// A body whose framing is broken; nothing that follows it can be understood.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the body's framing is broken")]
pub struct Broken;

/// A request that was not understood, or may not be answered as one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Why.
    pub fault: ClientFault,
    /// Who sent it: the other end of the connection.
    pub client: IpAddr,
    /// What it asked for, as far as it was understood.
    pub line: Option<(Method, Uri)>,
}

/// What came of the bytes so far.
#[derive(Debug)]
pub enum Framed {
    /// More are needed.
    Nothing,
    /// A request, or why it is refused; and what stands for it before the HTTP library. After a refusal nothing follows.
    Request(Result<Box<Head>, Refused>, Bytes),
    /// A piece of its body, in canonical form.
    Body(Bytes),
}

/// The state of one connection.
#[derive(Debug)]
pub struct Framer {
    rules: Arc<Rules>,
    peer: Peer,
    received: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a head, or within.
    Head(Reading),
    /// Within a body of which so many bytes are to come.
    Body(u64),
    /// Within a chunked body.
    Chunks(Chunks),
    /// A body is, and it is still to be said.
    Broken(Broken),
    /// Nothing that follows is looked at.
    Over,
}

/// The state that a transition leaves behind, and whatever it made.
type Step = (State, Result<Framed, Broken>);

impl Framer {
    /// A connection of `peer`, on which nothing was received.
    #[must_use]
    pub fn new(rules: Arc<Rules>, peer: Peer) -> Self {
        Self { rules, peer, received: BytesMut::new(), state: State::Head(Reading::default()) }
    }

    /// Where received bytes are put, at the end.
    pub fn received(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// Whether the last message is whole, so that another may begin.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Whether nothing of the next message is there.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        // Some clients send an empty line behind a body.
        self.is_between() && matches!(&*self.received, b"" | b"\r" | b"\r\n")
    }

    /// Whether a request was refused, or a body broken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next bytes, so many of them, are a body's, and may go past this framer; see [`Framer::passed`].
    #[must_use]
    pub fn passes(&self) -> Option<u64> {
        match self.state {
            State::Body(left) if self.received.is_empty() => Some(left),
            State::Body(_) | State::Head(_) | State::Chunks(_) | State::Broken(_) | State::Over => None,
        }
    }

    /// So many bytes of the body went past.
    pub fn passed(&mut self, bytes: usize) {
        if let State::Body(left) = self.state {
            self.state = State::of_body(left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX)));
        }
    }

    /// What comes of the bytes received. To be called until it is [`Framed::Nothing`].
    ///
    /// # Errors
    /// [`Broken`], once; then the connection is over.
    pub fn advance(&mut self) -> Result<Framed, Broken> {
        let (state, framed) = match std::mem::replace(&mut self.state, State::Over) {
            State::Head(reading) => self.head(reading),
            State::Body(left) => self.body(left),
            State::Chunks(chunks) => self.chunks(chunks),
            State::Broken(broken) => (State::Over, Err(broken)),
            State::Over => {
                self.received.clear();
                (State::Over, Ok(Framed::Nothing))
            }
        };
        self.state = state;
        framed
    }

    /// The client took too long over its head.
    pub fn give_up(&mut self) -> Framed {
        let state = std::mem::replace(&mut self.state, State::Over);
        let line = if let State::Head(reading) = state { reading.line() } else { None };
        refusal(Refused { fault: ClientFault::TimedOut, client: self.client(), line })
    }

    fn client(&self) -> IpAddr {
        self.peer.0.ip().to_canonical()
    }

    fn head(&mut self, mut reading: Reading) -> Step {
        match reading.read(&mut self.received, &self.rules.limits) {
            Ok(None) => (State::Head(reading), Ok(Framed::Nothing)),
            Ok(Some(parts)) => {
                let line = Some((parts.method.clone(), parts.uri.clone()));
                match Head::new(parts, self.peer, &self.rules.proxies) {
                    Ok(head) => {
                        let canonical = head::canonical(&head, !self.received.is_empty());
                        (State::after(head.length()), Ok(Framed::Request(Ok(Box::new(head)), canonical)))
                    }
                    Err(fault) => (State::Over, Ok(refusal(Refused { fault, client: self.client(), line }))),
                }
            }
            Err(fault) => (State::Over, Ok(refusal(Refused { fault, client: self.client(), line: reading.line() }))),
        }
    }

    fn body(&mut self, left: u64) -> Step {
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(self.received.len());
        if bytes == 0 {
            return (State::of_body(left), Ok(Framed::Nothing));
        }
        let piece = self.received.split_to(bytes).freeze();
        (State::of_body(left - u64::try_from(bytes).unwrap_or(left)), Ok(Framed::Body(piece)))
    }

    /// All data that is there becomes one chunk, so that tiny ones cost the HTTP library nothing. Its end follows the trailers' end.
    fn chunks(&mut self, mut chunks: Chunks) -> Step {
        let mut data = BytesMut::new();
        let (next, ended) = match chunks.read(&mut self.received, &mut data) {
            Ok(true) => (State::Head(Reading::default()), true),
            Ok(false) => (State::Chunks(chunks), false),
            Err(broken) if data.is_empty() => return (State::Over, Err(broken)),
            // What was whole before it is a body's all the same, however the bytes were cut.
            Err(broken) => (State::Broken(broken), false),
        };
        let mut canonical = BytesMut::with_capacity(data.len() + 32);
        if !data.is_empty() {
            canonical.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            canonical.extend_from_slice(&data);
            canonical.extend_from_slice(b"\r\n");
        }
        if ended {
            canonical.extend_from_slice(b"0\r\n\r\n");
        }
        let framed = if canonical.is_empty() { Framed::Nothing } else { Framed::Body(canonical.freeze()) };
        (next, Ok(framed))
    }
}

impl State {
    fn after(length: Length) -> Self {
        match length {
            Length::None => Self::of_body(0),
            Length::Known(length) => Self::of_body(length),
            Length::Chunked => Self::Chunks(Chunks::default()),
        }
    }

    fn of_body(left: u64) -> Self {
        if left == 0 { Self::Head(Reading::default()) } else { Self::Body(left) }
    }
}

/// What stands for a refused request: one that has no body, and after which the connection closes.
fn refusal(refused: Refused) -> Framed {
    let method = if matches!(&refused.line, Some((method, _)) if method == Method::HEAD) { "HEAD" } else { "POST" };
    let canonical = format!("{method} / HTTP/1.1\r\nconnection: close\r\n\r\n").into();
    Framed::Request(Err(refused), canonical)
}

#[cfg(test)]
mod tests;
