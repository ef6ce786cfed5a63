//! Many tenants on one host: what is served where, how it is changed, what each may use, and how it is seen.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{DEADLINE, Reply, Tenants, guest, tenant_app as app, wait_for, wasgi};

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn behaviours(tenant: &str, more: &str) -> String {
    app(tenant, &guest("behaviours"), more)
}

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
fn the_admin_listener_of_the_loopback_asks_for_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let (token, port) = (folder.path().join("token"), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let head = format!("[admin]\nbind = \"127.0.0.1:{port}\"\ntoken_file = {token:?}\n");
    let host = Tenants::with(&head, &behaviours("a", "check = \"/hello\""));
    let ask = |path: &str, field: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Reply::of(&bytes, true).code()
    };
    let with = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(ask("/tenants", ""), 401);
    assert_eq!(ask("/tenants", &with("0123456789abcdeg")), 401);
    assert_eq!(ask("/tenants", &with("0123456789abcde")), 401);
    assert_eq!([ask("/tenants", &with("0123456789abcdef")), ask("/readyz", &with("0123456789abcdef"))], [200, 200]);
    assert_eq!(host.get("a.test", "/metrics").code(), 404, "an application's port has none of it");
}

#[test]
fn a_tenants_concurrency_and_queue_hold_over_all_workers() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.concurrency = 3\nlimits.queue = 2\nlimits.queue_timeout = \"300ms\"\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"")));
    let mut running: Vec<_> = (0..3).map(|_| host.ask("a.test", "/sleep-in-call/3")).collect();
    wait_for("they do not run", || (host.tenant("a")["running"] == 3).then_some(()));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(|| host.get("a.test", "/hello"))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|reply| reply.code() == 503 && reply.field("retry-after") == Some("1")));
    let requests = host.tenant("a")["apps"][0]["requests"].clone();
    assert_eq!((requests["queue_timeout"].as_u64(), requests["queue_full"].as_u64()), (Some(2), Some(4)), "{requests}");
    for stream in &mut running {
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    wait_for("places are left", || {
        let tenant = host.tenant("a");
        (tenant["running"] == 0 && tenant["waiting"] == 0 && tenant["instances"] == 0 && tenant["memory_bytes"] == 0).then_some(())
    });
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
}

#[test]
fn a_request_for_which_the_tenants_other_instances_leave_no_place_is_refused_and_says_so() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.concurrency = 3\nlimits.instances = 2\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"")));
    let mut running: Vec<_> = (0..2).map(|_| host.ask("a.test", "/slow")).collect();
    wait_for("they do not run", || (host.tenant("a")["instances"] == 2).then_some(()));
    let reply = host.get("a.test", "/hello");
    assert_eq!((reply.code(), reply.field("retry-after")), (503, Some("1")));
    let ended: Vec<_> = running.iter_mut().map(|stream| stream.read_to_end(&mut Vec::new()).is_ok()).collect();
    assert_eq!(ended, [true, true], "those who have a place are answered");
    wait_for("they do not end", || (host.tenant("a")["running"] == 0).then_some(()));
    let requests = host.tenant("a")["apps"][0]["requests"].clone();
    assert_eq!(requests, serde_json::json!({ "ok": 2, "no_instance": 1 }));
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
}

#[test]
fn an_application_that_traps_again_and_again_is_cooled_down_and_its_neighbour_is_not() {
    let apps = format!(
        "{}{}",
        behaviours("bad", "check = \"/hello\"\nlimits.max_traps = 5\nlimits.cool_down = \"1s\""),
        behaviours("good", "check = \"/hello\"")
    );
    let host = Tenants::serving(&apps);
    let codes: Vec<_> = (0..4).map(|_| host.get("bad.test", "/trap-in-call").code()).collect();
    assert_eq!(codes, [500; 4]);
    assert_eq!(host.get("bad.test", "/hello").code(), 200, "under the limit");
    assert_eq!(host.get("bad.test", "/trap-in-call").code(), 500);
    wait_for("it is not cooled down", || (host.get("bad.test", "/hello").code() == 503).then_some(()));
    assert_eq!(host.get("good.test", "/hello").text(), "hello\n");
    wait_for("its log does not say so", || host.tenant_log("bad").contains("it is cooled down for 1 s").then_some(()));
    wait_for("it stays cooled down", || (host.get("bad.test", "/hello").code() == 200).then_some(()));
}

