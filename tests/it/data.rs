//! What an application may keep: `/data`, with a quota and with locks; and what it may not write.

use std::{fs, thread};

use crate::support::{Host, python};

fn host(data: &tempfile::TempDir, flags: &[&str]) -> Host {
    Host::serving(&python("tests/apps/python"), &[&["--data", data.path().to_str().unwrap(), "--tenant", "kept"], flags].concat())
}

#[test]
fn what_is_written_to_data_is_kept_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    {
        let host = host(&data, &[]);
        assert_eq!(host.get("/store?/data/a/b.txt=one").text(), "ok");
        assert_eq!(host.get("/store?/tmp/a.txt=one").text(), "ok");
        assert_eq!(host.get("/fetch?/tmp/a.txt").text(), "FileNotFoundError");
    }
    assert_eq!(fs::read_to_string(data.path().join("a/b.txt")).unwrap(), "one");
    let host = host(&data, &[]);
    assert_eq!(host.get("/fetch?/data/a/b.txt").text(), "one");
    for outside in ["/data/../etc/passwd", "/0/../../etc/passwd", "/etc/passwd"] {
        let said = host.get(&format!("/fetch?{outside}")).text();
        assert!(["FileNotFoundError", "PermissionError"].contains(&said.as_str()), "{outside}: {said}");
    }
    assert_eq!(host.get("/store?/0/app.py=x").text(), "PermissionError");
    assert_eq!(host.get("/store?/python/os.py=x").text(), "PermissionError");
    std::os::unix::fs::symlink("/etc", data.path().join("etc")).unwrap();
    assert_eq!(host.get("/fetch?/data/etc/passwd").text(), "PermissionError");
}

#[test]
fn data_is_taken_under_and_at_its_quota_and_refused_over_it_and_comes_back_when_files_go() {
    let data = tempfile::tempdir().unwrap();
    // A name costs 4 KiB; the folders `instance` and `media` are two names.
    let host = host(&data, &["--max-data", "1MiB"]);
    let room = (1 << 20) - 3 * 4096;
    let fill = |bytes: usize| host.get(&format!("/fill?/data/big={bytes}")).text();
    assert_eq!(fill(room - 1), "ok");
    assert_eq!(host.get("/remove?/data/big").text(), "ok");
    assert_eq!(counted(|| fill(room)), "ok");
    assert_eq!(host.get("/append?/data/big=1").text(), "OSError 29");
    assert_eq!(host.get("/remove?/data/big").text(), "ok");
    // libc tells a stream that failed as an error of input or output, whatever the host says.
    assert_eq!(counted(|| fill(room + 1)), "OSError 29");
    assert!(fs::metadata(data.path().join("big")).unwrap().len() <= room as u64);
}

