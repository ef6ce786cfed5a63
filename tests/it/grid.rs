//! One grid: behaviours by languages. Each behaviour is a folder of `tests/apps`, with one file a language; here stands what is to be seen of it
//! from the wire, the same for all. `make guests` prints the grid.

use std::{
    io::{Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::support::{Host, Reply, guest, root};

/// A column: a language, and what runs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Column {
    Rust,
    C,
    Go,
    StarlingMonkey,
    QuickJs,
    Python,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::StarlingMonkey => "javascript",
            Self::QuickJs => "quickjs",
            Self::Python => "python",
        }
    }

    /// The type of an error that the behaviours raise.
    fn error(self) -> &'static str {
        match self {
            Self::Rust => "Error",
            Self::C | Self::Python => "ValueError",
            Self::Go => "*errors.errorString",
            Self::StarlingMonkey | Self::QuickJs => "RangeError",
        }
    }

    /// Where `app.*` of a behaviour names a line, in a traceback.
    fn file(self, behaviour: &str) -> String {
        let ending = match self {
            Self::Rust => "rs",
            Self::C => "c",
            Self::Go => "go",
            Self::StarlingMonkey | Self::QuickJs => "js",
            Self::Python => "py",
        };
        format!("{behaviour}/app.{ending}")
    }

    fn is_javascript(self) -> bool {
        matches!(self, Self::StarlingMonkey | Self::QuickJs)
    }
}

type Check = fn(&Host, Column);

/// The rows; each has the numbers of the checklist that it proves.
const ROWS: [(&str, Check); 34] = [
    ("echo (S30 S34 S56)", echo),
    ("headers (S46 S47 S50 S53)", headers),
    ("environ (S1 S6 S9)", environ),
    ("lazy start_response (S42)", lazy),
    ("start_response twice (S43)", twice),
    ("exc_info before the head (S44)", replaced),
    ("exc_info after the head (S45)", late),
    ("write() (S57)", writing),
    ("generator and close (S56 S67)", generator),
    ("empty chunks (S41)", empties),
    ("one chunk (S58)", single),
    ("a chunk of 3 MiB (S56)", oversize),
    ("body too long (S60)", too_long),
    ("body too short (S61)", too_short),
    ("HEAD (S62)", head),
    ("204 (S63)", nothing),
    ("large upload (S36)", upload),
    ("read, readline, iteration (S31-S34)", reading),
    ("disconnect (S35)", disconnect),
    ("error in call (S65)", error_in_call),
    ("error in next (S64)", error_in_next),
    ("error in close (S67)", error_in_close),
    ("unicode and Latin-1 (S5 S50)", unicode),
    ("log (S27 S28)", log),
    ("text that a client chose, in the log", bad_text),
    ("what is kept of a request is dead", stale),
    ("memory grows", memory_under),
    ("memory beyond the limit", memory_over),
    ("clock", clock),
    ("trap, with its place", trap),
    ("shift_path_info (wsgiref)", shifted),
    ("net/http, Fetch", adapter),
    ("20 000 requests in one instance", twenty_thousand),
    ("bodies of all sizes in one instance", all_sizes),
];

/// Rows that a column does not have, and why.
fn left_out(column: Column, row: &str) -> Option<&'static str> {
    match (column, row) {
        (Column::Rust | Column::C | Column::Python, "net/http, Fetch") => Some("the plain application is its own"),
        (Column::C, "what is kept of a request is dead") => {
            Some("there is nothing to keep: functions act on the request that is being served")
        }
        _ => None,
    }
}

/// Runs a column, fresh and reused, and keeps it for the grid; fails with every cell that is not green, and what the tenant was told there.
fn column(column: Column) {
    let file = guest(&format!("grid-{}", column.name()));
    let (mut lines, mut red) = (Vec::new(), Vec::new());
    for isolation in ["request", "reuse"] {
        let tenant = format!("grid-{}-{isolation}", column.name());
        // One instance at a time, so that what one request leaves is what the next one finds.
        let flags = ["--isolation", isolation, "--tenant", &tenant, "--concurrency", "1", "--reuse-requests", "100000"];
        let flags = [&flags[..], &["--max-body", "32MiB", "--reuse-growth", "1GiB"]].concat();
        let mut host = Host::serving(&file, &flags);
        let rows = ROWS.iter().filter(|(row, _)| isolation == "reuse" || !row.contains("in one instance"));
        for (row, check) in rows {
            let reason = left_out(column, row);
            let cell = if reason.is_some() || catch_unwind(AssertUnwindSafe(|| check(&host, column))).is_ok() {
                reason.unwrap_or("ok")
            } else {
                let said = host.log_lines("WARN");
                red.push(format!("{row}, {isolation}\n{}", said[said.len().saturating_sub(40)..].join("\n")));
                // What is left of it is not the next row's.
                host = Host::serving(&file, &flags);
                "RED"
            };
            lines.push(format!("{row}\t{isolation}\t{cell}\n"));
        }
    }
    let folder = root().join("target/tmp/grid");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(column.name()), lines.concat()).unwrap();
    assert!(red.is_empty(), "{}:\n{}", column.name(), red.join("\n"));
}

