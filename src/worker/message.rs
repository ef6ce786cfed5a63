//! What a supervisor and its workers say to each other: JSON with its length before it, over a socket that both were born with. The files that
//! a worker inherits (the ledger, the log, the bells, the listeners) come over the same socket, before everything else.
//!
//! A worker runs guests: what it says is bounded, and believed only as far as it speaks of itself.

use std::{
    io::{self, IoSlice, IoSliceMut, Read as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    artifact::{Prepared, Terms},
    confine::Held,
    environ::Proxies,
    exchange::Uploads,
    limits::Limits,
    stage::Refused,
    supervisor::Rewinding,
    telemetry::Format,
};

/// The longest message of a supervisor, and of a worker.
pub const TO_WORKER: usize = 256 << 20;
/// See [`TO_WORKER`].
pub const FROM_WORKER: usize = 64 << 10;
/// Files that can be handed over at once (`SCM_MAX_FD`, less some).
pub const FILES: usize = 200;

/// The first message: what a worker is.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Begin {
    /// Which of the workers it is, and how many there are.
    pub worker: usize,
    /// See `worker`.
    pub workers: usize,
    /// Rows of the ledger for tenants and applications.
    pub rows: usize,
    /// By which the workers of a group tell peers apart.
    pub seed: u64,
    /// Where compiled code lies.
    pub cache: PathBuf,
    /// A folder of its own.
    pub temporary: PathBuf,
    /// Folders that guests may write.
    pub data: Vec<PathBuf>,
    /// What holds for all connections.
    pub limits: Limits,
    /// Proxies that are believed.
    pub proxies: Proxies,
    /// How long a stop waits for requests in flight.
    pub stop_grace_ms: u64,
    /// How its lines are written.
    pub format: Format,
    /// Whether a kernel without the walls is refused.
    pub require_sandbox: bool,
    /// How instances are rewound.
    pub rewind: Rewinding,
}

/// An application, as a worker serves it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct SiteSpec {
    /// Which of all that the supervisor ever named.
    pub id: u64,
    /// The application's name among its tenant's.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its tenant's row of the ledger.
    pub tenant_row: usize,
    /// Its own.
    pub row: usize,
    /// The host names that it is served at.
    pub hosts: Vec<String>,
    /// Where it is mounted.
    pub mount: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// How it is given uploads.
    pub uploads: Uploads,
    /// The built file, for messages.
    pub file: PathBuf,
    /// How it runs.
    pub terms: Terms,
    /// Its code.
    pub prepared: Prepared,
}

/// What a supervisor says.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub enum ToWorker {
    /// What it is.
    Begin(Box<Begin>),
    /// Make this ready, and have it answer a first request, if a path is given.
    Try {
        /// The application.
        site: Box<SiteSpec>,
        /// The path to ask for, if any.
        path: Option<String>,
    },
    /// From now on serve these too, and those no longer.
    Change {
        /// Which change.
        revision: u64,
        /// What comes, or is replaced.
        put: Vec<SiteSpec>,
        /// What goes.
        remove: Vec<u64>,
    },
    /// A part of the next change: serve these too, when it comes.
    Stock {
        /// What comes, or is replaced.
        put: Vec<SiteSpec>,
    },
    /// Let go of what was tried, for it is not served.
    Forget {
        /// The application.
        id: u64,
    },
    /// Finish what is in flight, and end.
    Stop,
}

/// What a worker says.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub enum FromWorker {
    /// It accepts connections.
    Ready {
        /// The walls around it.
        held: Held,
    },
    /// The first request was answered so.
    Tried {
        /// The application.
        id: u64,
        /// The status, 0 where nothing was asked, or why there is none.
        result: Result<u16, Refused>,
    },
    /// A change is made: requests go by it.
    Changed {
        /// Which change.
        revision: u64,
    },
    /// The last request of one that was removed has ended.
    Gone {
        /// The application.
        id: u64,
    },
}

/// Hands files over, and then nothing more that is not a message.
///
/// # Errors
/// When the other end is gone.
pub fn send_files(socket: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if files.len() > FILES || !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many listeners and workers for one message"));
    }
    let count = u8::try_from(files.len()).map_err(io::Error::other)?;
    sendmsg(socket, &[IoSlice::new(&[count])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Takes files that were handed over.
///
/// # Errors
/// When the other end is gone, or some are missing.
pub fn take_files(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0];
    let received = recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut count)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            files.extend(fds);
        }
    }
    if received.bytes != 1 || files.len() != usize::from(count[0]) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "not all files came"));
    }
    Ok(files)
}

/// Writes a message.
///
/// # Errors
/// When the other end is gone.
pub async fn send<T: Serialize + Sync>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let text = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_le_bytes()).await?;
    stream.write_all(&text).await?;
    stream.flush().await
}

/// The next message, `None` at the end.
///
/// # Errors
/// When it is longer than `most`, or none of ours.
pub async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut text = vec![0; bounded(length, most)?];
    stream.read_exact(&mut text).await?;
    serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
}

/// The same, where there is no runtime yet.
///
/// # Errors
/// As [`receive`].
pub fn receive_first<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut text = vec![0; bounded(length, TO_WORKER)?];
    stream.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

fn bounded(length: [u8; 4], most: usize) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length <= most { Ok(length) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long")) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn files_are_handed_over() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut &file, b"x").unwrap();
        send_files(&ours, &[file.as_fd(), file.as_fd()]).unwrap();
        let taken = take_files(&theirs).unwrap();
        assert_eq!(taken.len(), 2);
        assert_eq!(std::fs::File::from(taken.into_iter().next().unwrap()).metadata().unwrap().len(), 1);
        drop(ours);
        take_files(&theirs).unwrap_err();
    }

    #[tokio::test]
    async fn a_message_is_read_under_and_at_its_length_and_refused_over_it() {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        let message = FromWorker::Gone { id: 7 };
        let length = serde_json::to_vec(&message).unwrap().len();
        for most in [length + 1, length] {
            send(&mut ours, &message).await.unwrap();
            assert!(matches!(receive(&mut theirs, most).await, Ok(Some(FromWorker::Gone { id: 7 }))));
        }
        send(&mut ours, &message).await.unwrap();
        let refused = receive::<FromWorker>(&mut theirs, length - 1).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(ours);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert!(matches!(receive::<FromWorker>(&mut theirs, 1 << 10).await, Ok(None)));
    }
}
