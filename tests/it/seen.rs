//! How what tenants do is seen: by who holds the token, in lines of their own, and by Prometheus.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{DEADLINE, Reply, Tenants, behaviours, text, wait_for, wasgi};

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

    assert!(counted("wasgi_worker_open_fds").is_some_and(|files| files > 3), "{metrics}");
    // Connections are tasks; twice as many as are waited for, for some of before may end.
    let tasks = || {
        let page = host.admin("GET /metrics").text();
        let line = page.lines().find_map(|line| line.strip_prefix("wasgi_tokio_alive_tasks{group=")).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    let before = tasks();
    let open: Vec<_> = (0..20).map(|_| TcpStream::connect(host.address).unwrap()).collect();
    wait_for("connections are no tasks", || (tasks() >= before + 10).then_some(()));
    drop(open);

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
