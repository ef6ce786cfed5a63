//! Whole programs from PyPI, not a line of them changed, used by the clients that people use.

use std::{path::PathBuf, process::Command};

use crate::support::{Host, python, root, test_python};

#[test]
fn wsgidav_is_walked_like_litmus_does_fresh_and_reused() {
    for isolation in ["request", "reuse"] {
        let data = tempfile::tempdir().unwrap();
        let host = Host::keeping("guest/examples/wsgidav", &data, &["--isolation", isolation]);
        let send = |method: &str, path: &str, fields: &str, body: &[u8]| {
            let head =
                format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
            host.send(&[head.as_bytes(), body].concat())
        };
        let code = |method: &str, path: &str, fields: &str, body: &[u8]| send(method, path, fields, body).code();

        let options = send("OPTIONS", "/", "", b"");
        assert_eq!((options.code(), options.field("dav")), (200, Some("1,2")));
        assert_eq!(code("PUT", "/a.txt", "", b"0123456789"), 201);
        assert_eq!(code("PUT", "/a.txt", "", b"0123456789"), 204);
        let part = send("GET", "/a.txt", "Range: bytes=2-4\r\n", b"");
        assert_eq!((part.code(), part.field("content-range"), part.text()), (206, Some("bytes 2-4/10"), "234".into()));
        assert_eq!(code("MKCOL", "/dir/", "", b""), 201);
        assert_eq!(code("MKCOL", "/dir/", "", b""), 405);
        assert_eq!(code("MKCOL", "/none/dir/", "", b""), 409);
        assert_eq!(code("PUT", "/none/a.txt", "", b"x"), 409);
        assert_eq!(code("COPY", "/a.txt", "Destination: http://a/dir/b.txt\r\n", b""), 201);
        assert_eq!(code("COPY", "/a.txt", "Destination: http://a/dir/b.txt\r\nOverwrite: F\r\n", b""), 412);
        assert_eq!(code("MOVE", "/dir/b.txt", "Destination: http://a/c%20%C3%A9.txt\r\n", b""), 201);
        assert_eq!(code("GET", "/dir/b.txt", "", b""), 404);
        assert_eq!(host.get("/c%20%C3%A9.txt").text(), "0123456789");
        let found = send("PROPFIND", "/", "Depth: 1\r\n", b"");
        assert_eq!(found.code(), 207);
        for name in ["/a.txt", "/c%20%C3%A9.txt", "/dir/"] {
            assert!(found.text().contains(&format!("href>{name}</")), "{}", found.text());
        }
        let patch = b"<?xml version='1.0'?><D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><x:color xmlns:x='urn:x'>teal</x:color></D:prop></D:set></D:propertyupdate>";
        assert_eq!(code("PROPPATCH", "/a.txt", "", patch), 207);
        let lock = b"<?xml version='1.0'?><D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
        let locked = send("LOCK", "/a.txt", "Timeout: Second-100\r\n", lock);
        let token = locked.field("lock-token").unwrap().to_owned();
        assert_eq!(locked.code(), 200);
        assert_eq!(code("PUT", "/a.txt", "", b"not mine"), 423);
        assert_eq!(code("PUT", "/a.txt", &format!("If: ({token})\r\n"), b"mine"), 204);
        assert_eq!(code("UNLOCK", "/a.txt", &format!("Lock-Token: {token}\r\n"), b""), 204);
        assert_eq!(code("PUT", "/a.txt", "", b"everybody's"), 204);
        assert_eq!(code("DELETE", "/dir/", "", b""), 204);
        assert_eq!(std::fs::read(data.path().join("files/a.txt")).unwrap(), b"everybody's");
        assert!(!data.path().join("files/dir").exists());
    }
}

#[test]
fn pypiserver_takes_an_upload_of_twine_and_serves_pip() {
    let data = tempfile::tempdir().unwrap();
    let host = Host::keeping("guest/examples/pypiserver", &data, &[]);
    let folder = tempfile::tempdir().unwrap();
    let mut walk = Command::new(test_python());
    walk.arg(root().join("tests/programs/pypi_walk.py")).arg(format!("http://{}", host.address)).arg(folder.path());
    let ran = walk.env_remove("PIP_INDEX_URL").env("HOME", folder.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("ANSWER = 42"), "{said}");
    assert!(data.path().join("packages/walked-1.0-py3-none-any.whl").is_file());
}

#[test]
fn dulwichs_own_tests_of_its_server_pass_with_git_as_the_client() {
    let source: PathBuf = test_python().parent().unwrap().parent().unwrap().join("dulwich-0.25.2");
    let mut suite = Command::new(test_python());
    suite
        .arg(root().join("tests/programs/dulwich_suite.py"))
        .arg(env!("CARGO_BIN_EXE_wasgi"))
        .arg(python("guest/examples/dulwich"))
        .arg(&source);
    let home = tempfile::tempdir().unwrap();
    let ran = suite.env("HOME", home.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains(", failed 0, skipped 0"), "{said}");
}
