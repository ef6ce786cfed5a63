//! What of a client's bytes becomes a request, and what does not; whichever way they are cut into pieces.

use proptest::prelude::*;

use super::*;

/// What came of a connection: each request as `METHOD target`, its canonical head and body, and how the connection ended.
#[derive(Debug, Default, Eq, PartialEq)]
struct Seen {
    requests: Vec<(String, String)>,
    refused: Option<ClientFault>,
    broken: bool,
}

fn framer(limits: Limits) -> Framer {
    let rules = Rules { limits, proxies: Proxies::default() };
    Framer::new(Arc::new(rules), Peer(([192, 0, 2, 1], 9).into()))
}

fn seen_in_pieces(limits: Limits, pieces: &[&[u8]]) -> Seen {
    let (mut framer, mut seen) = (framer(limits), Seen::default());
    for piece in pieces {
        framer.received().extend_from_slice(piece);
        loop {
            match framer.advance() {
                Ok(Framed::Nothing) => break,
                Ok(Framed::Request(Ok(head), canonical)) => {
                    let parts = head.parts();
                    seen.requests.push((format!("{} {}", parts.method, parts.uri), String::from_utf8(canonical.to_vec()).unwrap()));
                }
                Ok(Framed::Request(Err(refused), _)) => {
                    assert_eq!(seen.refused.replace(refused.fault), None);
                    assert!(framer.is_over());
                }
                Ok(Framed::Body(bytes)) => seen.requests.last_mut().unwrap().1.push_str(&String::from_utf8_lossy(&bytes)),
                Err(Broken) => {
                    seen.broken = true;
                    assert!(framer.is_over());
                }
            }
        }
    }
    seen
}

fn seen(bytes: &[u8]) -> Seen {
    seen_in_pieces(Limits::default(), &[bytes])
}

