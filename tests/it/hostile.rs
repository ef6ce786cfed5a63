//! Guests and clients that mean harm: each is stopped in time, told in its tenant's log, and its neighbours go on.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use crate::support::{DEADLINE, Host, Reply, guest};

const QUICK: [&str; 8] = ["--guest-cpu", "300ms", "--head-timeout", "400ms", "--progress-timeout", "400ms", "--close-grace", "200ms"];

/// Status, and the line of the log that says why.
fn stopped(host: &Host, path: &str, outcome: &str) -> (u16, bool) {
    let started = Instant::now();
    let reply = host.get(path);
    assert!(started.elapsed() < Duration::from_secs(10), "{path} took {:?}", started.elapsed());
    let id = reply.field("x-request-id").unwrap();
    host.logged(&["wasgi::access", id, &format!("outcome=\"{outcome}\"")]);
    (reply.code(), reply.whole)
}

fn answers(host: &Host) {
    assert_eq!(host.get("/hello").text(), "hello\n");
}

#[test]
fn a_guest_that_computes_for_ever_is_stopped_at_its_cpu_limit() {
    let host = Host::behaving(&["--guest-cpu", "300ms"]);
    assert_eq!(stopped(&host, "/loop-in-call", "cpu_limit"), (504, true));
    assert_eq!(stopped(&host, "/loop-in-next", "cpu_limit"), (504, true));
    assert_eq!(stopped(&host, "/loop-after-first", "cpu_limit"), (200, false));
    host.logged(&["wasgi::app", "its CPU limit is used up"]);
    answers(&host);
    assert_eq!(stopped(&host, "/empty-chunks-for-ever", "cpu_limit"), (504, true));
}

#[test]
fn a_guest_that_computes_for_ever_while_it_starts_is_stopped() {
    let host = Host::serving(&guest("examples/at_start"), &["--start-cpu", "200ms"]);
    assert_eq!(stopped(&host, "/", "cpu_limit"), (504, true));
    // It never came to be called, where the other limit of CPU holds.
    let line = host.logged(&["wasgi::access", "cpu_limit"]);
    assert!(line.contains("cpu_ms=0.0"), "{line}");
}

#[test]
fn a_guest_that_computes_in_close_has_answered_and_is_stopped() {
    let host = Host::behaving(&QUICK);
    assert_eq!(stopped(&host, "/loop-in-close", "wall_limit"), (200, true));
    assert_eq!(stopped(&host, "/sleep-in-close", "wall_limit"), (200, true));
    answers(&host);
}

#[test]
fn the_cpu_limit_holds_under_it_and_over_it() {
    // The start of a request needs some microseconds: 1 ms is little, and 60 s are plenty.
    assert_eq!(Host::behaving(&["--guest-cpu", "1ms"]).get("/loop-in-call").code(), 504);
    assert_eq!(Host::behaving(&["--guest-cpu", "60s"]).get("/hello").code(), 200);
}

#[test]
fn a_guest_that_waits_for_ever_is_stopped_at_its_wall_limits() {
    let host = Host::behaving(&QUICK);
    assert_eq!(stopped(&host, "/sleep-in-call/60", "wall_limit"), (504, true));
    assert_eq!(stopped(&host, "/sleep-in-next/60", "wall_limit"), (200, false));
    host.logged(&["wasgi::app", "its time is up"]);
    let total = Host::behaving(&["--request-timeout", "400ms", "--close-grace", "100ms"]);
    assert_eq!(stopped(&total, "/sleep-in-call/60", "wall_limit"), (504, true));
    answers(&total);
}

#[test]
fn s67_a_guest_that_ends_within_the_grace_is_closed() {
    let host = Host::behaving(&["--progress-timeout", "500ms", "--close-grace", "5s"]);
    assert_eq!(stopped(&host, "/sleep-in-next/1", "wall_limit"), (200, false));
    assert_eq!(host.log_lines("closed").len(), 1);
}

