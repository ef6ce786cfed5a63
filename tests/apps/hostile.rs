//! What a hostile or broken guest does to its host.

use std::{
    hint::black_box,
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use wasgi_guest::{Body, Environ, Errors, StartResponse};

use crate::{
    Answer,
    bodies::{said, start},
};

pub fn app(name: &str, argument: &str, _: &Environ, start_response: StartResponse) -> Answer {
    Some(match name {
        "loop-in-call" => spin(),
        "loop-in-next" => start(start_response, &[]).map(|()| lazily(|| spin().map(|_| Vec::new()))),
        "loop-after-first" => start(start_response, &[]).map(|()| two(|| spin().map(|_| Vec::new()))),
        "loop-in-close" => start(start_response, &[]).map(|()| Body::from("hello").on_close(|| spin().map(drop))),
        "sleep-in-call" => sleep(argument),
        "sleep-in-next" => {
            let seconds = argument.to_owned();
            start(start_response, &[]).map(|()| two(move || sleep(&seconds).map(|_| Vec::new())))
        }
        "sleep-in-close" => start(start_response, &[]).map(|()| Body::from("hello").on_close(|| sleep("60").map(drop))),
        "grow-memory" => grow(start_response, argument.parse().unwrap_or(1)),
        "allocate-and-trap" => allocate_and_trap(argument.parse().unwrap_or(1)),
        "huge-allocation" => start(start_response, &[]).map(|()| Body::from(vec![0; usize::MAX / 4])),
        "recursion" => Ok(Body::from(recurse(0).to_string())),
        "trap-in-call" => trap(),
        "trap-in-next" => start(start_response, &[]).map(|()| lazily(|| trap().map(|_| Vec::new()))),
        "trap-after-first" => start(start_response, &[]).map(|()| two(|| trap().map(|_| Vec::new()))),
        "trap-in-close" => start(start_response, &[]).map(|()| Body::from("hello").on_close(|| trap().map(drop))),
        "exit" => std::process::exit(argument.parse().unwrap_or(0)),
        "empty-chunks-for-ever" => {
            start(start_response, &[]).map(|()| Body::stream(std::iter::repeat_with(|| Ok::<_, String>(Vec::new()))))
        }
        "log-flood" => flood(start_response, argument.parse().unwrap_or(0)),
        "log-escapes" => said("\u{1b}[31mred\u{7}").and_then(|()| start(start_response, &[])).map(|()| Body::empty()),
        "log-html" => said("<script>alert(1)</script>").and_then(|()| start(start_response, &[])).map(|()| Body::empty()),
        "slow-close" => start(start_response, &[]).map(|()| Body::from("hello").on_close(|| sleep("1").map(drop))),
        "print" => {
            println!("to stdout");
            eprintln!("to stderr");
            start(start_response, &[]).map(|()| Body::empty())
        }
        "tmp-folders" => counted(start_response, argument, |number| std::fs::create_dir(format!("/tmp/{number}"))),
        "tmp-files" => counted(start_response, argument, |number| std::fs::File::create(format!("/tmp/{number}")).map(drop)),
        "tmp-listings" => counted(start_response, argument, |_| std::fs::read_dir("/tmp").map(std::mem::forget)),
        "fill" => fill(argument.parse().unwrap_or(1)),
        "handles" => counted(start_response, argument, |_| std::fs::File::open("/").map(std::mem::forget)),
        "behaves" => behaves(start_response, argument.parse().unwrap_or(0)),
        "tmp" => tmp(start_response, argument.parse().unwrap_or(0)),
        _ => return None,
    })
}

fn lazily(chunk: impl FnOnce() -> Result<Vec<u8>, Box<dyn std::error::Error>> + 'static) -> Body {
    Body::stream(std::iter::once_with(chunk))
}

fn two(second: impl FnOnce() -> Result<Vec<u8>, Box<dyn std::error::Error>> + 'static) -> Body {
    Body::stream(std::iter::once(Ok(b"first".to_vec())).chain(std::iter::once_with(second))).on_close(|| said("closed"))
}

fn spin() -> wasgi_guest::Result {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Fills so many mebibytes, again and again: each time one instruction, between which and the next it can be stopped.
fn fill(mebibytes: usize) -> wasgi_guest::Result {
    let mut space = vec![0_u8; mebibytes << 20];
    loop {
        space.fill(black_box(1));
    }
}

/// Answers so often in its life, and then traps.
fn behaves(start_response: StartResponse, times: usize) -> wasgi_guest::Result {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    if ANSWERED.fetch_add(1, Ordering::Relaxed) >= times {
        return trap();
    }
    start(start_response, &[])?;
    Ok(Body::from("hello\n"))
}

fn sleep(seconds: &str) -> wasgi_guest::Result {
    std::thread::sleep(Duration::from_secs(seconds.parse()?));
    Err("slept".into())
}

fn trap() -> wasgi_guest::Result {
    std::process::abort()
}

/// Allocates mebibytes until there are so many, or no more; answers how many.
fn grow(start_response: StartResponse, mebibytes: usize) -> wasgi_guest::Result {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mebibytes {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(1 << 20).is_err() {
            break;
        }
        piece.resize(1 << 20, 1);
        kept.push(piece);
    }
    let count = kept.len();
    if mebibytes > count {
        drop(kept);
    } else {
        std::mem::forget(kept);
    }
    start(start_response, &[])?;
    Ok(Body::from(count.to_string()))
}

/// Takes so many mebibytes, one at a time, and then ends.
fn allocate_and_trap(mebibytes: usize) -> wasgi_guest::Result {
    let pieces: Vec<_> = (0..mebibytes).map(|_| vec![1_u8; 1 << 20]).collect();
    black_box(&pieces);
    trap()
}

fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == u64::MAX { room[0] } else { recurse(depth + 1) + room[63] }
}

fn flood(start_response: StartResponse, lines: usize) -> wasgi_guest::Result {
    for number in 0..lines {
        writeln!(Errors, "flood {number:08}")?;
    }
    start(start_response, &[])?;
    Ok(Body::empty())
}

/// Does something again and again; answers how often it went well.
fn counted(start_response: StartResponse, most: &str, act: impl Fn(u32) -> std::io::Result<()>) -> wasgi_guest::Result {
    let count = (0..most.parse()?).take_while(|number| act(*number).is_ok()).count();
    start(start_response, &[])?;
    Ok(Body::from(count.to_string()))
}

/// Writes mebibytes to /tmp; answers how many fitted.
fn tmp(start_response: StartResponse, mebibytes: usize) -> wasgi_guest::Result {
    let mut file = std::fs::File::create("/tmp/file")?;
    let piece = vec![1; 1 << 20];
    let fitted = (0..mebibytes).take_while(|_| file.write_all(&piece).is_ok()).count();
    start(start_response, &[])?;
    Ok(Body::from(fitted.to_string()))
}
