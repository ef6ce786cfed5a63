//! Static files, served by the host: nothing of a guest runs for them.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::symlink,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{DEADLINE, Host, python, wasgi};

fn host(data: &tempfile::TempDir) -> Host {
    Host::serving(&python("tests/apps/static"), &["--data", data.path().to_str().unwrap()])
}

/// A served file with its tag and its time.
fn tagged(host: &Host) -> (String, String) {
    let reply = host.get("/files/a.css");
    assert_eq!((reply.code(), reply.field("content-type"), reply.text()), (200, Some("text/css"), "0123456789\n".into()));
    assert_eq!(
        (reply.field("content-length"), reply.field("accept-ranges"), reply.field("x-content-type-options")),
        (Some("11"), Some("bytes"), Some("nosniff"))
    );
    (reply.field("etag").unwrap().to_owned(), reply.field("last-modified").unwrap().to_owned())
}

#[test]
fn a_file_is_not_sent_again_to_who_has_it() {
    let data = tempfile::tempdir().unwrap();
    let host = host(&data);
    let (tag, time) = tagged(&host);
    let asked = |fields: &str| {
        let reply = host.ask("GET", "/files/a.css", fields);
        (reply.code(), reply.text().len())
    };
    assert_eq!(asked(&format!("If-None-Match: {tag}\r\n")), (304, 0));
    assert_eq!(asked(&format!("If-None-Match: \"other\", {tag}\r\n")), (304, 0));
    assert_eq!(asked("If-None-Match: \"other\"\r\n"), (200, 11));
    assert_eq!(asked(&format!("If-Modified-Since: {time}\r\n")), (304, 0));
    assert_eq!(asked("If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT\r\n"), (200, 11));
    assert_eq!(
        asked(&format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {time}\r\n")),
        (200, 11),
        "the tag decides (RFC 9110, section 13.2.2)"
    );
    let head = host.ask("HEAD", "/files/a.css", "");
    assert_eq!((head.code(), head.field("content-length"), head.body.len()), (200, Some("11"), 0));
}

#[test]
fn what_an_application_asks_to_be_less_is_less_and_what_it_asks_to_be_more_is_told() {
    let app = python("tests/apps/static");
    let posted = |host: &Host, bytes: usize| {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
        host.send(request.as_bytes()).code()
    };
    let host = Host::serving(&app, &[]);
    assert_eq!([1023, 1024, 1025].map(|bytes| posted(&host, bytes)), [404, 404, 413]);
    host.logged(&["asks for `limits.guest_cpu` of 1 min, and has 5 s"]);
    // Its operator has the last word.
    let host = Host::serving(&app, &["--max-body", "1000", "--guest-cpu", "2min"]);
    assert_eq!([1000, 1001].map(|bytes| posted(&host, bytes)), [404, 413]);
    host.logged(&["asks for `limits.max_body` of 1 KiB, and has 1000 B"]);
    assert_eq!(host.log_lines("limits.guest_cpu"), Vec::<String>::new());

    let inspected = wasgi().args(["inspect", "--json"]).arg(&app).output().unwrap();
    let limits = serde_json::from_slice::<serde_json::Value>(&inspected.stdout).unwrap()["limits"].clone();
    assert_eq!((&limits["request_body_bytes"], &limits["guest_cpu_ms"]), (&1024.into(), &5_000.into()));
}

#[test]
fn ranges_are_sent() {
    let data = tempfile::tempdir().unwrap();
    let host = host(&data);
    let (tag, _) = tagged(&host);
    let part = |range: &str, fields: &str| {
        let reply = host.ask("GET", "/files/a.css", &format!("Range: {range}\r\n{fields}"));
        (reply.code(), reply.field("content-range").unwrap_or_default().to_owned(), reply.text())
    };
    assert_eq!(part("bytes=2-4", ""), (206, "bytes 2-4/11".into(), "234".into()));
    assert_eq!(part("bytes=8-", ""), (206, "bytes 8-10/11".into(), "89\n".into()));
    assert_eq!(part("bytes=-3", ""), (206, "bytes 8-10/11".into(), "89\n".into()));
    assert_eq!(part("bytes=99-", "").0, 416);
    assert_eq!(part("bytes=2-4", &format!("If-Range: {tag}\r\n")).0, 206);
    assert_eq!(part("bytes=2-4", "If-Range: \"other\"\r\n"), (200, String::new(), "0123456789\n".into()));
    assert_eq!(part("bytes=0-0,1-1,2-2,3-3,4-4,5-5", "").0, 200, "too many ranges are one whole file");
}

#[test]
fn no_path_leads_out_of_the_folder_and_no_link_is_followed() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("media")).unwrap();
    fs::write(data.path().join("secret.txt"), "kept").unwrap();
    fs::write(data.path().join("media/page.html"), "<p>uploaded").unwrap();
    symlink("/etc/passwd", data.path().join("media/passwd")).unwrap();
    symlink("../secret.txt", data.path().join("media/inside")).unwrap();
    symlink("/etc", data.path().join("media/etc")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, data.path().join("media/pipe"), rustix::fs::Mode::RUSR).unwrap();
    let host = host(&data);
    assert_eq!(host.get("/media/page.html").text(), "<p>uploaded");
    for path in [
        "/media/passwd",
        "/media/inside",
        "/media/etc/passwd",
        "/media/pipe",
        "/media/../secret.txt",
        "/media/..%2fsecret.txt",
        "/media/%2e%2e/secret.txt",
        "/media//etc/passwd",
        "/media/%2fetc/passwd",
        "/media/page.html%00.txt",
        "/media/page.html/",
        "/media/",
        "/media",
        "/files/../app.py",
        "/files/%2e%2e/app.py",
    ] {
        let reply = host.get(path);
        assert_eq!((reply.code(), reply.text()), (404, "the application's own page".into()), "{path}");
    }
}

