//! What a guest can see: its environ, its own memory, and nothing of the host.

use std::{
    fmt::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
};

use wasgi_guest::{Body, Environ, StartResponse};
use wasip2::clocks::monotonic_clock;

use crate::{Answer, bodies::start};

static REQUESTS: AtomicU64 = AtomicU64::new(0);

pub fn app(name: &str, _: &str, environ: &Environ, start_response: StartResponse) -> Answer {
    Some(match name {
        "environ" => dump(environ, start_response),
        "counter" => {
            let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
            start(start_response, &[]).map(|()| Body::from(count.to_string()))
        }
        "host" => host(start_response),
        _ => return None,
    })
}

fn dump(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut text = String::new();
    for (name, value) in environ.iter() {
        writeln!(text, "{name}={}", value.escape_default())?;
    }
    start(start_response, &[])?;
    Ok(Body::from(text))
}

/// Tries what a guest may not do.
fn host(start_response: StartResponse) -> wasgi_guest::Result {
    let mut text = String::new();
    let mut variables: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    variables.sort();
    writeln!(text, "environment {variables:?}")?;
    for path in ["/etc/passwd", "/tmp/../etc/passwd", "/proc/self/environ"] {
        writeln!(text, "{path} {}", std::fs::read(path).is_ok())?;
    }
    writeln!(text, "tcp {}", TcpStream::connect("127.0.0.1:22").is_ok())?;
    writeln!(text, "clock {} of {} ns", monotonic_clock::now(), monotonic_clock::resolution())?;
    start(start_response, &[])?;
    Ok(Body::from(text))
}
