//! What a guest's Python lacks and has all the same, what it has to be asked for, and what it says of the rest.

use std::fs;

use crate::support::{Host, python, wasgi};

fn host(flags: &[&str]) -> Host {
    Host::serving(&python("tests/apps/python"), flags)
}

#[test]
fn passwords_are_hashed_by_the_host_and_charged_to_the_guest() {
    let host = host(&["--tenant", "hashing"]);
    let known = "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b";
    let said = host.get("/hashing").text();
    let native = std::process::Command::new("python3").args(["-I", "-c", "import hashlib; print(hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 1).hex(), hashlib.scrypt(b'pleaseletmein', salt=b'SodiumChloride', n=16384, r=8, p=1, maxmem=64 << 20, dklen=32).hex(), hashlib.pbkdf2_hmac('SHA512', b'\\xff\\x00', b'\\x80', 7, 20).hex())"]).output().unwrap();
    assert_eq!(said, String::from_utf8_lossy(&native.stdout).trim());
    assert!(said.starts_with(known), "{said}");
    assert_eq!(host.get("/hashing/errors").text(), "ValueError TypeError ValueError ValueError OverflowError");
    host.get("/hashing/long");
    let line = host.logged(&["wasgi::access", "/hashing/long"]);
    let cpu: f64 = line.split("cpu_ms=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(cpu > 50.0, "{line}");
}

#[test]
fn a_hash_that_takes_longer_than_the_cpu_limit_is_an_error_and_the_neighbour_is_served() {
    let host = host(&["--tenant", "hashing", "--guest-cpu", "500ms"]);
    assert_eq!(host.get("/types").code(), 200);
    let reply = host.get("/hashing/forever");
    assert_eq!(reply.code(), 504);
    assert_eq!(host.get("/types").code(), 200);
}

#[test]
fn time_zones_and_asyncio_are_there() {
    let host = host(&["--tenant", "hashing"]);
    assert_eq!(host.get("/zone").text(), "2026-07-01T14:00:00+02:00 EST");
    assert_eq!(host.get("/asyncio").text(), "[0, 1, 4] 9");
}

#[test]
fn a_thread_says_that_there_is_none_and_what_to_do() {
    let host = host(&["--tenant", "hashing"]);
    let said = host.get("/thread").text();
    assert!(
        said.starts_with("RuntimeError: can't start new thread: a WebAssembly guest has one.")
            && said.contains("`threads = \"inline\"` under [python] in wasgi.toml"),
        "{said}"
    );
}

#[test]
fn threads_run_inline_and_stubs_are_there_for_who_asks() {
    let host = Host::serving(&python("tests/apps/inline"), &[]);
    assert_eq!(host.get("/thread").text(), "['in the thread', 'after'] False");
    assert_eq!(host.get("/pool").text(), "[0, 1, 4] ZeroDivisionError");
    assert_eq!(host.get("/to-thread").text(), "9");
    assert_eq!(host.get("/stubs").text(), "wasgi /tmp None 1000");
}

#[test]
fn what_cannot_exist_is_told_at_build_with_who_needs_it_and_what_to_use() {
    let fails = |source: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.py"), format!("{source}\n\n\ndef app(environ, start_response):\n    pass\n")).unwrap();
        fs::write(folder.path().join("helper.py"), "import ctypes\n").unwrap();
        let ran = wasgi().arg("build").arg(folder.path()).output().unwrap();
        assert_eq!(ran.status.code(), Some(1));
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    let said = fails("import helper");
    assert!(
        said.contains("File \"/0/helper.py\", line 1")
            && said.contains("hint: `_ctypes` cannot exist in a WebAssembly guest; use a library that does without it"),
        "{said}"
    );
    assert!(fails("import fcntl").contains(
        "hint: `fcntl` does not exist in a WebAssembly guest; where a stub that does nothing is enough, set `stubs = [\"fcntl\"]`"
    ));
    assert!(fails("import bz2").contains("hint: `_bz2` cannot exist in a WebAssembly guest; use zlib or gzip"));
    assert!(fails("import requests").contains("hint: if `requests` is a package, add it to requirements.txt"));
    let server = fails("from wsgiref.simple_server import make_server\nmake_server('', 0, None)");
    assert!(server.contains("error: the application raised while it was imported: "), "{server}");
}

#[test]
fn a_gigabyte_is_streamed_and_a_hundred_thousand_pages_are_served_by_one_instance_without_growth() {
    let flags = [
        "--tenant",
        "leaks",
        "--memory",
        "96MiB",
        "--guest-cpu",
        "10min",
        "--request-timeout",
        "20min",
        "--isolation",
        "reuse",
        "--concurrency",
        "1",
        "--reuse-requests",
        "1000000",
        "--reuse-growth",
        "4MiB",
        "--max-log",
        "1KiB",
    ];
    let host = host(&flags);
    assert_eq!(host.get("/instance").text(), "1");
    assert_eq!(host.discard("/leak?1024"), 1 << 30);
    let mut stream = host.connect();
    for _ in 0..100_000 {
        host.keep_alive(&mut stream, "/body", 10_000);
    }
    drop(stream);
    assert_eq!(host.get("/instance").text(), "2", "the same instance, which would have retired at 4 MiB of growth");
}