fn refused(bytes: &str) -> ClientFault {
    let seen = seen(format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    assert_eq!((seen.requests.len(), seen.broken), (0, false), "{bytes:?}: {seen:?}");
    seen.refused.unwrap_or_else(|| panic!("accepted: {bytes:?}"))
}

#[test]
fn a_connection_has_one_message_behind_the_other() {
    let all = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\nPOST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n\
        PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n05;x=\"y\"\r\nhello\r\n0\r\nX-T: 1\r\n\r\n\
        \r\nget / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\nExpect: 100-continue\r\n\r\n";
    let expected = [
        ("GET /a?b", "POST / HTTP/1.1\r\n\r\n"),
        ("POST /c", "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"),
        ("HEAD /", "HEAD / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"),
        ("PUT /", "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("get /", "POST / HTTP/1.1\r\nconnection: close\r\n\r\n"),
    ];
    let expected = Seen { requests: expected.map(|(line, text)| (line.to_owned(), text.to_owned())).into(), ..Seen::default() };
    assert_eq!(seen(all), expected);
    // In pieces, the one that expects has sent nothing of its body yet; and each piece of data is a chunk of its own.
    let bytes: Vec<_> = all.chunks(1).collect();
    let in_pieces = seen_in_pieces(Limits::default(), &bytes).requests;
    assert_eq!(
        in_pieces.iter().map(|(line, _)| line).collect::<Vec<_>>(),
        expected.requests.iter().map(|(line, _)| line).collect::<Vec<_>>()
    );
    assert_eq!(
        in_pieces[3].1,
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n\
         1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"
    );
}

#[test]
fn s79_lines_end_with_crlf_and_have_no_control_characters() {
    let bad = |text: &str| if let ClientFault::Malformed(why) = refused(text) { why } else { "refused for another reason" };
    assert_eq!(bad("GET / HTTP/1.1\nHost: a\r\n\r\n"), "a line feed without a carriage return");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"), "a line feed without a carriage return");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"), "a carriage return without a line feed");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"), "a control character in the head");
    assert_eq!(bad("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), "a control character in the head");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n"), "a control character in the head");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n"), "a folded field");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\n\tX: 1\r\n\r\n"), "a folded field");
    assert_eq!(bad("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "a folded field");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), "a field's name is no token");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"), "a field's name is no token");
    assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"), "a field without a colon");
    assert_eq!(bad("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "the request line is not `METHOD target HTTP/1.1`");
    assert_eq!(bad("\x16\x03\x01"), "a control character in the head", "TLS");
}

#[test]
fn s5_s81_a_request_line_has_three_words() {
    for bad in
        ["GET /\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", " GET / HTTP/1.1\r\n", "GET\t/\tHTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n"]
    {
        assert!(matches!(refused(bad), ClientFault::Malformed(_)), "{bad:?}");
    }
    for bad in ["GET / HTTP/2.0\r\n", "GET / HTTP/1.2\r\n", "GET / HTTP/0.9\r\n", "PRI * HTTP/2.0\r\n"] {
        assert_eq!(refused(bad), ClientFault::Version, "{bad:?}");
    }
    for bad in [
        "GET / FTP/1.1\r\n",
        "GET / HTTP/11\r\n",
        "GET / HTTP/1.10\r\n",
        "GET / http/1.1\r\n",
        "G:T / HTTP/1.1\r\n",
        "GET /\u{e9} HTTP/1.1\r\n",
    ] {
        assert!(matches!(refused(bad), ClientFault::Malformed(_)), "{bad:?}");
    }
    for bad in ["x", "*", "a.test:80", "/a#b"] {
        assert!(matches!(refused(&format!("GET {bad} HTTP/1.1\r\nHost: a\r\n\r\n")), ClientFault::Malformed(_)), "{bad:?}");
    }
    assert_eq!(seen(b"GET //%zz?a?b HTTP/1.1\r\nHost: a\r\n\r\n").requests[0].0, "GET //%zz?a?b");
}

#[test]
fn s77_a_chunks_size_is_hex_digits_and_nothing_else() {
    let body = |text: &str| seen(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{text}").as_bytes());
    for bad in [
        "+5\r\n",
        "-5\r\n",
        "0x5\r\n",
        "5_0\r\n",
        " 5\r\n",
        "5 \r\n",
        "5 ;x\r\n",
        "\r\n",
        ";x\r\n",
        "5\n",
        "5\rx",
        "5;a\nb\r\n",
        "5;a\rb\r\n",
        "5;\x01\r\n",
        "8000000000000000\r\n",
        "00000000000000001\r\n",
        "5\r\nhelloX",
        "5\r\nhello\rX",
        "5\r\nhello\n",
    ] {
        assert!(body(bad).broken, "{bad:?}");
    }
    for good in ["0005\r\nhello\r\n0\r\n\r\n", "5;a=b; c=\"d e\"\r\nhello\r\n000;x\r\n\r\n", "5\r\nhello\r\n0\r\nVary: *\r\n\r\n"] {
        let seen = body(good);
        assert_eq!((seen.broken, seen.requests[0].1.split_once("\r\n\r\n").unwrap().1), (false, "5\r\nhello\r\n0\r\n\r\n"), "{good:?}");
    }
    let size = body("7fffffffffffffff\r\nx");
    assert_eq!((size.broken, size.requests[0].1.split_once("\r\n\r\n").unwrap().1), (false, "1\r\nx\r\n"));
    let extended = |bytes: usize| body(&format!("1;{}\r\na\r\n1;{}\r\nb\r\n0\r\n\r\n", "x".repeat(bytes - 1), "x")).broken;
    assert_eq!((extended(16 << 10), extended((16 << 10) + 1)), (false, true));
}

#[test]
fn s78_trailers_are_fields_and_never_those_that_frame() {
    let body = |text: &str| seen(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{text}").as_bytes()).broken;
    for bad in [
        "Content-Length: 1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
        "host: b\r\n\r\n",
        "X : 1\r\n\r\n",
        " X: 1\r\n\r\n",
        "X: 1\n\r\n",
        "\n",
        "X\r\n\r\n",
    ] {
        assert!(body(bad), "{bad:?}");
    }
    let sized = |bytes: usize| body(&format!("X: {}\r\n\r\n", "x".repeat(bytes - "X: \r\n\r\n".len())));
    assert_eq!((sized(16 << 10), sized((16 << 10) + 1)), (false, true));
}

#[test]
fn s82_a_head_is_taken_under_and_at_its_limits_and_refused_over_them() {
    let limits =
        Limits { request_line_bytes: 64, request_field_bytes: 70, request_fields: 3, request_head_bytes: 200, ..Limits::default() };
    let of = |text: String| seen_in_pieces(limits.clone(), &[text.as_bytes()]).refused.map(|fault| fault.to_string());
    let line = |bytes: usize| of(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - "GET / HTTP/1.1".len())));
    assert_eq!((line(63), line(64)), (None, None));
    assert_eq!(line(65).as_deref(), Some("URI too long: the limit of the request line is 64 bytes"));
    let field = |bytes: usize| of(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(bytes - "X: ".len())));
    assert_eq!((field(69), field(70)), (None, None));
    assert_eq!(field(71).as_deref(), Some("request header fields too large: the limit of one is 70 bytes"));
    let fields = |count: usize| of(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(count - 1)));
    assert_eq!((fields(2), fields(3)), (None, None));
    assert_eq!(fields(4).as_deref(), Some("request header fields too large: the limit is 3 fields"));
    let head = |bytes: usize| {
        let start = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\nX: ", "x".repeat(50), "x".repeat(67));
        of(format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4)))
    };
    assert_eq!((head(199), head(200)), (None, None));
    assert_eq!(head(201).as_deref(), Some("request header fields too large: the limit of all is 200 bytes"));
    // What never ends is refused all the same.
    assert!(of("x".repeat(65)).is_some());
    assert!(of(format!("GET / HTTP/1.1\r\n{}", "x".repeat(71))).is_some());
}