#[test]
fn what_is_no_file_and_what_is_no_get_is_the_applications() {
    let data = tempfile::tempdir().unwrap();
    let host = host(&data);
    assert_eq!((host.get("/files/none.css").code(), host.get("/files/none.css").text()), (404, "the application's own page".into()));
    assert_eq!(host.post("/files/a.css", "", b"x").text(), "the application's own page");
    assert!(host.get("/").text().contains("own page"));
}

#[test]
fn a_file_wrapper_streams_a_file_that_is_larger_than_the_memory() {
    let data = tempfile::tempdir().unwrap();
    let file = fs::File::create(data.path().join("large")).unwrap();
    file.set_len(200 << 20).unwrap();
    let flags = ["--data", data.path().to_str().unwrap(), "--memory", "96MiB", "--guest-cpu", "60s", "--max-data", "1GiB"];
    let host = Host::serving(&python("tests/apps/static"), &flags);
    assert_eq!(host.get("/").code(), 404);
    host.forget_peak_memory();
    let before = host.peak_memory();
    let reply = host.get("/wrapped");
    assert_eq!((reply.body.len(), reply.whole), (200 << 20, true));
    assert!(host.peak_memory() - before < 64 << 20, "the host grew by {} bytes", host.peak_memory() - before);
}

/// The time without progress is far off: it is the rate that ends it.
#[test]
fn who_takes_a_file_too_slowly_is_broken_off() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("media")).unwrap();
    fs::File::create(data.path().join("media/large")).unwrap().set_len(64 << 20).unwrap();
    let flags = ["--data", data.path().to_str().unwrap(), "--min-rate", "1GiB", "--progress-timeout", "10min"];
    let host = Host::serving(&python("tests/apps/static"), &flags);
    let mut stream = host.connect_narrow();
    stream.write_all(b"GET /media/large HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let deadline = Timespec::try_from(DEADLINE).unwrap();
    let ended = poll(&mut [PollFd::new(&stream, PollFlags::empty())], Some(&deadline)).unwrap();
    assert_eq!(ended, 1, "it is still waited for");
    let mut taken = Vec::new();
    assert!(stream.read_to_end(&mut taken).is_err() && taken.len() < 64 << 20, "{} bytes", taken.len());
    assert_eq!(host.get("/files/a.css").text(), "0123456789\n");
}

/// Slowly enough that the host's socket takes nothing more for several times the time without progress: that is a third of its buffer, and it
/// is the client's system that tells. What the host serves and what an application does are the same to it.
#[test]
fn who_takes_a_file_slowly_and_steadily_is_waited_for() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("media")).unwrap();
    for large in ["media/large", "large"] {
        fs::File::create(data.path().join(large)).unwrap().set_len(64 << 20).unwrap();
    }
    let flags = ["--data", data.path().to_str().unwrap(), "--min-rate", "4KiB", "--progress-timeout", "2s", "--head-read-timeout", "1min"];
    let host = Host::serving(&python("tests/apps/static"), &flags);
    let mut streams = ["/media/large", "/wrapped"].map(|path| {
        let mut stream = host.connect_narrow();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        (path, stream)
    });
    // The clock's ticks: nothing comes over that connection.
    let mut clock = host.connect();
    clock.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut piece = [0; 2 << 10];
    for tick in 0..100 {
        assert!(clock.read(&mut [0]).is_err(), "a connection without a request was answered");
        for (path, stream) in &mut streams {
            stream.read_exact(&mut piece).unwrap_or_else(|error| panic!("{path} is broken off after {tick} ticks: {error}"));
        }
    }
}
