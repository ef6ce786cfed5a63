//! What can go wrong with a request, sorted by whose fault it is.
//!
//! Owns the mapping from a fault to a status, a level of log, a word for the access log (`outcome`), and the text that a client may
//! read. Only text written here reaches a client; what a guest raised goes to its tenant's log alone. No mapping has a `_` arm.

use std::{error::Error, fmt};

use http::StatusCode;
use thiserror::Error;

/// One request's failure.
#[derive(Debug, Error)]
pub enum Fault {
    /// The request broke a rule: 4xx, and the client may know which.
    #[error(transparent)]
    Client(#[from] ClientFault),
    /// The application did: 500 or 504, and the client learns nothing.
    #[error(transparent)]
    Guest(#[from] GuestFault),
    /// A limit worked: 503 with Retry-After.
    #[error(transparent)]
    Busy(#[from] BusyFault),
    /// Ours: 500 with a request id.
    #[error(transparent)]
    Host(#[from] HostFault),
}

/// A rule of HTTP that a request broke.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ClientFault {
    /// RFC 9110, 9112: the request cannot be understood, or could be understood in two ways. The connection closes.
    #[error("bad request: {0}")]
    Malformed(&'static str),
    /// The mount of no application lies at this path.
    #[error("not found")]
    NotFound,
    /// CONNECT, which no application can serve.
    #[error("method not allowed: {0}")]
    Method(&'static str),
    /// A body whose length is not known, where it has to be.
    #[error("length required")]
    LengthRequired,
    /// The declared body is longer than the limit (S37).
    #[error("content too large: the limit is {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The request line is longer than the limit.
    #[error("URI too long: the limit of the request line is {limit} bytes")]
    TargetTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The request's head is longer than a limit.
    #[error("request header fields too large: {0}")]
    HeadTooLarge(String),
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("HTTP version not supported: this is HTTP/1.1")]
    Version,
    /// The head or the body did not arrive in time.
    #[error("request timeout")]
    TimedOut,
    /// The client left before its body was whole.
    #[error("the client disconnected")]
    Gone,
    /// An expectation other than `100-continue` (S39).
    #[error("expectation failed")]
    Expectation,
    /// A transfer coding other than `chunked` (S75).
    #[error("not implemented: {0}")]
    NotImplemented(&'static str),
}

/// What an application raised: for the tenant's log, never for the client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Raised {
    /// The name of its type.
    pub kind: String,
    /// Its text.
    pub message: String,
    /// The lines that lead to it; may be empty.
    pub traceback: String,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { write!(f, "{}", self.kind) } else { write!(f, "{}: {}", self.kind, self.message) }
    }
}

/// A guest that stopped where it had no business to; for the tenant's log, never for the client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trapped {
    /// What happened.
    pub reason: String,
    /// The functions that led there, the last one called first, with file and line where the component knows them; may be empty.
    pub backtrace: String,
}

impl From<String> for Trapped {
    fn from(reason: String) -> Self {
        Self { reason, backtrace: String::new() }
    }
}

impl fmt::Display for Trapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// A limit of the tenant that stopped a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stopped {
    /// `guest_cpu_ms` or `start_cpu_ms`: it computed for too long.
    Cpu,
    /// `head_wall_ms`, `progress_wall_ms`, `exchange_wall_ms` or `close_grace_ms`: it waited for too long.
    Wall,
}

/// What an application did wrong.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum GuestFault {
    /// It raised.
    #[error("the application raised {0}")]
    Raised(Raised),
    /// The head was needed, and start_response had not been called (S66).
    #[error("the application returned a body without calling start_response")]
    NeverStarted,
    /// A chunk above 1 MiB.
    #[error("a chunk of {found} bytes is above the limit of {limit}")]
    ChunkTooLong {
        /// Its length.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The body ended before its Content-Length (S61).
    #[error("the body is {missing} bytes shorter than its Content-Length")]
    TooShort {
        /// What is missing.
        missing: u64,
    },
    /// The body went on after its Content-Length (S60).
    #[error("the body is longer than its Content-Length; what was too much is not sent")]
    TooLong,
    /// A limit stopped it.
    #[error("{}", match .0 {
        Stopped::Cpu => "its CPU limit is used up",
        Stopped::Wall => "its time is up",
    })]
    Stopped(Stopped),
    /// It trapped: `unreachable`, a bad memory access, exhausted stack, a handle that is not its own.
    #[error("it trapped: {0}")]
    Trap(Trapped),
    /// It trapped when it was refused memory.
    #[error("its memory limit is reached: {0}")]
    Memory(Trapped),
    /// Its response is longer than its tenant may send.
    #[error("its response is longer than the limit of {limit} bytes")]
    ResponseTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It needs more than its tenant may use merely to start, or raised while it did.
    #[error("it does not start: {0}")]
    Start(Trapped),
}

