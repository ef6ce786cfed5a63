//! `isolation = "rewind"`: an instance that serves request after request, and shows each of them the memory of a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
};

use crate::support::{DEADLINE, Tenants, guest, python, root, tenant_app, wait_for};

/// What bounds the requests of a reused instance is nothing to one that is rewound.
const LIMITS: &str = "[defaults.limits]\nreuse_requests = 1\n";

/// Every memory that was rewound is compared with what it was.
fn host(way: &str, apps: &str) -> Tenants {
    Tenants::hosting(&format!("verify_rewind = true\nrewind = \"{way}\""), LIMITS, apps)
}

fn app(tenant: &str, source: &Path, more: &str) -> String {
    tenant_app(tenant, source, &format!("isolation = \"rewind\"\n{more}"))
}

fn behaviours(more: &str) -> String {
    app("a", &guest("behaviours"), &format!("check = \"/hello\"\n{more}"))
}

/// A connection that is kept, until the host says that it ends.
struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn of(host: &Tenants) -> Self {
        Self { address: host.address, stream: connected(host.address) }
    }

    /// The body of a good answer.
    fn get(&mut self, tenant: &str, path: &str) -> String {
        let (code, body) = self.ask(tenant, "GET", path, b"");
        assert_eq!(code, 200, "{tenant}{path}: {body}");
        body
    }

    /// The status and the body of an answer, whole.
    fn ask(&mut self, tenant: &str, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {tenant}.test\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(self.stream.read_until(b'\n', &mut head).unwrap(), 0, "{tenant}{path}: the connection ended");
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut answer = Vec::new();
        if field("transfer-encoding") == Some("chunked") {
            while self.chunk(&mut answer) > 0 {}
        } else if method != "HEAD" {
            answer.resize(field("content-length").map_or(0, |length| length.parse().unwrap()), 0);
            self.stream.read_exact(&mut answer).unwrap();
        }
        if field("connection") == Some("close") {
            self.stream = connected(self.address);
        }
        (head[9..12].parse().unwrap(), String::from_utf8(answer).unwrap())
    }

    /// Appends a chunk; its length, 0 for the last.
    fn chunk(&mut self, answer: &mut Vec<u8>) -> usize {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let (before, size) = (answer.len(), usize::from_str_radix(line.trim_end(), 16).unwrap());
        answer.resize(before + size + 2, 0);
        self.stream.read_exact(&mut answer[before..]).unwrap();
        assert_eq!(answer.split_off(before + size), b"\r\n");
        size
    }
}