/// A full volume is counted anew once a second.
fn counted(mut write: impl FnMut() -> String) -> String {
    let started = std::time::Instant::now();
    loop {
        let said = write();
        if said == "ok" || started.elapsed() > std::time::Duration::from_secs(3) {
            return said;
        }
        thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

#[test]
fn nothing_moves_from_one_quota_to_another() {
    let data = tempfile::tempdir().unwrap();
    let host = Host::serving(
        &python("tests/apps/python"),
        &["--data", data.path().to_str().unwrap(), "--tenant", "moved", "--isolation", "reuse", "--concurrency", "1"],
    );
    assert_eq!([host.get("/store?/tmp/a=one").text(), host.get("/store?/data/b=two").text()], ["ok", "ok"]);
    assert_eq!([host.get("/rename?/tmp/a=/data/a").text(), host.get("/rename?/data/b=/tmp/b").text()], ["OSError 75", "OSError 75"]);
    assert_eq!(host.get("/rename?/data/b=/data/media/b").text(), "ok");
    assert_eq!(fs::read_to_string(data.path().join("media/b")).unwrap(), "two");
}

#[test]
fn a_link_where_a_folder_of_the_tenants_should_be_leads_nobody_out() {
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), data.path().join("media")).unwrap();
    for app in ["tests/apps/python", "tests/apps/static"] {
        let mut serve = crate::support::wasgi();
        serve.arg("serve").arg(python(app)).args(["--bind", "127.0.0.1:0", "--tenant", "linked", "--data"]).arg(data.path());
        let ran = crate::support::ended(&mut serve);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(1) && said.contains("a folder of the application cannot be opened"), "{said}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_release_that_looked_into_data_is_made_anew_when_the_host_starts() {
    let source = tempfile::tempdir().unwrap();
    let text = "import os\n\nFOUND = os.path.exists('/data/config')\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [str(FOUND).encode()]\n";
    fs::write(source.path().join("app.py"), text).unwrap();
    let data = tempfile::tempdir().unwrap();
    let found = || Host::serving(source.path(), &["--data", data.path().to_str().unwrap(), "--tenant", "looked"]).get("/").text();
    assert_eq!(found(), "False");
    fs::write(data.path().join("config"), "").unwrap();
    assert_eq!(found(), "True");
}

#[test]
fn a_database_is_written_by_many_instances_at_once_and_never_damaged() {
    let data = tempfile::tempdir().unwrap();
    let host = host(&data, &["--concurrency", "8", "--queue", "100"]);
    assert_eq!(host.get("/database/create").text(), "created");
    let (writers, each) = (8, 12);
    thread::scope(|scope| {
        for writer in 0..writers {
            let host = &host;
            scope.spawn(move || {
                for _ in 0..each {
                    assert_eq!(host.get(&format!("/database/transfer?{writer}")).text(), "transferred");
                }
            });
        }
    });
    // Each transfer adds one to a sum in two steps, with a wait between them, and moves money between two accounts.
    assert_eq!(host.get("/database/check").text(), format!("ok {} 1000", writers * each));
    let checked = rusty(&data.path().join("bank.db"));
    assert_eq!(checked, format!("ok {}\n", writers * each));
}

/// What this machine's own SQLite says of the file.
fn rusty(file: &std::path::Path) -> String {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); print(db.execute('PRAGMA integrity_check').fetchone()[0], db.execute('SELECT COUNT(*) FROM log').fetchone()[0])";
    let ran = std::process::Command::new("python3").args(["-I", "-c", script]).arg(file).output().unwrap();
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn a_writer_that_dies_in_its_transaction_leaves_no_lock_and_no_half_of_it() {
    let data = tempfile::tempdir().unwrap();
    let host = host(&data, &["--concurrency", "4"]);
    assert_eq!(host.get("/database/create").text(), "created");
    assert_eq!(host.get("/database/transfer?0").text(), "transferred");
    assert_eq!(host.get("/database/die").code(), 500);
    assert_eq!(host.get("/database/transfer?1").text(), "transferred");
    assert_eq!(host.get("/database/check").text(), "ok 2 1000");
    let left: Vec<_> = fs::read_dir(data.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("lock"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn two_hosts_share_a_database() {
    let data = tempfile::tempdir().unwrap();
    let hosts = [host(&data, &[]), host(&data, &[])];
    assert_eq!(hosts[0].get("/database/create").text(), "created");
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(move || {
                for _ in 0..15 {
                    assert_eq!(host.get("/database/transfer?0").text(), "transferred");
                }
            });
        }
    });
    assert_eq!(hosts[1].get("/database/check").text(), "ok 30 1000");
}

#[test]
fn a_database_beside_the_code_lies_in_data_with_what_the_bundle_has_as_its_first_content() {
    let data = tempfile::tempdir().unwrap();
    let host = host(&data, &[]);
    assert_eq!([host.get("/database/own").text(), host.get("/database/own").text()], ["1", "2"]);
    assert!(data.path().join("own.db").is_file());
    let without = Host::serving(&python("tests/apps/python"), &["--tenant", "not-kept"]);
    assert_eq!(without.get("/database/own").text(), "OperationalError");
}
