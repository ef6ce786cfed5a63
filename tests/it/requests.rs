//! Requests: what the application sees of them, and of their bodies.

use std::io::{Read, Write};

use crate::support::{Host, Reply, guest, wait_for};

#[test]
fn the_smallest_application_in_rust_is_served() {
    let host = Host::serving(&guest("hello"), &[]);
    assert_eq!(host.get("/there").text(), "Hello from /there\n");
}

#[test]
fn s2_s24_the_environ_is_the_requests_and_nothing_of_the_host() {
    let host = Host::behaving(&["--mount", "/app"]);
    // Mounted at /app: the first segment behind it names the behaviour.
    let reply =
        host.ask("GET", "/app/environ/%E2%82%AC?q=%20", "X-A: 1\r\nX-A: 2\r\nX_B: 3\r\nProxy: evil\r\nX-Forwarded-For: 1.2.3.4\r\n");
    let text = reply.text();
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with("REMOTE_PORT=") && !line.starts_with("wasgi.request_id=")).collect();
    lines.sort_unstable();
    let port = format!("SERVER_PORT={}", host.address.port());
    let mut expected = vec![
        "GATEWAY_INTERFACE=CGI/1.1",
        "HTTP_CONNECTION=close",
        "HTTP_HOST=a.test",
        "HTTP_X_A=1,2",
        "PATH_INFO=/environ/\\u{e2}\\u{82}\\u{ac}",
        "QUERY_STRING=q=%20",
        "RAW_URI=/app/environ/%E2%82%AC?q=%20",
        "REMOTE_ADDR=127.0.0.1",
        "REQUEST_METHOD=GET",
        "REQUEST_URI=/app/environ/%E2%82%AC?q=%20",
        "SCRIPT_NAME=/app",
        "SERVER_NAME=127.0.0.1",
        &port,
        "SERVER_PROTOCOL=HTTP/1.1",
        "SERVER_SOFTWARE=wasgi",
        "wsgi.input_terminated=1",
        "wsgi.multiprocess=1",
        "wsgi.multithread=0",
        "wsgi.run_once=1",
        "wsgi.url_scheme=http",
        "wsgi.version=1.0",
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(host.get("/apple").code(), 404);
}

#[test]
fn s31_to_s34_a_body_is_read_to_its_end_and_no_further() {
    let host = Host::behaving(&[]);
    assert_eq!(host.post("/echo", "", b"hello").text(), "hello");
    assert_eq!(host.post("/count", "", &vec![b'x'; 300_000]).text(), "300000 of 300000");
    assert_eq!(host.post("/lines", "", b"a\nb\r\nc").text(), "3");
    assert_eq!(host.post("/read-twice", "", b"hello").text(), "5 0");
    assert_eq!(host.get("/count").text(), "0 of none");
    let chunked = b"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n";
    assert_eq!(host.send(chunked).text(), "5 of none");
}

#[test]
fn a_chunked_upload_can_be_buffered_for_a_content_length() {
    let host = Host::behaving(&["--uploads", "buffered", "--buffer-memory", "1KiB", "--max-body", "100KiB"]);
    let upload = |size: usize| {
        let head = format!("POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
        host.send(&[head.as_bytes(), &vec![b'x'; size], b"\r\n0\r\n\r\n"].concat()).text()
    };
    assert_eq!([upload(10), upload(1_024), upload(1_025)], ["10 of 10", "1024 of 1024", "1025 of 1025"]);
    assert_eq!(upload(102_400), "102400 of 102400");
    assert_eq!(upload(102_401), "content too large: the limit is 102400 bytes\n");
}

#[test]
fn a_client_that_leaves_while_its_upload_is_buffered_gives_its_place_back() {
    let host = Host::behaving(&["--uploads", "buffered", "--buffer-memory", "1KiB", "--concurrency", "1"]);
    assert_eq!(host.get("/hello").text(), "hello\n");
    let before = host.open_files();
    // In memory, and in files: more than what else may have been open before.
    for size in [10, 5_000, 5_001, 5_002, 5_003] {
        let mut stream = host.connect();
        let head = format!("POST /count/{size} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
        stream.write_all(&[head.as_bytes(), &vec![b'x'; size], b"\r\n"].concat()).unwrap();
        drop(stream);
        host.logged(&["wasgi::access", &format!("path=/count/{size} "), "outcome=\"client_gone\""]);
        assert_eq!(host.get("/hello").text(), "hello\n");
    }
    wait_for("a file stays open", || (host.open_files() <= before).then_some(()));
}

#[test]
fn s35_a_broken_body_is_an_error_and_never_an_end() {
    let host = Host::behaving(&[]);
    let head = b"POST /read-error HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let malformed = host.send(&[&head[..], b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"].concat());
    assert_eq!(malformed.text(), "[Err(InvalidData), Err(InvalidData)]");
    let mut stream = host.connect();
    stream.write_all(&[&head[..], b"Content-Length: 10\r\n\r\nabc"].concat()).unwrap();
    drop(stream);
    host.logged(&["wasgi::app", "[Err(ConnectionReset), Err(ConnectionReset)]"]);
}

