//! Many tenants on one host: what is served where, how it is changed, and by whom.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Reply, Tenants, behaviours, guest, tenant_app as app, text, wait_for, wasgi};

/// The same application, as another version.
fn another_version(folder: &Path) -> PathBuf {
    let file = folder.join("other.wasm");
    // A section that nobody knows: its length, the length of its name, its name.
    let bytes = [fs::read(guest("behaviours")).unwrap(), b"\0\x05\x03twox".to_vec()].concat();
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn every_mistake_in_a_configuration_is_told_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.toml");
    let lines = [
        "[listen]",
        "bind = 'localhost'",
        "[host]",
        "workrs = 2",
        "[ceilings]",
        "memory = '1GiB'",
        "[[tenant]]",
        "name = 'Acme'",
        "limits.guest_cpu = 'soon'",
        "[[app]]",
        "tenant = 'acme'",
        "source = 'not-there.wasm'",
        "host = 'a b'",
        "isolation = 'none'",
        "[app.limits]",
        "memory = '2GiB'",
        "concurrency = 5",
        "[[tenant]]",
        "name = 'zero'",
        "limits.concurrency = 0",
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let ran = wasgi().args(["config", "check"]).arg(&file).output().unwrap();
    let said = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2));
    let shown = |line: usize, what: &str, allowed: &str| {
        let place = format!("host.toml:{line}:");
        said.contains(what) && said.contains(allowed) && said.contains(&place)
    };
    assert!(shown(2, "\"localhost\" is no address", "write it with its port"), "{said}");
    assert!(shown(4, "`host.workrs` is not known", "did you mean `workers`?"), "{said}");
    assert!(shown(8, "`tenant[0].name`: `Acme` is no tenant's name", "1 to 63 of a-z, 0-9 and -"), "{said}");
    assert!(shown(9, "`tenant[0].limits.guest_cpu` is \"soon\"", "no time; write milliseconds, or 250ms, 5s, 10min"), "{said}");
    assert!(shown(12, "not-there.wasm is no file", "wasgi build"), "{said}");
    assert!(shown(13, "`a b` is no host name", "a host name"), "{said}");
    assert!(shown(14, "`app[0].isolation` is \"none\"", "expected one of \"request\", \"rewind\", \"reuse\""), "{said}");
    assert!(shown(16, "`limits.memory` is 2 GiB", "at most 1 GiB"), "{said}");
    assert!(shown(17, "`app[0].limits.concurrency` cannot be set here", "it belongs to the tenant"), "{said}");
    assert!(shown(20, "`limits.concurrency` is 0", "allowed is at least 1"), "{said}");
    assert!(said.contains("host.toml has 10 problems"), "{said}");
}

#[test]
fn a_configuration_shows_what_holds_and_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.toml");
    let apps = behaviours("a", "limits.memory = '64MiB'");
    fs::write(
        &file,
        format!("[host]\nstate = 'state'\n[defaults.limits]\nguest_cpu = '2s'\n[[tenant]]\nname = 'a'\nlimits.queue = 3\n{apps}"),
    )
    .unwrap();
    let ran = wasgi().args(["config", "show", "--json"]).arg(&file).output().unwrap();
    let shown: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let setting = |name: &str| {
        let settings = shown["settings"].as_array().unwrap();
        let one = settings.iter().find(|setting| setting["limit"] == name).unwrap();
        (one["value"].as_str().unwrap().to_owned(), one["source"].as_str().unwrap().to_owned())
    };
    let own = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(setting("memory"), own("64 MiB", "app"));
    assert_eq!(setting("queue"), own("3", "tenant"));
    assert_eq!(setting("guest_cpu"), own("2 s", "defaults.limits"));
    assert_eq!(setting("concurrency"), own("16", "default"));
    assert_eq!(shown["walls"], serde_json::json!({ "files": "Full", "calls": true }));

    let schema: Value = serde_json::from_slice(&wasgi().args(["config", "schema"]).output().unwrap().stdout).unwrap();
    assert_eq!(schema["properties"]["app"]["items"]["properties"]["source"]["type"], "string");
    assert_eq!(schema["properties"]["ceilings"]["properties"]["guest_cpu"]["type"], serde_json::json!(["string", "integer"]));
}