#[test]
fn a_neighbour_is_answered_while_a_guest_computes_for_ever() {
    let host = Host::behaving(&["--guest-cpu", "3s"]);
    let mut looping = host.connect();
    looping.write_all(b"GET /loop-in-call HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let started = Instant::now();
    let mut answered = 0;
    while started.elapsed() < Duration::from_secs(1) {
        answers(&host);
        answered += 1;
    }
    assert!(answered >= 10, "{answered} answers in a second");
    let mut bytes = Vec::new();
    looping.read_to_end(&mut bytes).unwrap();
    assert_eq!(Reply::of(&bytes, true).code(), 504);
}

#[test]
fn memory_is_granted_under_its_limit_and_refused_over_it() {
    let host = Host::behaving(&["--memory", "32MiB"]);
    assert_eq!(host.get("/grow-memory/16").text(), "16");
    let over: u32 = host.get("/grow-memory/64").text().parse().unwrap();
    assert!((16..32).contains(&over), "{over} MiB fitted");
    assert_eq!(stopped(&host, "/huge-allocation", "memory_limit"), (500, true));
    host.logged(&["wasgi::app", "its memory limit is reached"]);
    answers(&host);
}

#[test]
fn an_instance_that_needs_more_than_its_memory_does_not_start() {
    // Its memory at the start, and nothing for its table.
    let host = Host::behaving(&["--memory", "1114112"]);
    assert_eq!(stopped(&host, "/hello", "starting_failed"), (500, true));
    host.logged(&["wasgi::app", "it does not start"]);
}

#[test]
fn s68_a_trap_in_any_call_harms_its_own_request_only() {
    for flags in [&["--isolation", "request"], &["--isolation", "reuse"]] {
        let host = Host::behaving(flags);
        assert_eq!(stopped(&host, "/trap-in-call", "trap"), (500, true));
        assert_eq!(stopped(&host, "/trap-in-next", "trap"), (500, true));
        assert_eq!(stopped(&host, "/trap-after-first", "trap"), (200, false));
        assert_eq!(stopped(&host, "/trap-in-close", "trap"), (200, true));
        assert_eq!(stopped(&host, "/recursion", "trap"), (500, true));
        assert_eq!(stopped(&host, "/exit/3", "trap"), (500, true));
        host.logged(&["wasgi::app", "it called exit("]);
        answers(&host);
    }
}

#[test]
fn a_chunk_is_taken_under_and_at_its_limit_and_traps_over_it() {
    let host = Host::serving(&guest("examples/raw_chunk"), &[]);
    for size in [1_048_575, 1_048_576] {
        let reply = host.get(&format!("/?{size}"));
        assert_eq!((reply.body.len(), reply.whole), (size, true));
    }
    assert_eq!(stopped(&host, "/?1048577", "trap"), (500, true));
    host.logged(&["wasgi::app", "a chunk of 1048577 bytes is above the limit of 1048576"]);
}

#[test]
fn a_guest_that_is_called_directly_is_held_to_the_same_rules() {
    let host = Host::serving(&guest("examples/raw_direct"), &[]);
    for size in [0, 1, 1_048_575, 1_048_576] {
        let reply = host.get(&format!("/?{size}"));
        assert_eq!((reply.code(), reply.field("content-length"), reply.whole), (200, Some(size.to_string().as_str()), true));
        assert_eq!(reply.body, vec![0xe9; size]);
    }
    assert_eq!(host.get("/?chunks").text(), "chunk 0\nchunk 1\nchunk 2\n");
    // What it raises behind a response was raised by its close().
    let late = host.get("/?late");
    assert_eq!((late.text(), late.whole), ("whole\n".to_owned(), true));
    host.logged(&["wasgi::app", "close failed"]);
    let short = host.get("/?short");
    assert_eq!((short.text(), short.whole, host.get("/?long").text()), ("short".to_owned(), false, "longe".to_owned()));
    for (query, why) in [
        ("1048577", "a chunk of 1048577 bytes is above the limit of 1048576"),
        ("unstarted", "the application returned a body without calling start_response"),
        ("nothing", "the application returned a body without calling start_response"),
        ("wide", "a chunk has a character above U+00FF"),
    ] {
        let reply = host.get(&format!("/?{query}"));
        assert_eq!(reply.code(), 500, "{query}");
        host.logged(&[why, reply.field("x-request-id").unwrap()]);
    }
    // The first whole is on its way: the connection tells no more.
    for (query, why) in [("twice", "a body was whole before"), ("goes-on", "the body was whole, and more was to come")] {
        let reply = host.get(&format!("/?{query}"));
        assert_eq!(reply.text(), "once", "{query}");
        host.logged(&[why, reply.field("x-request-id").unwrap()]);
    }
}

#[test]
fn a_response_head_is_bounded() {
    let host = Host::behaving(&[]);
    assert_eq!(host.get("/many-headers/1000").text(), "accepted");
    assert_eq!(host.get("/many-headers/10000").text(), "the head is larger than 65536 bytes");
    assert_eq!(host.get("/huge-header/60000").text(), "accepted");
    assert_eq!(host.get("/huge-header/70000").text(), "the head is larger than 65536 bytes");
    assert_eq!(stopped(&host, "/many-headers/1000000", "trap"), (500, true));
    answers(&host);
}

#[test]
fn s29_a_log_flood_is_cut_and_counted_and_escapes_are_harmless() {
    let host = Host::behaving(&["--max-log", "10KiB"]);
    let flood = host.get("/log-flood/10000");
    host.logged(&["its log limit is used up", flood.field("x-request-id").unwrap()]);
    let lines = host.log_lines("flood 0").len();
    assert!((10..100).contains(&lines), "{lines} lines");
    host.get("/log-escapes");
    host.logged(&["wasgi::app", "\\u{1b}[31mred\\u{7}"]);
    host.get("/print");
    host.logged(&["to stdout", "stdout"]);
    host.logged(&["to stderr", "stderr"]);
}

#[test]
fn the_private_tmp_is_bounded_and_goes_with_its_instance() {
    let host = Host::behaving(&["--max-tmp", "4MiB"]);
    assert_eq!(host.get("/tmp/3").text(), "3");
    assert_eq!(host.get("/tmp/10").text(), "3");
    assert_eq!(host.get("/tmp/3").text(), "3");
    let roomy = Host::behaving(&[]);
    assert_eq!(roomy.get("/tmp-folders/100").text(), "64");
    assert_eq!(roomy.get("/tmp-files/10000").text(), "4096");
    assert_eq!(roomy.get("/tmp-listings/10").text(), "4");
    for host in [host, roomy] {
        host.logged(&["wasgi::access", "outcome=\"ok\""]);
        answers(&host);
        assert_eq!(host.leftovers(), 0);
    }
}

#[test]
fn a_guest_sees_nothing_of_the_host() {
    let began = Instant::now();
    let seen = Host::behaving(&[]).get("/host").text();
    let (sights, clock) = seen.split_once("clock ").unwrap();
    assert_eq!(sights, "environment [\"HOME\"]\n/etc/passwd false\n/tmp/../etc/passwd false\n/proc/self/environ false\ntcp false\n");
    // It begins with the instance, and so tells nothing of how long the machine runs.
    let (now, resolution) = clock.trim_end().split_once(" of ").unwrap();
    assert!((1..began.elapsed().as_nanos()).contains(&now.parse().unwrap()), "{clock}");
    assert_eq!(resolution, "1 ns");
}

#[test]
fn a_full_queue_answers_503_and_a_place_is_given_back() {
    let host = Host::behaving(&["--concurrency", "1", "--queue", "1", "--queue-timeout", "500ms", "--head-timeout", "3s"]);
    let request = b"GET /sleep-in-call/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut running = host.connect();
    running.write_all(request).unwrap();
    let replies: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(|| host.get("/hello"))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for reply in &replies {
        assert_eq!((reply.code(), reply.field("retry-after")), (503, Some("1")));
    }
    host.logged(&["outcome=\"queue_full\""]);
    host.logged(&["outcome=\"queue_timeout\""]);
    running.read_to_end(&mut Vec::new()).unwrap();
    answers(&host);
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_its_place_given_back() {
    let host = Host::behaving(&["--concurrency", "1", "--progress-timeout", "500ms", "--close-grace", "100ms"]);
    let mut stream = host.connect();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    host.logged(&["wasgi::access", "/endless"]);
    answers(&host);
    let read = std::io::copy(&mut stream, &mut std::io::sink());
    assert!(read.is_err(), "a broken response ends in a reset: {read:?}");
}

#[test]
fn a_client_that_trickles_is_too_slow() {
    let host = Host::behaving(&[]);
    let mut stream = host.connect();
    stream.write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (started, mut bytes) = (Instant::now(), vec![0; 12]);
    // Each read that finds nothing is a tick of the clock, after which a byte is sent.
    while stream.read_exact(&mut bytes).is_err() {
        assert!(started.elapsed() < DEADLINE && stream.write_all(b"x").is_ok(), "{:?}", started.elapsed());
    }
    assert_eq!(bytes, b"HTTP/1.1 408");
}

#[test]
fn a_client_that_stalls_is_too_slow() {
    let host = Host::behaving(&["--progress-timeout", "700ms"]);
    let mut stream = host.connect();
    stream.write_all(b"POST /count HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\r\nabc").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let reply = Reply::of(&bytes, true);
    assert_eq!((reply.code(), reply.text()), (408, "request timeout\n".into()));
}

#[test]
fn a_slow_reader_gets_all_of_a_response_beside_an_unread_upload() {
    let host = Host::behaving(&[]);
    for version in ["1.0", "1.1"].repeat(4) {
        let mut stream = host.connect_narrow();
        let head = format!("POST /large/8 HTTP/{version}\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &vec![b'y'; 100_000]].concat()).unwrap();
        // Small pieces from a small buffer, and other requests between them: when the guest has ended, much of its response is not sent yet.
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 4 << 10]);
        while let length @ 1.. = stream.read(&mut piece).unwrap() {
            let before = bytes.len() >> 16;
            bytes.extend_from_slice(&piece[..length]);
            if bytes.len() >> 16 != before {
                answers(&host);
            }
        }
        let reply = Reply::of(&bytes, true);
        assert_eq!((reply.body.len(), reply.whole), (8 << 20, true), "HTTP/{version}");
    }
}

#[test]
fn nothing_is_left_of_a_thousand_bad_requests() {
    let host = Host::behaving(&["--max-traps", "10000"]);
    answers(&host);
    let before = host.open_files();
    let paths = ["/trap-in-call", "/raise-after-first", "/never-start", "/tmp/1", "/exit/0"];
    for number in 0..1_000 {
        let path = paths[number % paths.len()];
        assert!(host.get(path).code() >= 200);
        if number % 10 == 0 {
            drop(host.connect());
        }
    }
    answers(&host);
    assert_eq!(host.leftovers(), 0);
    assert!(host.open_files() <= before + 8, "{} open files, {before} before", host.open_files());
}
