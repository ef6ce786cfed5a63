//! What the environ is for requests of every kind; the property tests hold it for those that nobody thought of.

use http::Request;
use proptest::prelude::*;

use super::*;

fn around(mount: &Mount) -> Surroundings<'_> {
    Surroundings { local: Local(([127, 0, 0, 1], 8000).into()), mount, run_once: true, request_id: "00ff" }
}

fn environ_at(mount: &Mount, request: http::request::Builder) -> Result<Environ, ClientFault> {
    Environ::new(&head_of(request)?, &around(mount))
}

fn head_of(request: http::request::Builder) -> Result<Head, ClientFault> {
    Head::new(request.body(()).unwrap().into_parts().0, Peer(([192, 0, 2, 7], 4321).into()), &Proxies::default())
}

fn environ_of(request: http::request::Builder) -> Result<Environ, ClientFault> {
    environ_at(&Mount::default(), request)
}

fn get(target: &str) -> http::request::Builder {
    Request::get(target).header("Host", "a.test")
}

fn malformed<T: std::fmt::Debug>(result: Result<T, ClientFault>) -> &'static str {
    match result {
        Err(ClientFault::Malformed(why)) => why,
        other => panic!("expected a malformed request, got {other:?}"),
    }
}

#[test]
fn a_plain_request_has_exactly_these_variables() {
    let pairs = environ_of(get("/a%20b?x=%20").header("Accept", "*/*")).unwrap().into_pairs();
    let expected = [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/a b"),
        ("QUERY_STRING", "x=%20"),
        ("REQUEST_URI", "/a%20b?x=%20"),
        ("RAW_URI", "/a%20b?x=%20"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "127.0.0.1"),
        ("SERVER_PORT", "8000"),
        ("SERVER_SOFTWARE", "wasgi"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "4321"),
        ("HTTP_HOST", "a.test"),
        ("HTTP_ACCEPT", "*/*"),
        ("wsgi.version", "1.0"),
        ("wsgi.url_scheme", "http"),
        ("wsgi.multithread", "0"),
        ("wsgi.multiprocess", "1"),
        ("wsgi.run_once", "1"),
        ("wsgi.input_terminated", "1"),
        ("wasgi.request_id", "00ff"),
    ];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn s7_s8_paths_are_decoded_to_bytes_and_not_normalised() {
    let path = |target| environ_of(get(target)).unwrap().value("PATH_INFO").unwrap().to_owned();
    assert_eq!(path("/%E2%82%AC%2F+"), "/\u{e2}\u{82}\u{ac}/+");
    assert_eq!(path("/%zz%4"), "/%zz%4");
    assert_eq!([path("//x"), path("/a/../b"), path("/a/./b"), path("/a;p")], ["//x", "/a/../b", "/a/./b", "/a;p"]);
}

#[test]
fn s2_s7_an_environ_in_one_text_has_what_its_pairs_have_even_a_nul() {
    let environ = environ_of(get("/a%00b?c=%00")).unwrap();
    let text = environ.clone().into_text();
    let parts: Vec<_> = text.split('\u{100}').collect();
    let pairs: Vec<_> = parts.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
    assert_eq!(pairs, environ.into_pairs());
    assert!(pairs.contains(&("PATH_INFO".to_owned(), "/a\0b".to_owned())), "{pairs:?}");
}

#[test]
fn s3_s10_a_raw_target_stays_bytes() {
    let uri = http::Uri::from_maybe_shared(bytes::Bytes::from_static("/\u{e9}?q=\u{20ac}".as_bytes())).unwrap();
    let environ = environ_of(Request::builder().uri(uri).header("Host", "a")).unwrap();
    assert_eq!((environ.value("PATH_INFO"), environ.value("QUERY_STRING")), (Some("/\u{c3}\u{a9}"), Some("q=\u{e2}\u{82}\u{ac}")));
    assert_eq!(environ.value("REQUEST_URI"), Some("/\u{c3}\u{a9}?q=\u{e2}\u{82}\u{ac}"));
}

#[test]
fn s5_the_methods_case_is_kept() {
    let request = Request::builder().method("geT").uri("/").header("Host", "a");
    assert_eq!(environ_of(request).unwrap().value("REQUEST_METHOD"), Some("geT"));
}

#[test]
fn s9_a_mount_becomes_the_script_name() {
    let mount = Mount::new("/app").unwrap();
    let inside = environ_at(&mount, get("/app/x")).unwrap();
    assert_eq!((inside.value("SCRIPT_NAME"), inside.value("PATH_INFO")), (Some("/app"), Some("/x")));
    assert_eq!(environ_at(&mount, get("/apple")), Err(ClientFault::NotFound));
}

#[test]
fn s11_content_variables_have_no_http_twin() {
    let environ =
        environ_of(Request::post("/").header("Host", "a").header("Content-Type", "text/x").header("Content-Length", "007")).unwrap();
    assert_eq!((environ.value("CONTENT_TYPE"), environ.value("CONTENT_LENGTH")), (Some("text/x"), Some("7")));
    assert_eq!((environ.value("HTTP_CONTENT_TYPE"), environ.value("HTTP_CONTENT_LENGTH")), (None, None));
}

#[test]
fn s12_an_ipv6_server_name_stands_in_brackets() {
    let mount = Mount::default();
    let around = Surroundings { local: Local("[::1]:80".parse().unwrap()), ..around(&mount) };
    let environ = Environ::new(&head_of(get("/")).unwrap(), &around).unwrap();
    assert_eq!((environ.value("SERVER_NAME"), environ.value("SERVER_PORT")), (Some("[::1]"), Some("80")));
}

#[test]
fn s21_s26_what_a_trusted_proxy_says_is_in_the_environ() {
    let fields = vec![Forwarding::For, Forwarding::Proto, Forwarding::Host, Forwarding::Prefix];
    let proxies = Proxies { networks: vec!["192.0.2.0/24".parse().unwrap()], hops: 1, fields };
    let request = get("/app/x").header("X-Forwarded-For", "1.2.3.4").header("X-Forwarded-Proto", "https");
    let request = request.header("X-Forwarded-Host", "b.test").header("X-Forwarded-Prefix", "/out");
    let head = Head::new(request.body(()).unwrap().into_parts().0, Peer(([192, 0, 2, 7], 4321).into()), &proxies).unwrap();
    let environ = Environ::new(&head, &around(&Mount::new("/app").unwrap())).unwrap();
    let of = |name| environ.value(name);
    assert_eq!((of("REMOTE_ADDR"), of("REMOTE_PORT"), of("HTTP_HOST")), (Some("1.2.3.4"), None, Some("b.test")));
    assert_eq!(
        (of("wsgi.url_scheme"), of("HTTPS"), of("SCRIPT_NAME"), of("PATH_INFO")),
        (Some("https"), Some("on"), Some("/out/app"), Some("/x"))
    );
    let garbled = get("/").header("X-Forwarded-Host", "b test").body(()).unwrap().into_parts().0;
    let refused = Head::new(garbled, Peer(([192, 0, 2, 7], 4321).into()), &proxies);
    assert_eq!(refused.map(drop), Err(ClientFault::Malformed("the forwarded host is no host name")));
}

#[test]
fn s13_http_1_0_needs_no_host() {
    let environ = environ_of(Request::get("/").version(Version::HTTP_10)).unwrap();
    assert_eq!((environ.value("SERVER_PROTOCOL"), environ.value("HTTP_HOST")), (Some("HTTP/1.0"), None));
    assert_eq!(malformed(environ_of(Request::get("/"))), "no Host");
}

#[test]
fn s15_s16_s21_names_that_would_deceive_an_application_are_dropped() {
    let names = ["X_Forwarded_For", "Content_Length", "Proxy", "X-Forwarded-For", "Forwarded", "X-Real-IP", "a.b"];
    let request = names.iter().fold(get("/"), |request, name| request.header(*name, "evil"));
    let pairs = environ_of(request).unwrap().into_pairs();
    assert_eq!(pairs.iter().filter(|(_, value)| value == "evil").count(), 0, "{pairs:?}");
}

#[test]
fn s17_repeated_fields_are_joined_or_refused() {
    let environ = environ_of(get("/").header("Cookie", "a=1").header("X-A", "1").header("Cookie", "b=2").header("X-A", "2")).unwrap();
    assert_eq!((environ.value("HTTP_COOKIE"), environ.value("HTTP_X_A")), (Some("a=1; b=2"), Some("1,2")));
    for name in ["Host", "Content-Type", "Authorization", "Content-Length"] {
        let request = get("/").header(name, "1").header(name, "1");
        let why = malformed(environ_of(request));
        assert!(why.starts_with("more than one") || why == "a field that may come once came twice", "{name}: {why}");
    }
}

#[test]
fn s18_obs_text_survives_as_latin_1() {
    let value = http::HeaderValue::from_bytes(b"caf\xe9 \xff").unwrap();
    assert_eq!(environ_of(get("/").header("X-A", value)).unwrap().value("HTTP_X_A"), Some("caf\u{e9} \u{ff}"));
}

#[test]
fn s39_another_expectation_fails() {
    assert_eq!(environ_of(get("/").header("Expect", "200-ok")), Err(ClientFault::Expectation));
    assert_eq!(environ_of(get("/").header("Expect", "100-Continue")).unwrap().value("HTTP_EXPECT"), Some("100-Continue"));
}

#[test]
fn s73_to_s76_a_body_has_one_length() {
    let post = || Request::post("/").header("Host", "a");
    assert_eq!(
        malformed(environ_of(post().header("Content-Length", "1").header("Transfer-Encoding", "chunked"))),
        "both Content-Length and Transfer-Encoding"
    );
    for bad in ["+1", "-1", "0x1", "1,1", "", "1_0", "18446744073709551616", " 1 1"] {
        assert_eq!(malformed(environ_of(post().header("Content-Length", bad))), "Content-Length is no number", "{bad}");
    }
    for bad in ["identity", "chunked, chunked", "xchunked", "gzip, chunked", ""] {
        let fault = environ_of(post().header("Transfer-Encoding", bad));
        assert_eq!(fault, Err(ClientFault::NotImplemented("a transfer coding other than `chunked`")), "{bad}");
    }
    let old = post().version(Version::HTTP_10).header("Transfer-Encoding", "chunked");
    assert_eq!(malformed(environ_of(old)), "Transfer-Encoding in HTTP/1.0");
    let chunked = environ_of(post().header("Transfer-Encoding", "Chunked")).unwrap();
    assert_eq!((chunked.value("CONTENT_LENGTH"), chunked.value("HTTP_TRANSFER_ENCODING")), (None, Some("Chunked")));
}

#[test]
fn a_buffered_body_has_a_length_and_no_coding() {
    let mut environ = environ_of(Request::post("/").header("Host", "a").header("Transfer-Encoding", "chunked")).unwrap();
    environ.set_buffered_length(5);
    assert_eq!((environ.value("CONTENT_LENGTH"), environ.value("HTTP_TRANSFER_ENCODING")), (Some("5"), None));
}

#[test]
fn s80_an_absolute_target_overrides_host() {
    let environ = environ_of(Request::get("http://b.test:81/x?y").header("Host", "a.test")).unwrap();
    assert_eq!((environ.value("HTTP_HOST"), environ.value("PATH_INFO")), (Some("b.test:81"), Some("/x")));
    for bad in ["a b", "a/b", "a@b", "a:b", "[::1", "[::1]x", "é", "a:1:2"] {
        let request = Request::get("/").header("Host", http::HeaderValue::from_bytes(bad.as_bytes()).unwrap());
        assert_eq!(malformed(environ_of(request)), "Host is no host name", "{bad}");
    }
    for good in ["", "a.test", "a.test:80", "127.0.0.1:8000", "[::1]", "[::1]:80", "a_b"] {
        let request = Request::get("/").header("Host", good);
        assert_eq!(environ_of(request).unwrap().value("HTTP_HOST"), Some(good));
    }
}

#[test]
fn s81_star_is_for_options_and_connect_for_nobody() {
    let star = |method: &str| environ_of(Request::builder().method(method).uri("*").header("Host", "a"));
    assert_eq!(star("OPTIONS").unwrap().value("PATH_INFO"), Some(""));
    assert_eq!(malformed(star("GET")), "the target is neither a path nor an absolute URI");
    let connect = environ_of(Request::connect("a.test:80").header("Host", "a.test:80"));
    assert_eq!(connect, Err(ClientFault::Method("CONNECT is for proxies")));
}

proptest! {
    /// S2, S3, S14: whatever arrives, no name comes twice and every character is a byte.
    #[test]
    fn any_request_makes_native_strings_and_unique_names(
        path in "/[!-~]{0,40}",
        fields in proptest::collection::vec(("[A-Za-z0-9_.-]{1,12}", proptest::collection::vec(0x20u8..=0xff, 0..20)), 0..12),
    ) {
        let mut request = Request::builder().uri(path.replace('#', "")).header("Host", "a.test");
        for (name, value) in &fields {
            if let Ok(value) = http::HeaderValue::from_bytes(value) {
                request = request.header(name, value);
            }
        }
        let Ok(request) = request.body(()) else { return Ok(()) };
        let peer = Peer(([192, 0, 2, 7], 4321).into());
        let mount = Mount::default();
        let head = Head::new(request.into_parts().0, peer, &Proxies::default());
        if let Ok(environ) = head.and_then(|head| Environ::new(&head, &around(&mount))) {
            let pairs = environ.into_pairs();
            let names: std::collections::HashSet<_> = pairs.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names.len(), pairs.len());
            for (name, value) in &pairs {
                prop_assert!(name.chars().chain(value.chars()).all(|c| c <= '\u{ff}'), "{} {}", name, value);
            }
        }
    }

    /// S7: decoding loses no byte.
    #[test]
    fn a_fully_encoded_path_decodes_to_its_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let encoded = percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC).to_string();
        let decoded: Vec<u8> = path::decode(&encoded).chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        prop_assert_eq!(decoded, bytes);
    }
}