#[test]
fn s9_applications_are_chosen_by_host_name_and_then_by_path() {
    let source = guest("behaviours");
    let at = |name: &str, host: &str, path: &str| {
        format!(
            "[[app]]\ntenant = \"t\"\nname = \"{name}\"\nsource = {source:?}\nhost = {host}\npath = \"{path}\"\nenv = {{ WHO = \"{name}\" }}\n"
        )
    };
    let apps = [at("root", "\"a.test\"", "/"), at("deep", "[\"a.test\", \"b.test\"]", "/deep"), at("wild", "\"*.c.test\"", "/")].concat();
    let host = Tenants::serving(&apps);
    let environ = |name: &str, path: &str| {
        let reply = host.get(name, path);
        let text = reply.text();
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned)).unwrap_or_default();
        (reply.code(), value("SCRIPT_NAME"), value("PATH_INFO"))
    };
    let own = |code: u16, script: &str, path: &str| (code, script.to_owned(), path.to_owned());
    assert_eq!(environ("a.test", "/environ"), own(200, "", "/environ"));
    assert_eq!(environ("A.TEST:80", "/deep/environ"), own(200, "/deep", "/environ"));
    assert_eq!(environ("a.test", "/deeper"), own(404, "", ""), "the root has no such behaviour");
    assert_eq!(environ("x.c.test", "/environ"), own(200, "", "/environ"));
    let unknown = host.get("unknown.test", "/environ");
    assert_eq!((unknown.code(), unknown.text()), (404, "not found\n".to_owned()));
    assert_eq!(host.get("b.test", "/").code(), 404, "b.test has nothing at its root");
}

#[test]
fn an_application_is_deployed_replaced_suspended_and_removed_over_the_admin_socket_and_remembered() {
    let host = Tenants::serving(&behaviours("first", "check = \"/hello\""));
    let file = host.path("new.wasm");
    fs::copy(guest("behaviours"), &file).unwrap();
    let deploy = |host: &Tenants, file: &Path| {
        let ran = host.command(&["deploy", file.to_str().unwrap(), "--tenant", "second", "--host", "second.test", "--check", "/hello"]);
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    };
    let (code, said, _) = deploy(&host, &file);
    assert!(code == Some(0) && said.starts_with("second is served as version "), "{said}");
    assert_eq!(host.get("second.test", "/hello").text(), "hello\n");
    let version = host.tenant("second")["apps"][0]["version"].clone();

    // A version that fails leaves the old one, and says why.
    fs::write(&file, b"\0asm nothing").unwrap();
    let (code, _, said) = deploy(&host, &file);
    assert!(code == Some(1) && said.contains("second: ") && said.contains("cut short or damaged"), "{said}");
    assert_eq!(
        (host.get("second.test", "/hello").text(), host.tenant("second")["apps"][0]["version"].clone()),
        ("hello\n".to_owned(), version.clone())
    );

    let (code, said, _) = deploy(&host, &another_version(host.folder.path()));
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(host.tenant("second")["apps"][0]["version"], version);

    assert_eq!(host.command(&["suspend", "second"]).status.code(), Some(0));
    let suspended = host.get("second.test", "/hello");
    assert_eq!((suspended.code(), suspended.field("retry-after")), (503, Some("60")));

    // What was asked for is there after a restart, and what was built is not needed any more.
    fs::remove_file(host.path("other.wasm")).unwrap();
    let host = host.restarted("", &behaviours("first", "check = \"/hello\""));
    assert_eq!(host.get("second.test", "/hello").code(), 503);
    assert_eq!(host.command(&["resume", "second"]).status.code(), Some(0));
    assert_eq!(host.get("second.test", "/hello").text(), "hello\n");
    assert_eq!(host.command(&["undeploy", "second"]).status.code(), Some(0));
    assert_eq!(host.get("second.test", "/hello").code(), 404);
    assert_eq!(host.get("first.test", "/hello").text(), "hello\n");
    assert_eq!(host.command(&["undeploy", "second"]).status.code(), Some(1));
    let left = fs::read_dir(host.path("state/apps")).unwrap().count();
    assert_eq!(left, 0, "files of applications that are gone");
}

#[test]
fn a_first_request_that_fails_leaves_the_old_version_and_says_why() {
    let apps = |path: &str| behaviours("a", &format!("check = \"{path}\""));
    let host = Tenants::serving(&apps("/hello"));
    let version = host.tenant("a")["apps"][0]["version"].clone();
    for (path, why) in [("/trap-in-call", "it trapped"), ("/status-500", "answered with 500"), ("/never-start", "start_response")] {
        let source = another_version(host.folder.path());
        host.configure("", &app("a", &source, &format!("check = \"{path}\"\nenv = {{ N = \"{}\" }}", path.len())));
        let ran = host.command(&["reload"]);
        assert!(ran.status.code() == Some(1) && text(&ran.stderr).contains(why), "{path}: {:?} {}", ran.status, text(&ran.stderr));
        assert_eq!(
            (host.get("a.test", "/hello").text(), host.tenant("a")["apps"][0]["version"].clone()),
            ("hello\n".to_owned(), version.clone())
        );
    }
    let error = host.tenant("a")["apps"][0]["error"].clone();
    assert!(error.as_str().unwrap().contains("/never-start"), "{error}");
}

