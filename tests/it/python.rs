//! Stock WSGI code in Python, built by `wasgi build` with the real componentize-py.

use crate::support::{Host, python};

fn host(flags: &[&str]) -> Host {
    Host::serving(&python("tests/apps/python"), flags)
}

#[test]
fn s2_s3_s26_s27_the_environ_has_the_types_of_the_pep() {
    assert_eq!(host(&[]).get("/types").text(), "('dict', {}, True, True, True)");
    assert_eq!(host(&["--isolation", "reuse"]).get("/types").text(), "('dict', {}, True, False, True)");
}

#[test]
fn s31_to_s34_the_input_is_one_continuous_buffered_file() {
    let expected = r"[b'', b'abc', b'def\n', b'ghij', b'kl\r\n', [b'mno\n', b'pqr'], b'', b'']";
    assert_eq!(host(&[]).post("/read", "", b"abcdef\nghijkl\r\nmno\npqr").text(), expected);
    let large: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let digest = "67870dfc9c64e7aa270a3f7e8051ae65d207f93fc3df04d7572e6365af69cd0d";
    assert_eq!(host(&[]).post("/read-all", "", &large).text(), format!("1000000 {digest}"));
}

#[test]
fn wsgirefs_own_tools_work_in_the_guest() {
    let host = host(&[]);
    assert!(host.get("/demo").text().starts_with("Hello world!\n\n"));
    let base = "http://a.test";
    let expected = format!(
        "('wsgirefs-tools', '{base}/wsgirefs-tools', '{base}/wsgirefs-tools/x?y', 'http', True, 'GET', \
         'attachment; filename=\"a.txt\"', [b'abcd', b'ef'], 'Thu, 01 Jan 1970 00:00:00 GMT')"
    );
    assert_eq!(host.get("/wsgirefs-tools/x?y").text(), expected);
}

#[test]
fn wsgirefs_validator_is_content_with_get_post_and_head() {
    let host = host(&[]);
    assert_eq!(host.get("/validated").text(), "ok ");
    assert_eq!(host.post("/validated", "Content-Type: text/plain\r\n", b"hello").text(), "ok hello");
    let head = host.ask("HEAD", "/validated", "");
    assert_eq!((head.code(), head.field("content-length"), head.text()), (200, Some("3"), String::new()));
    host.logged(&["wsgi.errors", "checked"]);
    let page = "/validated-flask/page";
    let (empty, form) = ("{\"read\":\"\",\"session\":null}\n", "{\"read\":\"a=b\",\"session\":null}\n");
    assert_eq!(host.get(page).text(), empty);
    assert_eq!(host.post(page, "Content-Type: application/x-www-form-urlencoded\r\n", b"a=b").text(), form);
    let head = host.ask("HEAD", page, "");
    assert_eq!((head.code(), head.field("content-length"), head.text()), (200, Some("27"), String::new()));
}

#[test]
fn s44_s45_exc_info_replaces_the_head_or_is_raised_again() {
    let host = host(&[]);
    let before = host.get("/exc-info-before");
    assert_eq!((before.status.as_str(), before.field("x-old"), before.text()), ("HTTP/1.1 500 Replaced", None, "replaced".into()));
    host.logged(&["wasgi::app", "ValueError: before the head"]);
    let after = host.get("/exc-info-after");
    assert_eq!((after.code(), after.text(), after.whole), (200, "sent".into(), false));
    host.logged(&["wasgi::app", "the application raised ValueError: after the head"]);
}

#[test]
fn s43_s48_s55_wrong_types_are_refused_where_they_are_passed() {
    let host = host(&[]);
    assert_eq!(host.get("/wrong-types").text(), "TypeError AssertionError AssertionError AssertionError AssertionError");
    assert_eq!(host.get("/yields-text").code(), 500);
    host.logged(&["wasgi::app", "TypeError: the application yielded str, not bytes"]);
}

#[test]
fn s65_an_exceptions_traceback_is_in_the_log_and_not_in_the_response() {
    let host = host(&[]);
    let reply = host.get("/raises");
    let id = reply.field("x-request-id").unwrap();
    assert_eq!((reply.code(), reply.text()), (500, format!("internal server error\nrequest id: {id}\n")));
    host.logged(&["the application raised ZeroDivisionError: division by zero", id]);
    host.logged(&["File \"/0/app.py\", line", id]);
    assert_eq!(host.get("/exits").code(), 500);
    host.logged(&["the application raised SystemExit: left"]);
}

#[test]
fn s57_s58_s67_bodies_of_every_kind_arrive_whole() {
    let host = host(&[]);
    assert_eq!(host.get("/generator").text(), "one two");
    let closing = host.get("/closing");
    assert_eq!((closing.field("content-length"), closing.text()), (Some("9"), "one chunk".into()));
    host.logged(&["stderr", "closed", closing.field("x-request-id").unwrap()]);
    let large = host.get("/large-chunk");
    assert_eq!((large.body.len(), large.whole), (3_000_000, true));
    let written = host.get("/written");
    assert_eq!((written.body.len(), written.text().ends_with("wyielded")), (2_000_007, true));
    let source = std::fs::read_to_string(crate::support::root().join("tests/apps/python/app.py")).unwrap();
    assert_eq!(host.get("/file-wrapper").text(), source[3..]);
    assert_eq!(host.get("/slow").text(), "line 0\nline 1\nline 2\n");
}

#[test]
fn modules_and_files_that_are_read_in_a_request_are_there_and_read_only() {
    let host = host(&[]);
    assert_eq!(host.get("/lazy-import").text(), "((0.0, 0.0, 1), 'imported in a request')");
    assert_eq!(host.get("/write-file").code(), 500);
    host.logged(&["wasgi::app", "/0/new"]);
}

#[test]
fn what_was_set_at_import_is_kept_and_the_hosts_environment_is_not_there() {
    assert_eq!(host(&[]).get("/environment").text(), "('kept', None, ['wasgi'])");
}

#[test]
fn randomness_is_fresh_in_every_instance() {
    let host = host(&[]);
    let all: std::collections::HashSet<_> = (0..5).map(|_| host.get("/random").text()).collect();
    let numbers: std::collections::HashSet<_> = all.iter().map(|text| text.split(',').next().unwrap().to_owned()).collect();
    assert_eq!((all.len(), numbers.len()), (5, 5), "{all:?}");
}

#[test]
fn an_input_that_was_kept_is_dead_after_its_request() {
    let host = host(&["--isolation", "reuse", "--concurrency", "1"]);
    assert_eq!(host.post("/kept-input", "", b"first").text(), "b'f'");
    assert_eq!(host.post("/kept-input", "", b"second").text(), "read of closed file");
}

#[test]
fn texts_of_megabytes_are_cut_and_not_a_trap() {
    let host = host(&[]);
    let reply = host.get("/large-errors");
    assert_eq!(reply.code(), 500);
    host.logged(&["wasgi::app", "the application raised ValueError: yyyy", reply.field("x-request-id").unwrap()]);
}

#[test]
fn bytes_do_not_leak_so_that_a_download_may_be_larger_than_the_memory() {
    let host = host(&["--memory", "96MiB", "--guest-cpu", "60s"]);
    assert_eq!(host.get("/types").code(), 200);
    host.forget_peak_memory();
    let reply = host.get("/leak?200");
    assert_eq!((reply.body.len(), reply.whole), (200 << 20, true));
    assert!(host.peak_memory() < 200 << 20, "the host used {} bytes", host.peak_memory());
}
