//! One chunk that is longer than what the host takes at once.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    Ok(Body::from("0123456789abcdef".repeat(192 << 10)))
}
