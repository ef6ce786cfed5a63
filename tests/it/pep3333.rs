//! PEP 3333 and what every server needs beside it, seen from the wire. The names carry the numbers of the checklist.

use std::{
    io::{Read, Write},
    time::Instant,
};

use crate::support::{Host, Reply};

/// Status, Content-Length, body, and whether the body is whole.
fn seen(reply: &Reply) -> (u16, Option<&str>, String, bool) {
    (reply.code(), reply.field("content-length"), reply.text(), reply.whole)
}

fn internal_error(host: &Host, reply: &Reply) {
    let id = reply.field("x-request-id").unwrap();
    assert_eq!((reply.code(), reply.text()), (500, format!("internal server error\nrequest id: {id}\n")));
    host.logged(&["wasgi::app", id]);
}

#[test]
fn s41_empty_chunks_send_nothing_and_an_error_behind_them_is_still_500() {
    let host = Host::behaving(&[]);
    assert_eq!(seen(&host.get("/empty-chunks")), (200, None, "hello!".into(), true));
    assert_eq!(seen(&host.get("/only-empty-chunks")), (200, Some("0"), String::new(), true));
    internal_error(&host, &host.get("/raise-after-empty"));
}

#[test]
fn s41_a_declared_empty_body_is_sent_before_the_iterable_is_asked() {
    let host = Host::behaving(&[]);
    let started = Instant::now();
    assert_eq!(seen(&host.get("/declared-empty-then-slow")), (200, Some("0"), String::new(), true));
    assert!(started.elapsed().as_secs() < 4);
}

#[test]
fn s42_start_response_may_be_called_in_the_first_iteration() {
    let reply = Host::behaving(&[]).get("/lazy-start");
    assert_eq!((reply.status.as_str(), reply.field("x-lazy"), reply.text()), ("HTTP/1.1 201 Created", Some("1"), "lazy".into()));
}

#[test]
fn s43_a_second_start_response_without_exc_info_is_refused() {
    let host = Host::behaving(&[]);
    internal_error(&host, &host.get("/start-twice"));
    host.logged(&["wasgi::app", "the application raised Error: start_response was called before"]);
    internal_error(&host, &host.get("/start-after-refused"));
}

#[test]
fn s44_exc_info_before_the_head_replaces_it_whole() {
    let reply = Host::behaving(&[]).get("/exc-info-before");
    assert_eq!((reply.status.as_str(), reply.field("x-old"), reply.field("x-new")), ("HTTP/1.1 503 Try Later", None, Some("2")));
    assert_eq!((reply.field("content-length"), reply.text()), (Some("8"), "replaced".into()));
}

#[test]
fn s45_exc_info_after_the_head_aborts_the_response() {
    let host = Host::behaving(&[]);
    let reply = host.get("/exc-info-after");
    assert_eq!((reply.code(), reply.text(), reply.whole), (200, "sent".into(), false));
    host.logged(&["wasgi::app", "something broke"]);
}

#[test]
fn s47_to_s51_a_bad_head_is_refused_in_the_application() {
    let host = Host::behaving(&[]);
    let status = |status: &str| host.ask("GET", "/status", &format!("X-Status: {status}\r\n")).text();
    assert_eq!(status("204 x"), "");
    assert_eq!(status("299 \u{fc}"), "accepted");
    assert_eq!(status("1000 Odd"), "a status begins with three digits and a space");
    assert_eq!(status("100 Continue"), "a final status lies between 200 and 599");
    assert_eq!(host.get("/header/crlf").text(), "X-A: a value has no control characters");
    assert_eq!(host.get("/header/nul").text(), "X-A: a value has no control characters");
    assert_eq!(host.get("/header/euro").text(), "X-A: a value has only characters up to U+00FF");
    let named = |name: &str| host.ask("GET", "/header/x", &format!("X-Name: {name}\r\n")).text();
    assert_eq!(named("Transfer-Encoding"), "Transfer-Encoding: a hop-by-hop field is the server's");
    assert_eq!(named("a b"), "a b: a name is an RFC 9110 token");
}

