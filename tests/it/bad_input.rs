//! What a person gets wrong: one clear message, exit code 1 or 2, nothing half-written left behind.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use crate::support::{Host, ended, guest, python, root, wasgi};

/// Exit code, and what was said on standard error from `error:` on.
fn failed(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = ended(command);
    assert_eq!(String::from_utf8_lossy(&stdout), "");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    let error = said.find("error:").unwrap_or_else(|| panic!("no error: {said}"));
    (status.code().unwrap(), said[error..].to_owned())
}

fn serve(file: &Path) -> (i32, String) {
    let (code, said) = failed(wasgi().arg("serve").arg(file).args(["--bind", "127.0.0.1:0"]));
    (code, said.replace(&file.display().to_string(), "FILE"))
}

fn served_bytes(bytes: &[u8]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.wasm");
    fs::write(&file, bytes).unwrap();
    serve(&file)
}

/// A build of these files; the message, with the folder's name taken out.
fn build(files: &[(&str, &str)], what: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    for (name, text) in files {
        fs::write(place.join(name), text).unwrap();
    }
    let (code, said) = failed(wasgi().current_dir(&place).args(["build", what]));
    let mut left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.retain(|name| !files.iter().any(|(file, _)| file == name));
    assert_eq!(left, Vec::<String>::new(), "something is left behind");
    (code, said.replace(&place.display().to_string(), "HERE"))
}

#[test]
fn a_file_that_is_no_component_is_named_for_what_it_is() {
    assert_eq!(served_bytes(b"#!/bin/sh\n"), (1, "error: FILE is no WebAssembly file\n".into()));
    let module = "error: FILE is a core WebAssembly module, not a component; build it for wasm32-wasip2, or with `wasgi build`\n";
    assert_eq!(served_bytes(&wat::parse_str("(module)").unwrap()), (1, module.into()));
    let (code, missing) = serve(Path::new("/nowhere/app.wasm"));
    assert_eq!((code, missing), (1, "error: FILE cannot be read: No such file or directory (os error 2)\n".into()));
}

#[test]
fn a_component_of_another_world_is_refused() {
    let (code, said) = served_bytes(&wat::parse_str("(component)").unwrap());
    assert_eq!(code, 1);
    assert!(said.starts_with("error: FILE: this is no component for the world wasgi:gateway/app: "), "{said}");
    assert!(said.ends_with("hint: build it with `wasgi build`, or for the world in wit/gateway.wit\n"), "{said}");
    let foreign = wat::parse_str("(component (import \"a:b/c\" (instance (export \"d\" (func)))))").unwrap();
    let (code, said) = served_bytes(&foreign);
    assert!(code == 1 && said.contains("a:b/c"), "{said}");
    // The host's own names for what it links are not for others, whatever is in its cache.
    let curious = format!("(component (import \"wasgi-library-x{}\" (core module)))", "0".repeat(64));
    let (code, said) = served_bytes(&wat::parse_str(curious).unwrap());
    assert!(code == 1 && said.contains("wasgi-library-x000"), "{said}");
}

#[test]
fn a_component_that_is_cut_short_is_refused() {
    let whole = fs::read(guest("behaviours")).unwrap();
    for length in [9, 100, whole.len() / 2, whole.len() - 1] {
        let (code, said) = served_bytes(&whole[..length]);
        assert!(code == 1 && said.starts_with("error: FILE is a component that is cut short or damaged: "), "{length}: {said}");
    }
}

#[test]
fn precompiled_code_is_refused() {
    let (code, said) = served_bytes(b"\x7fELF\x02\x01\x01");
    let expected = "error: FILE is precompiled code, which only the host that made it may load; give the .wasm file that it was made of\n";
    assert_eq!((code, said.as_str()), (1, expected));
}