#[test]
fn a_response_is_sent_under_and_at_its_limit_and_broken_off_over_it() {
    let host = Tenants::serving(&behaviours("a", "check = \"/hello\"\nlimits.max_response = 6"));
    assert_eq!(host.get("a.test", "/hello").text(), "hello\n");
    let over = host.get("a.test", "/large");
    assert!(over.code() == 500 && over.text().starts_with("internal server error\n"), "{} {}", over.code(), over.text());
    wait_for("the log says nothing", || host.tenant_log("a").contains("longer than the limit of 6 bytes").then_some(()));
}

#[test]
fn a_tenants_share_of_the_machine_is_held() {
    let tenant = "[[tenant]]\nname = \"a\"\nlimits.cpu_share = 20\n";
    let host = Tenants::serving(&format!("{tenant}{}", behaviours("a", "check = \"/hello\"\nlimits.guest_cpu = \"400ms\"")));
    let before = host.tenant("a")["cpu_s"].as_f64().unwrap();
    let began = std::time::Instant::now();
    assert_eq!(host.get("a.test", "/loop-in-call").code(), 504);
    let (took, used) = (began.elapsed().as_secs_f64(), host.tenant("a")["cpu_s"].as_f64().unwrap() - before);
    // 400 ms at a fifth of a core are two seconds; without the share, less than half of one. A tick more fits in each window.
    assert!(took > 1.0 && (0.3..0.6).contains(&used), "{used} s of CPU in {took} s");
}

/// Ends those who ask again and again, also where the test fails.
struct Ending<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Of a worker: connections, and with them requests, are shared out by their number.
#[test]
fn who_has_three_times_the_weight_gets_three_times_the_cpu_of_a_worker_beside_a_third_who_is_asked_now_and_then() {
    let loops = "check = \"/hello\"\nlimits.guest_cpu = \"200ms\"\nlimits.max_traps = 1000";
    let apps = ["light", "heavy", "other"].map(|tenant| behaviours(tenant, loops)).concat();
    let weight = "[[tenant]]\nname = \"heavy\"\nlimits.weight = 300\n";
    let host = Tenants::hosting("workers = 1", "", &format!("{weight}{apps}"));
    let used = || ["light", "heavy"].map(|tenant| host.tenant(tenant)["cpu_s"].as_f64().unwrap());
    let ended = std::sync::atomic::AtomicBool::new(false);
    let [light, heavy] = std::thread::scope(|scope| {
        let _ending = Ending(&ended);
        for tenant in ["light.test", "heavy.test"].repeat(4) {
            let (host, ended) = (&host, &ended);
            scope.spawn(move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(host.get(tenant, "/loop-in-call").code(), 504);
                }
            });
        }
        wait_for("they do not run", || ["light", "heavy"].iter().all(|tenant| host.tenant(tenant)["running"] == 4).then_some(()));
        let before = used();
        let after = wait_for("the heavy one gets nothing", || {
            assert_eq!(host.get("other.test", "/hello").text(), "hello\n");
            let now = used();
            (now[1] - before[1] > 1.5).then_some(now)
        });
        [after[0] - before[0], after[1] - before[1]]
    });
    assert!((2.0..4.5).contains(&(heavy / light)), "{light} s and {heavy} s");
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