#[test]
fn s50_s53_latin_1_repetitions_and_the_reason_survive() {
    let host = Host::behaving(&[]);
    assert_eq!(host.get("/latin-1").field("x-a"), Some("caf\u{e9} \u{ff}"));
    assert_eq!(host.get("/cookies").all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(host.get("/reason").status, "HTTP/1.1 200 All Is Well");
}

#[test]
fn s54_the_server_adds_date_server_and_a_request_id() {
    let reply = Host::behaving(&[]).get("/hello");
    assert_eq!((reply.all("date").len(), reply.all("server"), reply.field("x-request-id").unwrap().len()), (1, vec!["wasgi"], 16));
}

#[test]
fn what_a_proxy_calls_a_request_is_its_id_everywhere_and_its_trace_is_in_the_log() {
    let fields = "X-Request-Id: Root=1-abc\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let host = Host::behaving(&["--trusted-proxy", "127.0.0.0/8", "--proxy-headers", "x-request-id"]);
    let reply = host.ask("GET", "/print", fields);
    assert_eq!((reply.code(), reply.all("x-request-id")), (200, vec!["Root=1-abc"]));
    host.logged(&["wasgi::app", "Root=1-abc", "to stdout"]);
    host.logged(&["wasgi::access", "Root=1-abc", "0af7651916cd43dd8448eb211c80319c", "/print"]);
    let own = Host::behaving(&[]).ask("GET", "/hello", fields);
    assert_eq!(own.field("x-request-id").unwrap().len(), 16, "nobody is believed who was not named");
}

#[test]
fn s56_a_chunk_arrives_while_the_application_still_works() {
    let host = Host::behaving(&[]);
    let mut stream = host.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 512]);
    while !bytes.windows(6).any(|window| window == b"line 0") {
        let length = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..length]);
    }
    assert!(!bytes.windows(6).any(|window| window == b"line 1"), "{}", String::from_utf8_lossy(&bytes));
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(Reply::of(&bytes, true).text(), "line 0\nline 1\nline 2\n");
}

#[test]
fn s57_what_is_written_comes_before_what_is_yielded() {
    let host = Host::behaving(&[]);
    assert_eq!(seen(&host.get("/write")), (200, None, "written and yielded".into(), true));
    assert_eq!(seen(&host.get("/write/19")), (200, Some("19"), "written and yielded".into(), true));
    let short = host.get("/write/5");
    assert_eq!((short.text(), short.whole), ("writt".into(), true));
    host.logged(&["wasgi::app", "the body is longer than its Content-Length"]);
}

#[test]
fn s58_s59_a_body_has_a_length_or_is_chunked_or_ends_with_the_connection() {
    let host = Host::behaving(&[]);
    assert_eq!(seen(&host.get("/hello")), (200, Some("6"), "hello\n".into(), true));
    let chunked = host.get("/two-chunks");
    assert_eq!((chunked.field("transfer-encoding"), chunked.text(), chunked.whole), (Some("chunked"), "one two".into(), true));
    let old = host.send(b"GET /two-chunks HTTP/1.0\r\n\r\n");
    assert_eq!((old.field("transfer-encoding"), old.field("content-length"), old.text()), (None, None, "one two".into()));
    assert_eq!(seen(&host.get("/empty")), (200, Some("0"), String::new(), true));
}

#[test]
fn s60_s61_a_body_is_never_longer_or_silently_shorter_than_it_says() {
    let host = Host::behaving(&[]);
    assert_eq!(seen(&host.get("/declared/5")), (200, Some("5"), "hello".into(), true));
    assert_eq!(seen(&host.get("/declared-and-more/8")), (200, Some("8"), "hello wo".into(), true));
    host.logged(&["wasgi::app", "the body is longer than its Content-Length"]);
    assert_eq!(seen(&host.get("/declared/9")), (200, Some("9"), "hello".into(), false));
    host.logged(&["wasgi::app", "the body is 4 bytes shorter than its Content-Length"]);
}