#[test]
fn code_of_another_engine_version_is_compiled_anew() {
    let cache = tempfile::tempdir().unwrap();
    let flags = ["--cache-dir", cache.path().to_str().unwrap()];
    assert_eq!(Host::behaving(&flags).get("/hello").code(), 200);
    for entry in fs::read_dir(cache.path().join("code")).unwrap() {
        fs::write(entry.unwrap().path(), b"\x7fELF of another version").unwrap();
    }
    assert_eq!(Host::behaving(&flags).get("/hello").code(), 200);
}

#[test]
fn a_file_above_its_limit_is_refused() {
    let (code, said) = failed(wasgi().arg("serve").arg(guest("behaviours")).args(["--max-component", "1KiB"]));
    assert!(code == 1 && said.contains("the limit is 1024 (`--max-component` raises it)"), "{said}");
}

#[test]
fn a_component_that_needs_more_memory_than_its_limit_is_refused_at_the_start() {
    let (code, said) = failed(wasgi().arg("serve").arg(guest("behaviours")).args(["--memory", "64KiB", "--bind", "127.0.0.1:0"]));
    assert!(code == 1 && said.contains("it begins with 17 pages of memory, which is more than its limit of 65536 bytes"), "{said}");
    assert!(said.ends_with("hint: `--memory` gives it more\n"), "{said}");
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = failed(wasgi().arg("serve").arg(guest("behaviours")).args(["--bind", &address]));
    let expected = format!(
        "error: cannot listen on {address}: Address already in use (os error 98)\nhint: another program listens there; choose another port: `--bind 127.0.0.1:8001`\n"
    );
    assert_eq!((code, said), (1, expected));
}

#[test]
fn limits_out_of_range_are_told_together() {
    let (code, said) = failed(wasgi().arg("serve").arg(guest("behaviours")).args(["--memory", "8GiB", "--guest-cpu", "0"]));
    let expected = "error: memory_bytes: 8 GiB is above the ceiling of 4 GiB\n  guest_cpu_ms: 0 is below the minimum of 1 ms\nhint: `wasgi serve --help` lists the limits\n";
    assert_eq!((code, said.as_str()), (2, expected));
}

#[test]
fn unknown_flags_and_bad_values_are_usage_errors() {
    for beside in
        [&["app.wasm"][..], &["--guest-cpu", "1s"], &["--access-log"], &["--trusted-proxy", "::1/128", "--proxy-headers", "forwarded"]]
    {
        let (code, said) = failed(wasgi().args(["serve", "--config", "host.toml"]).args(beside));
        assert!(code == 2 && said.contains("cannot be used with"), "{beside:?}: {said}");
    }
    assert_eq!(failed(wasgi().args(["serve", "--max-bdy", "1"])).0, 2);
    assert_eq!(failed(wasgi().args(["serve", "--isolation", "none"])).0, 2);
    assert_eq!(failed(wasgi().args(["frob"])).0, 2);
    let (code, said) = failed(wasgi().arg("serve").arg(guest("behaviours")).args(["--mount", "app"]));
    assert!(code == 2 && said.starts_with("error: `app` is no mount"), "{said}");
}

#[test]
fn no_application_or_two_are_told() {
    let hint = "hint: name it: `wasgi build DIR`, or `wasgi build module:name`\n";
    let files =
        "none of manage.py, wsgi.py, app.py (Python), Cargo.toml (Rust), go.mod (Go), package.json, app.js (JavaScript), a .c file (C)";
    assert_eq!(build(&[("main.py", "")], "."), (1, format!("error: no application in HERE: it has {files}\n{hint}")));
    let (code, said) = build(&[("app.py", "x = 1\n")], ".");
    let expected = "error: the module `app` has no application; looked for `app`, `application`, `create_app()`, `make_app()` and a Flask instance\nhint: name it: `wasgi build module:name`\n";
    assert_eq!((code, said.as_str()), (1, expected));
    let two = "from flask import Flask\none = Flask('one')\ntwo = Flask('two')\n";
    let (code, said) = build(&[("app.py", two), ("requirements.txt", "flask==3.1.2\n")], ".");
    let expected =
        "error: the module `app` has 2 Flask applications; name one of `app:one`, `app:two`\nhint: name it: `wasgi build module:name`\n";
    assert_eq!((code, said.as_str()), (1, expected));
    let (code, said) = build(&[("app.py", "app = 1\n")], "app:app");
    assert!(code == 1 && said.starts_with("error: `app:app` is int, which is no WSGI application\n"), "{said}");
}

