//! Counts the requests of its instance, and reads each one's body.

use std::{
    io::Read,
    sync::atomic::{AtomicU32, Ordering},
};

use wasgi_guest::{Body, Environ, StartResponse};

static COUNT: AtomicU32 = AtomicU32::new(0);

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut body = Vec::new();
    environ.input().read_to_end(&mut body)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    start_response("200 OK", &[])?;
    Ok(Body::from(format!("{count:05} {:07}", body.len())))
}
