//! One connection: hyper reads requests and writes responses, between the limits of time and size; afterwards the connection lingers, so
//! that a client that still sends can read its answer.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{Request as HyperRequest, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::{
    Shared,
    access_log::Entry,
    error_page::{self, Errors},
    patience::Patient,
    reply::{self, Outgoing},
};
use crate::{
    environ::{Local, Peer},
    exchange::{self, Request},
    fault::Fault,
    sandbox::InputFault,
};

/// What a closing connection still reads at most, and for how long.
const LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(1);
/// The least buffer that hyper accepts.
const LEAST_BUFFER: usize = 8 << 10;

/// Serves a connection until it ends, or until the response in flight when the server stops.
pub(super) async fn serve(stream: TcpStream, peer: Peer, local: Local, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(peer = %peer.0, "nodelay: {error}");
    }
    let limits = &shared.limits;
    let service = service_fn({
        let shared = Arc::clone(&shared);
        move |request| Box::pin(respond(request, peer, local, Arc::clone(&shared)))
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_read_ms))
        .max_headers(usize::try_from(limits.request_fields).unwrap_or(usize::MAX))
        .max_header_size(usize::try_from(limits.request_head_bytes).unwrap_or(usize::MAX).max(LEAST_BUFFER))
        .half_close(false);
    let patience = Duration::from_millis(limits.progress_wall_ms);
    let mut connection = builder.serve_connection(TokioIo::new(Patient::new(stream, patience)), service);
    let stopping = async { drop(stop.wait_for(|stopping| *stopping).await) };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopping => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let broken = match &ended {
        Ok(()) => false,
        Err(error) => {
            tracing::debug!(peer = %peer.0, "the connection ended: {error}");
            // A request that hyper refused has been answered like any other; one that did not come needs no answer.
            !error.is_parse() && !error.is_timeout()
        }
    };
    // Dropped without an order, the stream is reset: which is how a client can tell that a body without a length is not whole (S64).
    if !broken && let Some(stream) = connection.into_parts().io.into_inner().into_orderly() {
        linger(stream).await;
    }
}

/// Closing a socket with unread input resets it, and the client may lose an answer that it has not read yet. So: say that we are done,
/// and read a little more.
async fn linger(mut stream: TcpStream) {
    let rest = async {
        // hyper has done it, unless it refused the request.
        drop(stream.shutdown().await);
        let (mut piece, mut left) = ([0; 4 << 10], LINGER_BYTES);
        while left > 0 {
            match stream.read(&mut piece).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    drop(timeout(LINGER, rest).await);
}

/// Answers one request, whatever happens.
async fn respond(request: HyperRequest<Incoming>, peer: Peer, local: Local, shared: Arc<Shared>) -> Result<Response<Outgoing>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.map_err(|error| input_fault(&error)).boxed_unsync();
    let entry = Entry::new(&head, peer, shared.router.route().app.log().tenant().clone());
    if let Some(file) = shared.router.file(&head).await {
        return Ok(reply::file(file, entry));
    }
    let shown = (shared.errors != Errors::Hidden).then(|| head.clone());
    let request = Request { head, body, peer, local, id: entry.request_id().to_owned() };
    let answer = match shared.admission.enter().await {
        Ok(place) => exchange::run(shared.router.route(), request, place, entry.reporter(), &shared.tasks).await,
        Err(busy) => Err(busy.into()),
    };
    Ok(match answer {
        Ok(answer) => reply::answer(answer, entry),
        Err(fault) => {
            tell(&fault, entry.request_id());
            match shown.and_then(|head| error_page::page(&shared.errors, &fault, &head)) {
                Some((page, kind)) => reply::page(&fault, page, kind, entry),
                None => reply::fault(&fault, entry),
            }
        }
    })
}

/// A fault is logged once, where it is answered. A guest's has gone to its tenant's log.
fn tell(fault: &Fault, request_id: &str) {
    match fault {
        Fault::Client(client) => tracing::debug!(request_id, "{client}"),
        Fault::Guest(_) => {}
        Fault::Busy(busy) => tracing::info!(request_id, "{busy}"),
        Fault::Host(_) => tracing::error!(request_id, "{}", fault.chain()),
    }
}

/// hyper says of a body that it ended too early, or that it is broken; everything else is a broken connection.
fn input_fault(error: &hyper::Error) -> InputFault {
    let invalid = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| matches!(source.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData));
    if error.is_parse() || invalid { InputFault::Malformed } else { InputFault::Disconnected }
}
