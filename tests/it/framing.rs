//! Where messages begin and end: what a hostile client sends, and what it gets (S73 to S83). The rules themselves have unit tests in
//! `src/framing`; here it is seen that nothing goes past them.

use std::io::{Read, Write};

use crate::support::Host;

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn s73_to_s83_what_could_be_understood_in_two_ways_is_refused_and_the_connection_closed() {
    let host = Host::behaving(&[]);
    let cases = [
        ("GET /hello HTTP/1.1\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n", 400),
        ("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /hello HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417),
        ("GET /hello HTTP/1.1\nHost: a\n\n", 400),
        ("GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\n X: obs-fold\r\n\r\n", 400),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET /hello\r\n", 400),
    ];
    for (request, code) in cases {
        let reply = host.send(format!("{request}{HELLO}").as_bytes());
        assert_eq!((reply.code(), reply.field("connection"), reply.rest.len()), (code, Some("close"), 0), "{request:?} {reply:?}");
        assert!(reply.text().len() < 100 && reply.field("content-type") == Some("text/plain; charset=utf-8"), "{request:?} {reply:?}");
    }
    host.logged(&["method=-", "path=-", "status=400"]);
    host.logged(&["method=POST", "path=/hello", "status=501"]);
}

#[test]
fn s71_s83_a_request_behind_an_answer_is_refused_in_its_turn() {
    let host = Host::behaving(&[]);
    let mut stream = host.connect();
    stream.write_all(format!("{HELLO}GET /hello HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n{HELLO}").as_bytes()).unwrap();
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).unwrap();
    let statuses: Vec<_> = bytes.lines().filter(|line| line.contains("HTTP/1.1")).collect();
    assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 400 Bad Request"], "{bytes}");
}

#[test]
fn a_head_without_a_body_has_its_own_answer_to_a_refusal() {
    let host = Host::behaving(&[]);
    let reply = host.send(b"HEAD /hello HTTP/1.1\r\n\r\n");
    assert_eq!((reply.code(), reply.body.len(), reply.field("connection")), (400, 0, Some("close")), "{reply:?}");
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let host = Host::behaving(&[]);
    let upload = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\nd\r\n2\r\nef\r\n0\r\nX: 1\r\n\r\n";
    let last = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let all = format!("{}{last}", format!("{upload}{chunked}{HELLO}\r\n").repeat(5));
    let mut stream = host.connect();
    stream.write_all(all.as_bytes()).unwrap();
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).unwrap();
    let bodies: Vec<_> = bytes.split("HTTP/1.1 200 OK\r\n").skip(1).map(|reply| reply.split_once("\r\n\r\n").unwrap().1).collect();
    let mut expected = ["abc", "3\r\ndef\r\n0\r\n\r\n", "hello\n"].repeat(5);
    expected.push("hello\n");
    assert_eq!(bodies.iter().map(|body| body.replace("3\r\nabc\r\n0\r\n\r\n", "abc")).collect::<Vec<_>>(), expected, "{bytes}");
}

#[test]
fn s82_a_head_is_taken_at_its_limits_and_refused_over_them() {
    let flags = ["--max-fields", "10", "--max-head", "8KiB", "--max-request-line", "100", "--max-field", "6KiB"];
    let host = Host::behaving(&flags);
    // Host and Connection are two of them.
    let fields = |count: usize| host.ask("GET", "/hello", &"X-A: 1\r\n".repeat(count - 2)).code();
    assert_eq!((fields(9), fields(10), fields(11)), (200, 200, 431));
    let field = |size: usize| host.ask("GET", "/hello", &format!("X-A: {}\r\n", "x".repeat(size - "X-A: ".len()))).code();
    assert_eq!((field((6 << 10) - 1), field(6 << 10), field((6 << 10) + 1)), (200, 200, 431));
    let line = |size: usize| host.ask("GET", &format!("/hello?{}", "x".repeat(size - "GET /hello? HTTP/1.1".len())), "").code();
    assert_eq!((line(99), line(100), line(101)), (200, 200, 414));
    let plain = "GET /hello HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nX-A: \r\nX-B: \r\n\r\n".len();
    let all = |size: usize| {
        host.ask("GET", "/hello", &format!("X-A: {}\r\nX-B: {}\r\n", "x".repeat(6_000), "x".repeat(size - plain - 6_000))).code()
    };
    assert_eq!((all((8 << 10) - 1), all(8 << 10), all((8 << 10) + 1)), (200, 200, 431));
}

