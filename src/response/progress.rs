//! How far a response has come, as a state that every transition consumes (PEP 3333, "The start_response() Callable" and
//! "Specification Details"; checklist S41 to S66).
//!
//! ```text
//! Unstarted ──start──▶ Pending(Head) ──first non-empty chunk, or the end──▶ Sent(Framing)
//!     │                  ▲      │
//!     └──refused head──▶ Refused┘ with exc_info: replaced whole
//! ```

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use thiserror::Error;

use super::{Head, HeadFault, Status};

/// What the request says of its response: no body is sent for HEAD (S62).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// Any method but HEAD.
    Whole,
    /// HEAD.
    HeadOnly,
}

impl From<&Method> for Asked {
    fn from(method: &Method) -> Self {
        if method == Method::HEAD { Self::HeadOnly } else { Self::Whole }
    }
}

/// How the body's end is known on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// No body follows; the field Content-Length is sent where there is one (HEAD, 304).
    Empty {
        /// What the field says.
        content_length: Option<u64>,
    },
    /// Exactly so many bytes follow.
    Length(u64),
    /// Chunked for HTTP/1.1, until the connection closes for HTTP/1.0 (S59).
    Open,
}

/// A head as it goes to the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The status.
    pub status: Status,
    /// The fields, without Content-Length.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// How the body's end is known.
    pub framing: Framing,
}

/// Where a response is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// start_response was not called yet; generators call it during the first `next` (S42).
    Unstarted,
    /// It was called with a head that was refused. A further call needs exc_info all the same (S43).
    Refused,
    /// It was called; a call with exc_info may still replace the head whole (S44).
    Pending(Head),
    /// The head is on the wire.
    Sent {
        /// What the body still may and must have.
        left: Left,
    },
}

/// What a body whose head is sent still may and must have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Left {
    /// Nothing is sent, whatever comes (HEAD, 204, 304).
    Nothing,
    /// So many bytes, no more and no fewer (S60, S61).
    Bytes(u64),
    /// Anything.
    Any,
}

/// Why start_response refuses.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum StartFault {
    /// See [`HeadFault`].
    #[error(transparent)]
    Head(#[from] HeadFault),
    /// S43.
    #[error("start_response was called before, and this call has no exc_info")]
    AlreadyStarted,
    /// S45.
    #[error("the head is already sent")]
    AlreadySent,
}

/// What one chunk leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// The head, where this chunk sends it.
    pub commit: Option<Commit>,
    /// What is sent of the chunk; may be empty.
    pub data: Bytes,
    /// The chunk went beyond the Content-Length, and was cut (S60).
    pub cut: bool,
    /// Nothing of what may still come would be sent: iteration may stop.
    pub full: bool,
}

/// A head that is to be sent now.
pub type Commit = Box<Reply>;

/// What the end of the body leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ended {
    /// The head is still to be sent, and the response is then whole.
    Commit(Commit),
    /// The response is whole.
    Whole,
    /// The body is shorter than its Content-Length by so many bytes: the connection must be aborted.
    Short(u64),
    /// start_response was never called (S66).
    NeverStarted,
}

impl Progress {
    /// start_response. `exc_info` says whether the call carried it. The head is stored; nothing is sent (S41).
    pub fn start(self, head: Result<Head, HeadFault>, exc_info: bool) -> (Self, Result<(), StartFault>) {
        match (self, head) {
            (sent @ Self::Sent { .. }, _) => (sent, Err(StartFault::AlreadySent)),
            (again @ (Self::Pending(_) | Self::Refused), _) if !exc_info => (again, Err(StartFault::AlreadyStarted)),
            (Self::Unstarted | Self::Refused | Self::Pending(_), Ok(head)) => (Self::Pending(head), Ok(())),
            (Self::Unstarted | Self::Refused | Self::Pending(_), Err(fault)) => (Self::Refused, Err(fault.into())),
        }
    }