#[test]
fn s82_a_client_that_takes_too_long_is_answered_for_what_it_asked() {
    let mut framer = framer(Limits::default());
    framer.received().extend_from_slice(b"HEAD /a HTTP/1.1\r\nHost: a\r\nX");
    assert!(matches!(framer.advance(), Ok(Framed::Nothing)));
    let Framed::Request(Err(refused), canonical) = framer.give_up() else { panic!("no answer") };
    assert_eq!(refused.fault, ClientFault::TimedOut);
    assert_eq!(refused.line.map(|(method, uri)| format!("{method} {uri}")).as_deref(), Some("HEAD /a"));
    assert_eq!(canonical, "HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n");
    framer.received().extend_from_slice(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(framer.advance(), Ok(Framed::Nothing)) && framer.received().is_empty());
}

#[test]
fn a_body_may_go_past_when_nothing_of_it_was_received() {
    let mut framer = framer(Limits::default());
    framer.received().extend_from_slice(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na");
    assert!(matches!(framer.advance(), Ok(Framed::Request(Ok(_), _))));
    assert_eq!(framer.passes(), None);
    assert!(matches!(framer.advance(), Ok(Framed::Body(piece)) if piece == "a"));
    assert_eq!(framer.passes(), Some(4));
    framer.passed(4);
    assert!(framer.is_idle());
}

/// Bytes that look like requests.
fn requestlike() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "GET ",
        "POST ",
        "HEAD ",
        "/ ",
        "/a?b ",
        "* ",
        "http://b/ ",
        "HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\r\n\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "1;x\r\n",
        "\n",
        "\r",
        "\0",
        ": ",
        " ",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
    ];
    let word = prop_oneof![9 => proptest::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec()), 1 => proptest::collection::vec(any::<u8>(), 1..4)];
    proptest::collection::vec(word, 0..20).prop_map(|words| words.concat())
}

/// The data of a canonical message, and whether it is at its end.
fn plain(canonical: &str) -> (String, String, bool) {
    let (head, body) = canonical.split_once("\r\n\r\n").unwrap();
    let head = head.replace("\r\nexpect: 100-continue", "");
    if !head.contains("chunked") {
        return (head, body.to_owned(), false);
    }
    let (mut rest, mut data) = (body, String::new());
    while let Some((size, behind)) = rest.split_once("\r\n").filter(|(size, _)| *size != "0") {
        let size = usize::from_str_radix(size, 16).unwrap();
        // The test's bytes that are no text were replaced, so a piece may be cut within what replaces one.
        let end = behind.char_indices().map(|(at, _)| at).find(|at| behind[*at..].starts_with("\r\n") && *at >= size).unwrap();
        data.push_str(&behind[..end]);
        rest = &behind[end + 2..];
    }
    (head, data, rest.starts_with("0\r\n"))
}

proptest! {
    #[test]
    fn how_bytes_are_cut_into_pieces_changes_nothing(
        chunked in any::<bool>(),
        bytes in requestlike(),
        cuts in proptest::collection::vec(1_usize..20, 1..20),
    ) {
        let head = if chunked { &b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"[..] } else { b"" };
        let bytes = [head, &bytes].concat();
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        let (mut cut, whole) = (seen_in_pieces(Limits::default(), &pieces), seen(&bytes));
        // What is left to the pieces: how the data is chunked again, and whether a body had begun to come.
        for ((_, cut), (_, whole)) in cut.requests.iter_mut().zip(&whole.requests) {
            prop_assert_eq!(plain(cut), plain(whole));
            cut.clone_from(whole);
        }
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn a_chunked_body_is_its_data_however_it_was_cut(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8)) {
        let mut text = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            text.extend(format!("0{:X};x\r\n", chunk.len()).bytes());
            text.extend([chunk, &b"\r\n"[..]].concat());
        }
        text.extend(b"0\r\nX: 1\r\n\r\n");
        let (mut framer, mut canonical) = (framer(Limits::default()), Vec::new());
        framer.received().extend_from_slice(&text);
        loop {
            match framer.advance() {
                Ok(Framed::Nothing) => break,
                Ok(Framed::Body(bytes)) => canonical.extend(bytes),
                other => prop_assert!(matches!(other, Ok(Framed::Request(Ok(_), _)))),
            }
        }
        let data = chunks.concat();
        let whole = if data.is_empty() { Vec::new() } else { [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat() };
        prop_assert_eq!(canonical, [whole.as_slice(), b"0\r\n\r\n"].concat());
        prop_assert!(framer.is_idle());
    }
}