#[test]
fn an_application_that_raises_at_import_shows_its_own_traceback() {
    let (code, said) = build(&[("app.py", "def broken():\n    return 1 / 0\n\nbroken()\n")], ".");
    let expected = "error: the application raised while it was imported: ZeroDivisionError: division by zero
  Traceback (most recent call last):
    File \"/0/app.py\", line 4, in <module>
      broken()
      ~~~~~~^^
    File \"/0/app.py\", line 2, in broken
      return 1 / 0
             ~~^~~
  ZeroDivisionError: division by zero
";
    assert_eq!((code, said.as_str()), (1, expected));
}

#[test]
fn a_missing_package_and_a_native_one_are_told_apart() {
    let (code, said) = build(&[("app.py", "import nothing_like_it\n")], ".");
    assert!(code == 1 && said.ends_with("hint: if `nothing_like_it` is a package, add it to requirements.txt\n"), "{said}");
    let (code, said) = build(&[("app.py", "import ujson\n"), ("requirements.txt", "ujson\n")], ".");
    assert!(code == 1 && said.starts_with("error: `ujson "), "{said}");
    assert!(said.contains("needs native code, which no WebAssembly guest can load: ujson") && said.contains(".so\n"), "{said}");
    assert!(said.ends_with("hint: use the json of the standard library\n"), "{said}");
}

#[test]
fn no_requirement_runs_a_strangers_code() {
    let folder = tempfile::tempdir().unwrap();
    let (evil, ran) = (folder.path().join("evil"), folder.path().join("ran"));
    fs::create_dir(&evil).unwrap();
    fs::write(evil.join("setup.py"), format!("open({ran:?}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1')\n"))
        .unwrap();
    let path = evil.display();
    let lines = [
        format!("{path}"),
        format!("-e {path}"),
        format!("evil @ file://{path}"),
        format!("--no-binary :all:\n{path}"),
        format!("-i https://pypi.org/simple -e {path}"),
        format!("# note\u{c}{path}"),
        "${PWD}/../evil".to_owned(),
        "--no-binary markupsafe\nmarkupsafe".to_owned(),
    ];
    for line in &lines {
        let (code, said) = build(&[("app.py", "app = print\n"), ("requirements.txt", line)], ".");
        assert!(code == 1 && said.starts_with("error: "), "{line}: {said}");
        assert!(!ran.exists(), "{line} ran");
    }
    let (_, said) = build(&[("app.py", "app = print\n"), ("requirements.txt", &lines[0])], ".");
    assert!(said.contains("is no wheel: to install it runs its author's code on this machine\nhint: "), "{said}");
}

#[test]
fn no_python_and_no_network_are_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.py"), "app = print\n").unwrap();
    let cache = tempfile::tempdir().unwrap();
    let build = |name: &str, value: &str| {
        failed(wasgi().current_dir(folder.path()).arg("build").arg("--cache-dir").arg(cache.path()).env(name, value))
    };
    let (code, said) = build("PATH", "/nowhere");
    assert!(
        code == 1 && said.starts_with("error: no Python on this machine: neither `python3` nor `python` can be run\nhint: install Python"),
        "{said}"
    );
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = failed(
        wasgi()
            .current_dir(folder.path())
            .arg("build")
            .arg("--cache-dir")
            .arg(cache.path())
            .env("PIP_INDEX_URL", format!("http://{closed}/simple")),
    );
    assert!(code == 1 && said.starts_with("error: the package index cannot be reached\n"), "{said}");
    assert!(!folder.path().join("dist").exists());
}

