//! `guest/examples/flask`, as a person uses it: written as a tutorial would write it, not a line of it for wasgi.

use std::io::{Read, Write};

use crate::support::{Host, Reply, python};

fn host(flags: &[&str]) -> Host {
    Host::serving(&python("guest/examples/flask"), flags)
}

#[test]
fn templates_static_files_and_json_are_served() {
    let host = host(&[]);
    let home = host.get("/");
    assert_eq!((home.code(), home.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(home.text().contains("<h1>Guest book</h1>") && home.text().contains("href=\"/static/style.css\""), "{}", home.text());
    let style = host.get("/static/style.css");
    assert_eq!((style.code(), style.field("content-type")), (200, Some("text/css; charset=utf-8")));
    assert_eq!(style.text(), std::fs::read_to_string(crate::support::root().join("guest/examples/flask/static/style.css")).unwrap());
    assert_eq!(host.get("/api/books").text(), "[{\"id\":1,\"title\":\"Flatland\"},{\"id\":2,\"title\":\"Ficciones\"}]\n");
    assert_eq!(host.post("/api/echo", "Content-Type: application/json\r\n", b"{\"a\": [1, null]}").text(), "{\"a\":[1,null]}\n");
    assert_eq!(host.get("/nowhere").code(), 404);
}

#[test]
fn a_form_signs_in_and_the_session_is_kept_in_a_cookie() {
    let host = host(&[]);
    let form = host.post("/hello", "Content-Type: application/x-www-form-urlencoded\r\n", b"name=Ann+%26+Bob");
    assert_eq!((form.code(), form.field("location")), (302, Some("/")));
    let cookie = form.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let home = host.ask("GET", "/", &format!("Cookie: {cookie}\r\n"));
    assert!(
        home.text().contains("Hello, Ann &amp; Bob!") && home.text().contains("You are <strong>Ann &amp; Bob</strong>"),
        "{}",
        home.text()
    );
}

#[test]
fn an_upload_answers_its_size_and_digest_and_a_download_is_sent() {
    let host = host(&[]);
    let expected = "{\"sha256\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"size\":5}\n";
    assert_eq!(host.post("/upload", "", b"hello").text(), expected);
    let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n";
    assert_eq!(host.post("/upload", "Content-Type: multipart/form-data; boundary=b\r\n", file.as_bytes()).text(), expected);
    let large =
        format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{}\r\n--b--\r\n", "x".repeat(2_000_000));
    let answer = host.post("/upload", "Content-Type: multipart/form-data; boundary=b\r\n", large.as_bytes()).text();
    assert!(answer.ends_with("\"size\":2000000}\n"), "{answer}");
    let chunked =
        b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(host.send(chunked).text(), expected);
    let download = host.get("/download");
    assert_eq!(download.field("content-disposition"), Some("attachment; filename=lines.txt"));
    assert_eq!(download.text(), (0..1000).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_page_that_raises_answers_500_with_a_request_id_and_its_traceback_is_in_the_log() {
    let host = host(&[]);
    let reply = host.get("/broken");
    let id = reply.field("x-request-id").unwrap();
    assert_eq!(reply.code(), 500);
    assert!(!reply.text().contains("RuntimeError") && !reply.text().contains("app.py"), "{}", reply.text());
    host.logged(&["RuntimeError: this page is broken", id]);
    host.logged(&["File \"/0/app.py\"", id]);
}

#[test]
fn a_counter_of_a_module_answers_1_1_1_fresh_and_1_2_3_reused() {
    let count = |flags: &[&str]| {
        let host = host(flags);
        (0..3).map(|_| host.get("/counter").text()).collect::<String>()
    };
    assert_eq!(count(&["--isolation", "request"]), "1\n1\n1\n");
    assert_eq!(count(&["--isolation", "reuse", "--concurrency", "1"]), "1\n2\n3\n");
}

#[test]
fn a_page_that_loops_ends_in_504() {
    let host = host(&["--guest-cpu", "1s"]);
    assert_eq!(host.get("/forever").code(), 504);
    assert_eq!(host.get("/counter").text(), "1\n");
}

#[test]
fn uploads_and_downloads_of_200_mib_live_in_no_memory() {
    let host = host(&["--max-body", "300MiB", "--memory", "64MiB", "--guest-cpu", "60s", "--max-log", "1KiB"]);
    assert_eq!(host.get("/counter").text(), "1\n");
    host.forget_peak_memory();
    let before = host.peak_memory();
    let (size, piece) = (200 << 20, vec![b'x'; 1 << 20]);
    let upload = |head: &str, tail: &str| {
        let mut stream = host.connect();
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..200 {
            stream.write_all(&piece).unwrap();
        }
        stream.write_all(tail.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::of(&bytes, true).text()
    };
    let (head, tail) = ("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n", "\r\n--b--\r\n");
    let post = "POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let raw = upload(&format!("{post}Content-Length: {size}\r\n\r\n"), "");
    let length = size + head.len() + tail.len();
    let fields = format!("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n");
    let form = upload(&format!("{post}{fields}\r\n{head}"), tail);
    assert!(raw == form && raw.ends_with("\"size\":209715200}\n"), "{raw} {form}");
    let download = host.get("/large/200");
    assert_eq!((download.body.len(), download.whole), (size, true));
    let grown = host.peak_memory() - before;
    assert!(grown < 64 << 20, "the host grew by {grown} bytes");
}