fn connected(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// How often instances of a tenant's application were rewound, and thrown away instead.
fn counted(host: &Tenants, tenant: &str) -> (u64, u64) {
    let app = host.tenant(tenant)["apps"][0].clone();
    (app["rewound"].as_u64().unwrap(), app["discarded"].as_u64().unwrap())
}

fn settled(host: &Tenants, tenant: &str) {
    wait_for("a request has not ended", || (host.tenant(tenant)["running"] == 0).then_some(()));
}

/// A request, and what has to come of it.
type Asked<'a> = (&'a str, &'a str, &'a [u8], u16, &'a str);

/// More than a piece of an upload, and less than what a request may take of memory.
const LARGE: &[u8] = &[b'x'; 100 << 10];
const LARGE_TEXT: &str = match std::str::from_utf8(LARGE) {
    Ok(text) => text,
    Err(_) => "",
};

/// What compiled guests are asked in turn: uploads, `write()`, generators, errors before and behind the first chunk's call, fields, a body too long.
const MIXED: [Asked<'_>; 12] = [
    ("GET", "/counter", b"", 200, "00001 0000000"),
    ("POST", "/echo", LARGE, 200, LARGE_TEXT),
    ("GET", "/counter", b"", 200, "00001 0000000"),
    ("POST", "/reading", b"hello world\nsecond\nlast", 200, "read hello\nreadline  world\nline second\nline last\n"),
    ("GET", "/writing", b"", 200, "written and yielded"),
    ("HEAD", "/generator", b"", 200, ""),
    ("GET", "/counter", b"", 200, "00001 0000000"),
    ("GET", "/replaced", b"", 503, "replaced"),
    ("GET", "/headers", b"", 299, ""),
    ("GET", "/generator", b"", 200, "line 0\nline 1\nline 2\n"),
    ("GET", "/toolong", b"", 200, "hello wo"),
    ("GET", "/lazy", b"", 201, "lazy"),
];

/// Has every kind of guest serve requests of all kinds: each sees what a new instance has, and every memory is what it was.
fn mixed(way: &str, rounds: usize) {
    let flask = python("guest/examples/flask");
    let data = "data = true\nenv = { SECRET_KEY = \"x\", ALLOWED_HOSTS = \"django.test\" }";
    let django = app("django", &python("guest/examples/django"), &format!("{data}\ncheck = \"/static/library/style.css\""));
    let grid = ["rust", "c", "go", "javascript"].map(|language| app(language, &guest(&format!("grid-{language}")), ""));
    let apps = format!("{}{django}{}", app("flask", &flask, "env = { SECRET_KEY = \"x\" }"), grid.concat());
    let host = host(way, &apps);
    let mut client = Client::of(&host);
    let digest = "{\"sha256\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"size\":5}\n";
    let lines = (0..1000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
    let mut pages: Vec<(&str, &str, &[u8], u16, String)> =
        ["/", "/hello", "/api/books", "/upload"].map(|path| ("GET", path, &b""[..], 200, client.get("flask", path))).into();
    pages.push(("POST", "/upload", b"hello", 200, digest.to_owned()));
    pages.push(("GET", "/download", b"", 200, lines));
    pages.push(("GET", "/nowhere", b"", 404, client.ask("flask", "GET", "/nowhere", b"").1));
    let mut good = BTreeMap::from([("flask", 5), ("django", 0)]);
    let mut count = |tenant, path: &str| *good.entry(tenant).or_default() += u64::from(!["/toolong", "/replaced"].contains(&path));
    let login = |text: &str| text.contains("Django administration") && text.contains("csrfmiddlewaretoken");
    for round in 0..rounds {
        // Those with much memory to compare come less often.
        if round.is_multiple_of(2) {
            let (method, path, body, code, page) = &pages[round / 2 % pages.len()];
            assert_eq!(client.ask("flask", method, path, body), (*code, page.clone()), "{path}, round {round}");
            count("flask", path);
            let (method, path, body, code, page) = MIXED[round / 2 % MIXED.len()];
            count("javascript", path);
            assert_eq!(client.ask("javascript", method, path, body), (code, page.to_owned()), "javascript, {path}, round {round}");
        }
        if round.is_multiple_of(8) {
            count("django", "/");
        }
        if round.is_multiple_of(16) {
            assert!(login(&client.get("django", "/admin/login/")), "round {round}");
        } else if round.is_multiple_of(8) {
            let (code, said) = client.ask("django", "POST", "/admin/login/", b"username=a&password=b");
            assert!(code == 403 && said.contains("CSRF"), "round {round}: {code} {said}");
        }
        for (turn, language) in ["rust", "c", "go", "rust", "c", "go", "rust"].into_iter().enumerate() {
            let (method, path, body, code, page) = MIXED[(round + turn) % MIXED.len()];
            count(language, path);
            assert_eq!(client.ask(language, method, path, body), (code, page.to_owned()), "{language}, {path}, round {round}");
        }
    }
    let counts = ["flask", "django", "rust", "c", "go", "javascript"].map(|tenant| {
        settled(&host, tenant);
        let why = host.tenant_log(tenant).lines().filter(|line| line.contains("thrown away")).map(str::to_owned).collect::<Vec<_>>();
        (tenant, counted(&host, tenant), why)
    });
    // What an application has done wrong is not looked at any closer; behind each other request it was rewound.
    assert!(counts.iter().all(|(tenant, (rewound, discarded), _)| *rewound >= good[tenant] && *discarded == 0), "{good:?} {counts:#?}");
}

#[test]
fn ten_thousand_requests_of_all_kinds_to_all_kinds_of_guests_each_see_a_memory_that_is_as_new() {
    mixed("userfaultfd", 1_250);
}

#[test]
fn without_userfaultfd_pages_are_told_by_being_copies() {
    mixed("private", 250);
}

/// A Python application of these lines, built.
fn written(folder: &Path, lines: &[&str]) -> PathBuf {
    std::fs::write(folder.join("app.py"), lines.join("\n")).unwrap();
    let built = folder.join("app.wasm");
    let ran = crate::support::wasgi().args(["build", "app:app", "-o"]).arg(&built).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    built
}

/// A folder has times, which a guest can set: a place for 64 bits and more.
#[test]
fn the_times_of_tmp_say_nothing_of_earlier_requests() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        "import os",
        "def app(environ, start_response):",
        "    found = [os.stat(path) for path in ('/tmp', '/tmp/.')]",
        "    times = [(status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns) for status in found]",
        "    os.utime('/tmp', ns=(1234567890123456789, 987654321987654321))",
        "    kept = os.stat('/tmp').st_mtime_ns",
        "    start_response('200 OK', [])",
        "    return [f'{times} {kept}'.encode()]",
    ];
    let built = written(folder.path(), &lines);
    for isolation in ["rewind", "request"] {
        let host = host("userfaultfd", &tenant_app("a", &built, &format!("isolation = \"{isolation}\"")));
        let mut client = Client::of(&host);
        for _ in 0..3 {
            assert_eq!(client.get("a", "/"), "[(0, 0, 0), (0, 0, 0)] 987654321987654321", "{isolation}");
        }
    }
}

