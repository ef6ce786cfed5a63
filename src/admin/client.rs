//! Speaks to a host's admin socket.

use std::{io, path::Path};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::exchange::Tasks;

/// The longest answer that is kept.
const ANSWER_BYTES: usize = 256 << 20;

/// An answer whose body is still to come.
pub struct Answering {
    /// The status.
    pub status: StatusCode,
    body: Incoming,
}

impl Answering {
    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// When the host is gone.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(None),
            }
        }
    }

    /// All of it, as text.
    ///
    /// # Errors
    /// When the host is gone, or says too much.
    pub async fn text(mut self) -> io::Result<String> {
        let mut text = Vec::new();
        while let Some(piece) = self.next().await? {
            if text.len() + piece.len() > ANSWER_BYTES {
                return Err(io::Error::other("the answer is too long"));
            }
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).map_err(io::Error::other)
    }
}

/// Asks the host at `socket`.
///
/// # Errors
/// When nobody listens there.
pub async fn ask(socket: &Path, method: Method, path: &str, body: String) -> io::Result<Answering> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    Tasks::default().spawn(async move { drop(connection.await) });
    let request =
        Request::builder().method(method).uri(path).header(header::HOST, "localhost").header(header::CONTENT_TYPE, "application/toml");
    let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(Answering { status: response.status(), body: response.into_body() })
}
