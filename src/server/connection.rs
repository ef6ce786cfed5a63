//! One connection: hyper reads requests and writes responses, between the limits of time and size; afterwards the connection lingers, so
//! that a client that still sends can read its answer.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Version, header};
use http_body_util::BodyExt;
use hyper::{Request as HyperRequest, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    Shared,
    access_log::Entry,
    error_page::{self, Errors},
    guard::{Guard, Offered, Turn},
    patience::{Patient, Renewal},
    reply::{self, Outgoing},
    router,
    site::Site,
};
use crate::{
    environ::{Local, Peer},
    exchange::{self, Answer, Request},
    fault::{ClientFault, Fault},
    framing::Refused,
    ledger::Counter,
    sandbox::{Hints, InputFault},
};

/// What a closing connection still reads at most, and for how long.
const LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(1);
/// Hints of an application that wait to be sent; more are kept back.
const HINTS: usize = 4;

/// Serves a connection until it ends, or until the response in flight when the server stops.
pub(super) async fn serve(stream: TcpStream, peer: Peer, local: Local, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(peer = %peer.0, "nodelay: {error}");
    }
    let turn = Turn::default();
    let last = turn.clone();
    let limits = &shared.rules.limits;
    let patient = Patient::new(stream, limits);
    let service = service_fn({
        let (shared, turn, renewal) = (Arc::clone(&shared), turn.clone(), patient.renewal());
        move |request: HyperRequest<Incoming>| {
            Box::pin(serve_one(request.into_body(), turn.clone(), renewal.clone(), local, Arc::clone(&shared)))
        }
    });
    let guard = Guard::new(patient, Arc::clone(&shared.rules), peer, turn);
    // The clocks and limits of a head are the guard's.
    let mut connection = http1::Builder::new().header_read_timeout(None).half_close(false).serve_connection(TokioIo::new(guard), service);
    let stopping = async { drop(stop.wait_for(|stopping| *stopping).await) };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopping => {
            // A request may be on its way: it is answered, and told that it was the last.
            last.hurry();
            (&mut connection).await
        }
    };
    let broken = match &ended {
        Ok(()) => false,
        Err(error) => {
            tracing::debug!(peer = %peer.0, "the connection ended: {error}");
            true
        }
    };
    // Dropped without an order, the stream is reset: which is how a client can tell that a body without a length is not whole (S64).
    if !broken && let Some(stream) = connection.into_parts().io.into_inner().into_inner().into_orderly() {
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

/// Answers the request that hyper was shown.
async fn serve_one(
    body: Incoming,
    turn: Turn,
    renewal: Renewal,
    local: Local,
    shared: Arc<Shared>,
) -> Result<Response<Outgoing>, Unoffered> {
    let (offered, answering) = turn.take().ok_or(Unoffered)?;
    let (hints, mut hinted) = mpsc::channel(HINTS);
    let response = {
        let mut response = std::pin::pin!(respond(offered, body, renewal, local, shared, hints));
        loop {
            tokio::select! {
                biased;
                response = &mut response => break response,
                Some(hints) = hinted.recv() => turn.send_interim(reply::hints(&hints)).await,
            }
        }
    };
    // What was said before the head is sent before it.
    while let Ok(hints) = hinted.try_recv() {
        turn.send_interim(reply::hints(&hints)).await;
    }
    let mut response = response.map(|body| body.holding(answering));
    if turn.is_hurried() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// hyper has seen a request where the guard showed none. It would be a bug, and the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("a request that was never offered")]
struct Unoffered;

/// Answers one request, whatever happens.
async fn respond(
    offered: Offered,
    body: Incoming,
    renewal: Renewal,
    local: Local,
    shared: Arc<Shared>,
    hints: mpsc::Sender<Hints>,
) -> Response<Outgoing> {
    renewal.renew(&shared.rules.limits);
    let head = match offered {
        Ok(head) => *head,
        Err(Refused { fault, client, line }) => {
            let entry = Entry::refused(client, line, shared.router.only());
            tracing::debug!(request_id = entry.request_id(), "{fault}");
            return reply::fault(&fault.into(), entry);
        }
    };
    let body = body.map_err(|error| input_fault(&error)).boxed_unsync();
    let site = shared.router.find(&head);
    let entry = Entry::new(&head, site.clone());
    let Some(site) = site else { return reply::fault(&ClientFault::NotFound.into(), entry) };
    renewal.renew(site.limits());
    if let Some(file) = router::file(&site, &head).await {
        return reply::file(file, entry);
    }
    let version = head.parts().version;
    let shown = (shared.errors != Errors::Hidden).then(|| head.parts().clone());
    // S72: a client of HTTP/1.0 knows no interim responses; what is sent into a closed channel is kept back.
    let hints = if version == Version::HTTP_11 { hints } else { mpsc::channel(1).0 };
    let request = Request { head, body, local, id: entry.request_id().to_owned(), hints };
    match answer(&site, request, &entry, &shared).await {
        Ok(answer) => reply::answer(answer, version, entry),
        Err(fault) => {
            tell(&fault, entry.request_id());
            match shown.and_then(|head| error_page::page(&shared.errors, &fault, &head)) {
                Some((page, kind)) => reply::page(&fault, page, kind, entry),
                None => reply::fault(&fault, entry),
            }
        }
    }
}

/// Has the application answer, when there is a place.
async fn answer(site: &Site, request: Request, entry: &Entry, shared: &Shared) -> Result<Answer, Fault> {
    site.is_open()?;
    let place = shared.admission.enter(site.desk()).await?;
    entry.queued();
    site.usage().count(Counter::Admitted, 1);
    let route = site.route().await?;
    exchange::run(&route, request, place, entry.reporter(&shared.tasks), &shared.tasks).await
}

/// A fault is logged once, where it is answered. A guest's has gone to its tenant's log.
fn tell(fault: &Fault, request_id: &str) {
    match fault {
        Fault::Client(client) => tracing::debug!(request_id, "{client}"),
        Fault::Guest(_) => {}
        Fault::Busy(busy) => tracing::debug!(request_id, "{busy}"),
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
