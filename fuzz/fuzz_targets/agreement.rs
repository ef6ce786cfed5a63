//! The framer and hyper agree where each message ends: hyper, shown the canonical form, sees the same body, and the request that is put
//! behind it.
#![no_main]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a part of the crate, included by path")]

#[path = "../../src/environ/mod.rs"]
mod environ;
#[path = "../../src/fault.rs"]
mod fault;
#[path = "../../src/framing/mod.rs"]
mod framing;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/tenant.rs"]
mod tenant;

use std::{cell::RefCell, convert::Infallible, rc::Rc, sync::Arc};

use bytes::Bytes;
use environ::{Head, Length, Peer};
use framing::{Framed, Framer, Rules};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncWriteExt;

/// A message as the framer understood it.
struct Message {
    head: Option<Box<Head>>,
    canonical: Vec<u8>,
    whole: bool,
}

fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut framer = Framer::new(Arc::new(Rules::default()), Peer(([127, 0, 0, 1], 9).into()));
    let mut found: Vec<Message> = Vec::new();
    framer.received().extend_from_slice(bytes);
    loop {
        match framer.advance() {
            Ok(Framed::Nothing) | Err(_) => return found,
            Ok(Framed::Request(offered, canonical)) => {
                let head = offered.ok();
                let whole = head.as_ref().is_none_or(|head| matches!(head.length(), Length::None | Length::Known(0)));
                found.push(Message { head, canonical: canonical.to_vec(), whole });
            }
            Ok(Framed::Body(piece)) => {
                let between = framer.is_between();
                if let Some(last) = found.last_mut() {
                    last.canonical.extend_from_slice(&piece);
                    last.whole = between;
                }
            }
        }
    }
}

/// The data of a canonical body: what stands behind the head, or the data of its chunks.
fn data(message: &Message) -> Vec<u8> {
    let end = message.canonical.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let mut rest = &message.canonical[end..];
    if message.head.as_ref().is_none_or(|head| head.length() != Length::Chunked) {
        return rest.to_vec();
    }
    let mut data = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        data.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
    data
}

/// What hyper sees of it, and of a request behind it.
async fn seen_by_hyper(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
            seen.borrow_mut().push((line, body));
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let sending = async {
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        client
    };
    let serving = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
    let (_client, _served) = tokio::join!(sending, serving);
    let seen = seen.borrow().clone();
    seen
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fuzz_target!(|bytes: &[u8]| {
    // Half of the time what comes is a chunked body, which would seldom be found by chance.
    let bytes = match bytes.split_first() {
        Some((first, body)) if first % 2 == 1 => [CHUNKED, body].concat(),
        _ => bytes.to_vec(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for message in messages(&bytes).iter().filter(|message| message.whole) {
        let head_only = message.canonical.starts_with(b"HEAD ");
        let closes = message.head.is_none() || {
            let text = String::from_utf8_lossy(&message.canonical);
            let head = text.split("\r\n\r\n").next().unwrap();
            head.contains("connection: close") || head.contains("HTTP/1.0") && !head.contains("keep-alive")
        };
        let mut expected = vec![(format!("{} /", if head_only { "HEAD" } else { "POST" }), data(message))];
        if !closes {
            expected.push(("GET /behind".to_owned(), Vec::new()));
        }
        let sent = [message.canonical.as_slice(), b"GET /behind HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        assert_eq!(runtime.block_on(seen_by_hyper(&sent)), expected);
    }
});
