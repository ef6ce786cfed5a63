//! A response as hyper sends it: from the guest's [`Answer`], or from a [`Fault`].
//!
//! hyper is never handed an application's Content-Length beside a body of known length, for it would send both; it makes the field from
//! the body's length. For HEAD there is no body, and the field is set here. (hyper drops it from a 304, which RFC 9110 leaves open.)

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{Response, ext::ReasonPhrase};

use super::{access_log::Entry, guard::Answering, static_files::FileBody};
use crate::{
    exchange::{Aborted, Answer, ReplyBody},
    fault::Fault,
    response::Framing,
    sandbox::Hints,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER: HeaderValue = HeaderValue::from_static("wasgi");

/// A response's body, which writes its entry of the access log when it is done with, whole or not.
pub(super) struct Outgoing {
    source: Source,
    entry: Entry,
    /// The connection's next request waits for it.
    turn: Option<Answering>,
}

enum Source {
    Guest(ReplyBody),
    File(FileBody),
    Host(Option<Bytes>),
}

/// The guest's answer.
pub(super) fn answer(answer: Answer, version: Version, mut entry: Entry) -> Response<Outgoing> {
    let Answer { reply, body } = answer;
    entry.status(reply.status.code);
    let mut response = Response::new(Outgoing { source: Source::Guest(body), entry, turn: None });
    *response.status_mut() = reply.status.code;
    // Its end is the connection's. hyper would promise to keep that to a client that asked for it, but not in a response of HTTP/1.0.
    if version == Version::HTTP_10 && reply.framing == Framing::Open {
        *response.version_mut() = version;
    }
    // The reason was checked; hyper sends its own for one that it would not take.
    if let Ok(reason) = ReasonPhrase::try_from(reply.status.reason) {
        response.extensions_mut().insert(reason);
    }
    let fields = response.headers_mut();
    for (name, value) in reply.fields {
        fields.append(name, value);
    }
    if let Framing::Empty { content_length: Some(length) } = reply.framing {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    fields.entry(header::SERVER).or_insert(SERVER);
    identify(&mut response);
    response
}

/// Hints, as they go over the wire (RFC 8297). They were checked like the fields of a head.
pub(super) fn hints(fields: &Hints) -> Bytes {
    let mut text = BytesMut::from(&b"HTTP/1.1 103 Early Hints\r\n"[..]);
    for (name, value) in fields {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.freeze()
}

/// A static file.
pub(super) fn file(response: Response<FileBody>, mut entry: Entry) -> Response<Outgoing> {
    entry.status(response.status());
    entry.host_answered();
    let mut response = response.map(|body| Outgoing { source: Source::File(body), entry, turn: None });
    response.headers_mut().insert(header::SERVER, SERVER);
    identify(&mut response);
    response
}

/// What a person quotes, and what the log lines of this request carry.
fn identify(response: &mut Response<Outgoing>) {
    if let Ok(id) = HeaderValue::from_str(response.body().entry.request_id()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

/// The host's answer.
pub(super) fn fault(fault: &Fault, entry: Entry) -> Response<Outgoing> {
    let text = fault.public_text(entry.request_id());
    page(fault, text, HeaderValue::from_static("text/plain; charset=utf-8"), entry)
}

/// The host's answer, in these words.
pub(super) fn page(fault: &Fault, text: String, kind: HeaderValue, mut entry: Entry) -> Response<Outgoing> {
    let status = fault.status();
    entry.fault(fault, status);
    let text = Bytes::from(text);
    let mut response = Response::new(Outgoing { source: Source::Host(Some(text)), entry, turn: None });
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, kind);
    fields.insert(header::SERVER, SERVER);
    if let Fault::Busy(busy) = fault {
        fields.insert(header::RETRY_AFTER, busy.retry_after().into());
    }
    if status == http::StatusCode::METHOD_NOT_ALLOWED {
        fields.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if fault.closes() {
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    identify(&mut response);
    response
}

impl Outgoing {
    /// Holds the turn until the response is done with.
    pub(super) fn holding(mut self, turn: Answering) -> Self {
        self.turn = Some(turn);
        self
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.entry.unfinished();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let poll = match &mut self.source {
            Source::Guest(body) => Pin::new(body).poll_frame(context),
            Source::File(body) => Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(|_| Aborted))),
            Source::Host(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        };
        if let Poll::Ready(Some(Ok(frame))) = &poll {
            self.entry.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Guest(body) => body.is_end_stream(),
            Source::File(body) => matches!(body, hyper_staticfile::Body::Empty),
            Source::Host(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Guest(body) => body.size_hint(),
            // Its length stands in the head.
            Source::File(body) => body.size_hint(),
            Source::Host(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX))),
        }
    }
}
