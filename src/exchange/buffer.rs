//! An upload without a declared length, read whole before the application is called, so that it has a CONTENT_LENGTH.
//!
//! A small one stays in memory; a larger one goes to an unnamed temporary file, so that the host's memory does not grow with it.

use std::{io, pin::pin};

use bytes::BytesMut;
use http_body_util::{BodyExt, Full};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
};

use super::{ClientBody, drain::Drained, pieces::Pieces};
use crate::{
    fault::{ClientFault, Fault, HostFault},
    limits::Limits,
    sandbox::{InputFault, Timeline},
};

/// Reads `body` whole; its length, and it.
///
/// # Errors
/// [`ClientFault`] when it is too large, broken, or too slow; [`HostFault`] when the temporary file cannot be written.
pub(super) async fn whole(body: Drained, limits: &Limits) -> Result<(u64, ClientBody), Fault> {
    let (length, spool) = read(body, limits).await?;
    let body = match spool {
        Spool::Memory(bytes) => Full::new(bytes.freeze()).map_err(|never| match never {}).boxed_unsync(),
        Spool::File(mut file) => {
            // A write is finished, and its error told, only by a flush.
            file.flush().await.map_err(unwritten)?;
            file.rewind().await.map_err(unwritten)?;
            Pieces::new(file, length).boxed_unsync()
        }
    };
    Ok((length, body))
}

enum Spool {
    Memory(BytesMut),
    File(File),
}

async fn read(body: Drained, limits: &Limits) -> Result<(u64, Spool), Fault> {
    let mut body = pin!(body);
    let (mut length, mut spool) = (0_u64, Spool::Memory(BytesMut::new()));
    let timeline = Timeline::new(limits);
    while let Some(frame) = timeline.client(body.frame()).await.map_err(|_| ClientFault::TimedOut)? {
        let Ok(data) = frame.map_err(|fault| client_fault(fault, limits.request_body_bytes))?.into_data() else { continue };
        timeline.moved(data.len());
        length = length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if length > limits.request_body_bytes {
            return Err(ClientFault::TooLarge { limit: limits.request_body_bytes }.into());
        }
        spool = keep(spool, &data, length > limits.buffered_body_bytes).await.map_err(unwritten)?;
    }
    Ok((length, spool))
}

async fn keep(spool: Spool, data: &[u8], large: bool) -> io::Result<Spool> {
    let mut file = match spool {
        Spool::Memory(mut bytes) if !large => {
            bytes.extend_from_slice(data);
            return Ok(Spool::Memory(bytes));
        }
        Spool::Memory(bytes) => {
            let mut file = File::from_std(tempfile::tempfile()?);
            file.write_all(&bytes).await?;
            file
        }
        Spool::File(file) => file,
    };
    file.write_all(data).await?;
    Ok(Spool::File(file))
}

/// A client's part in a broken body.
pub(super) fn client_fault(fault: InputFault, limit: u64) -> ClientFault {
    match fault {
        InputFault::Disconnected => ClientFault::Gone,
        InputFault::Malformed => ClientFault::Malformed("the body's framing is broken"),
        InputFault::TooLarge => ClientFault::TooLarge { limit },
        InputFault::TimedOut => ClientFault::TimedOut,
    }
}

fn unwritten(source: io::Error) -> HostFault {
    HostFault::Io { what: "an upload could not be buffered", source }
}
