//! What of one request the next can see.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{Host, Reply};

/// In `reuse`, a request that comes before the last one has let go of its instance would be given another: so one place.
fn counts(host: &Host, requests: usize) -> Vec<String> {
    (0..requests).map(|_| host.get("/counter").text()).collect()
}

#[test]
fn a_fresh_instance_remembers_nothing_and_a_reused_one_everything() {
    assert_eq!(counts(&Host::behaving(&[]), 3), ["1", "1", "1"]);
    assert_eq!(counts(&Host::behaving(&["--isolation", "reuse", "--concurrency", "1"]), 3), ["1", "2", "3"]);
}

#[test]
fn a_reused_instance_retires_after_its_requests() {
    let host = Host::behaving(&["--isolation", "reuse", "--concurrency", "1", "--reuse-requests", "2"]);
    assert_eq!(counts(&host, 5), ["1", "2", "1", "2", "1"]);
}

#[test]
fn a_reused_instance_retires_at_its_age_and_when_it_was_idle() {
    for flags in [["--reuse-age", "1ms"], ["--reuse-idle", "1ms"]] {
        let host = Host::behaving(&[&["--isolation", "reuse", "--concurrency", "1"], &flags[..]].concat());
        assert_eq!(counts(&host, 1), ["1"]);
        let waited = Instant::now();
        while waited.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        assert_eq!(counts(&host, 1), ["1"], "{flags:?}");
    }
    let young = Host::behaving(&["--isolation", "reuse", "--concurrency", "1", "--reuse-age", "60min", "--reuse-idle", "60min"]);
    assert_eq!(counts(&young, 2), ["1", "2"]);
}

#[test]
fn a_reused_instance_retires_when_its_memory_has_grown() {
    let host = Host::behaving(&["--isolation", "reuse", "--concurrency", "1", "--reuse-growth", "8MiB"]);
    assert_eq!(counts(&host, 2), ["1", "2"]);
    host.get("/grow-memory/4");
    assert_eq!(counts(&host, 1), ["3"]);
    host.get("/grow-memory/16");
    assert_eq!(counts(&host, 1), ["1"]);
}

#[test]
fn a_reused_instance_retires_after_a_trap_and_not_after_an_exception() {
    let host = Host::behaving(&["--isolation", "reuse", "--concurrency", "1"]);
    assert_eq!(counts(&host, 2), ["1", "2"]);
    host.get("/raise-after-first");
    assert_eq!(counts(&host, 1), ["3"]);
    host.get("/trap-in-call");
    assert_eq!(counts(&host, 1), ["1"]);
}

#[test]
fn a_reused_instance_serves_twenty_thousand_requests() {
    let host = Host::behaving(&["--isolation", "reuse", "--concurrency", "1", "--reuse-requests", "1000000"]);
    let mut stream = host.connect();
    let request = b"GET /counter HTTP/1.1\r\nHost: a\r\n\r\n";
    for number in 1..=20_000 {
        stream.write_all(request).unwrap();
        let (mut reply, mut piece) = (Vec::new(), [0; 512]);
        let end = format!("\r\n\r\n{number}");
        while !reply.ends_with(end.as_bytes()) {
            let length = stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "request {number}: {}", String::from_utf8_lossy(&reply));
            reply.extend_from_slice(&piece[..length]);
        }
    }
}

#[test]
fn a_full_house_of_reused_instances_answers_every_request() {
    let host = Host::behaving(&["--isolation", "reuse", "--concurrency", "4"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut stream = host.connect();
                (0..500).for_each(|_| host.keep_alive(&mut stream, "/hello", "hello\n".len()));
            });
        }
    });
    assert_eq!(host.log_lines("status=500"), [""; 0]);
}

#[test]
fn a_stop_lets_requests_in_flight_end_and_takes_no_new_ones() {
    let mut host = Host::behaving(&[]);
    let mut stream = host.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut bytes = vec![0; 12];
    stream.read_exact(&mut bytes).unwrap();
    host.signal(Signal::TERM);
    host.logged(&["stop", "waiting"]);
    stream.read_to_end(&mut bytes).unwrap();
    let reply = Reply::of(&bytes, true);
    assert_eq!((reply.text(), reply.whole), ("line 0\nline 1\nline 2\n".into(), true));
    assert_eq!(host.exit_code(), Some(0));
    assert_eq!(std::net::TcpStream::connect(host.address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn an_interrupt_stops_an_idle_host_at_once() {
    let mut host = Host::behaving(&[]);
    let mut idle = host.connect();
    idle.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();
    let started = Instant::now();
    host.signal(Signal::INT);
    assert_eq!(host.exit_code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let mut host = Host::behaving(&["--stop-grace", "1"]);
    let mut stream = host.connect();
    stream.write_all(b"GET /sleep-in-call/30 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(host.get("/hello").code(), 200);
    host.signal(Signal::TERM);
    assert_eq!(host.exit_code(), Some(0));
    host.logged(&["did not end within the grace"]);
    host.logged(&["wasgi::access", "sleep-in-call", "outcome=\"stopping\""]);
    let end = stream.read_to_end(&mut Vec::new());
    assert!(end.is_err(), "a request that is broken off ends in a reset: {end:?}");
}
