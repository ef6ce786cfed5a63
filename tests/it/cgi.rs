//! `wasgi cgi`: one request from a CGI environment, by hand and under a real web server (RFC 3875).

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

use crate::support::{DEADLINE, Reply, guest, python, wasgi};

/// Runs it as a web server does: nothing in the environment but the request, and where the cache lies.
fn answered(file: &Path, flags: &[&str], variables: &[(&str, &str)], body: &[u8]) -> Output {
    let mut command = wasgi();
    command.arg("cgi").arg(file).args(flags).env("SECRET", "of the host").envs(variables.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // An application need not read it.
    drop(child.stdin.take().unwrap().write_all(body));
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap_or_else(|_| panic!("{output:?}"))
}

const GET: (&str, &str) = ("REQUEST_METHOD", "GET");

#[test]
fn a_request_from_the_environment_is_answered_with_a_status_field() {
    let hello = |flags: &[&str], variables: &[(&str, &str)]| text(&answered(&guest("behaviours"), flags, variables, b""));
    assert_eq!(hello(&[], &[GET, ("PATH_INFO", "/hello")]), "Status: 200 OK\r\ncontent-length: 6\r\n\r\nhello\n");
    assert_eq!(hello(&[], &[("REQUEST_METHOD", "HEAD"), ("PATH_INFO", "/hello")]), "Status: 200 OK\r\ncontent-length: 6\r\n\r\n");
    let iis = [GET, ("SCRIPT_NAME", "/app.dll"), ("PATH_INFO", "/app.dll/hello")];
    assert_eq!(hello(&["--iis"], &iis), "Status: 200 OK\r\ncontent-length: 6\r\n\r\nhello\n");
}

#[test]
fn s24_the_environ_is_the_requests_and_nothing_of_the_servers() {
    let variables =
        [GET, ("PATH_INFO", "/environ"), ("SCRIPT_NAME", "/cgi"), ("HTTP_X_A", "1"), ("HTTP_PROXY", "evil"), ("DOCUMENT_ROOT", "/srv")];
    let reply = text(&answered(&guest("behaviours"), &[], &variables, b""));
    let mut lines: Vec<_> = reply.split_once("\r\n\r\n").unwrap().1.lines().filter(|line| !line.starts_with("wasgi.request_id=")).collect();
    lines.sort_unstable();
    let expected = [
        "HTTP_X_A=1",
        "PATH_INFO=/environ",
        "QUERY_STRING=",
        "REQUEST_METHOD=GET",
        "SCRIPT_NAME=/cgi",
        "SERVER_NAME=localhost",
        "SERVER_PORT=80",
        "SERVER_PROTOCOL=HTTP/1.0",
        "SERVER_SOFTWARE=wasgi",
        "wsgi.input_terminated=1",
        "wsgi.multiprocess=1",
        "wsgi.multithread=0",
        "wsgi.run_once=1",
        "wsgi.url_scheme=http",
        "wsgi.version=1.0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn s31_s35_s37_a_body_is_its_length_of_standard_input_and_no_more() {
    let posted = |path: &str, length: &str, body: &[u8]| {
        let variables = [("REQUEST_METHOD", "POST"), ("PATH_INFO", path), ("CONTENT_LENGTH", length)];
        text(&answered(&guest("behaviours"), &["--max-body", "10"], &variables, body))
    };
    assert_eq!(posted("/echo", "5", b"hello, world").split_once("\r\n\r\n").unwrap().1, "hello");
    assert_eq!(posted("/echo", "", b"hello").split_once("\r\n\r\n").unwrap().1, "");
    assert!(
        posted("/read-error", "9", b"hello").ends_with("[Err(ConnectionReset), Err(ConnectionReset)]"),
        "{}",
        posted("/read-error", "9", b"hello")
    );
    assert!(posted("/echo", "10", b"0123456789").ends_with("\r\n\r\n0123456789"));
    assert!(posted("/echo", "11", b"0123456789x").starts_with("Status: 413 Payload Too Large\r\n"));
}

#[test]
fn what_goes_wrong_has_a_status_for_the_client_and_its_reason_for_the_log() {
    let raised = answered(&python("tests/apps/python"), &[], &[GET, ("PATH_INFO", "/yields-text")], b"");
    assert!(
        text(&raised).starts_with("Status: 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"),
        "{raised:?}"
    );
    assert!(!text(&raised).contains("TypeError") && String::from_utf8_lossy(&raised.stderr).contains("TypeError"), "{raised:?}");
    assert_eq!(raised.status.code(), Some(0), "the server got an answer");
    let by_hand = answered(&guest("behaviours"), &[], &[], b"");
    let told = String::from_utf8_lossy(&by_hand.stderr);
    assert!(by_hand.status.code() == Some(2) && told.contains("no web server has called") && told.contains("wasgi serve"), "{told}");
}

/// A web server on a free port, ended with the test.
struct Lighttpd {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Lighttpd {
    fn serving(file: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("app.cgi");
        #[expect(clippy::disallowed_methods, reason = "where the cache lies; lighttpd gives CGI programs no HOME")]
        let home = std::env::var_os("HOME").unwrap();
        let line = format!("#!/bin/sh\nHOME={} exec {} cgi {}\n", home.display(), env!("CARGO_BIN_EXE_wasgi"), file.display());
        std::fs::write(&script, line).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration = folder.path().join("lighttpd.conf");
        let root = folder.path().display();
        let text = format!(
            "server.modules = (\"mod_cgi\")\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\nserver.document-root = \"{root}\"\n\
             server.errorlog = \"{root}/log\"\ncgi.assign = (\".cgi\" => \"\")\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let program = if Path::new("/usr/sbin/lighttpd").exists() { "/usr/sbin/lighttpd" } else { "lighttpd" };
        let child = Command::new(program).arg("-D").arg("-f").arg(&configuration).stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("lighttpd: {error}; `make test` installs it with `make web-server`"));
        let server = Self { child, port, _folder: folder };
        let started = Instant::now();
        while server.connect().is_none() {
            assert!(started.elapsed() < DEADLINE, "lighttpd does not answer");
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        server
    }

    fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Some(stream)
    }

    fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect().unwrap();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        let whole = stream.read_to_end(&mut bytes).is_ok();
        Reply::of(&bytes, whole)
    }
}

impl Drop for Lighttpd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_real_web_server_runs_a_python_application_as_a_cgi_program() {
    let server = Lighttpd::serving(&python("tests/apps/python"));
    let types = server.send(b"GET /app.cgi/types HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!((types.code(), types.text().as_str()), (200, "('dict', {}, True, True, True)"), "{types:?}");
    let upload =
        b"POST /app.cgi/read HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 24\r\n\r\nabcdef\nghijkl\r\nmno\npqr!!";
    let read = server.send(upload).text();
    assert!(read.starts_with("[b'', b'abc', b'def\\n'") && read.contains("b'pqr!!'"), "{read}");
    let missing = server.send(b"GET /app.cgi/nowhere HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!((missing.code(), missing.text().as_str()), (404, "no such page\n"), "{missing:?}");
    let head = server.send(b"HEAD /app.cgi/types HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!((head.code(), head.body.len()), (200, 0), "{head:?}");
}
