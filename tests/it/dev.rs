//! `wasgi dev` and `wasgi check`: the first five minutes.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{Host, root, wasgi};

/// A copy of an example that a test may change.
fn copied(example: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = root().join("guest/examples").join(example);
    for entry in walkdir::WalkDir::new(&source).into_iter().map(Result::unwrap) {
        let target = folder.path().join(entry.path().strip_prefix(&source).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else if !entry.path().components().any(|part| part.as_os_str() == "dist") {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
    folder
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from));
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Asks until the page says so; how long that took.
fn until(host: &Host, path: &str, wanted: &str) -> Duration {
    let started = Instant::now();
    loop {
        let text = host.try_get(path).map(|reply| reply.text());
        if text.as_ref().is_some_and(|text| text.contains(wanted)) {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{text:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn flask_is_served_while_it_is_written() {
    let project = copied("flask");
    fs::write(project.path().join(".env"), "GREETING=from .env\n").unwrap();
    let source = project.path().join("app.py");
    let text = fs::read_to_string(&source).unwrap()
        + "\n\nimport os\n\n\n@app.route(\"/greeting\")\ndef greeting():\n    return os.environ[\"GREETING\"]\n";
    fs::write(&source, text).unwrap();
    let host = Host::developing(project.path());
    assert!(host.get("/").text().contains("<h1>Guest book</h1>"));
    assert_eq!([host.get("/counter").text(), host.get("/counter").text()], ["1\n", "2\n"]);
    assert_eq!(host.get("/greeting").text(), "from .env");
    host.logged(&["GET /counter  200"]);
    host.logged(&["tip", "for production"]);

    replace(&project.path().join("templates/index.html"), "Guest book", "Guest BOOK");
    until(&host, "/", "<h1>Guest BOOK</h1>");
    host.logged(&["change", "templates or static files"]);
    assert_eq!(host.get("/counter").text(), "3\n", "a template is no reason to begin again");

    replace(&source, "\"GREETING\"]", "\"GREETING\"].upper()");
    until(&host, "/greeting", "FROM .ENV");
    host.logged(&["change", "code"]);
    assert_eq!(host.get("/counter").text(), "1\n");

    let broken = host.ask("GET", "/broken", "Accept: text/html\r\n");
    assert_eq!((broken.code(), broken.field("content-type")), (500, Some("text/html; charset=utf-8")));
    for shown in ["RuntimeError: this page is broken", "<h2>app.py line ", "<mark>", "Traceback (most recent call last)"] {
        assert!(broken.text().contains(shown), "{shown}: {}", broken.text());
    }
    let plain = host.get("/broken");
    assert!(
        plain.field("content-type") == Some("text/plain; charset=utf-8") && plain.text().contains("File \"/0/app.py\", line"),
        "{}",
        plain.text()
    );

    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, format!("{text}\n\n1 / 0\n")).unwrap();
    until(&host, "/", "ZeroDivisionError: division by zero");
    fs::write(&source, text).unwrap();
    until(&host, "/", "<h1>Guest BOOK</h1>");

    let list = project.path().join("requirements.txt");
    fs::write(&list, fs::read_to_string(&list).unwrap() + "itsdangerous\n").unwrap();
    host.logged(&["change", "beginning again"]);
    until(&host, "/", "<h1>Guest BOOK</h1>");
    // A mistake there is told, and mended with the next change.
    fs::write(project.path().join("wasgi.toml"), "[biuld]\n").unwrap();
    host.logged(&["error", "wasgi.toml has 1 problem"]);
    fs::write(project.path().join("wasgi.toml"), "[build]\n").unwrap();
    until(&host, "/", "<h1>Guest BOOK</h1>");
}

#[test]
fn django_is_served_with_its_static_files_and_its_error_page() {
    let project = copied("django");
    fs::write(project.path().join(".env"), "SECRET_KEY=development\nDEBUG=1\nALLOWED_HOSTS=a.test\n").unwrap();
    let host = Host::developing(project.path());
    let home = host.get("/");
    assert!(home.code() == 500 && home.text().contains("no such table: library_book"), "{}", home.code());
    let style = host.get("/static/library/style.css");
    assert_eq!((style.code(), style.field("content-type")), (200, Some("text/css")));
    assert_eq!(host.get("/static/admin/css/base.css").code(), 200);
    let broken = host.ask("GET", "/broken/", "Accept: text/html\r\n");
    assert!(
        broken.code() == 500 && broken.text().contains("You’re seeing this error because you have <code>DEBUG = True</code>"),
        "{}",
        broken.text()
    );
    replace(&project.path().join("library/templates/library/index.html"), "<h1>Library</h1>", "<h1>Bookshelf</h1>");
    host.logged(&["change", "templates or static files"]);
    let data = project.path().join(".wasgi/data");
    let migrated = wasgi()
        .arg("manage")
        .arg("--data")
        .arg(&data)
        .arg("--env-file")
        .arg(project.path().join(".env"))
        .arg(project.path())
        .arg("migrate")
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    until(&host, "/", "<h1>Bookshelf</h1>");
}

fn checked(folder: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let ran = wasgi().arg("check").arg(folder).args(flags).output().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn a_check_finds_what_would_go_wrong_in_production() {
    let project = copied("django");
    let settings = project.path().join("mysite/settings.py");
    let (code, said) = checked(project.path(), &["-e", "SECRET_KEY=django-insecure-x", "-e", "DEBUG=1", "-e", "ALLOWED_HOSTS=*"]);
    assert_eq!(code, Some(3));
    for found in [
        "problem  DEBUG is on",
        "problem  SECRET_KEY is the one that startproject wrote",
        "warning  ALLOWED_HOSTS has `*`",
        "ok  static files: /static/ served by the host",
    ] {
        assert!(said.contains(found), "{found}: {said}");
    }
    let (code, said) = checked(project.path(), &["-e", "SECRET_KEY=x", "--json"]);
    let findings: serde_json::Value = serde_json::from_str(&said).unwrap();
    let levels: Vec<_> =
        findings.as_array().unwrap().iter().map(|finding| (finding["id"].as_str().unwrap(), finding["level"].as_str().unwrap())).collect();
    assert_eq!(
        (code, levels),
        (Some(0), vec![("app", "ok"), ("import", "ok"), ("static", "ok"), ("database", "ok"), ("size", "ok"), ("limits", "ok")])
    );

    replace(&settings, "import os\n", "import os\nimport ssl\n");
    let (code, said) = checked(project.path(), &["-e", "SECRET_KEY=x"]);
    assert!(code == Some(3) && said.contains("`_ssl` cannot exist in a WebAssembly guest; a guest makes no TLS connections"), "{said}");
    replace(&settings, "import ssl\n", "import secrets\nTOKEN = secrets.token_hex()\n");
    let (code, said) = checked(project.path(), &["-e", "SECRET_KEY=x"]);
    assert!(
        code == Some(0) && said.contains("warning  mysite/settings.py:") && said.contains("takes random bytes while it is imported"),
        "{said}"
    );
    fs::write(project.path().join("wasgi.toml"), "[python]\nthreads = 'many'\nstubs = ['ctypes']\n").unwrap();
    let ran = wasgi().arg("check").arg(project.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(
        ran.status.code() == Some(1) && said.contains("wasgi.toml has 2 problems") && said.contains("python.threads: `many` is not known"),
        "{said}"
    );
}