    /// A chunk of the body. `only` says that it is the only one that the application will give (S58).
    ///
    /// An empty chunk changes nothing, and needs no head (S41).
    ///
    /// # Errors
    /// Itself, when the head is needed and there is none (S66).
    pub fn chunk(self, data: Bytes, asked: Asked, only: bool) -> Result<(Self, Step), Self> {
        if data.is_empty() {
            let full = self.is_full();
            return Ok((self, Step { commit: None, data, cut: false, full }));
        }
        let (commit, left) = match self {
            Self::Unstarted | Self::Refused => return Err(self),
            Self::Pending(head) => {
                let inferred = only.then_some(length_of(&data));
                let (reply, left) = reply(head, asked, inferred);
                (Some(reply), left)
            }
            Self::Sent { left } => (None, left),
        };
        let (left, data, cut) = take(left, data);
        let next = Self::Sent { left };
        let full = next.is_full();
        Ok((next, Step { commit, data, cut, full }))
    }

    /// The head of a response that declared an empty body: it need not wait for the end (S41, the exception).
    #[must_use]
    pub fn declared_empty(self, asked: Asked) -> (Self, Option<Commit>) {
        match self {
            Self::Pending(head) if head.content_length == Some(0) => {
                let (reply, left) = reply(head, asked, None);
                (Self::Sent { left }, Some(reply))
            }
            other @ (Self::Unstarted | Self::Refused | Self::Pending(_) | Self::Sent { .. }) => (other, None),
        }
    }

    /// The end of the body.
    #[must_use]
    pub fn end(self, asked: Asked) -> (Self, Ended) {
        let ended = match self {
            Self::Unstarted | Self::Refused => Ended::NeverStarted,
            Self::Pending(head) => match head.content_length {
                Some(missing @ 1..) if asked == Asked::Whole && !bodiless(head.status.code) => Ended::Short(missing),
                _ => Ended::Commit(reply(head, asked, Some(0)).0),
            },
            Self::Sent { left: Left::Bytes(missing @ 1..) } => Ended::Short(missing),
            Self::Sent { left: Left::Bytes(0) | Left::Nothing | Left::Any } => Ended::Whole,
        };
        // What close() still says is too late (S43, S45).
        (Self::Sent { left: Left::Nothing }, ended)
    }

    /// Whether the head is on the wire.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        matches!(self, Self::Sent { .. })
    }

    fn is_full(&self) -> bool {
        matches!(self, Self::Sent { left: Left::Nothing | Left::Bytes(0) })
    }
}

/// The head as it is sent, and what its body may have. `inferred` is the length of a body that is known whole.
fn reply(head: Head, asked: Asked, inferred: Option<u64>) -> (Commit, Left) {
    let Head { status, fields, content_length } = head;
    let (framing, left) = match (status.code, asked, content_length) {
        // S63: no body and no length (RFC 9110, section 8.6).
        (StatusCode::NO_CONTENT, ..) => (Framing::Empty { content_length: None }, Left::Nothing),
        // RFC 9110, section 15.3.6: no content; a length of 0 says so.
        (StatusCode::RESET_CONTENT, ..) => (Framing::Length(0), Left::Nothing),
        (_, Asked::HeadOnly, Some(_)) | (StatusCode::NOT_MODIFIED, ..) => (Framing::Empty { content_length }, Left::Nothing),
        // For HEAD an inferred 0 would be a lie: the application may have left out what it need not send.
        (_, Asked::HeadOnly, None) => (Framing::Empty { content_length: inferred.filter(|length| *length > 0) }, Left::Nothing),
        (_, Asked::Whole, Some(length)) => (Framing::Length(length), Left::Bytes(length)),
        (_, Asked::Whole, None) => match inferred {
            Some(length) => (Framing::Length(length), Left::Bytes(length)),
            None => (Framing::Open, Left::Any),
        },
    };
    (Box::new(Reply { status, fields, framing }), left)
}

fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What of `data` may be sent, what is left then, and whether something was cut.
fn take(left: Left, mut data: Bytes) -> (Left, Bytes, bool) {
    match left {
        Left::Any => (left, data, false),
        Left::Nothing => (left, Bytes::new(), false),
        Left::Bytes(bytes) => {
            let fits = usize::try_from(bytes).unwrap_or(usize::MAX).min(data.len());
            let cut = fits < data.len();
            data.truncate(fits);
            (Left::Bytes(bytes - length_of(&data)), data, cut)
        }
    }
}

fn length_of(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