#[test]
fn s62_head_has_no_body_and_the_length_that_get_would_have() {
    let host = Host::behaving(&[]);
    for (path, length) in [("/hello", Some("6")), ("/declared/5", Some("5")), ("/two-chunks", None)] {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut stream = host.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = Reply::of(&bytes[..end], true);
        assert_eq!((head.code(), head.field("content-length")), (200, length), "{path}");
        assert_eq!(seen(&Reply::of(&bytes[end..], true)), (200, Some("6"), "hello\n".into(), true), "{path}");
    }
}

#[test]
fn s63_some_statuses_have_no_body() {
    let host = Host::behaving(&[]);
    for (path, code, length) in [("/no-content", 204, None), ("/not-modified", 304, None), ("/reset-content", 205, Some("0"))] {
        let reply = host.get(path);
        assert_eq!((reply.code(), reply.field("content-length"), reply.field("transfer-encoding")), (code, length, None), "{path}");
        assert_eq!((reply.text(), reply.rest.len()), (String::new(), 0), "{path}");
    }
}

#[test]
fn s64_an_exception_in_the_body_is_visible_to_the_client() {
    let host = Host::behaving(&[]);
    let reply = host.get("/raise-after-first");
    assert_eq!((reply.code(), reply.text(), reply.whole), (200, "chunk".into(), false));
    host.logged(&["wasgi::app", "the application raised Error: raised in the body"]);
    let old = host.send(b"GET /raise-after-first HTTP/1.0\r\n\r\n");
    assert!(!old.whole, "a body that ends with the connection ends in a reset when it is broken off: {old:?}");
}

#[test]
fn s65_s66_an_exception_or_a_missing_start_response_is_500() {
    let host = Host::behaving(&[]);
    for path in ["/raise-before-first", "/never-start", "/never-start-empty"] {
        internal_error(&host, &host.get(path));
    }
    host.logged(&["wasgi::app", "the application returned a body without calling start_response"]);
}

#[test]
fn s67_close_is_called_once_whatever_ended_the_exchange() {
    let host = Host::behaving(&["--max-log-rate", "100MiB"]);
    let closed = |reply: &Reply| {
        let id = reply.field("x-request-id").unwrap();
        host.logged(&["wasgi::access", id]);
        host.log_lines(id).iter().filter(|line| line.contains("closed")).count()
    };
    assert_eq!(closed(&host.get("/close")), 1);
    assert_eq!(closed(&host.ask("HEAD", "/close", "")), 1);
    assert_eq!(closed(&host.get("/raise-and-close")), 1);
    let raised = host.get("/close-raises");
    assert_eq!(seen(&raised), (200, None, "hello".into(), true));
    host.logged(&["wasgi::app", "close raised"]);
}

#[test]
fn s67_close_is_called_when_the_client_leaves() {
    let host = Host::behaving(&[]);
    let mut stream = host.connect();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 1_000]).unwrap();
    drop(stream);
    host.logged(&["wasgi::access", "/endless", "outcome=\"client_gone\""]);
    assert_eq!(host.log_lines("closed").len(), 1);
}

#[test]
fn s72_hints_are_sent_and_checked_like_a_head() {
    let host = Host::behaving(&[]);
    let ask = |version: &str| {
        let mut stream = host.connect();
        stream.write_all(format!("GET /early-hints HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = String::new();
        stream.read_to_string(&mut bytes).unwrap();
        bytes
    };
    let (new, old) = (ask("1.1"), ask("1.0"));
    let behind = new
        .strip_prefix("HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n")
        .unwrap_or_else(|| panic!("{new}"));
    assert!(behind.ends_with("\r\n\r\nOk(()) true") && old.starts_with("HTTP/1.0 200 OK\r\n"), "{new}\n{old}");
}