#[test]
fn a_request_in_flight_ends_on_the_version_that_it_began_on() {
    let host = Tenants::serving(&behaviours("a", "check = \"/hello\""));
    let mut slow = BufReader::new(host.ask("a.test", "/slow"));
    let mut first = String::new();
    slow.read_line(&mut first).unwrap();
    let source = another_version(host.folder.path());
    host.configure("", &app("a", &source, "check = \"/hello\""));
    assert_eq!(host.command(&["reload"]).status.code(), Some(0));
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    let reply = Reply::of(&[first.as_bytes(), &rest].concat(), true);
    assert!(reply.code() == 200 && reply.whole, "{:?}", reply.text());
    wait_for("the old version is not let go of", || (host.tenant("a")["instances"] == 0).then_some(()));
}

#[test]
fn a_watched_folder_is_served_followed_and_obeyed() {
    let apps = tempfile::tempdir().unwrap();
    let head = format!("[watch]\nfolder = {:?}\ndomain = \"apps.test\"\n[defaults]\n", apps.path());
    let copied = |name: &str| {
        let part = apps.path().join(format!("{name}.part"));
        fs::copy(guest("behaviours"), &part).unwrap();
        fs::rename(part, apps.path().join(format!("{name}.wasm"))).unwrap();
    };
    copied("one");
    let host = Tenants::with(&head, "");
    assert_eq!(host.get("one.apps.test", "/hello").code(), 200);
    copied("two");
    wait_for("the second is not served", || (host.get("two.apps.test", "/hello").code() == 200).then_some(()));
    fs::remove_file(apps.path().join("one.wasm")).unwrap();
    wait_for("the first is still served", || (host.get("one.apps.test", "/hello").code() == 404).then_some(()));
    assert_eq!(host.get("two.apps.test", "/hello").code(), 200);
}

#[test]
fn a_worker_that_dies_is_replaced_and_its_places_are_free() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.concurrency = 2\nlimits.queue = 0\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"")));
    let mut lost: Vec<_> = (0..2).map(|_| host.ask("a.test", "/sleep-in-call/60")).collect();
    wait_for("they do not run", || (host.tenant("a")["running"] == 2).then_some(()));
    assert_eq!(host.get("a.test", "/hello").code(), 503);
    let before = host.workers();
    for worker in &before {
        kill_process(Pid::from_raw(i32::try_from(*worker).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    wait_for("they are not replaced", || {
        let now = host.workers();
        (now.len() == 2 && now.iter().all(|worker| !before.contains(worker))).then_some(())
    });
    for stream in &mut lost {
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        assert!(bytes.is_empty(), "an answer of a dead worker");
    }
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
    host.logged(&["has ended (signal: 9", "another one begins"]);
}

#[test]
fn workers_are_behind_their_walls() {
    let host = Tenants::serving(&behaviours("a", "check = \"/hello\""));
    host.logged(&["workers", "2, each behind landlock, seccomp, no_new_privs"]);
    for worker in host.workers() {
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!((field("Seccomp:"), field("NoNewPrivs:")), ("2".to_owned(), "1".to_owned()));
        let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        assert!(limits.lines().any(|line| line.starts_with("Max core file size        0                    0")), "{limits}");
        assert!(
            fs::read(format!("/proc/{worker}/environ"))
                .unwrap()
                .split(|byte| *byte == 0)
                .all(|variable| variable.is_empty() || variable.starts_with(b"TMPDIR="))
        );
    }
}

#[test]
fn tenants_of_a_group_have_workers_and_listeners_of_their_own() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let group = format!(
        "[[worker_group]]\nname = \"apart\"\nworkers = 1\nbind = \"127.0.0.1:{port}\"\n[[tenant]]\nname = \"b\"\nworker_group = \"apart\"\n"
    );
    let host = Tenants::serving(&format!("{group}{}{}", behaviours("a", "check = \"/hello\""), behaviours("b", "check = \"/hello\"")));
    let at = |port: u16, name: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(format!("GET /hello HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::of(&bytes, true).code()
    };
    let first = host.address.port();
    assert_eq!([at(first, "a.test"), at(first, "b.test"), at(port, "a.test"), at(port, "b.test")], [200, 404, 404, 200]);
    assert_eq!(host.workers().len(), 3);
}
