//! What a client sends, in pieces: the framer understands it the same however it is cut, never panics, and says nothing after a refusal.
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

use std::sync::Arc;

use environ::{Forwarding, Length, Peer, Proxies};
use framing::{Framed, Framer, Rules};
use libfuzzer_sys::fuzz_target;
use limits::Limits;

/// What is understood: each request with its body's bytes, and how it ended.
fn understood(rules: &Arc<Rules>, pieces: &[&[u8]]) -> Vec<String> {
    let (mut framer, mut said) = (Framer::new(Arc::clone(rules), Peer(([10, 0, 0, 1], 9).into())), Vec::new());
    let (mut chunked, mut body) = (false, Vec::new());
    for piece in pieces {
        framer.received().extend_from_slice(piece);
        loop {
            let over = framer.is_over();
            match framer.advance() {
                Ok(Framed::Nothing) => break,
                _ if over => panic!("something behind a refusal"),
                Ok(Framed::Request(Ok(head), _)) => {
                    said.push(data(chunked, std::mem::take(&mut body)));
                    chunked = head.length() == Length::Chunked;
                    said.push(format!("{head:?}"));
                }
                Ok(Framed::Request(Err(refused), _)) => said.push(format!("{refused:?}")),
                Ok(Framed::Body(piece)) => body.extend_from_slice(&piece),
                Err(broken) => said.push(broken.to_string()),
            }
        }
    }
    said.push(data(chunked, body));
    said
}

/// What of a canonical body is data: how it is chunked again depends on the pieces.
fn data(chunked: bool, body: Vec<u8>) -> String {
    if !chunked {
        return format!("{body:?}");
    }
    let (mut rest, mut data) = (body.as_slice(), Vec::new());
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        data.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
    format!("{data:?}")
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>)| {
    let (chunked, cuts, bytes) = input;
    let bytes = if chunked { [CHUNKED, &bytes].concat() } else { bytes };
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let fields = vec![Forwarding::Forwarded, Forwarding::For, Forwarding::Proto, Forwarding::Host, Forwarding::Prefix];
    let limits =
        Limits { request_line_bytes: 200, request_field_bytes: 200, request_fields: 10, request_head_bytes: 600, ..Limits::default() };
    let rules = Arc::new(Rules { limits, proxies: Proxies { networks, hops: 2, fields } });
    let (mut pieces, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.iter());
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), |cut| usize::from(*cut).clamp(1, rest.len()));
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece);
        rest = behind;
    }
    assert_eq!(understood(&rules, &pieces), understood(&rules, &[&bytes]));
});