#[test]
fn what_pythons_random_numbers_are_differs_in_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        "import json, os, random, secrets, uuid",
        "count = 0",
        "def app(environ, start_response):",
        "    global count",
        "    count += 1",
        "    start_response('200 OK', [])",
        "    drawn = (random.random(), secrets.token_hex(), str(uuid.uuid4()), os.urandom(8).hex())",
        "    return [json.dumps([count, *map(str, drawn)]).encode()]",
    ];
    let host = host("userfaultfd", &app("a", &written(folder.path(), &lines), ""));
    let mut client = Client::of(&host);
    let (mut counts, mut drawn) = (BTreeSet::new(), [const { BTreeSet::new() }; 4]);
    for _ in 0..200 {
        let (count, random, secret, uuid, urandom): (u32, String, String, String, String) =
            serde_json::from_str(&client.get("a", "/")).unwrap();
        counts.insert(count);
        for (all, one) in drawn.iter_mut().zip([random, secret, uuid, urandom]) {
            all.insert(one);
        }
    }
    assert_eq!(counts, BTreeSet::from([1]));
    assert_eq!(drawn.each_ref().map(BTreeSet::len), [200; 4], "of random, secrets, uuid4 and urandom: {drawn:?}");
    settled(&host, "a");
    assert_eq!(counted(&host, "a").1, 0);
}

/// A handle's number stands for the same thing in each request: a guest that has another one under it is thrown away, whatever it is.
#[test]
fn a_pollable_that_was_there_from_the_start_is_the_same_one_behind_each_request() {
    let host = host("userfaultfd", &app("a", &guest("examples/raw_polls"), ""));
    let mut client = Client::of(&host);
    let mut counts = Vec::new();
    for path in ["/", "/", "/another", "/", "/another"] {
        assert_eq!(client.get("a", path), "ready\n", "{path}");
        settled(&host, "a");
        counts.push(counted(&host, "a"));
    }
    let first = counts[0].0;
    assert_eq!(counts, [(first, 0), (first + 1, 0), (first + 1, 1), (first + 2, 1), (first + 2, 2)]);
    drop(client);
}

#[test]
fn what_an_instance_does_before_its_first_request_may_forbid_to_rewind_it_and_it_is_served_all_the_same() {
    for (variable, why) in [
        // What else it could have a pollable of, the host does not know.
        ("CLOCK", "it holds handles of its own when it starts"),
        // There is nobody whom it could answer: the call traps.
        ("SPEAKS", "it trapped when it was to make itself ready for that"),
    ] {
        let host = host("userfaultfd", &app("a", &guest("examples/raw_polls"), &format!("env = {{ {variable} = \"1\" }}")));
        assert_eq!((host.get("a.test", "/").text(), counted(&host, "a")), ("ready\n".to_owned(), (0, 0)));
        let why = format!("it cannot be rewound: {why}");
        wait_for("it does not say why", || host.tenant_log("a").contains(&why).then_some(()));
    }
}

