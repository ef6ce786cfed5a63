//! The bare hyper server that `make bench` measures beside wasgi: no guest, no limits, no checks; two threads, a runtime each.

use std::{convert::Infallible, net::TcpListener, thread};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

const PAGE: &[u8] = &[b'x'; 10_240];

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/page" => Bytes::from_static(PAGE),
        "/echo" => request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
        "/wait" => {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            Bytes::from_static(b"waited")
        }
        _ => Bytes::from_static(b"Hello, world!"),
    };
    Ok(Response::builder().header("Content-Type", "text/plain").body(Full::new(body)).unwrap_or_default())
}

async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into()))?;
    listener.set_nonblocking(true)?;
    let other = listener.try_clone()?;
    let run = |listener| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(listener));
    thread::spawn(move || run(other));
    run(listener)
}
