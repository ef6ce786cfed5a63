//! The time, and time that passes.

use std::time::{Duration, Instant, SystemTime};

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let started = Instant::now();
    std::thread::sleep(Duration::from_millis(5));
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    start_response("200 OK", &[])?;
    Ok(Body::from(format!("{seconds} {}", started.elapsed() >= Duration::from_millis(5))))
}