#[test]
fn a_secret_made_at_import_is_warned_about_and_a_second_build_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = "import secrets\n\nSECRET = secrets.token_hex()\n\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";
    fs::write(folder.path().join("app.py"), app).unwrap();
    let build = || {
        let ran = wasgi().current_dir(folder.path()).args(["build", "-o", "out.wasm"]).output().unwrap();
        assert!(ran.status.success());
        (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
    };
    let (path, said) = build();
    assert!(Path::new(path.trim()).is_file());
    assert!(said.contains("warning: app.py:3 takes random bytes while it is imported"), "{said}");
    let first = fs::metadata(path.trim()).unwrap().modified().unwrap();
    let (again, said) = build();
    assert!(again == path && said.contains("is up to date"), "{said}");
    assert_eq!(fs::metadata(path.trim()).unwrap().modified().unwrap(), first);
    fs::write(folder.path().join("app.py"), app.replace("hello", "changed")).unwrap();
    assert!(!build().1.contains("is up to date"));

    let inspected = wasgi().args(["inspect", "--json"]).arg(path.trim()).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["world"], "wasgi:gateway/app@0.1.0");
    assert_eq!(value["meta"]["warnings"].as_array().unwrap().len(), 1);
    assert!(value["bytes"]["bundle"].as_u64().unwrap() > 1_000_000);
    assert!(value["imports"].as_array().unwrap().iter().any(|import| import == "wasgi:gateway/response@0.1.0"), "{value:#}");
}

#[test]
fn a_built_file_with_a_damaged_bundle_is_refused() {
    let component = fs::read(guest("behaviours")).unwrap();
    let built = wasgi::artifact::append(component, &[wasgi::artifact::Custom { name: wasgi::artifact::BUNDLE, data: b"no bundle" }]);
    let (code, said) = served_bytes(&built);
    assert!(code == 1 && said.starts_with("error: the bundle of FILE is refused: it cannot be unpacked: "), "{said}");
}

#[test]
fn the_documents_name_only_flags_that_exist() {
    // Of cargo, curl and Django.
    let others = ["--path", "--locked", "--open", "--release", "--target", "--doc", "--noinput", "--username", "--email"];
    let help = |words: &str| String::from_utf8(wasgi().args(words.split(' ')).arg("--help").output().unwrap().stdout).unwrap();
    let help = ["serve", "manage", "check", "cgi", "deploy", "config schema"].map(help).concat();
    for document in ["README.md", "docs/operators.md", "docs/app-authors.md", "docs/python.md", "docs/security.md", "docs/wsgiref.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let flags: Vec<_> = words.filter(|word| word.starts_with("--") && word.len() > 3 && !others.contains(word)).collect();
        for flag in flags {
            assert!(help.contains(flag), "{document} names {flag}");
        }
    }
}

/// What compiles is a process of its own, with a time and a memory.
#[test]
fn a_compiler_that_takes_too_long_or_too_much_is_ended_and_says_which() {
    let cache = tempfile::tempdir().unwrap();
    let compiled = |limit: &str, value: &str| {
        let mut serve = wasgi();
        serve.arg("serve").arg(python("tests/apps/static")).args(["--bind", "127.0.0.1:0", limit, value, "--cache-dir"]).arg(cache.path());
        failed(&mut serve)
    };
    let (code, said) = compiled("--compile-timeout", "1s");
    assert_eq!(code, 1);
    assert!(said.contains("the compile took too long") && said.contains("`--compile-timeout` gives it more time"), "{said}");
    let (code, said) = compiled("--compile-memory", "256MiB");
    assert_eq!(code, 1);
    assert!(said.contains("the compile ended early") && said.contains("`--compile-memory`"), "{said}");
}