#[test]
fn s36_an_upload_is_read_as_the_application_asks() {
    let host = Host::behaving(&["--max-body", "1GiB"]);
    let mut stream = host.connect();
    stream.write_all(b"POST /first-byte HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nx").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let reply = Reply::of(&bytes, true);
    assert_eq!((reply.code(), reply.text()), (200, "x".into()));
}

#[test]
fn s37_a_body_is_taken_under_and_at_the_limit_and_refused_over_it() {
    let host = Host::behaving(&["--max-body", "1000"]);
    let declared = |size: usize| host.post("/count", "", &vec![b'x'; size]);
    assert_eq!((declared(999).text(), declared(1_000).text()), ("999 of 999".into(), "1000 of 1000".into()));
    let over = declared(1_001);
    assert_eq!((over.code(), over.text()), (413, "content too large: the limit is 1000 bytes\n".into()));
    let chunked = |size: usize| {
        let head = format!("POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
        host.send(&[head.as_bytes(), &vec![b'x'; size], b"\r\n0\r\n\r\n"].concat())
    };
    assert_eq!((chunked(1_000).text(), chunked(1_001).code()), ("1000 of none".into(), 413));
}

#[test]
fn s38_an_unread_body_is_never_parsed_as_a_request() {
    let host = Host::behaving(&[]);
    let inner = "GET /trap-in-call HTTP/1.1\r\nHost: evil\r\n\r\n";
    let outer = format!("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let next = "GET /counter HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let first = host.send(format!("{outer}{next}").as_bytes());
    assert_eq!((first.code(), first.text()), (200, "hello\n".into()));
    // The next request is answered, or the connection was closed; nothing else.
    let second = String::from_utf8_lossy(&first.rest).into_owned();
    assert!(second.is_empty() || (second.matches("HTTP/1.1").count() == 1 && second.ends_with("\r\n\r\n1")), "{second}");
    host.get("/cookies");
    host.logged(&["wasgi::access", "/cookies"]);
    assert_eq!(host.log_lines("trap-in-call"), Vec::<String>::new());
}

#[test]
fn s39_a_continue_is_sent_with_the_first_read_and_not_without_one() {
    let host = Host::behaving(&[]);
    let ask =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let mut stream = host.connect();
    stream.write_all(ask("/count").as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(Reply::of(&bytes, true).text(), "5 of 5");
    assert_eq!(host.send(ask("/hello").as_bytes()).text(), "hello\n");
    let strange = host.ask("GET", "/hello", "Expect: 200-ok\r\n");
    assert_eq!((strange.code(), strange.field("connection")), (417, Some("close")));
}

#[test]
fn a_connection_above_a_peers_limit_is_closed() {
    let host = Host::behaving(&["--max-peer-connections", "2"]);
    let kept = [host.connect(), host.connect()];
    for mut stream in &kept {
        stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    let mut bytes = Vec::new();
    let read = host.connect().read_to_end(&mut bytes);
    assert!(bytes.is_empty(), "{read:?} {bytes:?}");
    host.logged(&["a connection was refused"]);
}
