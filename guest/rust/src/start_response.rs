use std::{error::Error, fmt};

use crate::{
    bindings::wasgi::gateway::{response, types::ExcInfo},
    errors::exc_info,
};

/// start_response (PEP 3333, "The start_response() Callable"): checks the head and stores it; nothing is sent yet.
pub type StartResponse = fn(status: &str, headers: &[(&str, &str)]) -> Result<(), StartError>;

/// Why a head was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StartError {
    /// The status is not `NNN reason` with NNN from 200 to 599.
    InvalidStatus(String),
    /// A field may not be sent; says which, and why.
    InvalidHeader(String),
    /// start_response was called before.
    AlreadyStarted,
    /// The head is on the wire.
    AlreadySent,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidStatus(why) | Self::InvalidHeader(why) => f.write_str(why),
            Self::AlreadyStarted => f.write_str("start_response was called before"),
            Self::AlreadySent => f.write_str("the head is already sent"),
        }
    }
}

impl Error for StartError {}

impl From<response::StartError> for StartError {
    fn from(error: response::StartError) -> Self {
        match error {
            response::StartError::InvalidStatus(why) => Self::InvalidStatus(why),
            response::StartError::InvalidHeader(why) => Self::InvalidHeader(why),
            response::StartError::AlreadyStarted => Self::AlreadyStarted,
            response::StartError::AlreadySent => Self::AlreadySent,
        }
    }
}

pub(crate) fn start_response(status: &str, headers: &[(&str, &str)]) -> Result<(), StartError> {
    start(status, headers, None)
}

/// start_response with `exc_info`: replaces the stored head whole.
///
/// # Errors
/// [`StartError::AlreadySent`] when it is too late: return `error` from the application then, and the connection is aborted.
pub fn restart_response(status: &str, headers: &[(&str, &str)], error: &dyn Error) -> Result<(), StartError> {
    start(status, headers, Some(&exc_info(error)))
}

fn start(status: &str, headers: &[(&str, &str)], exc_info: Option<&ExcInfo>) -> Result<(), StartError> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    response::start_response(status, &headers, exc_info).map_err(StartError::from)
}

/// 103 Early Hints: advice that the host may keep to itself.
///
/// # Errors
/// As start_response's.
pub fn early_hints(headers: &[(&str, &str)]) -> Result<(), StartError> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    response::early_hints(&headers).map_err(StartError::from)
}

/// Why a chunk could not be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WriteError {
    /// The client has gone.
    Disconnected,
    /// The body would be longer than its Content-Length.
    TooManyBytes,
    /// The exchange is out of time.
    TimedOut,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "the client disconnected",
            Self::TooManyBytes => "the body is longer than its Content-Length",
            Self::TimedOut => "the exchange is out of time",
        })
    }
}

impl Error for WriteError {}

/// What the host takes at once.
const MOST: usize = 1 << 20;

/// `write()` (PEP 3333, "The write() Callable"): for code that cannot return its body. Any length; it goes out in chunks.
///
/// # Errors
/// [`WriteError`].
pub fn write(data: &[u8]) -> Result<(), WriteError> {
    let send = |piece: &[u8]| {
        response::write(piece).map_err(|error| match error {
            response::WriteError::Disconnected => WriteError::Disconnected,
            response::WriteError::TooManyBytes => WriteError::TooManyBytes,
            response::WriteError::TimedOut => WriteError::TimedOut,
        })
    };
    if data.is_empty() { send(data) } else { data.chunks(MOST).try_for_each(send) }
}
