//! What answers while there is no application: in development, when a build fails. Never for production.

use std::{convert::Infallible, future::Future, io};

use http_body_util::Full;
use hyper::{Response, StatusCode, body::Bytes, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// Answers every request on `listener` with 500 and `text`, until `until` is ready. Must be called within a tokio runtime.
///
/// # Errors
/// When the listener cannot be made ready for this runtime.
pub async fn broken(listener: std::net::TcpListener, text: &str, until: impl Future<Output = ()>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let page = Bytes::copy_from_slice(text.as_bytes());
    let mut connections = JoinSet::new();
    let answering = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let page = page.clone();
            let service = service_fn(move |_| {
                let mut response = Response::new(Full::new(page.clone()));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
                async { Ok::<_, Infallible>(response) }
            });
            // One answer a connection: the next one may come from an application.
            connections
                .spawn(async move { drop(http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await) });
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = answering => {}
        () = until => {}
    }
    Ok(())
}