/// An application that means harm keeps nothing: what it could keep is put back, or the instance is thrown away.
#[test]
fn a_guest_keeps_nothing_from_one_request_to_the_next() {
    let own = app("own", &guest("examples/raw_own"), "");
    let host = host("userfaultfd", &format!("{}{own}", behaviours("limits.guest_cpu = \"2s\"\nlimits.max_traps = 1000")));
    let mut client = Client::of(&host);
    let discards = |client: &mut Client, path: &str| {
        settled(&host, "a");
        let before = counted(&host, "a");
        let first = client.get("a", path);
        settled(&host, "a");
        let after = counted(&host, "a");
        assert_eq!(client.get("a", "/counter"), "1", "behind {path}");
        (first, after.0 - before.0, after.1 - before.1)
    };
    // Globals and memory are put back.
    assert_eq!(discards(&mut client, "/counter"), ("1".to_owned(), 1, 0));
    // Rust's library keeps its standard streams, and what it polls them with, from before the first request.
    assert_eq!(discards(&mut client, "/print"), (String::new(), 1, 0));
    // Few names in /tmp are removed; many cost the instance.
    assert_eq!(discards(&mut client, "/tmp-files/10"), ("10".to_owned(), 1, 0));
    assert_eq!(discards(&mut client, "/tmp-files/10"), ("10".to_owned(), 1, 0));
    assert_eq!(discards(&mut client, "/tmp-files/1000"), ("1000".to_owned(), 0, 1));
    assert_eq!(discards(&mut client, "/tmp-folders/1"), ("1".to_owned(), 0, 1));
    // Memory that has grown, folders that are left open, and handles of the guest's own.
    assert_eq!(discards(&mut client, "/grow-memory/8"), ("8".to_owned(), 0, 1));
    assert_eq!(discards(&mut client, "/handles/3"), ("3".to_owned(), 0, 1));
    for _ in 0..3 {
        assert_eq!(client.get("own", "/"), "kept\n");
    }
    settled(&host, "own");
    assert_eq!(counted(&host, "own"), (0, 4), "its first request was the host's");
    // Traps and time-outs are no end that is looked at.
    for (path, code) in [("/trap-in-call", 500), ("/loop-in-call", 504), ("/raise-after-first", 200), ("/close-raises", 200)] {
        assert_eq!(host.get("a.test", path).code(), code, "{path}");
        assert_eq!(client.get("a", "/counter"), "1", "behind {path}");
    }
}

#[test]
fn what_cannot_be_rewound_is_served_by_an_instance_a_request_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join("tables.wasm");
    let source = root().join("tests/tenants/tables");
    let ran = crate::support::wasgi().arg("build").arg(&source).arg("-o").arg(&built).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let host = host("userfaultfd", &app("a", &built, ""));
    let first = host.get("a.test", "/").text();
    assert_eq!((host.get("a.test", "/").text(), counted(&host, "a")), (first, (0, 0)));
    let why = "its isolation is `request`, for it cannot be rewound: its code has `table.grow`, which cannot be undone";
    wait_for("it does not say why", || host.tenant_log("a").contains(why).then_some(()));
    let said = crate::support::wasgi().arg("inspect").arg(&built).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("its code has `table.grow`"), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn an_application_that_has_no_memory_to_make_itself_ready_with_is_served_by_an_instance_a_request_and_says_why() {
    // It begins with 91 pages, and takes a MiB more to make ready.
    let go = |memory: &str| host("userfaultfd", &app("go", &guest("grid-go"), &format!("limits.memory = \"{memory}\"")));
    let roomy = go("8MiB");
    let mut client = Client::of(&roomy);
    assert_eq!([client.get("go", "/counter"), client.get("go", "/counter")], ["00001 0000000"; 2]);
    settled(&roomy, "go");
    assert!(counted(&roomy, "go").0 > 0);
    let narrow = go("7MiB");
    let mut client = Client::of(&narrow);
    assert_eq!([client.get("go", "/counter"), client.get("go", "/counter")], ["00001 0000000"; 2]);
    let why = "its isolation is `request`, for it cannot be rewound: its memory limit leaves too little for what its requests take";
    wait_for("it does not say why", || narrow.tenant_log("go").contains(why).then_some(()));
    assert_eq!(counted(&narrow, "go"), (0, 0));
}

#[test]
fn an_application_that_traps_while_it_makes_itself_ready_is_served_by_an_instance_a_request_and_says_why() {
    let host = host("userfaultfd", &app("own", &guest("examples/raw_own"), "env = { TRAP = \"1\" }"));
    let mut client = Client::of(&host);
    assert_eq!([client.get("own", "/"), client.get("own", "/")], ["kept\n"; 2]);
    let why = "its isolation is `request`, for it cannot be rewound: it trapped when it was to make itself ready for that";
    wait_for("it does not say why", || host.tenant_log("own").contains(why).then_some(()));
    assert_eq!(counted(&host, "own"), (0, 0));
}
