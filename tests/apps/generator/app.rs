//! Chunks that are made while they are sent, and a close.

use std::io::Write;

use wasgi_guest::{Body, Environ, Errors, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    let chunks = (0..3).map(|number| Ok::<_, String>(format!("line {number}\n").into_bytes()));
    Ok(Body::stream(chunks).on_close(|| Ok(writeln!(Errors, "generator closed")?)))
}