#[test]
fn s82_a_slow_head_is_answered_408_and_an_idle_connection_is_closed() {
    // One clock is short and the other long: whichever ends the connection is known.
    let slow_heads = Host::behaving(&["--head-read-timeout", "300ms", "--idle-timeout", "10min"]);
    let idle = Host::behaving(&["--head-read-timeout", "10min", "--idle-timeout", "200ms"]);
    let ends = |host: &Host, sent: &str| {
        let mut stream = host.connect();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut bytes = String::new();
        // The deadline of the socket fails the test if the host keeps the connection.
        stream.read_to_string(&mut bytes).unwrap();
        bytes.lines().filter(|line| line.starts_with("HTTP/1.1")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ends(&slow_heads, "GET /hello HT"), ["HTTP/1.1 408 Request Timeout"]);
    assert_eq!(ends(&slow_heads, "GET /hello HTTP/1.1\r\nHost: a\r\nX-A: "), ["HTTP/1.1 408 Request Timeout"]);
    assert_eq!(ends(&slow_heads, ""), [""; 0]);
    assert_eq!(ends(&idle, HELLO), ["HTTP/1.1 200 OK"]);
    assert_eq!(ends(&idle, &format!("{HELLO}\r\n")), ["HTTP/1.1 200 OK"], "an empty line is no request");
    assert_eq!(ends(&slow_heads, &format!("{HELLO}GET /hel")), ["HTTP/1.1 200 OK", "HTTP/1.1 408 Request Timeout"]);
}

#[test]
fn s59_a_kept_connection_is_not_promised_for_a_body_that_ends_with_it() {
    let host = Host::behaving(&[]);
    let reply = host.send(b"GET /slow HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((reply.code(), reply.field("connection"), reply.field("content-length")), (200, None, None), "{reply:?}");
}

#[test]
fn a_client_that_leaves_behind_an_early_byte_is_seen() {
    let host = Host::behaving(&[]);
    let mut stream = host.connect();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\nG").unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    drop(stream);
    host.logged(&["path=/endless", "outcome=\"client_gone\""]);
}

#[test]
fn s82_a_body_that_comes_too_slowly_is_broken_off() {
    let host = Host::behaving(&["--progress-timeout", "300ms"]);
    let mut stream = host.connect();
    stream.write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).unwrap();
    assert!(bytes.starts_with("HTTP/1.1 408 "), "{bytes}");
}

#[test]
fn s78_a_trailer_that_frames_breaks_the_body() {
    let host = Host::behaving(&[]);
    let head = "POST /read-error HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    for trailer in ["Content-Length: 9\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "Host: b\r\n\r\n"] {
        let reply = host.send(format!("{head}{trailer}{HELLO}").as_bytes());
        assert_eq!((reply.text().as_str(), reply.rest.len()), ("[Err(InvalidData), Err(InvalidData)]", 0), "{trailer:?} {reply:?}");
    }
}

#[test]
fn s21_only_a_configured_proxy_says_who_the_client_is() {
    let claims = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    let seen = |flags: &[&str]| {
        let reply = Host::behaving(flags).ask("GET", "/environ", claims).text();
        let said = |line: &&str| {
            ["REMOTE_ADDR=", "wsgi.url_scheme=", "HTTPS=", "HTTP_X_", "HTTP_FORWARDED"].iter().any(|name| line.starts_with(name))
        };
        let mut lines: Vec<_> = reply.lines().filter(said).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let plain = ["REMOTE_ADDR=127.0.0.1", "wsgi.url_scheme=http"];
    assert_eq!(seen(&[]), plain);
    assert_eq!(seen(&["--trusted-proxy", "10.0.0.0/8", "--proxy-headers", "x-forwarded-for"]), plain);
    assert_eq!(
        seen(&["--trusted-proxy", "127.0.0.0/8", "--proxy-headers", "x-forwarded-for,x-forwarded-proto"]),
        ["HTTPS=on", "HTTP_X_FORWARDED_FOR=1.2.3.4", "HTTP_X_FORWARDED_PROTO=https", "REMOTE_ADDR=1.2.3.4", "wsgi.url_scheme=https"]
    );
}