impl GuestFault {
    /// The lines that lead to it, as its language prints them; empty where there are none.
    #[must_use]
    pub fn traceback(&self) -> &str {
        match self {
            Self::Raised(raised) => &raised.traceback,
            Self::Trap(trapped) | Self::Start(trapped) | Self::Memory(trapped) => &trapped.backtrace,
            Self::NeverStarted
            | Self::ChunkTooLong { .. }
            | Self::ResponseTooLong { .. }
            | Self::TooShort { .. }
            | Self::TooLong
            | Self::Stopped(_) => "",
        }
    }
}

/// A limit that worked.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BusyFault {
    /// `queue`.
    #[error("the queue is full")]
    QueueFull,
    /// `queue_wall_ms`.
    #[error("no place became free in time")]
    QueueTimeout,
    /// `worker_instances`, and none of them idle; or the tenant's `instances` and memory.
    #[error("there is no place for an instance")]
    NoInstance,
    /// It trapped again and again.
    #[error("the application is cooled down: it trapped too often")]
    CoolingDown {
        /// How long it still is.
        seconds: u64,
    },
    /// Its operator suspended it.
    #[error("the application is suspended")]
    Suspended,
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

impl BusyFault {
    /// Seconds after which a client may try again (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(self) -> u64 {
        match self {
            Self::QueueFull | Self::QueueTimeout | Self::NoInstance | Self::Stopping => 1,
            Self::CoolingDown { seconds } => seconds.max(1),
            Self::Suspended => 60,
        }
    }
}

/// A mistake of ours.
#[derive(Debug, Error)]
pub enum HostFault {
    /// The host panicked while it served this request; a bug.
    #[error("the host panicked; this is a bug in wasgi")]
    Panicked,
    /// The machine refused something.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox could not be set up.
    #[error("{what}: {detail}")]
    Sandbox {
        /// What was tried.
        what: &'static str,
        /// wasmtime's own words.
        detail: String,
    },
}

/// The word for one request in the access log and the metrics; a closed set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The application answered.
    Ok,
    /// The application raised.
    Exception,
    /// The instance trapped.
    Trap,
    /// The CPU limit.
    CpuLimit,
    /// A memory limit.
    MemoryLimit,
    /// A wall limit.
    WallLimit,
    /// A rule of WSGI that the application broke.
    AppError,
    /// A rule of HTTP that the client broke.
    ProtocolError,
    /// No place in the queue.
    QueueFull,
    /// No place in time.
    QueueTimeout,
    /// It is cooled down.
    CoolingDown,
    /// It is suspended.
    Suspended,
    /// The client left.
    ClientGone,
    /// The instance did not start.
    StartingFailed,
    /// There is no place for an instance: the tenant's others have its `instances` or its memory, the worker has no more, or no `/tmp` was ready in
    /// time.
    NoInstance,
    /// The host is stopping: the request was not let in, or did not end within the grace.
    Stopping,
    /// The host failed.
    HostError,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Exception,
        Self::Trap,
        Self::CpuLimit,
        Self::MemoryLimit,
        Self::WallLimit,
        Self::AppError,
        Self::ProtocolError,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::CoolingDown,
        Self::Suspended,
        Self::ClientGone,
        Self::StartingFailed,
        Self::NoInstance,
        Self::Stopping,
        Self::HostError,
    ];

    /// Its place in [`Outcome::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Exception => "exception",
            Self::Trap => "trap",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryLimit => "memory_limit",
            Self::WallLimit => "wall_limit",
            Self::AppError => "app_error",
            Self::ProtocolError => "protocol_error",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::CoolingDown => "cooling_down",
            Self::Suspended => "suspended",
            Self::ClientGone => "client_gone",
            Self::StartingFailed => "starting_failed",
            Self::NoInstance => "no_instance",
            Self::Stopping => "stopping",
            Self::HostError => "host_error",
        }
    }
}