#[test]
fn rust_has_every_behaviour_of_the_grid() {
    column(Column::Rust);
}

#[test]
fn c_has_every_behaviour_of_the_grid() {
    column(Column::C);
}

#[test]
fn go_has_every_behaviour_of_the_grid() {
    column(Column::Go);
}

#[test]
fn javascript_in_starlingmonkey_has_every_behaviour_of_the_grid() {
    column(Column::StarlingMonkey);
}

#[test]
fn javascript_in_quickjs_has_every_behaviour_of_the_grid() {
    column(Column::QuickJs);
}

#[test]
fn python_has_every_behaviour_of_the_grid() {
    column(Column::Python);
}

/// Status, Content-Length, body, and whether the body is whole.
fn seen(reply: &Reply) -> (u16, Option<&str>, String, bool) {
    (reply.code(), reply.field("content-length"), reply.text(), reply.whole)
}

/// A reply of 500, which tells the client nothing; the lines of the log that tell the tenant.
fn refused(host: &Host, reply: &Reply, words: &[&str]) {
    let id = reply.field("x-request-id").unwrap();
    assert_eq!((reply.code(), reply.text()), (500, format!("internal server error\nrequest id: {id}\n")));
    host.logged(&[words, &["wasgi::app", id]].concat());
}

fn echo(host: &Host, _: Column) {
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let reply = host.post("/echo", "", &body);
    assert_eq!((reply.code(), reply.body == body, reply.whole), (200, true, true));
    let chunked = host
        .send(b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!((chunked.code(), chunked.text()), (200, "abcde".into()));
}

fn headers(host: &Host, _: Column) {
    let reply = host.get("/headers");
    assert_eq!(reply.status, "HTTP/1.1 299 All Is W\u{fc}ll");
    assert_eq!((reply.all("set-cookie"), reply.field("x-a")), (vec!["a=1", "b=2"], Some("caf\u{e9} \u{ff}")));
    assert_eq!((reply.all("x-set"), reply.field("x-gone"), reply.field("x-seen")), (vec!["two"], None, Some("a=1 two")));
    assert_eq!(reply.field("content-disposition"), Some(r#"attachment; filename="a \"b\".txt""#));
}

fn environ(host: &Host, _: Column) {
    let reply = host.ask("GET", "/environ/caf%C3%A9/a%2Fb?x=%20y&z", "X-A: 1\r\nX-A: 2\r\n");
    let text = String::from_utf8(reply.body).unwrap();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!(
        ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_X_A", "SERVER_PROTOCOL", "GATEWAY_INTERFACE"].map(value),
        [Some("GET"), Some("/environ"), Some("/caf\u{e9}/a/b"), Some("x=%20y&z"), Some("1,2"), Some("HTTP/1.1"), Some("CGI/1.1")]
    );
    assert_eq!(value("application_uri"), Some("http://a.test/environ"));
    assert_eq!(value("request_uri"), Some("http://a.test/environ/caf%C3%A9/a/b?x=%20y&z"));
    let names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).filter(|name| !name.ends_with("_uri")).collect();
    assert!(names.is_sorted() && names.contains(&"REMOTE_ADDR") && !names.contains(&"HOME"), "{names:?}");
}

fn lazy(host: &Host, _: Column) {
    let reply = host.get("/lazy");
    assert_eq!((reply.status.as_str(), reply.field("x-lazy"), reply.text()), ("HTTP/1.1 201 Created", Some("1"), "lazy".into()));
}

fn twice(host: &Host, column: Column) {
    let word = if column == Column::Python { "start_response was called a second time" } else { "start_response was called before" };
    refused(host, &host.get("/twice"), &[word]);
}

fn replaced(host: &Host, _: Column) {
    let reply = host.get("/replaced");
    assert_eq!((reply.status.as_str(), reply.field("x-old"), reply.field("x-new")), ("HTTP/1.1 503 Try Later", None, Some("2")));
    assert_eq!(seen(&reply), (503, Some("8"), "replaced".into(), true));
}

fn late(host: &Host, _: Column) {
    let reply = host.get("/late");
    assert_eq!((reply.code(), reply.text(), reply.whole), (200, "sent".into(), false));
    host.logged(&[reply.field("x-request-id").unwrap(), "late trouble"]);
}

fn writing(host: &Host, _: Column) {
    assert_eq!(seen(&host.get("/writing")), (200, None, "written and yielded".into(), true));
}

fn generator(host: &Host, _: Column) {
    let reply = host.get("/generator");
    assert_eq!(seen(&reply), (200, None, "line 0\nline 1\nline 2\n".into(), true));
    host.logged(&[reply.field("x-request-id").unwrap(), "generator closed"]);
}

fn empties(host: &Host, _: Column) {
    assert_eq!(seen(&host.get("/empties")), (200, None, "hello!".into(), true));
}

fn single(host: &Host, _: Column) {
    assert_eq!(seen(&host.get("/single")), (200, Some("5"), "hello".into(), true));
}

fn oversize(host: &Host, _: Column) {
    let reply = host.get("/oversize");
    assert_eq!((reply.code(), reply.whole, reply.body == "0123456789abcdef".repeat(192 << 10).as_bytes()), (200, true, true));
}

fn bad_text(host: &Host, _: Column) {
    let reply = host.get("/badtext/%FF%C3%A9");
    refused(host, &reply, &["the application raised", "no page: "]);
    host.logged(&[reply.field("x-request-id").unwrap(), "asked for", "\u{e9}"]);
}

/// Twice: with fresh instances nothing is kept, and with a reused one it cannot be used.
fn stale(host: &Host, _: Column) {
    let told = ["one", "two"].map(|body| host.post("/stale", "", body.as_bytes()).text());
    let seen = told[1].strip_suffix(", two").unwrap();
    assert!(told[0].ends_with(", one") && ["nothing kept", "the request is over"].contains(&seen), "{told:?}");
}

fn too_long(host: &Host, _: Column) {
    let reply = host.get("/toolong");
    assert_eq!(seen(&reply), (200, Some("8"), "hello wo".into(), true));
    host.logged(&[reply.field("x-request-id").unwrap(), "longer than its Content-Length"]);
}

fn too_short(host: &Host, _: Column) {
    let reply = host.get("/tooshort");
    assert_eq!(seen(&reply), (200, Some("10"), "hello".into(), false));
    host.logged(&[reply.field("x-request-id").unwrap(), "5 bytes shorter than its Content-Length"]);
}

fn head(host: &Host, _: Column) {
    let single = host.ask("HEAD", "/single", "");
    assert_eq!((single.code(), single.field("content-length"), single.text()), (200, Some("5"), String::new()));
    let reply = host.ask("HEAD", "/generator", "");
    assert_eq!((reply.code(), reply.text()), (200, String::new()));
    host.logged(&[reply.field("x-request-id").unwrap(), "generator closed"]);
}

fn nothing(host: &Host, _: Column) {
    let reply = host.get("/nothing");
    assert_eq!((reply.status.as_str(), reply.field("x-a")), ("HTTP/1.1 204 No Content", Some("1")));
    assert_eq!((reply.field("content-length"), reply.text()), (None, String::new()));
}

/// 16 MiB, by a guest that keeps nothing of it.
fn upload(host: &Host, _: Column) {
    let body: Vec<u8> = (0..=255_u8).cycle().take(16 << 20).collect();
    let sum = (64 + 128 + 192) * ((16 << 20) / 256);
    assert_eq!(host.post("/upload", "", &body).text(), format!("{} {sum}", 16 << 20));
}

fn reading(host: &Host, _: Column) {
    let reply = host.post("/reading", "", b"hello world\nsecond\nthird\nlast");
    assert_eq!(reply.text(), "read hello\nreadline  world\nline second\nline third\nline last\n");
}

fn disconnect(host: &Host, _: Column) {
    let mut stream = host.connect();
    stream.write_all(b"POST /disconnect HTTP/1.1\r\nHost: a\r\nX-Request: gone\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    drop(stream.read_to_end(&mut Vec::new()));
    host.logged(&["wasgi::app", "no body: ", "disconnected"]);
    assert_eq!(host.log_lines("the body looks whole"), Vec::<String>::new());
}

fn error_in_call(host: &Host, column: Column) {
    refused(host, &host.get("/raising/call"), &["the application raised", column.error(), "trouble on purpose"]);
}

fn error_in_next(host: &Host, column: Column) {
    let reply = host.get("/raising/next");
    assert_eq!((reply.code(), reply.text(), reply.whole), (200, "one ".into(), false));
    let id = reply.field("x-request-id").unwrap();
    host.logged(&[id, "the application raised", column.error(), "trouble on purpose"]);
    host.logged(&[id, "raising closed"]);
}

fn error_in_close(host: &Host, column: Column) {
    let reply = host.get("/raising/close");
    assert_eq!((reply.code(), reply.text(), reply.whole), (200, "one two".into(), true));
    host.logged(&[reply.field("x-request-id").unwrap(), "the application raised", column.error(), "trouble on purpose"]);
    assert_eq!(seen(&host.get("/single")), (200, Some("5"), "hello".into(), true));
}

fn unicode(host: &Host, _: Column) {
    let reply = host.get("/unicode/caf%C3%A9%FF");
    assert_eq!(reply.field("x-path"), Some("/caf\u{c3}\u{a9}\u{ff}"));
    assert_eq!(reply.body, [b"/caf\xc3\xa9\xff ".as_slice(), "\u{17e}lu\u{165} \u{1f40d}".as_bytes()].concat());
}

fn log(host: &Host, _: Column) {
    let reply = host.get("/log");
    let id = reply.field("x-request-id").unwrap();
    for line in ["first line", "second \u{17e}lu\u{165} line", "without an end"] {
        host.logged(&["wasgi::app", id, line, "stream=\"wsgi.errors\""]);
    }
}

fn memory_under(host: &Host, _: Column) {
    assert_eq!(seen(&host.get("/memory/40")), (200, Some("6"), "40 MiB".into(), true));
}

/// The limit is 256 MiB: however it ends, the next request is served.
fn memory_over(host: &Host, _: Column) {
    refused(host, &host.get("/memory/600"), &["WARN"]);
    assert_eq!(host.get("/single").text(), "hello");
}

fn clock(host: &Host, _: Column) {
    let text = host.get("/clock").text();
    let (seconds, passed) = text.split_once(' ').unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(seconds.parse().unwrap()) < 60 && passed == "true", "{text}");
}

/// The tenant's log names the function, its file and its line; the client learns nothing, and the next request is served.
fn trap(host: &Host, column: Column) {
    let reply = host.get("/trap");
    refused(host, &reply, &["WARN"]);
    let id = reply.field("x-request-id").unwrap();
    let function = match column {
        Column::Go => "trap.deepTrouble",
        Column::StarlingMonkey | Column::QuickJs => "deepTrouble",
        Column::Rust | Column::C | Column::Python => "deep_trouble",
    };
    host.logged(&[id, function]);
    let place = column.file("trap");
    let line = host.logged(&[id, &place]);
    let digits = match column {
        Column::Python => line.split_once("line ").unwrap().1,
        Column::Rust | Column::C | Column::Go | Column::StarlingMonkey | Column::QuickJs => {
            line.split_once(&format!("{place}:")).unwrap().1
        }
    };
    assert!(digits.starts_with(|c: char| c.is_ascii_digit()), "{line}");
    assert_eq!(host.get("/single").text(), "hello");
}

/// The vectors of CPython's test_wsgiref, as far as a path that a client can send goes.
fn shifted(host: &Host, _: Column) {
    for (path, script_name, path_info) in [
        ("/environ", "/environ", ""),
        ("/environ/", "/environ", "/"),
        ("//environ//x", "/environ", "/x"),
        ("/./environ/./x/.", "/environ", "/x/."),
        ("/environ/x/", "/environ", "/x/"),
    ] {
        let text = host.get(path).text();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
        assert_eq!((value("SCRIPT_NAME"), value("PATH_INFO")), (Some(script_name.into()), Some(path_info.into())), "{path}: {text}");
    }
}

fn adapter(host: &Host, column: Column) {
    let reply = host.post("/adapter/x?q=%C3%A9", "X-Sent: sent\r\n", "caf\u{e9}".as_bytes());
    assert_eq!((reply.code(), reply.all("set-cookie")), (201, vec!["a=1", "b=2"]));
    assert_eq!(reply.body, "POST /adapter/x 5 caf\u{e9}".as_bytes());
    assert!(reply.field("content-type").unwrap().starts_with("text/plain;"));
    let stream = host.ask("GET", "/adapter/stream?q=q", "X-Sent: sent\r\n");
    assert_eq!((stream.text(), stream.field("x-seen")), ("part 0\npart 1\npart 2\n".into(), Some("sent q")));
    assert!(column == Column::Go || column.is_javascript());
}

/// Handles that are never dropped, and a collector at the wrong time, show after thousands of requests.
fn twenty_thousand(host: &Host, _: Column) {
    let first: u32 = host.get("/counter").text()[..5].parse().unwrap();
    let mut stream = host.connect();
    for _ in 0..20_000 {
        host.keep_alive(&mut stream, "/counter", "00000 0000000".len());
    }
    drop(stream);
    assert_eq!(host.get("/counter").text()[..5].parse(), Ok(first + 20_001));
}

/// What the host hands over is put into the guest's memory while it cannot act: whatever its size, nothing may go wrong then.
fn all_sizes(host: &Host, _: Column) {
    let first: u32 = host.get("/counter").text()[..5].parse().unwrap();
    let sizes = (0..18).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]).chain((1..150).map(|step| step * 4_099));
    let mut count = 0;
    for size in sizes {
        count += 1;
        assert_eq!(host.post("/counter", "", &vec![b'x'; size]).text(), format!("{:05} {size:07}", first + count));
    }
}