#[test]
fn a_tenants_lines_are_its_own_and_can_be_followed() {
    let host = Tenants::with(
        "[log]\naccess = \"combined\"\n",
        &format!("{}{}", behaviours("loud", "check = \"/hello\""), behaviours("quiet", "check = \"/hello\"")),
    );
    assert_eq!(host.get("loud.test", "/log-flood/1000").code(), 200);
    assert_eq!(host.get("quiet.test", "/print").code(), 200);
    wait_for("no line", || host.tenant_log("quiet").contains("to stdout").then_some(()));
    wait_for("no line", || host.tenant_log("loud").contains("flood 00000001").then_some(()));
    assert!(!host.tenant_log("quiet").contains("flood"));
    let access = wait_for("no request", || host.tenant_log("quiet").lines().find(|line| line.contains("GET /print")).map(str::to_owned));
    assert!(access.starts_with("127.0.0.1 - - [") && access.ends_with("\"GET /print HTTP/1.1\" 200 - \"-\" \"-\""), "{access}");

    let mut following =
        wasgi().args(["logs", "-f", "quiet", "--config"]).arg(host.path("host.toml")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("GET /print")), "the last lines come first");
    assert_eq!(host.get("quiet.test", "/hello").code(), 200);
    assert!(lines.any(|line| line.unwrap().contains("GET /hello")));
    following.kill().unwrap();
    following.wait().unwrap();
    let top = text(&host.command(&["top", "--once"]).stdout);
    assert!(top.starts_with("TENANT") && top.contains("\nquiet ") || top.contains("\nloud "), "{top}");
}

#[test]
fn prometheus_reads_the_metrics() {
    let tool = |name: &str| {
        #[expect(clippy::disallowed_methods, reason = "the Makefile says where it is")]
        let folder =
            std::env::var_os("WASGI_TEST_PROMETHEUS").map_or_else(|| crate::support::root().join("target/prometheus"), PathBuf::from);
        let file = folder.join("usr/bin").join(name);
        assert!(file.is_file(), "{} is missing; run the tests with `make test`", file.display());
        file
    };
    let folder = tempfile::tempdir().unwrap();
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (admin, own, token) = (port(), port(), folder.path().join("token"));
    fs::write(&token, "0123456789abcdef").unwrap();
    let host =
        Tenants::with(&format!("[admin]\nbind = \"127.0.0.1:{admin}\"\ntoken_file = {token:?}\n"), &behaviours("a", "check = \"/hello\""));
    for path in ["/hello", "/hello", "/trap-in-call", "/raise-before-first"] {
        host.get("a.test", path);
    }
    wait_for("not counted", || (host.tenant("a")["apps"][0]["requests"]["trap"] == 1).then_some(()));

    let page = host.admin("GET /metrics");
    assert_eq!(page.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut promtool = Command::new(tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.text().as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    assert_eq!((checked.status.code(), text(&checked.stdout), text(&checked.stderr)), (Some(0), String::new(), String::new()));

    let metrics = page.text();
    let counted = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.split_once(' ')?.1.parse::<u64>().ok());
    // Another test may have had it compiled.
    let cached = ["hits", "misses"].map(|what| counted(&format!("wasgi_component_cache_{what}_total")).unwrap());
    assert_eq!((cached.iter().sum::<u64>(), counted("wasgi_compile_total")), (1, Some(1)), "{metrics}");

    let config = folder.path().join("prometheus.yml");
    let scrape = format!(
        "scrape_configs:\n- job_name: wasgi\n  scrape_interval: 1s\n  authorization: {{credentials_file: {}}}\n  static_configs: [{{targets: ['127.0.0.1:{admin}']}}]\n",
        token.display()
    );
    fs::write(&config, scrape).unwrap();
    let mut prometheus = Command::new(tool("prometheus"))
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let query = |query: &str| -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", own)).ok()?;
        stream.write_all(format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: a\r\n\r\n").as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let answer: Value = serde_json::from_str(&Reply::of(&bytes, true).text()).ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let ended = |of: &str| wait_for(of, || query(&format!("wasgi_requests_total%7Btenant%3D%22a%22%2Coutcome%3D%22{of}%22%7D")));
    let found = [ended("ok"), ended("trap"), ended("exception")];
    let up = wait_for("workers", || query("sum(wasgi_worker_up)"));
    let counted = wait_for("histogram", || query("http_server_request_duration_seconds_count"));
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert_eq!((found, up.as_str(), counted.as_str()), (["2", "1", "1"].map(str::to_owned), "2", "4"));
}