impl From<&GuestFault> for Outcome {
    fn from(fault: &GuestFault) -> Self {
        match fault {
            GuestFault::Raised(_) => Self::Exception,
            GuestFault::NeverStarted | GuestFault::TooShort { .. } | GuestFault::TooLong | GuestFault::ResponseTooLong { .. } => {
                Self::AppError
            }
            GuestFault::Memory(_) => Self::MemoryLimit,
            GuestFault::Stopped(Stopped::Cpu) => Self::CpuLimit,
            GuestFault::Stopped(Stopped::Wall) => Self::WallLimit,
            GuestFault::Trap(_) | GuestFault::ChunkTooLong { .. } => Self::Trap,
            GuestFault::Start(_) => Self::StartingFailed,
        }
    }
}

impl From<&Fault> for Outcome {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Client(ClientFault::Gone) => Self::ClientGone,
            Fault::Client(_) => Self::ProtocolError,
            Fault::Guest(guest) => guest.into(),
            Fault::Busy(BusyFault::QueueFull) => Self::QueueFull,
            Fault::Busy(BusyFault::QueueTimeout) => Self::QueueTimeout,
            Fault::Busy(BusyFault::CoolingDown { .. }) => Self::CoolingDown,
            Fault::Busy(BusyFault::Suspended) => Self::Suspended,
            Fault::Busy(BusyFault::NoInstance) => Self::NoInstance,
            Fault::Busy(BusyFault::Stopping) => Self::Stopping,
            Fault::Host(_) => Self::HostError,
        }
    }
}

impl Fault {
    /// The status that answers it, where the head is not sent yet.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Client(client) => match client {
                ClientFault::Malformed(_) | ClientFault::Gone => StatusCode::BAD_REQUEST,
                ClientFault::NotFound => StatusCode::NOT_FOUND,
                ClientFault::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
                ClientFault::LengthRequired => StatusCode::LENGTH_REQUIRED,
                ClientFault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                ClientFault::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
                ClientFault::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                ClientFault::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                ClientFault::TimedOut => StatusCode::REQUEST_TIMEOUT,
                ClientFault::Expectation => StatusCode::EXPECTATION_FAILED,
                ClientFault::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            },
            Self::Guest(GuestFault::Stopped(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Guest(_) | Self::Host(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The body that answers it: for a client's fault what is wrong, for all others the status and the id that its log lines carry.
    #[must_use]
    pub fn public_text(&self, request_id: &str) -> String {
        match self {
            Self::Client(client) => format!("{client}\n"),
            Self::Guest(_) | Self::Busy(_) | Self::Host(_) => {
                let reason = self.status().canonical_reason().unwrap_or_default().to_lowercase();
                format!("{reason}\nrequest id: {request_id}\n")
            }
        }
    }

    /// Whether the connection closes behind the answer: after a request that could be understood in two ways, nothing that follows it on
    /// the wire may be served (S83).
    #[must_use]
    pub fn closes(&self) -> bool {
        matches!(self, Self::Client(client) if *client != ClientFault::NotFound)
    }

    /// The fault and all its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s65_what_an_application_raised_never_reaches_the_client() {
        let raised = Raised { kind: "ValueError".into(), message: "secret".into(), traceback: "app.py:1".into() };
        let fault = Fault::from(GuestFault::Raised(raised));
        assert_eq!(fault.status(), 500);
        assert_eq!(fault.public_text("00ff"), "internal server error\nrequest id: 00ff\n");
        assert_eq!(fault.chain(), "the application raised ValueError: secret");
    }

    #[test]
    fn every_outcome_has_its_place_and_its_word() {
        let places: Vec<_> = Outcome::ALL.into_iter().map(Outcome::index).collect();
        assert_eq!(places, (0..Outcome::ALL.len()).collect::<Vec<_>>());
        let words: std::collections::BTreeSet<_> = Outcome::ALL.into_iter().map(Outcome::as_str).collect();
        assert_eq!(words.len(), Outcome::ALL.len());
    }

    #[test]
    fn s83_a_malformed_request_closes_its_connection_and_a_missing_page_does_not() {
        let closes = |fault: ClientFault| Fault::from(fault).closes();
        assert!(closes(ClientFault::Malformed("two Host fields")));
        assert!(!closes(ClientFault::NotFound));
        assert!(!Fault::from(BusyFault::QueueFull).closes());
    }
}
